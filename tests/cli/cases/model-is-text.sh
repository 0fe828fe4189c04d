echo 'This is not a model.' >text.onnx
tamis info text.onnx
