#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the small models and items of the command-line tests, in models/ beside this file. Needs numpy and onnx."""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent / 'models'
INPUTS, HIDDEN, CLASSES, INFORMATIVE, ITEMS = 16, 12, 3, 4, 2000
OPSET = helper.make_opsetid('', 17)


def make_items(random, count):
    """Three classes that only the first INFORMATIVE features tell apart; multiples of 1/4, which compress well."""
    centres = 2 * random.standard_normal((CLASSES, INFORMATIVE))
    labels = random.integers(0, CLASSES, count)
    items = random.standard_normal((count, INPUTS))
    items[:, :INFORMATIVE] += centres[labels]
    return (np.round(4 * items) / 4).astype(np.float32), labels.astype(np.int64)


def train(random, items, labels):
    """Two layers by plain gradient descent on the cross entropy; the weights of noise stay small, not zero."""
    first = 0.3 * random.standard_normal((HIDDEN, INPUTS))
    second = 0.3 * random.standard_normal((CLASSES, HIDDEN))
    first_bias, second_bias = np.zeros(HIDDEN), np.zeros(CLASSES)
    wanted = np.eye(CLASSES)[labels]
    for _ in range(400):
        hidden = np.maximum(items @ first.T + first_bias, 0)
        logits = hidden @ second.T + second_bias
        chances = np.exp(logits - logits.max(1, keepdims=True))
        slope = (chances / chances.sum(1, keepdims=True) - wanted) / len(items)
        back = (slope @ second) * (hidden > 0)
        second -= 0.5 * (slope.T @ hidden + 1e-3 * second)
        first -= 0.5 * (back.T @ items + 1e-3 * first)
        second_bias -= 0.5 * slope.sum(0)
        first_bias -= 0.5 * back.sum(0)
    return [array.astype(np.float32) for array in (first, first_bias, second, second_bias)]


def value(name, *dims):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)


def save(name, nodes, inputs, outputs, initializers=(), opsets=(OPSET,)):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(initializers))
    model = helper.make_model(graph, opset_imports=list(opsets), producer_name='make_models.py', ir_version=8)
    (HERE / f'{name}.onnx').write_bytes(model.SerializeToString(deterministic=True))
    return model


def tiny(weights):
    names = ('fc1.weight', 'fc1.bias', 'fc2.weight', 'fc2.bias')
    model = save('tiny', [
        helper.make_node('Gemm', ['x', names[0], names[1]], ['a'], '/fc1/Gemm', transB=1),
        helper.make_node('Relu', ['a'], ['h'], '/Relu'),
        helper.make_node('Gemm', ['h', names[2], names[3]], ['logits'], '/fc2/Gemm', transB=1),
    ], [value('x', 'batch', INPUTS)], [value('logits', 'batch', CLASSES)],
        [numpy_helper.from_array(array, name) for name, array in zip(names, weights)])
    onnx.checker.check_model(model, full_check=True)


def barrier():
    """Hidden channels that a softmax runs over, so that none can go alone."""
    model = save('barrier', [
        helper.make_node('Gemm', ['x', 'fc1.weight'], ['a'], '/fc1/Gemm', transB=1),
        helper.make_node('Softmax', ['a'], ['h'], '/Softmax', axis=-1),
        helper.make_node('Gemm', ['h', 'fc2.weight'], ['y'], '/fc2/Gemm', transB=1),
    ], [value('x', 'batch', INPUTS)], [value('y', 'batch', CLASSES)],
        [numpy_helper.from_array(np.ones(shape, np.float32), name)
         for name, shape in (('fc1.weight', (HIDDEN, INPUTS)), ('fc2.weight', (CLASSES, HIDDEN)))])
    onnx.checker.check_model(model, full_check=True)


def refused():
    """Two operators of another domain, and one that ONNX has and tamis has not, each in a node of its own."""
    save('unsupported', [
        helper.make_node('Whirl', ['x'], ['a'], '/first', domain='com.example'),
        helper.make_node('Relu', ['a'], ['b'], '/second'),
        helper.make_node('Spin', ['b'], ['c'], '/third', domain='com.example'),
        helper.make_node('SequenceConstruct', ['c'], ['d'], '/fourth'),
    ], [value('x', 'batch', INPUTS)], [value('d', 'n')], opsets=(OPSET, helper.make_opsetid('com.example', 1)))
    save('unsorted', [
        helper.make_node('Relu', ['a'], ['y'], '/late'),
        helper.make_node('Relu', ['x'], ['a'], '/early'),
    ], [value('x', 'batch', INPUTS)], [value('y', 'batch', INPUTS)])


def onnx_layout(items):
    """A folder as the ONNX backend tests have it: two sets, one feed each."""
    for number in range(2):
        folder = HERE / 'sets' / f'test_data_set_{number}'
        folder.mkdir(parents=True, exist_ok=True)
        tensor = numpy_helper.from_array(items[3 * number:3 * number + 3], 'x')
        (folder / 'input_0.pb').write_bytes(tensor.SerializeToString(deterministic=True))


def main():
    random = np.random.default_rng(1)
    items, labels = make_items(random, ITEMS)
    HERE.mkdir(exist_ok=True)
    tiny(train(random, items, labels))
    barrier()
    refused()
    onnx_layout(items)
    np.savez_compressed(HERE / 'tiny.npz', x=items)
    np.save(HERE / 'tiny-labels.npy', labels.astype(np.int8))
    np.savez_compressed(HERE / 'wrong-name.npz', y=items[:4])
    np.savez_compressed(HERE / 'wrong-shape.npz', x=items[:4, :15])
    np.savez_compressed(HERE / 'wrong-type.npz', x=items[:4].astype(np.int64))


if __name__ == '__main__':
    main()
