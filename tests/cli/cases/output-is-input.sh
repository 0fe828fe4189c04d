cp "$MODELS/tiny.onnx" model.onnx
ln model.onnx link.onnx
ln -s model.onnx symlink.onnx
for out in model.onnx ./model.onnx link.onnx symlink.onnx; do
	tamis slim model.onnx "$out" -c "$MODELS/tiny.npz"
	code=$?
	[[ $code == 2 ]] || echo "$out: $code"
done
tamis slim - model.onnx -c "$MODELS/tiny.npz" <model.onnx
tamis slim model.onnx - -c "$MODELS/tiny.npz" >>model.onnx
tamis info model.onnx --json model.onnx
tamis slim model.onnx out --json out -c "$MODELS/tiny.npz"
cp "$MODELS/tiny.npz" items.npz
tamis run model.onnx -c items.npz -o items.npz
tamis slim model.onnx items.npz -c x:items.npz
cmp model.onnx "$MODELS/tiny.onnx" && cmp items.npz "$MODELS/tiny.npz" && exit "$code"
