tamis info --scores "$MODELS/tiny.onnx"
