tamis info nowhere.onnx
