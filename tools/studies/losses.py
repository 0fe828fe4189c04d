#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cuts every sample network deeper and deeper and runs what comes out on the test items, for the study of losses.

    losses.py TAMIS CHAIN FOLDER [--only NETWORK]

CHAIN is study-chain. FOLDER/losses.tsv gets a line for each network and depth: the expected loss on the items held out and its
upper bound, as the gate sees them. Beside it go the outputs for the test items, raw floats in NETWORK.f32 and
NETWORK-DEPTH.f32, and their labels in labels.i64; they serve for nothing else. Needs numpy. What is there already is kept.
"""

import argparse
import pathlib
import subprocess

import numpy as np

SAMPLES = pathlib.Path(__file__).resolve().parents[2] / 'samples'
DEEPEST = 32
ROUNDS = 1 # to halve the connections
NETWORKS = ['fashion-mlp', 'fashion-lenet5', 'fashion-resnet']


def outputs(tamis, model, folder, name):
    if (folder / f'{name}.f32').exists():
        return
    made = folder / f'{name}.npz'
    subprocess.run([tamis, 'run', model, '-c', SAMPLES / 'fashion-test.npz', '-o', made, '-q'], check=True)
    np.load(made)['logits'].astype(np.float32).tofile(folder / f'{name}.f32')


def chain(program, folder, name):
    kept = folder / f'{name}.chain'
    if not kept.exists():
        made = subprocess.run([program, SAMPLES / f'{name}.onnx', SAMPLES / 'fashion-calib.npz', str(DEEPEST), str(ROUNDS),
                               folder / name], check=True, capture_output=True, text=True)
        kept.write_text(made.stdout)
    return kept.read_text().splitlines()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('tamis', type=pathlib.Path)
    parser.add_argument('chain', type=pathlib.Path)
    parser.add_argument('folder', type=pathlib.Path)
    parser.add_argument('--only', choices=NETWORKS)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    np.load(SAMPLES / 'fashion-test-labels.npy').astype(np.int64).tofile(options.folder / 'labels.i64')
    with open(options.folder / 'losses.tsv', 'w', encoding='ascii') as table:
        for name in [options.only] if options.only else NETWORKS:
            lines = chain(options.chain, options.folder, name)
            outputs(options.tamis, SAMPLES / f'{name}.onnx', options.folder, name)
            for line in lines:
                depth = line.split('\t')[0]
                outputs(options.tamis, options.folder / f'{name}-{depth}.onnx', options.folder, f'{name}-{depth}')
                print(name, line, sep='\t', file=table, flush=True)


if __name__ == '__main__':
    main()
