#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Train a VGG-like and a MobileNet-like network on Fashion-MNIST with torch, for `bench channels`.

    channels_train.py OUT.onnx --network vgg|mobilenet [--images 24000] [--seed 1] [--threads 1]
    channels_train.py OUT.npz --data [--images 24000] [--items 6000]

Training loop, data and exporter are those of samples/train.py (Debian's dataset-fashion-mnist). Minutes, not hours: the
first 24,000 training images and a few epochs. The items to calibrate on come after them.
"""

import argparse
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from benches.lenet_train import samples  # noqa: E402


def vgg_layers(nn):
    """VGG: 3x3 convolutions with norms, one of 24 channels, two of 32, two of 64, 2x2 max-pooling behind each kind; two dense."""
    layers, inner = [], 1
    for outer, count in ((24, 1), (32, 2), (64, 2)):
        for _ in range(count):
            layers += [nn.Conv2d(inner, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()]
            inner = outer
        layers.append(nn.MaxPool2d(2, 2))
    return layers + [nn.Flatten(), nn.Linear(64 * 9, 128), nn.ReLU(), nn.Linear(128, 10)]


def mobilenet_layers(nn):
    """MobileNetV2: inverted residuals, which widen four times, filter each channel by itself and narrow."""

    def conv(inner, outer, kernel, stride=1, groups=1, activation=True):
        layers = [nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False),
                  nn.BatchNorm2d(outer)]
        return layers + [nn.ReLU6()] if activation else layers

    class Inverted(nn.Module):
        def __init__(self, inner, outer, stride):
            super().__init__()
            wide = 4 * inner
            self.body = nn.Sequential(*conv(inner, wide, 1), *conv(wide, wide, 3, stride, wide),
                                      *conv(wide, outer, 1, activation=False))
            self.residual = stride == 1 and inner == outer

        def forward(self, x):
            return x + self.body(x) if self.residual else self.body(x)

    layers, inner = conv(1, 24, 3, 2), 24
    for outer, stride in ((24, 1), (32, 2), (32, 1), (64, 2), (64, 1), (64, 1)):
        layers.append(Inverted(inner, outer, stride))
        inner = outer
    return layers + conv(64, 256, 1) + [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10)]


# name: as in samples/train.py: (layers, epochs, peak learning rate, weight decay, random shifts and flips)
NETWORKS = {'vgg': (vgg_layers, 3, 0.05, 5e-4, False), 'mobilenet': (mobilenet_layers, 4, 0.10, 1e-4, False)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=pathlib.Path)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--network', choices=list(NETWORKS), help='train it and write the model')
    what.add_argument('--data', action='store_true', help='write images that are not trained on')
    parser.add_argument('--images', type=int, default=24000, help='how many are trained on, the first ones')
    parser.add_argument('--items', type=int, default=6000, help='how many are written, from there on')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=int, default=1)
    options = parser.parse_args()
    module = samples()
    images, labels = module.load_split(module.FASHION_MNIST, 'train')
    if options.data:
        np.savez_compressed(options.out, image=images[options.images:options.images + options.items])
        return
    import torch
    torch.set_num_threads(options.threads)
    module.MODELS.update(NETWORKS)
    model = module.train(options.network, torch.from_numpy(images[:options.images].copy()),
                         torch.from_numpy(labels[:options.images].astype(np.int64)), options.seed)
    module.export(model, options.out)


if __name__ == '__main__':
    main()
