tamis check -q "$MODELS/unsorted.onnx"
