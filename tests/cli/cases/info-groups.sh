cp "$MODELS/tiny.onnx" . && tamis info --groups tiny.onnx
