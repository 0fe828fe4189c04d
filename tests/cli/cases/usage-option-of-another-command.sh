tamis run model.onnx -c data.npz -o out.npz --alpha 0.1
