tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --max-memory 8K -j 64
