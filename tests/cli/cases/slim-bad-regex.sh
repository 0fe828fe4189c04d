tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --only "("
