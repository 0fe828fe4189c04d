#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the seeds of the fuzz targets again: python3 tests/fuzz/seed.py build/src/cli/tamis (wants onnx and numpy).

corpus/models gets, for each operator of Debian's libonnx-testdata, the smallest model that has it, and small networks
with weights of their own; the other folders a few files each. Findings of the fuzzers lie there too, and stay.
"""

import base64
import io
import json
import pathlib
import subprocess
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DATA = pathlib.Path('/usr/share/libonnx-testdata/data')
CORPUS = pathlib.Path(__file__).resolve().parent / 'corpus'
LARGEST = 1200  # bytes of a model


def put(folder, name, data):
    path = CORPUS / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def operators(graph):
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from operators(attribute.g)


def models_of_the_test_data():
    smallest = {}
    for path in sorted(DATA.glob('*/*/model.onnx')):
        data = path.read_bytes()
        if len(data) > LARGEST:
            continue
        for op in operators(onnx.load_from_string(data).graph):
            if op not in smallest or len(data) < len(smallest[op][1]):
                smallest[op] = path.parent.name, data
    for name, data in smallest.values():
        put('models', name.removeprefix('test_'), data)


def weights(rng, **shapes):
    return [numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name) for name, shape in shapes.items()]


def network(name, nodes, inputs, output, initializers, sparse=()):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, name, [value(n, t, s) for n, t, s in inputs],
                              [value(output[0], TensorProto.FLOAT, output[1])], initializers,
                              sparse_initializer=list(sparse))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(model)
    put('models', 'net_' + name, model.SerializeToString())


def networks():
    rng, node, f = np.random.default_rng(1), helper.make_node, TensorProto.FLOAT
    network('gemm', [node('Gemm', ['x', 'w', 'b'], ['h'], transB=1), node('Relu', ['h'], ['a']),
                     node('Gemm', ['a', 'v', 'c'], ['y'], transB=1)],
            [('x', f, ['N', 4])], ('y', ['N', 3]), weights(rng, w=(5, 4), b=(5,), v=(3, 5), c=(3,)))
    network('conv', [node('Conv', ['x', 'w'], ['h'], pads=[1, 1, 1, 1]),
                     node('BatchNormalization', ['h', 's', 'b', 'm', 'q'], ['n']), node('Relu', ['n'], ['a']),
                     node('MaxPool', ['a'], ['p'], kernel_shape=[2, 2], strides=[2, 2]),
                     node('Flatten', ['p'], ['l']), node('Gemm', ['l', 'v'], ['g']), node('Softmax', ['g'], ['y'])],
            [('x', f, ['N', 2, 4, 4])], ('y', ['N', 3]),
            weights(rng, w=(3, 2, 3, 3), s=(3,), b=(3,), m=(3,), v=(12, 3)) + [
                numpy_helper.from_array(np.ones(3, np.float32), 'q')])
    network('residual', [node('Conv', ['x', 'w'], ['h'], group=2), node('ConvTranspose', ['h', 'u'], ['t']),
                         node('Add', ['x', 't'], ['s']), node('GlobalAveragePool', ['s'], ['p']),
                         node('Concat', ['p', 'p'], ['y'], axis=1)],
            [('x', f, ['N', 2, 3, 3])], ('y', ['N', 4, 1, 1]), weights(rng, w=(2, 1, 1, 1), u=(2, 2, 1, 1)))
    network('block', [node('LayerNormalization', ['x', 's'], ['n']), node('MatMul', ['n', 'w'], ['q']),
                      node('Transpose', ['q'], ['k'], perm=[0, 2, 1]), node('MatMul', ['q', 'k'], ['a']),
                      node('Softmax', ['a'], ['p']), node('MatMul', ['p', 'q'], ['z']), node('Add', ['z', 'b'], ['y'])],
            [('x', f, [1, 3, 4])], ('y', [1, 3, 4]), weights(rng, s=(4,), w=(4, 4), b=(4,)))
    indices = numpy_helper.from_array(np.array([0, 3, 7], np.int64), '')
    values = numpy_helper.from_array(np.array([1, -2, 3], np.float32), 'w')
    network('sparse', [node('MatMul', ['x', 'w'], ['y'])], [('x', f, ['N', 4])], ('y', ['N', 3]), [],
            [helper.make_sparse_tensor(values, indices, [4, 3])])
    network('embedding', [node('Gather', ['e', 'i'], ['g']), node('ReduceMean', ['g'], ['m'], axes=[1]),
                          node('MatMul', ['m', 'w'], ['y'])],
            [('i', TensorProto.INT64, ['N', 2])], ('y', ['N', 1, 3]), weights(rng, e=(6, 4), w=(4, 3)))
    body = helper.make_graph([node('Identity', ['go'], ['go_on']), node('Add', ['state', 'w'], ['next'])], 'body',
                             [helper.make_tensor_value_info(n, t, s) for n, t, s in
                              [('i', TensorProto.INT64, []), ('go', TensorProto.BOOL, []), ('state', f, ['N', 3])]],
                             [helper.make_tensor_value_info(n, t, s) for n, t, s in
                              [('go_on', TensorProto.BOOL, []), ('next', f, ['N', 3])]])
    trips = [numpy_helper.from_array(np.array(2), 'n'), numpy_helper.from_array(np.array(True), 'yes')]
    network('loop', [node('MatMul', ['x', 'v'], ['h']), node('Loop', ['n', 'yes', 'h'], ['y'], body=body)],
            [('x', f, ['N', 2])], ('y', ['N', 3]), weights(rng, w=(3,), v=(2, 3)) + trips)


def npy(array, order='C'):
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asarray(array, order=order))
    return out.getvalue()


def arrays():
    ramp = np.arange(12, dtype=np.float32).reshape(4, 3)
    put('npy', 'float', npy(ramp))
    put('npy', 'fortran', npy(ramp, 'F'))
    put('npy', 'big_endian', npy(ramp.astype('>f4')))
    put('npy', 'double', npy(ramp.astype('<f8')))
    put('npy', 'labels', npy(np.arange(4, dtype=np.int16)))
    put('npy', 'bool', npy(ramp > 3))
    for name, save in [('stored', np.savez), ('deflated', np.savez_compressed)]:
        out = io.BytesIO()
        save(out, x=ramp, extra=np.zeros((4, 1), np.int32))
        put('npz', name, out.getvalue())
    feed = {'array': base64.b64encode(npy(ramp[:1])).decode()}
    put('feeds', 'two', json.dumps([{'x': feed}, {'x': feed, 'z': feed}]).encode())
    put('feeds', 'empty', b'[]')


def sets():
    for name, array in [('float', np.ones((2, 3), np.float32)), ('text', np.array(['a', 'bc'], dtype=object)),
                        ('int', np.arange(3))]:
        put('set', name, numpy_helper.from_array(array).SerializeToString())
    typed = helper.make_tensor('x', TensorProto.FLOAT, [2], [1, 2])
    put('set', 'typed', typed.SerializeToString())


def scores(tamis):
    folder = CORPUS / 'scores'
    folder.mkdir(exist_ok=True)
    for name, options in [('whole', ()), ('energy', ('--criterion', 'fisher')), ('gradient', ('--criterion', 'taylor')),
                          ('covariance', ('--criterion', 'obs')), ('shard', ('--shard', '1/2')),
                          ('shard_covariance', ('--shard', '1/2', '--criterion', 'obs'))]:
        subprocess.run([tamis, 'score', CORPUS / 'models/net_gemm', '--random', '16', '-o', folder / name, '-q', *options],
                       check=True)


if __name__ == '__main__':
    models_of_the_test_data()
    networks()
    arrays()
    sets()
    scores(sys.argv[1])
