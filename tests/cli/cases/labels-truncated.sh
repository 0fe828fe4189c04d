head -c 1000 "$MODELS/tiny-labels.npy" >few.npy
tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --labels few.npy
