tamis check model.onnx --source other.onnx
