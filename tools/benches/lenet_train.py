#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Train LeNet-300-100 and LeNet-5 (Caffe) on MNIST with torch, for `bench lenet` and `bench compress`.

    lenet_train.py OUT.onnx --network mlp|lenet5 --images IDX --labels IDX --seed N [--threads 1]

Architectures, training loop and exporter are those of samples/train.py; only the data differ. The images are bytes, and
the network itself takes the mean off and divides by the deviation of all training pixels.
"""

import argparse
import importlib.util
import pathlib

import numpy as np

NETWORKS = {'mlp': 'fashion-mlp', 'lenet5': 'fashion-lenet5'}


def samples():
    """The module samples/train.py."""
    path = pathlib.Path(__file__).resolve().parents[2] / 'samples' / 'train.py'
    spec = importlib.util.spec_from_file_location('samples_train', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_idx(path):
    """Array of bytes in an IDX file: magic 0 0 8 RANK, RANK big-endian sizes, then the bytes."""
    content = path.read_bytes()
    rank = content[3]
    shape = np.frombuffer(content, '>u4', rank, 4)
    return np.frombuffer(content, np.uint8, -1, 4 + 4 * rank).reshape(shape)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=pathlib.Path)
    parser.add_argument('--network', choices=list(NETWORKS), required=True)
    parser.add_argument('--images', type=pathlib.Path, required=True)
    parser.add_argument('--labels', type=pathlib.Path, required=True)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=int, default=1)
    options = parser.parse_args()
    import torch
    torch.set_num_threads(options.threads)
    images, labels = read_idx(options.images)[:, None], read_idx(options.labels)
    module = samples()
    module.PIXEL_MEAN, module.PIXEL_STD = float(images.mean()), float(images.std())
    model = module.train(NETWORKS[options.network], torch.from_numpy(images.copy()),
                         torch.from_numpy(labels.astype(np.int64)), options.seed)
    module.export(model, options.out)


if __name__ == '__main__':
    main()
