tamis ops --help
