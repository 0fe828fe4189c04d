tamis check "$MODELS/tiny.onnx"
