/* SPDX-License-Identifier: Apache-2.0 */
/* The allocator that protobuf-c is given: counts, caps, and fails on demand; and
 * unpacking with it, for whoever reads a protobuf file. */
#ifndef ONNX_ALLOCATOR_H
#define ONNX_ALLOCATOR_H

#include "onnx/document.h"

/* Makes *a allocate through malloc under the count of *m, which must outlive it. limits as doc_load's, for
 * the cap. */
void allocator_init(ProtobufCAllocator *a, struct doc_memory *m, const struct doc_limits *limits);

/* limits->max_memory, or the default; limits may be NULL. */
uint64_t limits_memory(const struct doc_limits *limits);

/* Scans and unpacks `size` bytes as one message of `type`. *out belongs to allocator a. */
enum tamis_status unpack_message(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size,
                                 const struct doc_limits *limits, ProtobufCAllocator *a, void **out,
                                 struct tamis_error *err);

#endif
