# SPDX-License-Identifier: Apache-2.0
# Exports the networks of tools/networks.py once into FOLDER (below the build folder) and has test_networks.py judge
# tamis on them. Skipped (77) where no Python has torch, or none has onnx and onnxruntime.
# usage: networks.sh TAMIS FOLDER [--slim]
here=$(cd "$(dirname "$0")" && pwd)
tamis=$1
folder=$2
shift 2

# The first Python that can import all that is named: networks_python MODULES
networks_python()
{
	for python in "$TAMIS_PYTHON" "$TAMIS_TORCH_PYTHON" "$here/../../build/venv/bin/python" python3 /usr/bin/python3; do
		test -n "$python" || continue
		"$python" -c "import $1" 2>/dev/null && echo "$python" && return
	done
	echo "skipped: no Python with $1" >&2
	exit 77
}

exporter=$(networks_python 'numpy, torch') || exit
judge=$(networks_python 'numpy, onnx.numpy_helper, onnxruntime') || exit
mkdir -p "$folder" || exit 1
"$exporter" -W ignore "$here/../../tools/networks.py" "$folder" >/dev/null 2>"$folder/export.log" || {
	cat "$folder/export.log" >&2
	exit 1
}
exec "$judge" "$here/test_networks.py" "$tamis" "$folder" "$@"
