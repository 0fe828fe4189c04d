tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --labels "$MODELS/tiny-labels.npy" --tolerance 0.05 | grep -e gate -e labels -e probabilities
