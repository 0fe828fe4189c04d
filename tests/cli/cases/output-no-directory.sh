tamis slim "$MODELS/tiny.onnx" nowhere/out.onnx -c "$MODELS/tiny.npz"
code=$?
tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --json nowhere/report.json
[[ -e out.onnx ]] && echo 'out.onnx was written'
exit "$code"
