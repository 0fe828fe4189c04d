# Each output against each kind of input, under another name too; the inputs stay as they are.
cp "$MODELS/tiny.onnx" model.onnx && cp "$MODELS/tiny.npz" items.npz && cp "$MODELS/tiny-labels.npy" labels.npy || exit
tamis score model.onnx -c items.npz -o scores -q && ln labels.npy linked && cat model.onnx items.npz labels.npy scores >before || exit
for words in 'out.onnx -c items.npz --json items.npz' 'out.onnx -c x:items.npz --json items.npz' \
	'out.onnx -c items.npz --holdout x:labels.npy --html labels.npy' 'out.onnx -c items.npz --labels labels.npy --json linked' \
	'out.onnx -c items.npz --scores scores --html scores' 'out.onnx -c items.npz --json model.onnx' \
	'out.onnx -c items.npz --json out.onnx' 'out.onnx -c items.npz --html out.onnx' \
	'out.onnx -c items.npz --json page --html page' 'report -c items.npz --html nowhere/page' 'report -c items.npz --html before/page'; do
	tamis slim model.onnx $words
	echo "$words: $?"
done
tamis info --scores scores --json scores
echo "info: $?"
tamis check model.onnx --provenance --source labels.npy --json labels.npy
echo "check: $?"
tamis slim - out.onnx -c items.npz <model.onnx >>model.onnx --json -
echo "standard output: $?"
cat model.onnx items.npz labels.npy scores | cmp - before && ls
