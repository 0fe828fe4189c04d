tamis --help
