tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 --json - >report.json || exit
"${TAMIS_PYTHON:-python3}" -c 'import json
report = json.load(open("report.json"))
print(report["schema"], report["tamis"])'
