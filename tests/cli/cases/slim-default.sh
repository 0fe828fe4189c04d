cp "$MODELS/tiny.onnx" . && tamis slim tiny.onnx out.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 && tamis check -q out.onnx
