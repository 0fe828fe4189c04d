#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# On the shipped models: the same bytes for any number of workers, and the input's own bytes when nothing is cut.
#
#     samples_same.sh TAMIS
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
tamis=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

slim() { # OUT SAMPLE OPTION...
	local out=$work/$1 sample=$root/samples/$2.onnx
	shift 2
	"$tamis" slim "$sample" "$out" -c "$root/samples/fashion-calib.npz" -q "$@" >/dev/null
}

same() { # WHAT FILE FILE
	cmp "$2" "$3" || { echo "$1: the bytes differ" >&2; exit 1; }
	echo "$1: the same bytes"
}

for sample in fashion-mlp fashion-lenet5 fashion-resnet; do
	slim kept.onnx "$sample" --keep 1 --no-provenance
	same "$sample, nothing cut" "$work/kept.onnx" "$root/samples/$sample.onnx"
done
slim one.onnx fashion-mlp -j 1
slim two.onnx fashion-mlp -j 2
same 'fashion-mlp, one worker and two' "$work/one.onnx" "$work/two.onnx"
for sample in fashion-lenet5 fashion-resnet; do
	slim one.onnx "$sample" -j 1 --keep 0.9 --no-refit --tolerance 1
	slim three.onnx "$sample" -j 3 --keep 0.9 --no-refit --tolerance 1
	same "$sample without refit, one worker and three" "$work/one.onnx" "$work/three.onnx"
done
