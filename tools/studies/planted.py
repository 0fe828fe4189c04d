#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Widens the sample networks by connections that cannot matter, for `tools/study planted`.

    planted.py FOLDER

Writes FOLDER/NETWORK-FAMILY.onnx and FOLDER/NETWORK.npz (the first items of the samples' calibration data and noise for
the networks that take some). What is added lies behind the original entries along every axis. Families:

noise   inputs of noise, drawn anew for every item, feed pairs of new channels; the second has twice the first's weights
        and minus half its outgoing ones, so that the outputs do not change. Equal rows would be too easy.
dead    new channels that read the real inputs; half lead nowhere (outgoing weights zero), the others are shut by a bias
        of -1000 where a rectifier follows.
copies  pairs of equal new channels that read the real inputs, with outgoing weights +v and -v.

Weights are drawn from those of the layer, shuffled. Needs numpy and onnx.
"""

import pathlib
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper

SAMPLES = pathlib.Path(__file__).resolve().parents[2] / 'samples'
SEED = 5
ITEMS = 2500
SHUT = -1000

# first layer, its norm, second layer, channels added, inputs of noise and their shape behind the channel
NETWORKS = {
    'fashion-mlp': ('layers.1', None, 'layers.3', 60, 64, ()),
    'fashion-lenet5': ('layers.0', None, 'layers.2', 6, 2, (28, 28)),
    'fashion-resnet': ('layers.3.conv1', 'layers.3.norm1', 'layers.3.conv2', 6, 2, None),
}
DEAD = {'fashion-lenet5': ('layers.5', None, 'layers.7', 60)}  # where a rectifier follows


class Network:
    def __init__(self, name):
        self.name = name
        self.model = onnx.load(str(SAMPLES / f'{name}.onnx'))
        self.graph = self.model.graph
        self.rng = np.random.default_rng(SEED)

    def get(self, name):
        return numpy_helper.to_array(next(i for i in self.graph.initializer if i.name == name))

    def put(self, name, values):
        tensor = next(i for i in self.graph.initializer if i.name == name)
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))

    def has(self, name):
        return any(i.name == name for i in self.graph.initializer)

    def drawn(self, name, shape):
        """Weights as those of the layer are, in no order."""
        return self.rng.choice(self.get(name).ravel(), size=shape)

    def widen_norm(self, norm, pick, times):
        """Norm parameters of added channels, those of the channels `pick`; the inputs are `times` as large."""
        for part, power in ('weight', -1), ('bias', 0), ('running_mean', 1), ('running_var', 0):
            old = self.get(f'{norm}.{part}')
            self.put(f'{norm}.{part}', np.concatenate([old, old[pick] * np.power(times, float(power))]))

    def widen_bias(self, layer, values):
        if self.has(f'{layer}.bias'):
            self.put(f'{layer}.bias', np.concatenate([self.get(f'{layer}.bias'), values]))

    def widen_rows(self, layer, rows):
        self.put(f'{layer}.weight', np.concatenate([self.get(f'{layer}.weight'), rows]))

    def widen_columns(self, layer, columns):
        self.put(f'{layer}.weight', np.concatenate([self.get(f'{layer}.weight'), columns], axis=1))

    def outgoing(self, layer, count):
        shape = list(self.get(f'{layer}.weight').shape)
        shape[1] = count
        return self.drawn(f'{layer}.weight', shape)

    def add_noise_input(self, layer, count, space):
        node = next(n for n in self.graph.node if f'{layer}.weight' in n.input)
        wide = helper.make_node('Concat', [node.input[0], 'noise'], ['with_noise'], axis=1)
        node.input[0] = 'with_noise'
        self.graph.node.insert(list(self.graph.node).index(node), wide)
        value = helper.make_tensor_value_info('noise', onnx.TensorProto.FLOAT, ['batch', count, *space])
        self.graph.input.append(value)

    def save(self, folder, family):
        onnx.checker.check_model(self.model)
        onnx.save(self.model, str(folder / f'{self.name}-{family}.onnx'))


def noise(network, first, norm, second, added, inputs, space):
    old = network.get(f'{first}.weight')
    half = added // 2
    network.add_noise_input(first, inputs, space)
    network.widen_columns(first, np.zeros((old.shape[0], inputs, *old.shape[2:])))
    rows = np.zeros((half, *network.get(f'{first}.weight').shape[1:]))
    rows[:, old.shape[1]:] = network.rng.choice(old.ravel(), size=(half, inputs, *old.shape[2:]))
    network.widen_rows(first, np.concatenate([rows, 2 * rows]))
    if network.has(f'{first}.bias'):
        bias = network.drawn(f'{first}.bias', half)
        network.widen_bias(first, np.concatenate([bias, 2 * bias]))
    if norm:
        pick = np.concatenate([np.arange(half)] * 2)
        network.widen_norm(norm, pick, np.repeat([1.0, 2.0], half))
    out = network.outgoing(second, half)
    network.widen_columns(second, np.concatenate([out, -out if norm else -out / 2], axis=1))


def dead(network, first, norm, second, added):
    rows = network.drawn(f'{first}.weight', (added, *network.get(f'{first}.weight').shape[1:]))
    shut = np.arange(added) >= added // 2
    network.widen_rows(first, rows)
    network.widen_bias(first, np.where(shut, SHUT, 0))
    if norm:
        network.widen_norm(norm, np.arange(added), np.ones(added))
        bias = network.get(f'{norm}.bias')
        bias = np.concatenate([bias[:-added], np.where(shut, SHUT, bias[-added:])])
        network.put(f'{norm}.bias', bias)
    out = network.outgoing(second, added)
    out[:, ~shut] = 0
    network.widen_columns(second, out)


def copies(network, first, norm, second, added):
    half = added // 2
    rows = network.drawn(f'{first}.weight', (half, *network.get(f'{first}.weight').shape[1:]))
    network.widen_rows(first, np.concatenate([rows, rows]))
    if network.has(f'{first}.bias'):
        network.widen_bias(first, np.tile(network.drawn(f'{first}.bias', half), 2))
    if norm:
        network.widen_norm(norm, np.concatenate([np.arange(half)] * 2), np.ones(added))
    out = network.outgoing(second, half)
    network.widen_columns(second, np.concatenate([out, -out], axis=1))


def space_before(network, first):
    """Extents of the image that a layer reads."""
    node = next(n for n in network.graph.node if f'{first}.weight' in n.input)
    shapes = onnx.shape_inference.infer_shapes(network.model).graph.value_info
    value = next(v for v in shapes if v.name == node.input[0])
    return tuple(d.dim_value for d in value.type.tensor_type.shape.dim[2:])


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    image = np.load(SAMPLES / 'fashion-calib.npz')['image'][:ITEMS]
    for name, (first, norm, second, added, inputs, space) in NETWORKS.items():
        network = Network(name)
        space = space_before(network, first) if space is None else space
        data = np.random.default_rng(SEED).standard_normal((ITEMS, inputs, *space), np.float32)
        np.savez(folder / f'{name}-noise.npz', image=image, noise=data)
        noise(network, first, norm, second, added, inputs, space)
        network.save(folder, 'noise')
        for family, plant in ('dead', dead), ('copies', copies):
            network = Network(name)
            plant(network, *(DEAD.get(name, (first, norm, second, added)) if family == 'dead'
                             else (first, norm, second, added)))
            network.save(folder, family)
            np.savez(folder / f'{name}-{family}.npz', image=image)


if __name__ == '__main__':
    main()
