tamis slm model.onnx out.onnx
