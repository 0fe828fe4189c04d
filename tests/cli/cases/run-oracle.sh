# The two layers again, in numpy.
tamis run "$MODELS/tiny.onnx" -c "$MODELS/tiny.npz" -o out.npz --items 500 || exit
"$PYTHON" - <<'EOF'
import os
import numpy
models = os.environ['MODELS']
data = open(f'{models}/tiny.onnx', 'rb').read()
def array(name, *dims):  # the raw data stand right after the name in the file
    at = data.index(name, data.index(b'logits') + 6) + len(name)
    size = 4 * int(numpy.prod(dims))
    at = data.index(b'\x4a', at)
    at += 1
    while data[at] & 0x80:
        at += 1
    return numpy.frombuffer(data[at + 1:at + 1 + size], '<f4').reshape(dims).astype(float)
x = numpy.load(f'{models}/tiny.npz')['x'][:500].astype(float)
hidden = numpy.maximum(x @ array(b'fc1.weight', 12, 16).T + array(b'fc1.bias', 12), 0)
logits = hidden @ array(b'fc2.weight', 3, 12).T + array(b'fc2.bias', 3)
ours = numpy.load('out.npz')['logits']
worst = abs(ours - logits).max() / abs(logits).max()
print(ours.shape, 'agrees' if worst < 1e-5 else f'differs by {worst}')
EOF
