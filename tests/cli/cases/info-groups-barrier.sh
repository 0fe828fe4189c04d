tamis info --groups "$MODELS/barrier.onnx" | sed -n '/^group /,$p'
