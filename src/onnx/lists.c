/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/lists.h"

#include <string.h>

struct list_slot list_slot(Onnx__TensorProto *t, enum list which)
{
	switch (which) {
	case LIST_FLOAT:
		return (struct list_slot){ &t->n_float_data, (void **)&t->float_data, sizeof(float), "float_data" };
	case LIST_INT32:
		return (struct list_slot){ &t->n_int32_data, (void **)&t->int32_data, sizeof(int32_t), "int32_data" };
	case LIST_STRING:
		return (struct list_slot){ &t->n_string_data, (void **)&t->string_data, sizeof(ProtobufCBinaryData),
			                   "string_data" };
	case LIST_INT64:
		return (struct list_slot){ &t->n_int64_data, (void **)&t->int64_data, sizeof(int64_t), "int64_data" };
	case LIST_DOUBLE:
		return (struct list_slot){ &t->n_double_data, (void **)&t->double_data, sizeof(double), "double_data" };
	default:
		return (struct list_slot){ &t->n_uint64_data, (void **)&t->uint64_data, sizeof(uint64_t), "uint64_data" };
	}
}

size_t list_length(const Onnx__TensorProto *t, enum list which)
{
	Onnx__TensorProto copy = *t;
	return *list_slot(&copy, which).n;
}

enum list list_of(enum dtype type)
{
	switch (type) {
	case DT_FLOAT:
	case DT_COMPLEX64:
		return LIST_FLOAT;
	case DT_DOUBLE:
	case DT_COMPLEX128:
		return LIST_DOUBLE;
	case DT_INT64:
		return LIST_INT64;
	case DT_UINT32:
	case DT_UINT64:
		return LIST_UINT64;
	case DT_STRING:
		return LIST_STRING;
	default:
		return LIST_INT32;
	}
}

int64_t list_entries(enum dtype type, int64_t count)
{
	int bits = dtype_bits((int)type);
	if (type == DT_COMPLEX64 || type == DT_COMPLEX128)
		return 2 * count;
	if (bits > 0 && bits < 8)
		return count / (8 / bits) + (count % (8 / bits) != 0);
	return count;
}

void list_int32_range(enum dtype type, int32_t *low, int32_t *high)
{
	int bits = dtype_bits((int)type);
	bool integer = dtype_is_integer((int)type) && bits >= 8;
	bool is_signed = dtype_kind((int)type) == 'i' || !integer;
	bool is_unsigned = dtype_kind((int)type) != 'i' || !integer;
	int width = bits < 8 ? 8 : bits < 32 ? bits : 32;
	*low = is_signed ? width == 32 ? INT32_MIN : -(1 << (width - 1)) : 0;
	*high = width == 32 ? INT32_MAX : is_unsigned ? (1 << width) - 1 : (1 << (width - 1)) - 1;
	if (type == DT_BOOL) {
		*low = 0;
		*high = 1;
	}
}

/* Low 8 or 16 bits of each int32. */
static void narrow(const int32_t *from, void *to, size_t n, int bits)
{
	uint8_t *octets = to;
	uint16_t *words = to;
	for (size_t i = 0; i < n; i++) {
		if (bits == 16)
			words[i] = (uint16_t)from[i];
		else
			octets[i] = (uint8_t)from[i];
	}
}

static int32_t widened(enum dtype type, const void *elements, size_t i)
{
	switch (type) {
	case DT_INT32:
		return ((const int32_t *)elements)[i];
	case DT_INT8:
		return ((const int8_t *)elements)[i];
	case DT_INT16:
		return ((const int16_t *)elements)[i];
	default:
		return dtype_bits((int)type) == 16 ? ((const uint16_t *)elements)[i] : ((const uint8_t *)elements)[i];
	}
}

static size_t entry_size(enum dtype type)
{
	Onnx__TensorProto none;
	return list_slot(&none, list_of(type)).size;
}

/* Types whose entries are not what lies in memory. */
static bool converts(enum dtype type)
{
	return type == DT_UINT32 || (list_of(type) == LIST_INT32 && type != DT_INT32);
}

void list_decode(enum dtype type, const void *entries, void *elements, size_t n)
{
	if (n == 0)
		return;
	if (!converts(type)) {
		memcpy(elements, entries, n * entry_size(type));
		return;
	}
	if (type != DT_UINT32) {
		narrow(entries, elements, n, dtype_bits((int)type));
		return;
	}
	for (size_t i = 0; i < n; i++)
		((uint32_t *)elements)[i] = (uint32_t)((const uint64_t *)entries)[i];
}

void list_encode(enum dtype type, const void *elements, void *entries, size_t n)
{
	if (n == 0)
		return;
	if (!converts(type)) {
		memcpy(entries, elements, n * entry_size(type));
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (type == DT_UINT32)
			((uint64_t *)entries)[i] = ((const uint32_t *)elements)[i];
		else
			((int32_t *)entries)[i] = widened(type, elements, i);
	}
}

size_t varint_bytes(uint64_t v)
{
	size_t n = 1;
	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

size_t list_encoded_bytes(enum dtype type, const void *elements, size_t i)
{
	switch (list_of(type)) {
	case LIST_FLOAT:
		return 4;
	case LIST_DOUBLE:
		return 8;
	case LIST_INT64:
		return varint_bytes(((const uint64_t *)elements)[i]);
	case LIST_UINT64:
		return varint_bytes(type == DT_UINT32 ? ((const uint32_t *)elements)[i] : ((const uint64_t *)elements)[i]);
	default:
		return varint_bytes((uint64_t)(int64_t)widened(type, elements, i));
	}
}
