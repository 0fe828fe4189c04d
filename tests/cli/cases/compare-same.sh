cp "$MODELS/tiny.onnx" a.onnx && cp a.onnx b.onnx && tamis compare a.onnx b.onnx -c "$MODELS/tiny.npz" --labels "$MODELS/tiny-labels.npy"
