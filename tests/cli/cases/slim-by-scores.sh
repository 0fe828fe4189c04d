# A cut by a score file is the cut of a run that scores, for the same options.
tamis score "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" -o tiny.scores -q &&
	tamis slim "$MODELS/tiny.onnx" a.onnx -c "$MODELS/tiny.npz" --tolerance 0.2 -q &&
	tamis slim "$MODELS/tiny.onnx" b.onnx -c "$MODELS/tiny.npz" --tolerance 0.2 --scores tiny.scores -q &&
	cmp a.onnx b.onnx && echo the same
for words in '--alpha 0.2' '--criterion fisher' '--holdout-share 0.4' '--seed 2' '--scores nowhere'; do
	tamis slim "$MODELS/tiny.onnx" c.onnx -c "$MODELS/tiny.npz" --scores tiny.scores $words
	echo $?
done
tamis slim "$MODELS/tiny.onnx" tiny.scores -c "$MODELS/tiny.npz" --scores tiny.scores
echo $?
tamis slim "$MODELS/tiny.onnx" c.onnx --scores tiny.scores
echo $?
tamis slim "$SAMPLES/fashion-mlp.onnx" c.onnx --random 50 --scores tiny.scores
echo $?
tamis slim "$MODELS/tiny.onnx" c.onnx --random 60 --tolerance 1 --keep 0.9 --scores tiny.scores --json report.json >text &&
	grep -o 'the scores come from other items' report.json
