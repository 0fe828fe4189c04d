# Ends as the signal, within moments, and leaves nothing behind.
tamis slim "$SAMPLES/fashion-resnet.onnx" out.onnx -c "$SAMPLES/fashion-calib.npz" -q &
sleep 0.5
kill -TERM $!
wait $!
code=$?
ls -A
exit "$code"
