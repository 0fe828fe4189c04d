# SPDX-License-Identifier: Apache-2.0
# Slims onto ever smaller disks: a tmpfs that fills up while the output is written. The output is the old file or the
# complete new one, the exit code 6 or 0, and no temporary is left. Skipped (77) where nothing may be mounted.
# usage: disk_full.sh TAMIS MODELS
tamis=$1
models=$2
if test "$3" != inside; then
	unshare --mount --map-root-user true 2>/dev/null || exit 77
	exec unshare --mount --map-root-user sh "$0" "$tamis" "$models" inside
fi
disk=$(mktemp -d) || exit 1
trap 'umount "$disk" 2>/dev/null; rmdir "$disk"' EXIT
mount -t tmpfs -o size=4k tmpfs "$disk" 2>/dev/null || exit 77
umount "$disk"
"$tamis" slim "$models/tiny.onnx" "$disk/new.onnx" -c "$models/tiny.npz" --keep 0.9 -q -j 1 || exit 1
new=$(cksum <"$disk/new.onnx")
rm "$disk/new.onnx"
full=0
written=0
for blocks in 2 3 4 8; do
	mount -t tmpfs -o "size=$((4 * blocks))k,nr_inodes=8" tmpfs "$disk" || exit 77
	head -c 3000 /dev/zero >"$disk/out.onnx" # one block for the old file, one taken by what else there is
	head -c 4096 /dev/zero >"$disk/else"
	old=$(cksum <"$disk/out.onnx")
	"$tamis" slim "$models/tiny.onnx" "$disk/out.onnx" -c "$models/tiny.npz" --keep 0.9 -q -j 1 2>"$disk.err"
	code=$?
	now=$(cksum <"$disk/out.onnx")
	left=$(find "$disk" -name '.tamis-*')
	case $code in
	0) test "$now" = "$new" && written=1 || { echo "size $blocks: exit code 0 without the new file"; exit 1; } ;;
	6) test "$now" = "$old" && full=1 || { echo "size $blocks: exit code 6 without the old file"; exit 1; } ;;
	*) echo "size $blocks: exit code $code"; cat "$disk.err"; exit 1 ;;
	esac
	test -z "$left" || { echo "size $blocks: left behind: $left"; exit 1; }
	umount "$disk"
done
rm -f "$disk.err"
test $full = 1 && test $written = 1 && exit 0
echo 'no disk was full, or all were'
exit 1
