cp "$MODELS/tiny.onnx" . && tamis info tiny.onnx --json - >report.json || exit
"$PYTHON" -c 'import json, sys
report = json.load(open("report.json"))
print(report["schema"], report["figures"]["parameters"], report["inputs"])'
