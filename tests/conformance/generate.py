# SPDX-License-Identifier: Apache-2.0
"""Writes the node vectors that the Python package onnx generates, one folder each, below a folder.

usage: generate.py FOLDER

FOLDER/onnx-VERSION/node/test_*/{model.onnx,test_data_set_N/{input,output}_M.pb} is made once and then kept. The
model vectors that the package carries as files are linked beside it. Prints FOLDER/onnx-VERSION.
"""
import os
import shutil
import sys
import warnings

import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case import node
from onnx.backend.test import loader

WRITERS = {"sequence_type": numpy_helper.from_list, "optional_type": numpy_helper.from_optional,
           "map_type": numpy_helper.from_dict}


def message(value, info):
    """The protobuf message of one input or output."""
    if isinstance(value, TensorProto):
        return value
    write = WRITERS.get(info.type.WhichOneof("value"), numpy_helper.from_array)
    return write(value, info.name)


def save(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def write_case(folder, case):
    save(os.path.join(folder, "model.onnx"), case.model.SerializeToString())
    for n, sets in enumerate(case.data_sets):
        for kind, values, infos in zip(("input", "output"), sets, (case.model.graph.input, case.model.graph.output)):
            for m, (value, info) in enumerate(zip(values, infos)):
                save(os.path.join(folder, f"test_data_set_{n}", f"{kind}_{m}.pb"),
                     message(value, info).SerializeToString())


def generate(root):
    """All or nothing: a folder under another name becomes the right one at the end."""
    partial = root + ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    for case in node.collect_testcases():
        write_case(os.path.join(partial, "node", case.name), case)
    for kind in ("simple", "pytorch-converted", "pytorch-operator"):
        source = os.path.join(loader.DATA_DIR, kind)
        if os.path.isdir(source):
            os.symlink(source, os.path.join(partial, kind))
    os.rename(partial, root)


def main():
    warnings.simplefilter("ignore")
    root = os.path.join(sys.argv[1], "onnx-" + onnx.__version__)
    if not os.path.isdir(root):
        generate(root)
    print(root)


if __name__ == "__main__":
    main()
