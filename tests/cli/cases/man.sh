# The manual page names every option of every command's help, and roff finds nothing to complain about.
tamis --man >tamis.1 || exit
for command in check compare info ops run slim; do
	tamis "$command" --help | grep -o -e '--[a-z-]*' | sort -u | while read -r option; do
		grep -q -e "${option//-/\\\\-}" tamis.1 || echo "$command: $option is missing"
	done
done
