# The reader has gone before the first byte: a failed write, not a signal.
mkfifo pipe
(exec 3<>pipe; exec 4<pipe; exec 5>pipe 3>&- 4<&-; tamis ops >&5)
