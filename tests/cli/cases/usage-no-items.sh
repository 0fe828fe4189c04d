tamis slim model.onnx out.onnx
