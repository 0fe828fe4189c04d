# Standard output is the model and nothing else.
tamis slim - - -c "$MODELS/tiny.npz" --tolerance 0.05 <"$MODELS/tiny.onnx" >out.onnx || exit
tamis slim "$MODELS/tiny.onnx" file.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 -q || exit
tamis check -q - <out.onnx && cmp out.onnx file.onnx
