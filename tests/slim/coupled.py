# SPDX-License-Identifier: Apache-2.0
"""Random networks from which channels, or whole branches, were taken out, judged by onnx and onnxruntime.

usage: coupled.py PROGRAM FROM TO        (seeds; PROGRAM is coupled_models.c)

Every network gets the value_info that onnx infers for it before the cut. What is written after it must pass onnx.checker and
onnx's strict shape inference with data propagation, which compares what it infers with that value_info. In onnxruntime, with
its optimizations and without, the cut network must put out what the one does in which nothing reads those channels. Without
whole branches values go, and with them their value_info.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx

try:
    import onnxruntime as ort
except ImportError:
    print('skipped: no Python with onnxruntime', file=sys.stderr)
    sys.exit(77)

TOLERANCE = 1e-5  # of the largest output
LEVELS = (ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)


def program(path, test, folder, seeds):
    env = dict(os.environ, COUPLED_FOLDER=str(folder), COUPLED_FROM=str(seeds[0]), COUPLED_TO=str(seeds[-1]))
    subprocess.run([path, '--jobs', '1', '--filter', f'coupled/{test}'], env=env, check=True)


def infer(model):
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)


def outputs(path, level, items):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = level
    return ort.InferenceSession(str(path), options, providers=['CPUExecutionProvider']).run(None, {'x': items})[0]


def count(model):
    return sum(int(np.prod(t.dims)) for t in model.graph.initializer)


def judge(folder, seed, whole):
    """Parameters before and after; raises where something is not accepted."""
    zeroed, cut = (folder / f'{seed}-{what}.onnx' for what in (('hushed', 'gone') if whole else ('zeroed', 'cut')))
    model = onnx.load(cut)
    onnx.checker.check_model(model, full_check=True)
    inferred = infer(model)
    if not whole and len(inferred.graph.value_info) != len(model.graph.value_info):
        raise ValueError('value_info has lost entries')
    items = np.random.default_rng(seed).standard_normal((3, 3, 4, 4)).astype('float32')
    for level in LEVELS:  # the optimizations alone move outputs by more than that now and then
        wanted = outputs(zeroed, level, items)
        error = np.abs(outputs(cut, level, items) - wanted).max()
        if not error <= TOLERANCE * max(1, np.abs(wanted).max()):
            raise ValueError(f'outputs differ by {error:g} ({level.name})')
    return count(onnx.load(zeroed)), count(model)


def main():
    path, seeds = sys.argv[1], range(int(sys.argv[2]), int(sys.argv[3]) + 1)
    before = after = failures = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        program(path, 'make', folder, seeds)
        for seed in seeds:
            onnx.save(infer(onnx.load(folder / f'{seed}.onnx')), folder / f'{seed}.onnx')
        program(path, 'cut', folder, seeds)
        for seed in seeds:
            try:
                pair = judge(folder, seed, False)
                judge(folder, seed, True)
            except Exception as problem:  # whatever onnx and onnxruntime throw, it is not accepted
                failures += 1
                print(f'FAILED: seed {seed}: {problem}')
                continue
            print(f'seed {seed}: {pair[0]} parameters, {pair[1]} after')
            before, after = before + pair[0], after + pair[1]
    print(f'onnx {onnx.__version__}, onnxruntime {ort.__version__}: {len(seeds)} networks, {failures} failures; '
          f'{before} parameters, {after} after the cut')
    return 1 if failures or not 0 < after < 0.9 * before else 0


if __name__ == '__main__':
    sys.exit(main())
