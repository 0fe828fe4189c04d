tamis run --help
