cp "$MODELS/tiny.onnx" model.onnx
tamis slim model.onnx model.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 -q --in-place && tamis check -q model.onnx || exit
cmp -s model.onnx "$MODELS/tiny.onnx" && echo 'nothing has changed'
cp "$MODELS/tiny.onnx" model.onnx
tamis slim model.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 -q --in-place && tamis check -q model.onnx
