#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Slims a shipped model with default options and judges the result in onnxruntime on the 10,000 test items.
#
#     samples_ort.sh TAMIS SAMPLE LEAST-CUT LEAST-SHRINK
#
# LEAST-CUT: how many times fewer weights that are not zero; LEAST-SHRINK: how many times fewer bytes. Also asked: the
# true accuracy loss is within the tolerance, onnx.checker passes, and tamis and onnxruntime agree to 1e-4 relative.
# Exit code 77 (skipped) where onnxruntime is not installed.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
tamis=$(realpath "$1")
python=${TAMIS_PYTHON:-python3}
sample=$root/samples/$2.onnx
if ! "$python" -c 'import numpy, onnxruntime' 2>/dev/null; then
	echo 'onnxruntime is not installed'
	exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$tamis" slim "$sample" "$work/slim.onnx" -c "$root/samples/fashion-calib.npz" --json "$work/slim.json"
"$python" "$root/tools/compare_ort.py" "$sample" "$work/slim.onnx" --data "$root/samples/fashion-test.npz" \
	--labels "$root/samples/fashion-test-labels.npy" --tamis "$tamis" --repeats 3 --json "$work/ort.json"
"$python" - "$work/slim.json" "$work/ort.json" "$3" "$4" <<'EOF'
import json
import sys

slim, ort = (json.load(open(name)) for name in sys.argv[1:3])
least_cut, least_shrink = map(float, sys.argv[3:5])
cut = slim['before']['nonzeros'] / slim['after']['nonzeros']
shrink = ort['original']['bytes'] / ort['slim']['bytes']
loss = ort['accuracy']['original']['value'] - ort['accuracy']['slim']['value']
found = [
    (f'the cut is {cut:.2f}x, and {least_cut}x was asked', cut >= least_cut),
    (f'the file is {shrink:.2f}x smaller, and {least_shrink}x was asked', shrink >= least_shrink),
    (f'the true accuracy loss is {loss:.4f}, and the tolerance {slim["gate"]["tolerance"]}',
     loss <= slim['gate']['tolerance']),
    (f'the report says {slim["after"]["file_bytes"]} bytes, and the file has {ort["slim"]["bytes"]}',
     slim['after']['file_bytes'] == ort['slim']['bytes']),
]
for sentence, fine in found:
    print(('ok: ' if fine else 'FAILED: ') + sentence)
sys.exit(not all(fine for _, fine in found))
EOF
