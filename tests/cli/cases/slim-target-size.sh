# The file is as small as was asked, and no cut goes deeper than that needs.
size() { stat -c %s "$1"; }
before=$(size "$MODELS/tiny.onnx")
for words in '--target-size 75%' '--target-size 900' '--target-size 1e9' '--target-size 5e-1%'; do
	tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --no-provenance --tolerance 1 -q $words
	echo "$words: $?"
	[[ ! -e out.onnx ]] || echo "at most 75 %: $((4 * $(size out.onnx) <= 3 * before)), at most 900: $(($(size out.onnx) <= 900))"
	rm -f out.onnx
done
tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --target-macs 5e+1% --round-to 1 --tolerance 1 --json report.json -q || exit
"$PYTHON" -c 'import json
report = json.load(open("report.json"))
share = report["after"]["macs"] / report["before"]["macs"]
print("half the MACs:", share <= 0.5, "and not much less:", share > 0.3)'
