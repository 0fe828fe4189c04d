# A checkpoint is never taken for one of another call, nor written over.
echo 'no checkpoint' >file
tamis slim "$MODELS/tiny.onnx" out.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 --checkpoint file -q
code=$?
cat file
ls
exit "$code"
