# Shards, in any order and by any number of threads, add up to the bytes of one run.
tamis score "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" -o whole -q -j 2 || exit
for n in 1 2 7; do
	for i in $(seq $n -1 1); do
		tamis score "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" -o $i.$n --shard $i/$n -q -j $((i % 2 + 1)) || exit
	done
	tamis merge ?.$n -o merged.$n -q && cmp whole merged.$n && echo "$n the same"
done
tamis info --scores 2.7
