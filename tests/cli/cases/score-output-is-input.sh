cp "$MODELS/tiny.onnx" m.onnx
tamis score m.onnx -c "$MODELS/tiny.npz" -o m.onnx
