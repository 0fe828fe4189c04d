# Against a cut model, with labels; then against models that cannot be compared.
cp "$MODELS/tiny.onnx" a.onnx && cp "$MODELS/barrier.onnx" other.onnx && cp "$MODELS/unsupported.onnx" . || exit
tamis slim a.onnx b.onnx -c "$MODELS/tiny.npz" --granularity weight --keep 0.2 --tolerance 1 -q || exit
tamis compare a.onnx b.onnx -c "$MODELS/tiny.npz" --labels "$MODELS/tiny-labels.npy" --items 500 --json report.json -q || exit
"$PYTHON" -c 'import json
report = json.load(open("report.json"))
items, agree, a, b = (report[name] for name in ("items", "agree", "accuracy_a", "accuracy_b"))
print("items:", items, "most agree:", report["agree_lower"] < agree / items < report["agree_upper"] and agree < items)
print("as many more are right:", round((a - b) * items) == report["only_a"] - report["only_b"])
print("they differ:", report["max_abs"] > 0 and report["relative_squared_error"] > 0 and report["expected_loss"] > 0)'
for other in other.onnx unsupported.onnx absent.onnx; do
	tamis compare a.onnx "$other" -c "$MODELS/tiny.npz"
	echo $?
done
