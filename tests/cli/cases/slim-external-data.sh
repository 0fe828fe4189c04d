mkdir out && tamis slim "$SAMPLES/fashion-mlp.onnx" out/model.onnx -c "$SAMPLES/fashion-calib.npz" --keep 0.9 --tolerance 0.1 -q \
	--save-as-external-data && tamis check -q out/model.onnx || exit
[[ $(stat -c %s out/model.onnx) -lt 20000 ]] || echo 'the model still holds its tensors'
ls -A out | wc -l
tamis run out/model.onnx -c "$SAMPLES/fashion-test.npz" -o out.npz --items 10
