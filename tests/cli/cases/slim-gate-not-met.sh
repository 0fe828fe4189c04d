echo old >out.onnx
tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --tolerance 0 -q
code=$?
cat out.onnx
exit "$code"
