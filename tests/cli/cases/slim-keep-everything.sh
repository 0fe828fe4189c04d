# Slimming nothing gives back the same bytes.
tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --keep 1 --alpha 1 --no-provenance --tolerance 0.05 -q &&
	cmp out.onnx "$MODELS/tiny.onnx"
