tamis run "$MODELS/tiny.onnx" -c nowhere.npz -o out.npz
