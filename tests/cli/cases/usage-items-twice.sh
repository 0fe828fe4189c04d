tamis slim model.onnx out.onnx -c data.npz --random 10
