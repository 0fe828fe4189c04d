tamis score "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" -o tiny.scores -q &&
	tamis info --scores tiny.scores --tensor fc2.weight:1,4 && tamis info --scores tiny.scores --tensor fc2.weight:3,4
