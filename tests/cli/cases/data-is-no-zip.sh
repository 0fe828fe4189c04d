tamis run "$MODELS/tiny.onnx" -c "$MODELS/tiny.onnx" -o out.npz
