tamis slim --help
