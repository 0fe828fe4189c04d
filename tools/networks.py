#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write small networks of the families that people export: random weights, fixed seed, free batch axis.

    networks.py FOLDER [--only NAME] [--items COUNT]

Needs torch and numpy. For each network NAME.onnx and NAME.npz are written: the items are noise around a few
patterns, so that neighbouring features go together as they do in data. What is there already is left alone.
"""

import argparse
import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional

SEED = 11
OPSET = 16
PATTERNS = 10
WORDS = 100
SIDE = 32
LENGTH = 12


def conv(inputs, outputs, kernel=3, stride=1, groups=1, activation=nn.ReLU):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
              nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([activation()] if activation else []))


def head(inputs, outputs=PATTERNS):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, outputs))


# ---- images --------------------------------------------------------------------------------------------

class Squeeze(nn.Module):
    """Squeeze and excite: every channel is scaled by what all channels hold on average."""

    def __init__(self, width, gate=nn.Sigmoid, inner=nn.SiLU):
        super().__init__()
        self.down, self.up = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)
        self.inner, self.gate = inner(), gate()

    def forward(self, x):
        return x * self.gate(self.up(self.inner(self.down(x.mean((2, 3), keepdim=True)))))


class Inverted(nn.Module):
    """An inverted residual: widen, filter each channel, maybe squeeze and excite, narrow."""

    def __init__(self, inputs, outputs, stride, expansion, activation=nn.ReLU6, kernel=3, squeeze=None):
        super().__init__()
        wide = inputs * expansion
        parts = [conv(inputs, wide, 1, activation=activation)] if expansion > 1 else []
        parts.append(conv(wide, wide, kernel, stride, wide, activation))
        if squeeze:
            parts.append(squeeze(wide))
        self.body = nn.Sequential(*parts, conv(wide, outputs, 1, activation=None))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.residual else self.body(x)


def mobilenetv2():
    return nn.Sequential(conv(3, 16, 3, 2, activation=nn.ReLU6), Inverted(16, 16, 1, 1), Inverted(16, 24, 2, 4),
                         Inverted(24, 24, 1, 4), Inverted(24, 32, 2, 4), Inverted(32, 32, 1, 4),
                         conv(32, 96, 1, activation=nn.ReLU6), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Dropout(0.2), nn.Linear(96, PATTERNS))


def mobilenetv3():
    def squeeze(width):
        return Squeeze(width, nn.Hardsigmoid, nn.ReLU)

    return nn.Sequential(conv(3, 16, 3, 2, activation=nn.Hardswish), Inverted(16, 16, 1, 1, nn.ReLU, 3, squeeze),
                         Inverted(16, 24, 2, 4, nn.Hardswish, 5, squeeze), Inverted(24, 24, 1, 4, nn.Hardswish, 5),
                         conv(24, 64, 1, activation=nn.Hardswish), head(64))


def efficientnet():
    return nn.Sequential(conv(3, 16, 3, 2, activation=nn.SiLU), Inverted(16, 16, 1, 1, nn.SiLU, 3, Squeeze),
                         Inverted(16, 24, 2, 4, nn.SiLU, 5, Squeeze), Inverted(24, 24, 1, 4, nn.SiLU, 5, Squeeze),
                         Inverted(24, 40, 2, 4, nn.SiLU, 3, Squeeze), conv(40, 80, 1, activation=nn.SiLU), head(80))


class Dense(nn.Module):
    """Layers that each read all that came before."""

    def __init__(self, inputs, growth, count):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(inputs + i * growth), nn.ReLU(),
                          nn.Conv2d(inputs + i * growth, 2 * growth, 1, bias=False),
                          nn.BatchNorm2d(2 * growth), nn.ReLU(),
                          nn.Conv2d(2 * growth, growth, 3, 1, 1, bias=False)) for i in range(count))

    def forward(self, x):
        seen = [x]
        for layer in self.layers:
            seen.append(layer(torch.cat(seen, 1)))
        return torch.cat(seen, 1)


def densenet():
    return nn.Sequential(conv(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1), Dense(16, 8, 3), nn.BatchNorm2d(40), nn.ReLU(),
                         nn.Conv2d(40, 20, 1, bias=False), nn.AvgPool2d(2, 2), Dense(20, 8, 3), nn.BatchNorm2d(44),
                         nn.ReLU(), head(44))


class UNet(nn.Module):
    """Down and up again, with the finer features joined on the way: by transposed convolution and by resizing."""

    def __init__(self):
        super().__init__()
        self.first, self.second = self.pair(3, 12), self.pair(12, 24)
        self.deep, self.deepest = self.pair(24, 32), self.pair(32, 32)
        self.up = nn.ConvTranspose2d(24, 12, 2, 2)
        self.join3, self.join2, self.join1 = self.pair(64, 32), self.pair(56, 24), self.pair(24, 12)
        self.out = nn.Conv2d(12, 3, 1)

    @staticmethod
    def pair(inputs, outputs):
        return nn.Sequential(conv(inputs, outputs), conv(outputs, outputs, activation=nn.LeakyReLU))

    def forward(self, x):
        first = self.first(x)
        second = self.second(functional.max_pool2d(first, 2))
        deep = self.deep(functional.max_pool2d(second, 2))
        x = self.deepest(functional.max_pool2d(deep, 2))
        x = functional.interpolate(x, scale_factor=2.0, mode='nearest')
        x = self.join3(torch.cat([x, deep], 1))
        x = functional.interpolate(x, size=second.shape[2:], mode='bilinear', align_corners=False)
        x = self.join2(torch.cat([x, second], 1))
        return self.out(self.join1(torch.cat([self.up(x), first], 1)))


class Shuffle(nn.Module):
    """Half of the channels pass, half are filtered, and the two are shuffled."""

    def __init__(self, width):
        super().__init__()
        half = width // 2
        self.body = nn.Sequential(conv(half, half, 1), conv(half, half, 3, groups=half, activation=None),
                                  conv(half, half, 1))

    def forward(self, x):
        left, right = x.chunk(2, 1)
        x = torch.cat([left, self.body(right)], 1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def shufflenet():
    return nn.Sequential(conv(3, 24, 3, 2), nn.MaxPool2d(3, 2, 0, ceil_mode=True), Shuffle(24), Shuffle(24),
                         conv(24, 48, 1), head(48))


class Next(nn.Module):
    """A ConvNeXt block: depthwise 7x7, then a perceptron over channels kept last."""

    def __init__(self, width):
        super().__init__()
        self.filter, self.norm = nn.Conv2d(width, width, 7, 1, 3, groups=width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, x):
        y = self.norm(self.filter(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.down(functional.gelu(self.up(y)))).permute(0, 3, 1, 2)


def convnext():
    return nn.Sequential(nn.Conv2d(3, 24, 4, 4), Next(24), Next(24), nn.GroupNorm(4, 24), nn.Conv2d(24, 32, 2, 2),
                         Next(32), head(32))


class Bottleneck(nn.Module):
    """A ResNeXt block: narrow, filter in groups, widen, add."""

    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(conv(width, width // 2, 1, activation=nn.ELU), conv(width // 2, width // 2, groups=4),
                                  conv(width // 2, width, 1, activation=None))

    def forward(self, x):
        return functional.relu(x + self.body(x))


def resnext():
    return nn.Sequential(conv(3, 32, 3, 2), Bottleneck(32), Bottleneck(32), nn.ZeroPad2d(1), conv(32, 48, 3, 2),
                         Bottleneck(48), head(48))


# ---- transformers --------------------------------------------------------------------------------------

class Attention(nn.Module):
    """Self-attention in separate heads, as in BERT; `mask` is 1 where a token counts."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def split(self, x):
        return x.view(x.shape[0], x.shape[1], self.heads, -1).permute(0, 2, 1, 3)

    def forward(self, x, mask=None):
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores + (1.0 - mask[:, None, None, :].float()) * -10000.0
        mixed = (scores.softmax(-1) @ v).permute(0, 2, 1, 3).contiguous()
        return self.out(mixed.view(x.shape[0], x.shape[1], -1))


class Layer(nn.Module):
    """norm after each part (BERT), or before it (vision transformers)."""

    def __init__(self, width, heads, before=False):
        super().__init__()
        self.mix, self.before = Attention(width, heads), before
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x, mask=None):
        if self.before:
            x = x + self.mix(self.norm1(x), mask)
            return x + self.down(functional.gelu(self.up(self.norm2(x))))
        x = self.norm1(x + self.mix(x, mask))
        return self.norm2(x + self.down(functional.gelu(self.up(x))))


class Bert(nn.Module):
    def __init__(self, width=48, heads=4, layers=2):
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, width), nn.Embedding(64, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.pool, self.classes = nn.Linear(width, width), nn.Linear(width, 4)

    def forward(self, tokens, mask):
        places = torch.arange(tokens.shape[1])[None]
        x = self.norm(self.words(tokens) + self.places(places))
        for layer in self.layers:
            x = layer(x, mask)
        return self.classes(torch.tanh(self.pool(x[:, 0])))


class Encoder(nn.Module):
    """torch's own encoder, whose attention is one packed product; an odd number of heads keeps it exportable."""

    def __init__(self, width=48, heads=3, layers=2):
        super().__init__()
        self.enter = nn.Linear(8, width)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, 0.1, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.classes = nn.Linear(width, 4)

    def forward(self, x):
        return self.classes(self.layers(self.enter(x)).mean(1))


class Vision(nn.Module):
    def __init__(self, width=48, heads=4, layers=2, patch=8):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.first = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, (SIDE // patch) ** 2 + 1, width))
        self.layers = nn.ModuleList(Layer(width, heads, True) for _ in range(layers))
        self.norm, self.classes = nn.LayerNorm(width), nn.Linear(width, PATTERNS)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1) + self.places
        for layer in self.layers:
            x = layer(x)
        return self.classes(self.norm(x)[:, 0])


# ---- sequences -----------------------------------------------------------------------------------------

class Recurrent(nn.Module):
    def __init__(self, kind, bidirectional):
        super().__init__()
        self.words = nn.Embedding(WORDS, 24)
        self.cells = kind(24, 32, 2 if bidirectional else 1, batch_first=True, bidirectional=bidirectional)
        self.classes = nn.Linear(64 if bidirectional else 32, 4)

    def forward(self, tokens):
        return self.classes(self.cells(self.words(tokens))[0][:, -1])


class Recognizer(nn.Module):
    """Convolutions over a signal, then classes at every step: as in speech and text recognition."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(8, 32, 5, 1, 2), nn.BatchNorm1d(32), nn.ReLU(), nn.MaxPool1d(2),
                                  nn.Conv1d(32, 32, 3, 1, 2, dilation=2), nn.PReLU(32), nn.Conv1d(32, 48, 3, 1, 1),
                                  nn.Tanh())
        self.classes = nn.Linear(48, 6)

    def forward(self, x):
        return functional.log_softmax(self.classes(self.body(x.transpose(1, 2)).transpose(1, 2)), -1)


# ---- the list ------------------------------------------------------------------------------------------

def images(draw, count):
    """Smooth patterns, shifted and dimmed, with noise."""
    patterns = functional.interpolate(torch.from_numpy(draw.standard_normal((PATTERNS, 3, 5, 5), 'float32')),
                                      (SIDE, SIDE), mode='bilinear', align_corners=False).numpy()
    x = patterns[draw.integers(PATTERNS, size=count)] * draw.uniform(0.5, 1.5, (count, 1, 1, 1)).astype('float32')
    return {'input': x + 0.3 * draw.standard_normal(x.shape, 'float32')}


def signals(draw, count):
    patterns = draw.standard_normal((PATTERNS, LENGTH, 8), 'float32').cumsum(1)
    x = patterns[draw.integers(PATTERNS, size=count)]
    return {'input': x + 0.3 * draw.standard_normal(x.shape, 'float32')}


def sentences(draw, count):
    """Words of a topic: a topic is a range of the words."""
    topic = draw.integers(4, size=(count, 1))
    return {'tokens': (topic * (WORDS // 4) + draw.integers(WORDS // 4, size=(count, LENGTH))).astype('int64')}


def masked_sentences(draw, count):
    feeds = sentences(draw, count)
    feeds['mask'] = (np.arange(LENGTH) < draw.integers(4, LENGTH + 1, size=(count, 1))).astype('int64')
    return feeds


NETWORKS = {
    'mobilenetv2': (mobilenetv2, images),
    'mobilenetv3': (mobilenetv3, images),
    'efficientnet': (efficientnet, images),
    'densenet': (densenet, images),
    'unet': (UNet, images),
    'shufflenet': (shufflenet, images),
    'convnext': (convnext, images),
    'resnext': (resnext, images),
    'bert': (Bert, masked_sentences),
    'encoder': (Encoder, signals),
    'vision': (Vision, images),
    'recognizer': (Recognizer, signals),
    'lstm': (lambda: Recurrent(nn.LSTM, False), sentences),
    'bilstm': (lambda: Recurrent(nn.LSTM, True), sentences),
    'gru': (lambda: Recurrent(nn.GRU, False), sentences),
    'rnn': (lambda: Recurrent(nn.RNN, True), sentences),
}


def settle(model, example):
    """Norms as after some training, so that activations neither vanish nor grow through the depth."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.momentum = None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.2)
    model.train()
    with torch.no_grad():
        model(*example)
    model.eval()


def tell_apart(model, example):
    """The last layer so that its outputs differ from item to item: none is constant with a little noise on it."""
    last = [module for module in model.modules() if isinstance(module, (nn.Linear, nn.Conv2d))][-1]
    seen = []
    hook = last.register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        model(*example)
        channel = 1 if isinstance(last, nn.Conv2d) else seen[0].dim() - 1
        axes = [axis for axis in range(seen[0].dim()) if axis != channel]
        scale = 2.0 / seen[0].std(axes)
        last.bias.copy_((last.bias - seen[0].mean(axes)) * scale)
        last.weight.mul_(scale.reshape(-1, *[1] * (last.weight.dim() - 1)))
    hook.remove()


def write(name, folder, count):
    make, items = NETWORKS[name]
    torch.manual_seed(SEED)
    feeds = items(np.random.default_rng(SEED), count)
    np.savez(folder / f'{name}.npz', **feeds)
    model = make()
    settle(model, [torch.from_numpy(feed) for feed in feeds.values()])
    tell_apart(model, [torch.from_numpy(feed) for feed in feeds.values()])
    example = tuple(torch.from_numpy(feed[:2]) for feed in feeds.values())
    torch.onnx.export(model, example, str(folder / f'{name}.onnx'), opset_version=OPSET, input_names=list(feeds),
                      output_names=['output'], dynamic_axes={port: {0: 'n'} for port in [*feeds, 'output']})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=pathlib.Path)
    parser.add_argument('--only', metavar='NAME', choices=NETWORKS, action='append')
    parser.add_argument('--items', metavar='COUNT', type=int, default=300)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name in options.only or NETWORKS:
        path = options.folder / f'{name}.onnx'
        if not path.exists():
            write(name, options.folder, options.items)
        print(path)


if __name__ == '__main__':
    main()
