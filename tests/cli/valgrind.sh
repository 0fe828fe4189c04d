#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The golden cases of the command once more, under valgrind: reading what was never written, and leaks, are exit code 99,
# which no case wants. The cases on the samples are left out, for time. Skipped (77) without valgrind.
# usage: valgrind.sh TAMIS
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tamis=$(realpath "$1")
command -v valgrind >/dev/null || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/tamis" <<EOF
#!/bin/sh
exec valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite '--suppressions=$here/valgrind.supp' '$tamis' "\$@"
EOF
chmod +x "$work/tamis"
# valgrind knows no AVX-512, and a program that executes itself again would leave it.
export OPENBLAS_CORETYPE=Haswell TAMIS_BLAS_CURED=1
mapfile -t cases < <(grep -L SAMPLES "$here"/cases/*.sh | xargs -n 1 basename -s .sh)
"$here/run.sh" "$work/tamis" "${cases[@]}"
