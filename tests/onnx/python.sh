# SPDX-License-Identifier: Apache-2.0
# Runs a script in the Python that can import onnx: $TAMIS_PYTHON, build/venv of this tree, or python3.
# 77 (skipped) when none can.
here=$(dirname "$0")
for python in "$TAMIS_PYTHON" "$here/../../build/venv/bin/python" python3; do
	test -n "$python" || continue
	"$python" -c 'import onnx' 2>/dev/null && exec "$python" "$@"
done
echo 'skipped: no Python with the package onnx' >&2
exit 77
