/* SPDX-License-Identifier: Apache-2.0 */
/* The typed lists of a TensorProto, as one table. Used inside this room only. */
#ifndef ONNX_LISTS_H
#define ONNX_LISTS_H

#include <stddef.h>
#include <stdint.h>

#include <onnx.pb-c.h>

#include "base/tensor.h"

enum list { LIST_FLOAT, LIST_INT32, LIST_STRING, LIST_INT64, LIST_DOUBLE, LIST_UINT64, LIST_COUNT };

/* One list of one tensor. */
struct list_slot {
	size_t *n;
	void **data;
	size_t size;      /* bytes of an entry */
	const char *name; /* of the field */
};

struct list_slot list_slot(Onnx__TensorProto *t, enum list which);
size_t list_length(const Onnx__TensorProto *t, enum list which);

/* The list that holds elements of a known type, and how many entries `count` of them take. */
enum list list_of(enum dtype type);
int64_t list_entries(enum dtype type, int64_t count);

/* Smallest and largest int32_data entry that stands for an element of `type`. Bit patterns of floats and
 * packed octets may be given signed or unsigned. */
void list_int32_range(enum dtype type, int32_t *low, int32_t *high);

/* Elements in memory <-> entries of the list of their type (not strings). n = entries. Ranges must have been
 * checked. */
void list_decode(enum dtype type, const void *entries, void *elements, size_t n);
void list_encode(enum dtype type, const void *elements, void *entries, size_t n);

/* Bytes of entry i in the packed list of elements' type (not strings). */
size_t list_encoded_bytes(enum dtype type, const void *elements, size_t i);

/* Bytes of a base-128 number. */
size_t varint_bytes(uint64_t v);

#endif
