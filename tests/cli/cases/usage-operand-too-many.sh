tamis check one.onnx two.onnx
