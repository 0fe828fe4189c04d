for sample in mlp lenet5 resnet; do
	tamis check -q "$SAMPLES/fashion-$sample.onnx" || echo "$sample: $?"
done
