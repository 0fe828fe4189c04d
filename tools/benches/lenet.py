# SPDX-License-Identifier: Apache-2.0
"""LeNet-300-100 and LeNet-5 on MNIST, slimmed without labels, beside the published figures.

Trains both networks with torch (once; kept in build/bench/mnist), slims them on the 60,000 training images, whose labels
tamis never sees, and counts errors on the 10,000 test images. A network is no worse than before when McNemar's exact
one-sided test of the paired errors does not say so at 5 %. Weights and biases that are not zero are counted, over all.
With --validate, for tuning, the last 5,000 training images take the place of the test images, for training too; the
expected accuracy loss is told on both sides.
"""

import json
import statistics
import subprocess
import time

from benches import common, mnist

# Error in percent before and after, and the ratio of parameters; all but L-OBS with labelled training.
PUBLISHED = [
    ('mlp', 'Han et al. 2015', 1.64, 1.59, 12), ('mlp', 'L-OBS 2017, no retraining', 1.76, 3.1, 14),
    ('mlp', 'DNS 2016', 2.28, 1.99, 56), ('mlp', 'sparse variational dropout 2017', 1.64, 1.92, 68),
    ('lenet5', 'Han et al. 2015', 0.80, 0.77, 12), ('lenet5', 'L-OBS 2017, no retraining', 1.27, 3.2, 14),
    ('lenet5', 'DNS 2016', 0.91, 0.91, 108), ('lenet5', 'sparse variational dropout 2017', 0.80, 0.75, 280),
]
TITLES = {'mlp': 'LeNet-300-100', 'lenet5': 'LeNet-5'}
# How a network is distilled, and how it is refitted alone: by the criterion that knows what the other inputs make up for.
RECIPE = ['--distill-rate', 0.004, '--regrow', 0.2, '--no-refit']
REFIT_RECIPE = ['--rounds', 16, '--criterion', 'obs']
# What is asked of each: a ratio, reached by refitting alone or by distilling for so many epochs.
GOALS = [('mlp', 14, 0), ('mlp', 30, 20), ('mlp', 60, 40), ('lenet5', 14, 0), ('lenet5', 200, 20)]


def configure(parser):
    parser.add_argument('--seeds', type=lambda text: [int(seed) for seed in text.split(',')], default=[1, 2, 3],
                        help='of the networks of each kind; default 1,2,3')
    parser.add_argument('--only', choices=list(TITLES), help='one of the networks')
    parser.add_argument('--epochs', type=int, help='of distilling, instead of those of the table')
    parser.add_argument('--ratio', type=float, action='append', help='goals of these ratios only; may be repeated')
    parser.add_argument('--validate', action='store_true', help='look at training images that were left out')
    parser.add_argument('--options', default='', help='further options of tamis slim, separated by blanks')


def run_tamis(build, *words):
    done = subprocess.run([str(build / 'src' / 'cli' / 'tamis'), *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise common.Failure(f'tamis {words[0]}: {done.stderr.strip()[-300:]}')
    return json.loads(done.stdout)


def slim(options, network, seed, ratio, epochs):
    """One network slimmed and compared with itself on images it has not seen."""
    build, fit, test = options.build, *(('fit', 'validation') if options.validate else ('train', 't10k'))
    base, images = mnist.trained(build, network, seed, fit), mnist.items(build, fit)[0]
    out = mnist.folder(build) / f'{network}-{fit}-{seed}-{ratio:g}-{epochs}.onnx'
    started = time.monotonic()
    report = run_tamis(build, 'slim', base, out, '-c', images, '--keep', 0.99 / ratio, '--tolerance', 0.05,
                       '--json', '-', *(['--distill', epochs, *RECIPE] if epochs else REFIT_RECIPE),
                       *options.options.split())
    seconds = time.monotonic() - started
    unseen, labels = mnist.items(build, test)
    pair = run_tamis(build, 'compare', base, out, '-c', unseen, '--labels', labels, '--json', '-')
    if options.validate:
        seen = run_tamis(build, 'compare', base, out, '-c', images, '--json', '-')
        print(f'{TITLES[network]} {ratio:g}x, seed {seed}: expected accuracy loss {seen["expected_loss"]:.4f} on the images '
              f'it was made from, {pair["expected_loss"]:.4f} on others; relative squared error '
              f'{seen["relative_squared_error"]:.4f}, {pair["relative_squared_error"]:.4f}')
    result = {'ratio': report['before']['nonzeros'] / report['after']['nonzeros'], 'before': 100 * (1 - pair['accuracy_a']),
              'after': 100 * (1 - pair['accuracy_b']), 'p': pair['mcnemar_p'], 'seconds': seconds}
    print(f'{TITLES[network]} seed {seed}: {result["ratio"]:.1f} times fewer, error {result["before"]:.2f} to '
          f'{result["after"]:.2f} %, p {result["p"]:.3f}, {seconds:.0f} s', flush=True)
    return result


def summary(network, ratio, epochs, runs):
    """A row of the table: the median, and in brackets the worst."""
    worse = [run['after'] - run['before'] for run in runs]
    how = f'distilled, {epochs} epochs' if epochs else 'refitted'
    return [f'{TITLES[network]}: tamis, {how}', f'{statistics.median(run["before"] for run in runs):.2f}',
            f'{statistics.median(run["after"] for run in runs):.2f} ({max(run["after"] for run in runs):.2f})',
            f'{statistics.median(run["ratio"] for run in runs):.1f} ({min(run["ratio"] for run in runs):.1f})',
            f'{statistics.median(worse):+.2f} ({max(worse):+.2f})',
            f'{sum(run["p"] > 0.05 for run in runs)} of {len(runs)}', f'{statistics.median(run["seconds"] for run in runs):.0f}']


def run(options):
    print(f'{common.machine()}; seeds {options.seeds}; median (worst)')
    rows = []
    for network, name, before, after, ratio in PUBLISHED:
        if options.only in (None, network):
            rows.append([f'{TITLES[network]}: {name}', f'{before:.2f}', f'{after:.2f}', ratio, f'{after - before:+.2f}', '', ''])
    for network, ratio, epochs in GOALS:
        if options.only not in (None, network) or (options.ratio and ratio not in options.ratio):
            continue
        epochs = options.epochs if epochs and options.epochs else epochs
        runs = [slim(options, network, seed, ratio, epochs) for seed in options.seeds]
        rows.append(summary(network, ratio, epochs, runs))
    print(common.table(['network and method', 'error before %', 'after', 'times fewer weights', 'change', 'no worse',
                        'seconds'], rows))
    return 0
