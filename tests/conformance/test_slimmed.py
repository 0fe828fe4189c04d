# SPDX-License-Identifier: Apache-2.0
"""Slims every conformance model and has the reference implementations judge what comes out.

usage: test_slimmed.py SLIMMER STRIDE FOLDER...

FOLDER/KIND/NAME/model.onnx, those with weights to slim and each STRIDE-th of the others, and a second time with all
inputs but the first made initializers of the values in test_data_set_0: few node models have weights of their own. With --keep 1 the bytes must be what they
were; with --keep 1 and with --keep 0.9 onnx.checker must accept the output wherever it accepts the input, and
onnxruntime load it wherever it loads the input. What tamis does not support, has nothing to slim in or no inputs to feed,
or passes no gate on random items is counted.
"""
import pathlib
import subprocess
import sys
import tempfile

import onnx
import onnxruntime as ort

BATCH = 100
OUTCOMES = [(0, '', 'written'), (4, 'no node has weights that can be slimmed', 'with nothing to slim'),
            (3, 'the model has no inputs to feed', 'without inputs'), (4, '', 'not supported'),
            (5, '', 'without a cut that passed')]
LINEAR = {'Conv', 'ConvTranspose', 'Gemm', 'MatMul'}


def accepted(path):
    try:
        onnx.checker.check_model(str(path))
    except Exception as e:  # whatever the checker throws, the model is not accepted
        return str(e)
    return None


def loaded(path):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        ort.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    except Exception as e:  # of many types
        return str(e)
    return None


def linear(path):
    return path.stat().st_size < 1 << 20 and any(n.op_type in LINEAR for n in onnx.load(path).graph.node)


def bake(source, target):
    """Writes the model with its later inputs as initializers; whether there were any."""
    model = onnx.load(source)
    initializers = {t.name for t in model.graph.initializer}
    inputs = list(model.graph.input)
    kept, made = [], []
    for i, value in enumerate(inputs):
        path = source.parent / 'test_data_set_0' / f'input_{i}.pb'
        if i == 0 or value.name in initializers or not value.type.HasField('tensor_type') or not path.exists():
            kept.append(value)
            continue
        tensor = onnx.TensorProto.FromString(path.read_bytes())
        tensor.name = value.name
        made.append(tensor)
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(made)
    model.ir_version = max(model.ir_version, 4)  # before, every initializer had to be an input
    target.write_bytes(model.SerializeToString())
    return bool(made)


def baked(models, work):
    targets = [pathlib.Path(work) / f'{i}-{m.parent.name}' / 'model.onnx' for i, m in enumerate(models)]
    for target in targets:
        target.parent.mkdir()
    return [t for m, t in zip(models, targets) if bake(m, t)]


def slim(program, keep, pairs):
    """A (status, sentence) for each pair of paths."""
    arguments = [str(path) for pair in pairs for path in pair]
    done = subprocess.run([program, str(keep), *arguments], capture_output=True, text=True, timeout=1800)
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) != len(pairs):
        at = pairs[len(lines)][0] if len(lines) < len(pairs) else ''
        raise SystemExit(f'FAILED: slimmer ended with {done.returncode} at {at}: {done.stderr[-2000:]}')
    return [(int(line.split(' ', 1)[0]), line.split(' ', 1)[1]) for line in lines]


def outcome(status, sentence):
    """What became of a model; None is a failure."""
    return next((what for code, start, what in OUTCOMES if code == status and sentence.startswith(start)), None)


def judge(keep, model, out):
    """What is wrong with an output, or None."""
    if keep == 1 and out.read_bytes() != model.read_bytes():
        return 'the bytes are not what they were'
    for what, test in [('onnx.checker', accepted), ('onnxruntime', loaded)]:
        problem = test(out)
        if problem and not test(model):
            return f'{what}: {problem[:300]}'
    return None


def main():
    program, stride, folders = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    models = [m for folder in folders for m in sorted(pathlib.Path(folder).glob('*/*/model.onnx'))]
    models = [m for i, m in enumerate(models) if i % stride == 0 or linear(m)]
    failures = 0
    with tempfile.TemporaryDirectory() as work:
        models += baked(models, work)
        for keep in (1, 0.9):
            counts = {what: 0 for _, _, what in OUTCOMES}
            for start in range(0, len(models), BATCH):
                pairs = [(m, pathlib.Path(work) / f'{start + i}.onnx') for i, m in enumerate(models[start:start + BATCH])]
                for (model, out), (status, sentence) in zip(pairs, slim(program, keep, pairs)):
                    what = outcome(status, sentence)
                    problem = judge(keep, model, out) if status == 0 else None
                    if what:
                        counts[what] += 1
                    else:
                        problem = f'status {status}: {sentence}'
                    if problem:
                        failures += 1
                        print(f'FAILED: {model.parent.name}, keep {keep}: {problem}')
            print(f'keep {keep}: {len(models)} models, ' + ', '.join(f'{n} {what}' for what, n in counts.items()))
    return 1 if failures or not models else 0


if __name__ == '__main__':
    sys.exit(main())
