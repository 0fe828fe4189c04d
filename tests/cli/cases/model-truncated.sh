# At no length is it a crash, and nothing is written.
size=$(stat -c %s "$MODELS/tiny.onnx")
for ((n = 0; n < size; n += 1 + n / 16)); do
	head -c "$n" "$MODELS/tiny.onnx" >cut.onnx
	tamis slim cut.onnx out.onnx -c "$MODELS/tiny.npz" >stdout 2>stderr
	code=$?
	[[ $code == 3 && -s stderr && ! -s stdout && ! -e out.onnx ]] || echo "at $n bytes: exit code $code"
done
exit 3
