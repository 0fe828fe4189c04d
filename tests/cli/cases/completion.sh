# The completion is bash, and completes commands, options of a command, values and files.
tamis --completion bash >tamis.bash && source ./tamis.bash || exit
complete_words() {
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
	_tamis
	echo "${COMPREPLY[@]}"
}
touch model.onnx
complete_words tamis s
complete_words tamis slim --to
complete_words tamis slim --storage s
complete_words tamis slim mod
