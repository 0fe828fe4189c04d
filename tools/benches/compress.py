# SPDX-License-Identifier: Apache-2.0
"""Accuracy against ratio: every criterion, one shot, refitted, in rounds, and distilled, without labels.

LeNet-300-100 on MNIST and on Fashion-MNIST (samples/fashion-mlp.onnx), slimmed on unlabelled training images; accuracy on
the test images. Prints a table for each and draws build/bench/compress-mnist.svg and -fashion.svg.
"""

import html
import sys

import numpy as np

from benches import common, lenet, mnist

CRITERIA = ('pii', 'fisher', 'obs', 'taylor', 'wanda', 'magnitude', 'random')
RATIOS = (4, 8, 16, 32, 64)
COLOURS = ('#1b6ca8', '#d1495b', '#2e8b57', '#8a5fbf', '#c98a1b', '#5a5a5a', '#a0a0a0', '#000000')


def configure(parser):
    parser.add_argument('--items', type=int, default=6000, help='training images; default 6,000')
    parser.add_argument('--epochs', type=int, default=10, help='of distilling; default 10')
    parser.add_argument('--ratios', type=lambda text: [float(ratio) for ratio in text.split(',')], default=list(RATIOS),
                        help='separated by commas; default ' + ','.join(map(str, RATIOS)))
    parser.add_argument('--only', choices=('mnist', 'fashion'), help='one of the data sets')


def methods(options):
    """Name and options of tamis slim, from the plainest to the most thorough."""
    one_shot = [(f'{name}, one shot', ['--criterion', name, '--no-refit']) for name in CRITERIA]
    refitted = [(f'{name}, refitted once', ['--criterion', name, '--rounds', '1']) for name in CRITERIA]
    return one_shot + refitted + [
        ('pii, 8 rounds', ['--rounds', '8']), ('pii, 16 rounds', ['--rounds', '16']),
        ('pii, distilled', ['--distill', str(options.epochs)])]


def data(options, name):
    """The network, its items, the test images and their labels."""
    where = mnist.folder(options.build)
    if name == 'fashion':
        samples = common.ROOT / 'samples'
        with np.load(samples / 'fashion-calib.npz') as file:
            images = file['image'][:options.items]
        base, test, labels = (samples / f for f in ('fashion-mlp.onnx', 'fashion-test.npz', 'fashion-test-labels.npy'))
    else:
        base, images = mnist.trained(options.build, 'mlp', 1), mnist.arrays(options.build, 'train')[0][:options.items]
        test, labels = mnist.items(options.build, 't10k')
    calibration = where / f'compress-{name}.npz'
    np.savez(calibration, image=images)
    return base, calibration, test, labels


def accuracy(options, files, ratio, words):
    base, calibration, test, labels = files
    out = mnist.folder(options.build) / 'compress.onnx'
    lenet.run_tamis(options.build, 'slim', base, out, '-c', calibration, '--keep', 1 / ratio, '--tolerance', 1,
                    '--json', '-', *words)
    return lenet.run_tamis(options.build, 'compare', base, out, '-c', test, '--labels', labels, '--json', '-')


def svg(title, base, ratios, curves):
    """Curves of accuracy, 85 % and up, over the logarithm of the ratio."""
    width, height, left, top, low = 760, 460, 60, 40, 85
    x = lambda k: left + k * (width - left - 230) / max(1, len(ratios) - 1)
    y = lambda percent: top + (100 - max(percent, low)) / (100 - low) * (height - top - 50)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
             f'font-size="12"><rect width="{width}" height="{height}" fill="#fff"/>'
             f'<text x="{left}" y="22" font-size="15">{html.escape(title)}</text>']
    for percent in range(low, 101, 5):
        parts.append(f'<path d="M{left} {y(percent):.1f}H{x(len(ratios) - 1):.1f}" stroke="#ddd"/>'
                     f'<text x="{left - 8}" y="{y(percent) + 4:.1f}" text-anchor="end">{percent} %</text>')
    for k, ratio in enumerate(ratios):
        parts.append(f'<text x="{x(k):.1f}" y="{height - 28}" text-anchor="middle">{ratio:g}x</text>')
    parts.append(f'<path d="M{left} {y(base):.1f}H{x(len(ratios) - 1):.1f}" stroke="#000" stroke-dasharray="2 3"/>')
    for i, (name, values) in enumerate(curves):
        points = ' '.join(f'{x(k):.1f},{y(value):.1f}' for k, value in enumerate(values))
        colour = COLOURS[i % len(COLOURS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
                     f'<path d="M{width - 215} {top + 20 * i}h18" stroke="{colour}" stroke-width="2"/>'
                     f'<text x="{width - 190}" y="{top + 4 + 20 * i}">{html.escape(name)}</text>')
    return '\n'.join(parts) + '</svg>\n'


def run(options):
    for name in ('mnist', 'fashion'):
        if options.only not in (None, name):
            continue
        files, rows, curves = data(options, name), [], []
        for title, words in methods(options):
            pairs = [accuracy(options, files, ratio, words) for ratio in options.ratios]
            values = [100 * pair['accuracy_b'] for pair in pairs]
            base = 100 * pairs[0]['accuracy_a']
            rows.append([title, *(f'{value:.2f}' for value in values)])
            print('  '.join(rows[-1]), file=sys.stderr, flush=True)
            if 'one shot' not in title or title.startswith('pii'):
                curves.append((title, values))
        print(f'{name}: LeNet-300-100, {base:.2f} % before; {options.items} unlabelled images; accuracy % at')
        print(common.table(['method', *(f'{ratio:g}x' for ratio in options.ratios)], rows), flush=True)
        out = options.build / 'bench' / f'compress-{name}.svg'
        out.write_text(svg(f'{name}: test accuracy against ratio', base, options.ratios, curves), encoding='utf-8')
        print(out)
    return 0
