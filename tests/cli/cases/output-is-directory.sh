mkdir out
tamis slim "$MODELS/tiny.onnx" out -c "$MODELS/tiny.npz"
