tamis ops >/dev/full
