#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Golden tests of the command: each cases/NAME.sh runs in an empty folder, and its exit code and both outputs must be
# those of the files beside it.
#
#     run.sh TAMIS [NAME...]          run all cases, or these
#     run.sh --update TAMIS NAME...   write the exact outputs of these cases as they are now
#
# NAME.exit         the exit code; 0 where there is no such file
# NAME.stdout       standard output, byte for byte; empty where there is no such file
# NAME.stdout.glob  instead: a pattern of bash for each line; a line '...' stands for any number of lines
# NAME.stderr, NAME.stderr.glob  the same for standard error
#
# A case finds the command as 'tamis', $MODELS (models/ here), $SAMPLES, and $PYTHON with numpy. The paths are relative
# to its folder, so that messages do not depend on where the tests are. Leaving a temporary file of tamis behind is a
# failure too.
set -uo pipefail
shopt -s dotglob nullglob
here=$(cd "$(dirname "$0")" && pwd)
update=
if [[ ${1:-} == --update ]]; then
	update=yes
	shift
fi
if [[ ! -x ${1:-} ]]; then
	echo "run.sh: expected a program that can be run, not '${1:-}'" >&2
	exit 2
fi
tamis=$(realpath "$1")
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
ln -s "$tamis" "$work/bin/tamis"
ln -s "$here/models" "$work/models"
ln -s "$here/../../samples" "$work/samples"
for PYTHON in "${TAMIS_PYTHON:-python3}" python3 /usr/bin/python3; do
	"$PYTHON" -c 'import numpy' 2>/dev/null && break
done
export PATH=$work/bin:$PATH MODELS=../models SAMPLES=../samples PYTHON LC_ALL=C

# Matches lines $2[from..] with patterns $1[from..]; '...' takes as few lines as it can.
matches() {
	local -n patterns=$1 lines=$2
	local p=0 l=0 retry_p=-1 retry_l=0
	while ((l < ${#lines[@]} || p < ${#patterns[@]})); do
		if ((p < ${#patterns[@]})) && [[ ${patterns[p]} == '...' ]]; then
			retry_p=$p retry_l=$l
			((++p))
		elif ((p < ${#patterns[@]} && l < ${#lines[@]})) && [[ ${lines[l]} == ${patterns[p]} ]]; then
			((++p, ++l))
		elif ((retry_p >= 0 && retry_l < ${#lines[@]})); then
			((++retry_l))
			l=$retry_l p=$((retry_p + 1))
		else
			return 1
		fi
	done
}

# expect NAME STREAM FILE: 0 when the file is as wanted.
expect() {
	local golden=$here/cases/$1.$2 wanted got
	if [[ -f $golden.glob ]]; then
		mapfile -t wanted <"$golden.glob"
		mapfile -t got <"$3"
		matches wanted got && return
		diff -u "$golden.glob" "$3"
		return 1
	fi
	[[ -f $golden ]] || golden=/dev/null
	diff -u "$golden" "$3"
}

update_golden() {
	[[ -f $here/cases/$1.$2.glob ]] && return
	if [[ -s $3 ]]; then
		cp "$3" "$here/cases/$1.$2"
	else
		rm -f "$here/cases/$1.$2"
	fi
}

run_case() {
	local name=$1 folder=$work/$1 code wanted=0 ok=0 left
	mkdir "$folder"
	(cd "$folder" && bash "$here/cases/$name.sh") >"$work/stdout" 2>"$work/stderr" </dev/null
	code=$?
	if [[ $update ]]; then
		update_golden "$name" stdout "$work/stdout"
		update_golden "$name" stderr "$work/stderr"
		rm -f "$here/cases/$name.exit"
		((code == 0)) || echo "$code" >"$here/cases/$name.exit"
	fi
	[[ -f $here/cases/$name.exit ]] && wanted=$(<"$here/cases/$name.exit")
	if ((code != wanted)); then
		echo "$name: exit code $code, and $wanted was expected"
		ok=1
	fi
	expect "$name" stdout "$work/stdout" || ok=1
	expect "$name" stderr "$work/stderr" || ok=1
	left=("$folder"/.tamis-*)
	if ((${#left[@]})); then
		echo "$name: left behind: ${left[*]}"
		ok=1
	fi
	return $ok
}

names=("$@")
if ((${#names[@]} == 0)); then
	for file in "$here"/cases/*.sh; do
		names+=("$(basename "$file" .sh)")
	done
fi
passing=0 failing=0
for name in "${names[@]}"; do
	if run_case "$name"; then
		((++passing))
		echo "ok: $name"
	else
		((++failing))
		echo "FAILED: $name"
	fi
done
echo "Tested: $((passing + failing)) | Passing: $passing | Failing: $failing | Crashing: 0"
((failing == 0))
