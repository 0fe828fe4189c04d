# SPDX-License-Identifier: Apache-2.0
"""Compares our schema, as a FileDescriptorSet, with the official one of the installed package onnx.

Every message, field (name, number, type, label, type name, oneof, packed, default) and enum value of either
side must be on the other. A newer official schema may have more; what it has beyond IR 13 is listed in NEWER.
"""
import sys

import onnx
from google.protobuf import descriptor_pb2

OUR_IR = 13
# IR 14 renames the newest version's entry and adds the 6-bit floats.
NEWER = {
    ('Version', 'IR_VERSION_2025_11_06', 13),
    ('TensorProto.DataType', 'FLOAT6E2M3', 27),
    ('TensorProto.DataType', 'FLOAT6E3M2', 28),
}


def enum_rows(prefix, enum):
    return {(prefix + enum.name, v.name, v.number) for v in enum.value}


def field_row(message, path, f):
    oneof = message.oneof_decl[f.oneof_index].name if f.HasField('oneof_index') else None
    default = f.default_value if f.HasField('default_value') else None
    return (path, f.name, f.number, f.type, f.label, f.type_name, oneof, f.options.packed, default)


def message_rows(prefix, message, fields, enums, messages):
    path = prefix + message.name
    messages.add(path)
    fields.update(field_row(message, path, f) for f in message.field)
    for e in message.enum_type:
        enums |= enum_rows(path + '.', e)
    for m in message.nested_type:
        message_rows(path + '.', m, fields, enums, messages)


def rows(file):
    fields, enums, messages = set(), set(), set()
    for e in file.enum_type:
        enums |= enum_rows('', e)
    for m in file.message_type:
        message_rows('', m, fields, enums, messages)
    return fields, enums, messages


def main():
    if onnx.IR_VERSION < OUR_IR:
        print(f'skipped: the installed schema is IR {onnx.IR_VERSION}, older than ours')
        return 77
    ours = descriptor_pb2.FileDescriptorSet()
    with open(sys.argv[1], 'rb') as f:
        ours.ParseFromString(f.read())
    official = descriptor_pb2.FileDescriptorProto()
    onnx.onnx_ml_pb2.DESCRIPTOR.CopyToProto(official)
    if ours.file[0].package != official.package or ours.file[0].syntax != official.syntax:
        print('package or syntax differ')
        return 1
    failures = total = 0
    for kind, mine, theirs in zip(('field', 'enum value', 'message'), rows(ours.file[0]), rows(official)):
        version = {('Version', 'IR_VERSION', v) for v in (OUR_IR, onnx.IR_VERSION)}
        total += len(mine)
        for row in sorted(mine - theirs - version, key=str):
            print(f'{kind} not in the official schema: {row}')
            failures += 1
        for row in sorted(theirs - mine - version - NEWER, key=str):
            later = onnx.IR_VERSION > OUR_IR + 1
            print(f'{kind} missing in ours{" (newer IR, tolerated)" if later else ""}: {row}')
            failures += not later
    official_name = f'onnx {onnx.__version__} (IR {onnx.IR_VERSION})'
    print(f'{total} rows compared with {official_name}, {failures} differences')
    return failures > 0


sys.exit(main())
