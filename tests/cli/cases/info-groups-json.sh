tamis info --groups "$SAMPLES/fashion-resnet.onnx" --json report.json >text || exit
sed -n '/^group  /,/^$/p' text
"$PYTHON" -c 'import json
for group in json.load(open("report.json"))["groups"]:
    print(group["units"], group["macs"], group["bytes"], group["note"], group["note_node"], group["note_op"],
          *(m["name"] + (":" + m["op"] if m["op"] else "") for m in group["members"] if m["role"] in ("makes", "reads")))'
