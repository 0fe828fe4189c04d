tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --dry-run -j 2 && ls -A
