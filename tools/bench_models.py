#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the networks that tools/bench measures: shapes of well-known ones, random weights, fixed seed.

    bench_models.py FOLDER [--full] [--only NAME]

Needs torch. Writes resnet18.onnx, mobilenetv2.onnx (3x224x224 images), bert.onnx (sequence 128, width 768;
4 of its 12 layers unless --full), lstm.onnx and gru.onnx (two layers of 128 over 50 steps of 64) and convnet.onnx
(3x64x64 images, to be quantised). What is there already is left alone.
"""

import argparse
import pathlib

import torch
from torch import nn

SEED = 7
NAMES = ('resnet18', 'mobilenetv2', 'bert', 'lstm', 'gru', 'convnet')


def conv(inputs, outputs, kernel, stride=1, groups=1, activation=None):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
              nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([activation] if activation else []))


class Basic(nn.Module):
    """A residual block of two 3x3 convolutions."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.body = nn.Sequential(conv(inputs, outputs, 3, stride, activation=nn.ReLU()), conv(outputs, outputs, 3))
        self.side = conv(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x):
        return torch.relu(self.body(x) + self.side(x))


def resnet18():
    blocks, width = [], 64
    for outputs in (64, 128, 256, 512):
        blocks += [Basic(width, outputs, 1 if outputs == 64 else 2), Basic(outputs, outputs, 1)]
        width = outputs
    return nn.Sequential(conv(3, 64, 7, 2, activation=nn.ReLU()), nn.MaxPool2d(3, 2, 1), *blocks,
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


class Inverted(nn.Module):
    """An inverted residual: widen, filter each channel, narrow."""

    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        wide = inputs * expansion
        widen = [conv(inputs, wide, 1, activation=nn.ReLU6())] if expansion > 1 else []
        self.body = nn.Sequential(*widen, conv(wide, wide, 3, stride, wide, nn.ReLU6()), conv(wide, outputs, 1))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.residual else self.body(x)


def mobilenetv2():
    blocks, width = [], 32
    for expansion, outputs, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                              (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(count):
            blocks.append(Inverted(width, outputs, stride if i == 0 else 1, expansion))
            width = outputs
    return nn.Sequential(conv(3, 32, 3, 2, activation=nn.ReLU6()), *blocks, conv(320, 1280, 1, activation=nn.ReLU6()),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000))


class EncoderLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def split(self, x):
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).permute(0, 2, 1, 3)

    def forward(self, x):
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        weights = torch.softmax(q @ k.transpose(-1, -2) / 8.0, -1)
        mixed = (weights @ v).permute(0, 2, 1, 3).reshape(x.shape)
        x = self.norm1(x + self.out(mixed))
        return self.norm2(x + self.down(nn.functional.gelu(self.up(x))))


class Encoder(nn.Module):
    def __init__(self, layers, width=768, heads=12, words=30522, positions=128):
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(positions, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(*(EncoderLayer(width, heads) for _ in range(layers)))
        self.classes = nn.Linear(width, 2)

    def forward(self, tokens):
        x = self.norm(self.words(tokens) + self.places.weight[None])
        return self.classes(torch.tanh(self.layers(x)[:, 0]))


class Recurrent(nn.Module):
    """Two recurrent layers and a class of the last state."""

    def __init__(self, kind):
        super().__init__()
        self.layers, self.classes = kind(64, 128, 2, batch_first=True), nn.Linear(128, 10)

    def forward(self, x):
        return self.classes(self.layers(x)[0][:, -1])


def convnet():
    layers, width = [nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU()], 32
    for outputs in (64, 128, 128):
        layers += [nn.Conv2d(width, width, 3, 1, 1, groups=width), nn.ReLU(), nn.Conv2d(width, outputs, 1), nn.ReLU(),
                   nn.Conv2d(outputs, outputs, 3, 2, 1), nn.ReLU()]
        width = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def settle(model):
    """Norms as after some training, so that activations neither vanish nor grow through the depth."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    model.train()
    with torch.no_grad():
        model(torch.randn(4, 3, 224, 224))


def write(model, example, path, opset):
    model.eval()
    torch.onnx.export(model, example, str(path), opset_version=opset, input_names=['input'], output_names=['output'],
                      dynamic_axes={'input': {0: 'n'}, 'output': {0: 'n'}}, do_constant_folding=True)


def build(name, path, full):
    torch.manual_seed(SEED)
    if name == 'bert':
        write(Encoder(12 if full else 4), torch.zeros(1, 128, dtype=torch.int64), path, 16)
        return
    if name in ('lstm', 'gru'):
        write(Recurrent({'lstm': nn.LSTM, 'gru': nn.GRU}[name]), torch.zeros(1, 50, 64), path, 14)
        return
    if name == 'convnet':
        write(convnet(), torch.zeros(1, 3, 64, 64), path, 14)
        return
    model = {'resnet18': resnet18, 'mobilenetv2': mobilenetv2}[name]()
    settle(model)
    write(model, torch.randn(1, 3, 224, 224), path, 16)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=pathlib.Path)
    parser.add_argument('--full', action='store_true', help='all 12 layers of bert')
    parser.add_argument('--only', metavar='NAME', choices=NAMES)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in [options.only] if options.only else NAMES:
        path = options.folder / (name + '-full.onnx' if name == 'bert' and options.full else name + '.onnx')
        if not path.exists():
            build(name, path, options.full)
        print(path)


if __name__ == '__main__':
    main()
