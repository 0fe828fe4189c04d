# SPDX-License-Identifier: Apache-2.0
"""Networks of tools/networks.py through `tamis run` and `tamis slim`, judged by onnxruntime and onnx.checker.

    test_networks.py TAMIS FOLDER [--slim] [--only NAME] [--model MODEL.onnx --items ITEMS.npz]

For each network: tamis and onnxruntime agree to 1e-4 relative, and to 1e-2 after conversion to float16 and, for two
of them, to 8 bits: one with quantised activations throughout, one that quantises them as they come. With --slim: `tamis
slim` writes a model, or says in one sentence why not; what it writes passes onnx.checker and gives the same in tamis and
in onnxruntime. Needs numpy, onnx and onnxruntime.
"""

import argparse
import math
import pathlib
import subprocess
import sys
import time

try:
    import numpy as np
    import onnx
    import onnxruntime
    import onnxruntime.quantization as quantization
    from onnx import TensorProto, numpy_helper
except ImportError as missing:
    print(f'skipped: {missing}', file=sys.stderr)
    sys.exit(77)

SOME = 24  # items on which outputs are compared
LIMIT, COARSE_LIMIT = 1e-4, 1e-2
QUANTISED = {'mobilenetv2': True, 'bert': False}  # whether the activations' ranges are fixed beforehand
NO_CUT_PASSES = 5


class Failure(Exception):
    """A network that comes out badly, in a sentence."""


# ---- running -------------------------------------------------------------------------------------------

def run_tamis(options, *arguments, allowed=(0,)):
    """Exit code, standard error; anything but a few clean words is a failure."""
    done = subprocess.run([options.tamis, *map(str, arguments), '-j', '2'], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False, timeout=900)
    said = done.stderr.strip()
    if done.returncode not in allowed:
        raise Failure(f'tamis {arguments[0]}: exit code {done.returncode}: {said or "it said nothing"}')
    if done.returncode and not said.startswith('tamis: '):
        raise Failure(f'tamis {arguments[0]} stopped without a sentence')
    return done.returncode, said


def run_reference(model, feeds, plain=False):
    """Outputs by name, items on the first axis; a model of fixed batch is run item by item. plain: node by node as
    the model has them."""
    settings = onnxruntime.SessionOptions()
    if plain:
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.intra_op_num_threads = 2
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(model), settings, providers=['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]
    count = len(next(iter(feeds.values())))
    if all(not isinstance(value.shape[0], int) for value in session.get_inputs()):
        return dict(zip(names, session.run(None, feeds)))
    items = [session.run(None, {name: feed[i:i + 1] for name, feed in feeds.items()}) for i in range(count)]
    return {name: np.concatenate([item[k] for item in items]) for k, name in enumerate(names)}


def difference(ours, reference):
    """max |ours - reference| / max |reference|; infinite where elements are missing or not finite."""
    if ours.size != reference.size:
        return math.inf
    ours, reference = ours.reshape(reference.shape).astype('float64'), reference.astype('float64')
    worst = np.abs(ours - reference).max() / max(np.abs(reference).max(), 1e-6)
    return float(worst) if np.isfinite(worst) else math.inf


def compare(options, model, feeds, limit, whole=None, plain=False):
    """The largest difference of any output. whole: outputs in float32; where onnxruntime itself is further than the
    limit from them, tamis may be twice as far from onnxruntime (both round, but not at the same places)."""
    work = options.folder / 'work'
    work.mkdir(exist_ok=True)
    np.savez(work / 'items.npz', **feeds)
    run_tamis(options, 'run', model, '-c', work / 'items.npz', '-o', work / 'outputs.npz')
    with np.load(work / 'outputs.npz') as file:
        ours = {name: file[name] for name in file.files}
    reference = run_reference(model, feeds, plain)
    if list(ours) != list(reference):
        raise Failure(f'{model.name}: tamis gives {list(ours)}, onnxruntime {list(reference)}')
    worst = max(difference(ours[name], reference[name]) for name in reference)
    if whole:
        limit = max(limit, *(2 * difference(reference[name], whole[name]) for name in reference))
    if worst > limit:
        raise Failure(f'{model.name}: tamis and onnxruntime differ by {worst:.2e} relative, {limit:g} is allowed')
    return worst


# ---- half precision ------------------------------------------------------------------------------------

def halve_tensor(tensor):
    if tensor.data_type == TensorProto.FLOAT:
        values = numpy_helper.to_array(tensor).astype('float16')
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def halve_type(value):
    if value.type.tensor_type.elem_type == TensorProto.FLOAT:
        value.type.tensor_type.elem_type = TensorProto.FLOAT16


def stay_float(graph):
    """Names that the format wants in float32: the scales of a Resize."""
    return {node.input[2] for node in graph.node if node.op_type == 'Resize' and len(node.input) > 2}


def halve(model):
    """The model in float16: initializers, constants, casts and declared types."""
    graph, kept = model.graph, stay_float(model.graph)
    for tensor in graph.initializer:
        if tensor.name not in kept:
            halve_tensor(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR and node.output[0] not in kept:
                halve_tensor(attribute.t)
            if node.op_type == 'Cast' and attribute.name == 'to' and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    for value in [*graph.input, *graph.output, *graph.value_info]:
        halve_type(value)
    return model


def compare_halved(options, model, feeds):
    halved = options.folder / 'work' / f'{model.stem}-half.onnx'
    onnx.save(halve(onnx.load(model)), halved)
    whole = run_reference(model, feeds)
    feeds = {name: feed.astype('float16') if feed.dtype == 'float32' else feed for name, feed in feeds.items()}
    return compare(options, halved, feeds, COARSE_LIMIT, whole)


# ---- 8 bits --------------------------------------------------------------------------------------------

class Calibration(quantization.CalibrationDataReader):
    """All items at once, one time."""

    def __init__(self, feeds):
        self.left = [feeds]

    def get_next(self):
        return self.left.pop() if self.left else None


def compare_quantised(options, model, feeds):
    """Weights take 7 bits, since onnxruntime's products of 8-bit ones saturate on some processors. A value between two
    steps may round to either and takes what follows with it, within what quantising does to the outputs."""
    path = options.folder / 'work' / f'{model.stem}-int8.onnx'
    if QUANTISED[model.stem]:
        quantization.quantize_static(model, path, Calibration(feeds), per_channel=True, reduce_range=True)
    else:
        quantization.quantize_dynamic(model, path, reduce_range=True)
    return compare(options, path, feeds, COARSE_LIMIT, run_reference(model, feeds), True)


# ---- slimming ------------------------------------------------------------------------------------------

def slim(options, model, items, feeds):
    """The share of bytes that are left, or the reason why nothing was cut."""
    out = options.folder / 'work' / f'{model.stem}-slim.onnx'
    out.unlink(missing_ok=True)
    code, said = run_tamis(options, 'slim', model, out, '-c', items, '--tolerance', options.tolerance, '-q',
                           allowed=(0, NO_CUT_PASSES))
    if code:
        return f'no cut: {said.splitlines()[-1][:90]}'
    # Shape inference of the package onnx knows no sparse initializers; its rules of the format do.
    sparse = len(onnx.load(out).graph.sparse_initializer) > 0
    onnx.checker.check_model(str(out), full_check=not sparse)
    worst = compare(options, out, feeds, LIMIT)
    return f'slim {out.stat().st_size / model.stat().st_size:.0%} of the bytes, differs by {worst:.1e}'


# ---- the whole -----------------------------------------------------------------------------------------

def judge(options, model, items):
    """One line about the network; Failure where it comes out badly."""
    with np.load(items) as file:
        feeds = {name: file[name][:SOME] for name in file.files}
    found = [f'{compare(options, model, feeds, LIMIT):.1e}', f'half {compare_halved(options, model, feeds):.1e}']
    if model.stem in QUANTISED:
        found.append(f'int8 {compare_quantised(options, model, feeds):.1e}')
    if options.slim:
        found.append(slim(options, model, items, feeds))
    return ', '.join(found)


def choose(options):
    if options.model:
        return [(options.model, options.items)]
    models = sorted(options.folder.glob('*.onnx'))
    return [(m, m.with_suffix('.npz')) for m in models if not options.only or m.stem in options.only]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('tamis')
    parser.add_argument('folder', type=pathlib.Path)
    parser.add_argument('--slim', action='store_true')
    parser.add_argument('--tolerance', type=float, default=0.1)
    parser.add_argument('--only', metavar='NAME', action='append')
    parser.add_argument('--model', type=pathlib.Path)
    parser.add_argument('--items', type=pathlib.Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    chosen = choose(options)
    failures = 0
    for model, items in chosen:
        start = time.monotonic()
        try:
            line = f'ok: {model.stem}: {judge(options, model, items)}'
        except (Failure, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            line = f'FAILED: {model.stem}: {error}'
            failures += 1
        print(f'{line} ({time.monotonic() - start:.1f} s)', flush=True)
    if not chosen:
        print('FAILED: there is no network to judge')
    return 1 if failures or not chosen else 0


if __name__ == '__main__':
    sys.exit(main())
