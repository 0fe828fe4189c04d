# SPDX-License-Identifier: Apache-2.0
# Runs the conformance vectors of this machine: those of Debian's libonnx-testdata, and those that the Python package
# onnx generates, made once in FOLDER (below the build folder) and kept.
# usage: run.sh PROGRAM FOLDER [--update]
here=$(cd "$(dirname "$0")" && pwd)
program=$1
folder=$2
shift 2
sets=
if test -d /usr/share/libonnx-testdata/data; then
	sets="debian=/usr/share/libonnx-testdata/data"
fi
mkdir -p "$folder" || exit 1
if generated=$(sh "$here/../onnx/python.sh" "$here/generate.py" "$folder"); then
	sets="$sets onnx=$generated"
fi
if test -z "$sets"; then
	echo 'skipped: neither libonnx-testdata nor the Python package onnx is installed' >&2
	exit 77
fi
exec "$program" "$@" "$here/expected.txt" $sets
