cp "$MODELS/tiny.onnx" . && tamis slim tiny.onnx out.onnx --random 2000 --tolerance 0.5 | grep -i random
