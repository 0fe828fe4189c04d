tamis slim "$MODELS/tiny.onnx" one.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 -q &&
	tamis slim "$MODELS/tiny.onnx" two.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 -q && cmp one.onnx two.onnx
