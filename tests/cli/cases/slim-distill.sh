# The same bytes for any number of workers, and a smaller loss than without.
for n in 1 2 3; do
	tamis slim "$MODELS/tiny.onnx" "out$n.onnx" -c "$MODELS/tiny.npz" --keep 0.4 --tolerance 1 --distill 5 --regrow 0.2 --json "$n.json" -q -j "$n" || exit
done
cmp out1.onnx out2.onnx && cmp out1.onnx out3.onnx
tamis slim "$MODELS/tiny.onnx" plain.onnx -c "$MODELS/tiny.npz" --keep 0.4 --tolerance 1 --no-refit --json plain.json -q || exit
"$PYTHON" -c 'import json
loss = [json.load(open(name + ".json"))["gate"]["value"] for name in ("1", "plain")]
print("less is lost:", loss[0] < loss[1])'
