tamis score --help
