tamis run model.onnx -c data.npz
