tamis slim "$MODELS/tiny.onnx" /dev/full -c "$MODELS/tiny.npz" --tolerance 0.1
