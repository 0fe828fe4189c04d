tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 --checkpoint none/file -q
