: >empty.onnx
tamis slim empty.onnx out.onnx -c "$MODELS/tiny.npz"
