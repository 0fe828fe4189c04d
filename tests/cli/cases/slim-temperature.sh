tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 --temperature 1.4 | grep -e gate -e temperature
tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --temperature 30
echo $?
