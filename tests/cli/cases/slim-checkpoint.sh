# The result is that of a run without; the file is gone in the end.
tamis slim "$MODELS/tiny.onnx" one.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 -q &&
	tamis slim "$MODELS/tiny.onnx" two.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 --checkpoint file -q && cmp one.onnx two.onnx && ls
