tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --max-memory 100 -j 1
