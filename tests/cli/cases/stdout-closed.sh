tamis ops >&-
