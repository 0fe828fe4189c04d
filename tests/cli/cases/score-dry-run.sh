tamis score "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" --dry-run -j 2 --shard 2/3 && ls -A
