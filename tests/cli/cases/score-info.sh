tamis score "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" -o tiny.scores -q && tamis info --scores tiny.scores
