# SPDX-License-Identifier: Apache-2.0
"""Lets the reference implementation judge what we write, and us read what it writes.

argv[1]: the program judged-models.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, checker, helper, numpy_helper

program = sys.argv[1]
failures = 0


def expect(ok, what):
    global failures
    if not ok:
        failures += 1
        print('FAILED:', what)


def run(*args):
    return subprocess.run([program, *args], check=True, capture_output=True, text=True).stdout


def bits(array):
    """Elements as bytes; one byte an element for the types below 8 bits."""
    return np.ascontiguousarray(array).tobytes()


def accepted(path):
    try:
        checker.check_model(path, full_check=False)
    except checker.ValidationError as e:
        expect(False, f'{os.path.basename(path)} is refused: {e}')
    return onnx.load(path)


def densified(sparse):
    values = numpy_helper.to_array(sparse.values)
    indices = numpy_helper.to_array(sparse.indices)
    flat = np.zeros(int(np.prod(list(sparse.dims))), dtype=values.dtype)
    flat[indices] = values
    return flat.reshape(list(sparse.dims))


def judge_types(path):
    tensors = {t.name: t for t in accepted(path).graph.initializer}
    for name, raw in tensors.items():
        if not name.startswith('raw_') or raw.data_type == TensorProto.STRING:
            continue
        typed = tensors['typed_' + name[4:]]
        expect(raw.HasField('raw_data') and not typed.HasField('raw_data'), f'{name}: places')
        kind = TensorProto.DataType.Name(raw.data_type)
        same = bits(numpy_helper.to_array(raw)) == bits(numpy_helper.to_array(typed))
        expect(same, f'{kind}: raw and typed differ')


def judge_sparse(dense_path, sparse_path):
    dense = {t.name: numpy_helper.to_array(t) for t in accepted(dense_path).graph.initializer}
    sparse = accepted(sparse_path).graph.sparse_initializer
    expect(len(sparse) == 9, 'nine sparse tensors')
    for s in sparse:
        expect(bits(densified(s)) == bits(dense[s.values.name]), f'sparse {s.values.name} differs from dense')


def judge_external(path):
    model = accepted(path)
    names = [t.name for t in model.graph.initializer if t.name.startswith('e')]
    expect(names == ['e0', 'e1', 'e2'], 'three external tensors')
    ours = dict((line.split()[0], line.split()[2]) for line in run('dump', path).splitlines())
    for t in model.graph.initializer:
        expect(bits(numpy_helper.to_array(t)).hex() == ours[t.name], f'external {t.name} differs')
    kept = onnx.load(path, load_external_data=False)
    for t in kept.graph.initializer:
        where = {e.key: e.value for e in t.external_data}
        expect(not where or int(where['offset']) % 4096 == 0, f'{t.name}: offset {where}')


def reference_tensors():
    """Each type the way the reference writes typed and raw tensors."""
    floats = [0.0, 1.0, -2.0, 0.5, 3.0, -1.5, 6.0]
    ints = [0, 1, 1, 0, 1, 1, 0]
    for name, number in TensorProto.DataType.items():
        if number in (0, TensorProto.STRING) or number > 26:
            continue
        values = floats if 'FLOAT' in name or name == 'DOUBLE' else ints
        if name == 'FLOAT8E8M0':
            values = [1.0, 2.0, 4.0, 0.5, 8.0, 1.0, 0.25]
        if name.startswith('COMPLEX'):
            values = [complex(v, -v) for v in floats]
        for raw in (False, True):
            try:
                t = helper.make_tensor('x', number, [7], values)
                if raw:
                    t = numpy_helper.from_array(numpy_helper.to_array(t))
            except (TypeError, ValueError, KeyError) as e:
                print(f'not judged: {name} {"raw" if raw else "typed"}: {e}')
                continue
            t.name = f'{name}_{"raw" if raw else "typed"}'
            yield t


def judge_reading(directory):
    tensors = list(reference_tensors())
    text = helper.make_tensor('text', TensorProto.STRING, [3], [b'a', b'', b'\x00\xff'])
    graph = helper.make_graph([], 'g', [], [], initializer=[*tensors, text])
    path = os.path.join(directory, 'reference.onnx')
    onnx.save(helper.make_model(graph, ir_version=13), path)
    ours = dict((line.split()[0], line.split()[2]) for line in run('dump', path).splitlines())
    expect(ours['text'] == '61,,00ff,', 'strings')
    for t in tensors:
        if t.name.endswith('_raw'):
            expect(ours[t.name] == t.raw_data.hex(), f'{t.name}: raw bytes differ')
        else:
            raw = t.name.replace('_typed', '_raw')
            expect(ours[t.name] == ours.get(raw, ours[t.name]), f'{t.name}: typed differs')
    print(f'{len(tensors)} tensors of the reference decoded')


with tempfile.TemporaryDirectory() as directory:
    run('write', directory)
    judge_types(os.path.join(directory, 'types.onnx'))
    judge_sparse(os.path.join(directory, 'dense.onnx'), os.path.join(directory, 'sparse.onnx'))
    judge_external(os.path.join(directory, 'external.onnx'))
    judge_reading(directory)
print(f'judged by onnx {onnx.__version__}: {failures} failures')
sys.exit(failures > 0)
