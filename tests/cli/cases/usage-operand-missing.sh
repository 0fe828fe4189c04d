tamis slim model.onnx -c data.npz
