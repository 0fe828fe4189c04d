"$PYTHON" -c 'import numpy; numpy.save("few.npy", numpy.zeros(1000, "int8"))'
tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --labels few.npy
