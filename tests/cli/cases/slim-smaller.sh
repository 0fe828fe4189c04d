tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 --json report.json -q || exit
"$PYTHON" -c 'import json
report = json.load(open("report.json"))
before, after, gate = report["before"], report["after"], report["gate"]
print(report["schema"], report["criterion"], gate["passed"], gate["bound"] <= gate["tolerance"])
print("fewer weights:", after["connections_nonzero"] < before["connections_nonzero"])
print("no longer file:", after["file_bytes"] <= before["file_bytes"] + 1024)'
