tamis run "$MODELS/tiny.onnx" -c "$MODELS/sets" -o out.npz || exit
tamis run "$MODELS/tiny.onnx" -c "$MODELS/sets/test_data_set_1" -o one.npz || exit
"$PYTHON" -c 'import numpy
out, one = numpy.load("out.npz"), numpy.load("one.npz")
for name in sorted(out.files): print(name, out[name].dtype, out[name].shape)
for name in one.files: print(name, one[name].dtype, one[name].shape)
print((out["logits/1"] == one["logits"]).all())'
