tamis score "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" -o tiny.scores --json - |
	"$PYTHON" -c 'import json, sys
r = json.load(sys.stdin)
print(r["schema"], sorted(r))
print(sorted(r["layers"][0]))'
