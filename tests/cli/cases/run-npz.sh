tamis run "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" -o out.npz -j 1 || exit
tamis run "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" -o two.npz -j 2 || exit
cmp out.npz two.npz
"$PYTHON" -c 'import numpy
out = numpy.load("out.npz")
for name in out.files: print(name, out[name].dtype, out[name].shape)'
