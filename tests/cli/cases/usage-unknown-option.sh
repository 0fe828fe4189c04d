tamis slim model.onnx out.onnx -c data.npz --toleranse 0.1
