# Words that cannot be taken: what was meant is named where it is near, and long or empty words are no trouble.
long=$(printf 'x%.0s' {1..300})
for words in --versoin -z --nothing "--$long" "$long" frobnicate "check --$long" 'check -- -absent' 'check --quiet=1' \
	'slim model.onnx out.onnx -c data.npz --tolerance 5e' 'slim model.onnx out.onnx -c data.npz --tolerance 5e+' \
	'slim model.onnx out.onnx -c data.npz --tolerance .' 'slim model.onnx out.onnx -c data.npz --max-memory 99999999999G' \
	"slim model.onnx out.onnx -c data.npz --target-macs ${long}%" 'slim model.onnx out.onnx -c data.npz -j'; do
	tamis $words
	echo "${words:0:60}: $?"
done
tamis check ''
echo "empty: $?"
tamis check $'two\nlines'
echo "newline: $?"
tamis $'\e[31m'
echo "escape: $?"
