cp "$MODELS/tiny.onnx" . && tamis info tiny.onnx
