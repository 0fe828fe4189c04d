tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/wrong-type.npz"
code=$?
[[ -e out.onnx ]] && echo 'out.onnx was written'
exit "$code"
