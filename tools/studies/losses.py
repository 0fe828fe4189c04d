#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Slims every sample network to given depths and compares the loss that is estimated without labels with the true one.

    losses.py TAMIS FOLDER [--depths 2,4,8,16,32] [--only NETWORK] [--threads N]

For each network and depth FOLDER/losses.tsv gets a line: network, depth, estimate on the items held out and its upper
bound (as the gate sees them), the same estimate on the test items, true loss of accuracy on them and its standard error.
FOLDER/NETWORK-DEPTH.f64 gets the estimated loss of every test item, for the study of the bound. The test items serve
for nothing else. Needs numpy. What is there already is kept.
"""

import argparse
import json
import pathlib
import subprocess

import numpy as np

SAMPLES = pathlib.Path(__file__).resolve().parents[2] / 'samples'
NETWORKS = ('fashion-mlp', 'fashion-lenet5', 'fashion-resnet')


def run(*words):
    subprocess.run([str(w) for w in words], check=True)


def logits(tamis, model, out):
    if not out.exists():
        run(tamis, 'run', model, '-c', SAMPLES / 'fashion-test.npz', '-o', out, '-q')
    return np.load(out)['logits'].astype(np.float64)


def slim(tamis, name, depth, model, report, threads):
    if report.exists():
        return
    run(tamis, 'slim', SAMPLES / f'{name}.onnx', model, '-c', SAMPLES / 'fashion-calib.npz', '-q', '--keep', 1 / depth,
        '--tolerance', 1, '--granularity', 'weight', '--storage', 'dense', '-j', threads, '--json', report)


def measure(tamis, folder, name, depth, threads):
    model, report = folder / f'{name}-{depth}.onnx', folder / f'{name}-{depth}.json'
    slim(tamis, name, depth, model, report, threads)
    before = logits(tamis, SAMPLES / f'{name}.onnx', folder / f'{name}.npz')
    after = logits(tamis, model, folder / f'{name}-{depth}.npz')
    labels = np.load(SAMPLES / 'fashion-test-labels.npy')
    p = np.exp(before - before.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    rows, was, now = np.arange(len(p)), before.argmax(1), after.argmax(1)
    loss = p[rows, was] - p[rows, now]
    loss.tofile(folder / f'{name}-{depth}.f64')
    true = (was == labels).astype(float) - (now == labels)
    gate = json.loads(report.read_text())['gate']
    return (name, depth, gate['value'], gate['bound'], loss.mean(), true.mean(), true.std() / len(true) ** 0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('tamis', type=pathlib.Path)
    parser.add_argument('folder', type=pathlib.Path)
    parser.add_argument('--depths', default='2,4,8,16,32')
    parser.add_argument('--only', choices=NETWORKS)
    parser.add_argument('--threads', default=0, type=int)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with open(options.folder / 'losses.tsv', 'w', encoding='ascii') as table:
        for name in [options.only] if options.only else NETWORKS:
            for depth in map(int, options.depths.split(',')):
                values = measure(options.tamis, options.folder, name, depth, options.threads)
                print(*values[:2], *(f'{v:.5f}' for v in values[2:]), sep='\t', file=table, flush=True)


if __name__ == '__main__':
    main()
