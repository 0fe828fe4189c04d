tamis slim model.onnx out.onnx -c data.npz --alpha abc
