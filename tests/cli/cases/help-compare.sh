tamis compare --help
