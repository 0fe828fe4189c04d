tamis --help >&-
