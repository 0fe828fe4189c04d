# SPDX-License-Identifier: Apache-2.0
# Has test_slimmed.py judge each STRIDE-th conformance model of this machine (those of run.sh). Skipped (77) without the
# models, or without a Python that has onnx and onnxruntime.
# usage: slimmed.sh SLIMMER FOLDER STRIDE
here=$(cd "$(dirname "$0")" && pwd)
program=$1
folder=$2
stride=$3
for python in "$TAMIS_PYTHON" "$here/../../build/venv/bin/python" python3; do
	test -n "$python" && "$python" -c 'import onnx, onnxruntime' 2>/dev/null && break
	python=
done
if test -z "$python"; then
	echo 'skipped: no Python with onnx and onnxruntime' >&2
	exit 77
fi
mkdir -p "$folder" || exit 1
generated=$(sh "$here/../onnx/python.sh" "$here/generate.py" "$folder") || generated=
set --
test -d /usr/share/libonnx-testdata/data && set -- /usr/share/libonnx-testdata/data
test -n "$generated" && set -- "$@" "$generated"
exec "$python" "$here/test_slimmed.py" "$program" "$stride" "$@"
