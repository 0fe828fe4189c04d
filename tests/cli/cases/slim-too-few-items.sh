# Nothing that is cut could pass: told before anything is.
echo old >out.onnx
tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --tolerance 0.001 -q
code=$?
cat out.onnx
exit "$code"
