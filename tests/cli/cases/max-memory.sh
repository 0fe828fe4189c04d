# --max-memory bounds the tree of a model, a batch of items and a plan, in every command that reads a model.
for limit in 1K 3K; do
	tamis check "$MODELS/tiny.onnx" --max-memory $limit
	tamis info "$MODELS/tiny.onnx" --max-memory $limit
	tamis run "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" -o out.npz --max-memory $limit
	tamis compare "$MODELS/tiny.onnx" "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" --max-memory $limit
	tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --max-memory $limit
done
