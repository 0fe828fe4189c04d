tamis ops
