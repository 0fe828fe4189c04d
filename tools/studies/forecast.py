#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds what --dry-run says of time and memory against real runs of the samples.

    forecast.py TAMIS [--only NETWORK] [--threads N]

Prints a row for each network and command: expected seconds with their range, real seconds, bound on the memory and the peak.
Times depend on what else the machine does. Nothing is drawn; the seed is that of tamis, 1.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

SAMPLES = pathlib.Path(__file__).resolve().parents[2] / 'samples'
NETWORKS = ('fashion-mlp', 'fashion-lenet5', 'fashion-resnet')
COMMANDS = (('score', '', ()), ('slim, 2 rounds to a half', 'OUT', ('--keep', '0.5', '--rounds', '2', '--tolerance', '1')),
            ('slim', 'OUT', ('--tolerance', '0.01')))


def plan(words):
    return json.loads(subprocess.run([*words, '--dry-run', '--json', '-'], check=True, capture_output=True).stdout)


def peak_and_seconds(words):
    start = time.monotonic()
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, use = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f'{words} failed')
    return use.ru_maxrss / 1024, time.monotonic() - start


def row(tamis, name, command, folder, threads):
    what, out, options = command
    words = [str(tamis), what.split(',')[0].split()[0], str(SAMPLES / f'{name}.onnx')]
    words += [f'{folder}/out.onnx'] if out else ['-o', f'{folder}/out.scores']
    words += ['-c', str(SAMPLES / 'fashion-calib.npz'), '-q', '-j', str(threads), *options]
    told = plan(words)
    peak, seconds = peak_and_seconds(words)
    s = told['seconds']
    return [name, what, f"{s['expected']:.1f}", f"{s['least']:.1f} to {s['most']:.1f}", f'{seconds:.1f}',
            f"{told['memory_bytes'] / 2 ** 20:.0f}", f'{peak:.0f}']


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('tamis', type=pathlib.Path)
    parser.add_argument('--only', choices=NETWORKS)
    parser.add_argument('--threads', default=0, type=int)
    options = parser.parse_args()
    print('| network | command | seconds expected | range | real | MiB at most | peak |\n|---|---|---|---|---|---|---|')
    with tempfile.TemporaryDirectory() as folder:
        for name in [options.only] if options.only else NETWORKS:
            for command in COMMANDS:
                print('| ' + ' | '.join(row(options.tamis, name, command, folder, options.threads)) + ' |', flush=True)


if __name__ == '__main__':
    main()
