tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 -q || exit
tamis check -q --provenance out.onnx || echo "without source: $?"
tamis check -q --provenance --source "$MODELS/tiny.onnx" out.onnx || echo "with its source: $?"
tamis check -q --provenance --source out.onnx out.onnx
