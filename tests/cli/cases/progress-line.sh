# The line is drawn over itself and wiped at the end; -v adds a line a phase; -q is overruled by always, not by auto.
for words in '--progress always' '--progress always -q' '--progress never -v' '--progress auto -q'; do
	echo "$words"
	tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 $words 2>drawn >report || exit
	tr '\r' '\n' <drawn | grep -E -o '[0-9]+ %  [a-z]+|s  [a-z]+$' | head -n 1
	[[ ! -s drawn ]] || tail -c 1 drawn | tr '\r' '.' && echo
done
