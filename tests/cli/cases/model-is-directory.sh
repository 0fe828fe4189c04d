mkdir model.onnx
tamis info model.onnx
