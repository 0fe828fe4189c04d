tamis slim "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" --dry-run --keep 0.5 --skip fc2 -j 1 --json plan.json -q
"$PYTHON" -c '
import json
plan = json.load(open("plan.json"))
print(plan["schema"], plan["items"], plan["rounds"])
print("terms add up:", abs(sum(term["bytes"] for term in plan["memory"]) - plan["memory_bytes"]) <= len(plan["memory"]))
print("left alone:", [layer["note"] for layer in plan["layers"] if layer["note"]])'
tamis slim "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" --dry-run --html page.html
echo $?
tamis slim "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" --dry-run --criterion nothing
echo $?
