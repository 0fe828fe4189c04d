echo old >out.onnx
tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --keep 0.02 --tolerance 0.006 -q
code=$?
cat out.onnx
exit "$code"
