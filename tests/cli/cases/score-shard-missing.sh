tamis score "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" -o one --shard 1/2 -q && tamis merge one -o all
