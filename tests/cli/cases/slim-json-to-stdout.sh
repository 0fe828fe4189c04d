tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 --json - >report.json || exit
"$PYTHON" -c 'import json
report = json.load(open("report.json"))
print(report["schema"], report["tamis"])'
