tamis slim "$MODELS/unsupported.onnx" out.onnx -c "$MODELS/tiny.npz"
code=$?
[[ -e out.onnx ]] && echo 'out.onnx was written'
exit "$code"
