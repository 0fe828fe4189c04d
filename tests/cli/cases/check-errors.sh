tamis check "$MODELS/unsorted.onnx"
