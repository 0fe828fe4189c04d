/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/half.h"
#include "base/memory.h"

/* Bytes of n elements; false when they do not fit an object. Undefined and unknown types have no bytes. */
static bool bytes_of(enum dtype type, int64_t n, int64_t *bytes)
{
	int bits = dtype_bits(type);

	if (type == DT_STRING)
		return tm_mul(n, (int64_t)sizeof(struct tm_string), bytes);
	if (bits >= 8)
		return tm_mul(n, (int64_t)(bits / 8), bytes);
	*bytes = bits ? n / (8 / bits) + (n % (8 / bits) != 0) : 0;
	return true;
}

enum tamis_status tensor_shape(struct tensor *t, enum dtype type, int rank, const int64_t *dims,
                               struct tamis_error *err)
{
	int64_t count, bytes;

	if (rank > TENSOR_MAX_RANK)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "a tensor has rank %d; at most %d is supported", rank,
		               TENSOR_MAX_RANK);
	for (int i = 0; i < rank; i++)
		if (dims[i] < 0)
			return tm_fail(err, TAMIS_E_INVALID, "dimension %d of a tensor is %lld; it must not be negative",
			               i, (long long)dims[i]);
	if (rank < 0 || !tm_product(dims, rank, &count) || !bytes_of(type, count, &bytes))
		return tm_fail(err, TAMIS_E_INVALID, "the size of a tensor of type %s and rank %d overflows",
		               dtype_name((int)type), rank);
	t->type = type;
	t->rank = rank;
	memset(t->dims, 0, sizeof t->dims);
	for (int i = 0; i < rank; i++)
		t->dims[i] = dims[i];
	t->count = count;
	return TAMIS_OK;
}

size_t tensor_bytes(const struct tensor *t)
{
	int64_t bytes;

	return bytes_of(t->type, t->count, &bytes) ? (size_t)bytes : 0;
}

enum tamis_status tensor_alloc(struct tensor *t, struct tamis_error *err)
{
	if (!dtype_known((int)t->type))
		return tm_fail(err, TAMIS_E_INTERNAL, "a tensor of unknown type was to be allocated");
	t->data = tm_array(tensor_bytes(t), 1);
	return t->data ? TAMIS_OK : tm_no_memory(err, "making room for a tensor");
}

void tensor_free(struct tensor *t)
{
	free(t->data);
	memset(t, 0, sizeof *t);
}

int tensor_same_shape(const struct tensor *a, const struct tensor *b)
{
	if (a->rank != b->rank)
		return 0;
	for (int i = 0; i < a->rank; i++)
		if (a->dims[i] != b->dims[i])
			return 0;
	return 1;
}

int64_t tensor_extent(const struct tensor *t, int from, int to)
{
	int64_t product = 1;

	for (int i = from; i < to; i++)
		if (!tm_mul(product, t->dims[i], &product))
			return 0; /* only where a zero elsewhere makes the tensor empty */
	return product;
}

char *tensor_describe(const struct tensor *t, char *buf, size_t size)
{
	size_t at = 0;
	int n = snprintf(buf, size, "%s[", dtype_name((int)t->type));

	for (int i = 0; i <= t->rank; i++) {
		if (n < 0 || (size_t)n >= size - at)
			return buf;
		at += (size_t)n;
		if (i < t->rank)
			n = snprintf(buf + at, size - at, "%s%lld", i ? "," : "", (long long)t->dims[i]);
		else
			snprintf(buf + at, size - at, "]");
	}
	return buf;
}

/* An 8 or 4 bit float: 1 sign bit (E8M0: none), then exponent, then fraction. */
struct minifloat {
	int exponent_bits, fraction_bits, bias;
	bool infinities;   /* all-ones exponent is infinity and NaN, as in IEEE 754 */
	bool nan_is_minus_zero; /* the UZ types: one NaN, where -0 would be */
	double largest;
};

static const struct minifloat *minifloat_of(enum dtype type)
{
	static const struct minifloat e4m3fn = {4, 3, 7, false, false, 448}, e2m1 = {2, 1, 1, false, false, 6},
		e4m3fnuz = {4, 3, 8, false, true, 240}, e5m2 = {5, 2, 15, true, false, 57344},
		e5m2fnuz = {5, 2, 16, false, true, 57344};

	switch (type) {
	case DT_FLOAT8E4M3FN: return &e4m3fn;
	case DT_FLOAT8E4M3FNUZ: return &e4m3fnuz;
	case DT_FLOAT8E5M2: return &e5m2;
	case DT_FLOAT8E5M2FNUZ: return &e5m2fnuz;
	case DT_FLOAT4E2M1: return &e2m1;
	default: return NULL;
	}
}

static double minifloat_get(const struct minifloat *m, unsigned bits)
{
	unsigned width = (unsigned)(m->exponent_bits + m->fraction_bits);
	unsigned sign = bits >> width & 1, magnitude = bits & ((1U << width) - 1);
	unsigned fraction = magnitude & ((1U << m->fraction_bits) - 1);
	int exponent = (int)(magnitude >> m->fraction_bits);
	double value;

	if (m->nan_is_minus_zero && sign && magnitude == 0)
		return NAN;
	if (m->infinities && exponent == (1 << m->exponent_bits) - 1)
		value = fraction ? NAN : INFINITY;
	else if (exponent == 0)
		value = ldexp(fraction, 1 - m->bias - m->fraction_bits);
	else
		value = ldexp(fraction + (1U << m->fraction_bits), exponent - m->bias - m->fraction_bits);
	if (!m->infinities && !m->nan_is_minus_zero && width == 7 && magnitude == 0x7f)
		value = NAN;
	return sign ? -value : value;
}

/* Nearest even, saturating at the largest finite value (the default of ONNX Cast). NaN where there is one. */
static unsigned minifloat_set(const struct minifloat *m, double value)
{
	unsigned width = (unsigned)(m->exponent_bits + m->fraction_bits), sign = signbit(value) ? 1U << width : 0;
	double magnitude = fabs(value), quantum;
	int exponent;

	if (isnan(value))
		return m->nan_is_minus_zero ? 1U << width : width == 7 ? sign | 0x7f : sign;
	if (magnitude > m->largest)
		magnitude = m->largest;
	frexp(magnitude, &exponent);
	exponent--; /* magnitude = 1.f * 2^exponent */
	if (magnitude == 0 || exponent < 1 - m->bias)
		exponent = 1 - m->bias;
	quantum = rint(ldexp(magnitude, m->fraction_bits - exponent)); /* carries into the exponent by itself */
	magnitude = quantum + ldexp(exponent + m->bias - 1, m->fraction_bits);
	if (magnitude == 0 && m->nan_is_minus_zero)
		return 0;
	return sign | (unsigned)magnitude;
}

static unsigned packed_get(const struct tensor *t, int64_t i, unsigned bits)
{
	unsigned per_byte = 8 / bits;
	unsigned shift = (unsigned)(i % per_byte) * bits;

	return ((const uint8_t *)t->data)[i / per_byte] >> shift & ((1U << bits) - 1);
}

static void packed_set(struct tensor *t, int64_t i, unsigned bits, unsigned value)
{
	unsigned per_byte = 8 / bits;
	unsigned shift = (unsigned)(i % per_byte) * bits, mask = ((1U << bits) - 1) << shift;
	uint8_t *byte = (uint8_t *)t->data + i / per_byte;

	*byte = (uint8_t)((*byte & ~mask) | (value << shift & mask));
}

static int64_t packed_get_int(const struct tensor *t, int64_t i, unsigned bits)
{
	int64_t value = packed_get(t, i, bits);

	if (dtype_kind((int)t->type) == 'i' && value >> (bits - 1))
		value -= (int64_t)1 << bits;
	return value;
}

/* Toward zero. Beyond int64 the least value, and for [2^63, 2^64) the unsigned word, as x86-64 and numpy. */
static int64_t int_of(double v)
{
	if (v >= -0x1p63 && v < 0x1p63)
		return (int64_t)v;
	if (v >= 0x1p63 && v < 0x1p64)
		return (int64_t)(uint64_t)v;
	return INT64_MIN;
}

/* Integers keep all 64 bits (a uint64 as the word it is); everything else goes through double. */
int64_t tensor_get_int(const struct tensor *t, int64_t i)
{
	switch (t->type) {
	case DT_UINT8: case DT_BOOL: return ((const uint8_t *)t->data)[i];
	case DT_INT8: return ((const int8_t *)t->data)[i];
	case DT_UINT16: return ((const uint16_t *)t->data)[i];
	case DT_INT16: return ((const int16_t *)t->data)[i];
	case DT_INT32: return ((const int32_t *)t->data)[i];
	case DT_UINT32: return ((const uint32_t *)t->data)[i];
	case DT_INT64: case DT_UINT64: return ((const int64_t *)t->data)[i];
	case DT_UINT4: case DT_INT4: return packed_get_int(t, i, 4);
	case DT_UINT2: case DT_INT2: return packed_get_int(t, i, 2);
	case DT_STRING: return 0;
	default: return int_of(tensor_get(t, i));
	}
}

static double e8m0_get(uint8_t byte)
{
	return byte == 255 ? NAN : ldexp(1, byte - 127);
}

/* The power of two at or above the value (the default rounding of ONNX Cast), within 2^-127 .. 2^127. */
static uint8_t e8m0_set(double value)
{
	int exponent;
	double fraction = frexp(fabs(value), &exponent);

	if (isnan(value))
		return 255;
	if (isinf(value) || exponent > 128)
		return 254;
	if (fraction == 0.5)
		exponent--;
	if (fraction == 0 || exponent < -127)
		return 0;
	return (uint8_t)(exponent > 127 ? 254 : exponent + 127);
}

double tensor_get(const struct tensor *t, int64_t i)
{
	switch (t->type) {
	case DT_FLOAT: return ((const float *)t->data)[i];
	case DT_DOUBLE: return ((const double *)t->data)[i];
	case DT_FLOAT16: return half_to_float(((const uint16_t *)t->data)[i]);
	case DT_BFLOAT16: return bf16_to_float(((const uint16_t *)t->data)[i]);
	case DT_UINT64: return (double)((const uint64_t *)t->data)[i];
	case DT_COMPLEX64: return ((const struct tm_complex64 *)t->data)[i].re;
	case DT_COMPLEX128: return ((const struct tm_complex128 *)t->data)[i].re;
	case DT_FLOAT8E4M3FN: case DT_FLOAT8E4M3FNUZ: case DT_FLOAT8E5M2: case DT_FLOAT8E5M2FNUZ:
		return minifloat_get(minifloat_of(t->type), ((const uint8_t *)t->data)[i]);
	case DT_FLOAT4E2M1: return minifloat_get(minifloat_of(t->type), packed_get(t, i, 4));
	case DT_FLOAT8E8M0: return e8m0_get(((const uint8_t *)t->data)[i]);
	case DT_UNDEFINED: case DT_COUNT: case DT_STRING: return 0;
	default: return (double)tensor_get_int(t, i);
	}
}

/* Narrows so that a later rounding of the result to fewer bits is the rounding of `v` itself: an inexact
 * float gets an odd last bit (Boldo and Melquiond 2008). */
static float to_odd(double v)
{
	float f = (float)v;
	uint32_t bits;

	if ((double)f == v || isnan(v))
		return f;
	memcpy(&bits, &f, sizeof bits);
	if (bits & 1)
		return f;
	bits += fabs((double)f) < fabs(v) ? 1 : -1U;
	memcpy(&f, &bits, sizeof f);
	return f;
}

/* Stores the low bits of a 64-bit word in an integer element. */
static void set_word(struct tensor *t, int64_t i, uint64_t word)
{
	switch (t->type) {
	case DT_UINT8: case DT_INT8: ((uint8_t *)t->data)[i] = (uint8_t)word; break;
	case DT_UINT16: case DT_INT16: ((uint16_t *)t->data)[i] = (uint16_t)word; break;
	case DT_UINT32: case DT_INT32: ((uint32_t *)t->data)[i] = (uint32_t)word; break;
	case DT_UINT64: case DT_INT64: ((uint64_t *)t->data)[i] = word; break;
	case DT_UINT4: case DT_INT4: packed_set(t, i, 4, (unsigned)(word & 15)); break;
	case DT_UINT2: case DT_INT2: packed_set(t, i, 2, (unsigned)(word & 3)); break;
	default: break;
	}
}

/* Toward zero, to the nearest end of the range beyond it; NaN gives 0. */
static uint64_t saturated(enum dtype type, double v)
{
	int bits = dtype_bits((int)type);
	bool is_signed = dtype_kind((int)type) == 'i';
	double end = ldexp(1, is_signed ? bits - 1 : bits), start = is_signed ? -end : 0;

	if (isnan(v))
		return 0;
	if (v < start)
		return is_signed ? (uint64_t)1 << (bits - 1) : 0;
	if (v >= end)
		return UINT64_MAX >> (is_signed ? 65 - bits : 64 - bits);
	return v < 0 ? (uint64_t)(int64_t)v : (uint64_t)v;
}

static void set_saturated(struct tensor *t, int64_t i, double v)
{
	uint64_t word = saturated(t->type, v);
	int bits = dtype_bits((int)t->type);

	/* The least value, -2^(bits-1), has the same low bits at any width. */
	set_word(t, i, bits == 64 ? word : word & (((uint64_t)1 << bits) - 1));
}

void tensor_set(struct tensor *t, int64_t i, double value)
{
	switch (t->type) {
	case DT_FLOAT: ((float *)t->data)[i] = (float)value; break;
	case DT_DOUBLE: ((double *)t->data)[i] = value; break;
	case DT_FLOAT16: ((uint16_t *)t->data)[i] = half_from_float(to_odd(value)); break;
	case DT_BFLOAT16: ((uint16_t *)t->data)[i] = bf16_from_float(to_odd(value)); break;
	case DT_BOOL: ((uint8_t *)t->data)[i] = value != 0; break;
	case DT_COMPLEX64: ((struct tm_complex64 *)t->data)[i] = (struct tm_complex64){(float)value, 0}; break;
	case DT_COMPLEX128: ((struct tm_complex128 *)t->data)[i] = (struct tm_complex128){value, 0}; break;
	case DT_FLOAT8E4M3FN: case DT_FLOAT8E4M3FNUZ: case DT_FLOAT8E5M2: case DT_FLOAT8E5M2FNUZ:
		((uint8_t *)t->data)[i] = (uint8_t)minifloat_set(minifloat_of(t->type), value);
		break;
	case DT_FLOAT4E2M1: packed_set(t, i, 4, minifloat_set(minifloat_of(t->type), value)); break;
	case DT_FLOAT8E8M0: ((uint8_t *)t->data)[i] = e8m0_set(value); break;
	case DT_UNDEFINED: case DT_COUNT: case DT_STRING: break;
	default: set_saturated(t, i, value);
	}
}

/* Integer to anything but an integer. A wide integer rounds once on its way to float. */
static void set_from_int(struct tensor *t, int64_t i, int64_t v, bool is_unsigned)
{
	if (t->type == DT_FLOAT)
		((float *)t->data)[i] = is_unsigned ? (float)(uint64_t)v : (float)v;
	else if (t->type == DT_BOOL)
		((uint8_t *)t->data)[i] = v != 0;
	else
		tensor_set(t, i, is_unsigned ? (double)(uint64_t)v : (double)v);
}

static void convert_from_ints(const struct tensor *src, struct tensor *dst)
{
	bool is_unsigned = src->type == DT_UINT64, wrap = dtype_is_integer((int)dst->type);

	for (int64_t i = 0; i < src->count; i++) {
		int64_t v = tensor_get_int(src, i);

		if (wrap)
			set_word(dst, i, (uint64_t)v);
		else
			set_from_int(dst, i, v, is_unsigned);
	}
}

static void convert_from_floats(const struct tensor *src, struct tensor *dst)
{
	bool wrap = dtype_is_integer((int)dst->type);

	for (int64_t i = 0; i < src->count; i++) {
		double v = tensor_get(src, i);

		if (wrap)
			set_word(dst, i, (uint64_t)int_of(v));
		else
			tensor_set(dst, i, v);
	}
}

#define FLOATS_FROM(type) \
	static void floats_from_##type(const type##_t *restrict from, float *restrict to, size_t n) \
	{ \
		for (size_t i = 0; i < n; i++) \
			to[i] = (float)from[i]; \
	}
FLOATS_FROM(uint8)
FLOATS_FROM(int8)
FLOATS_FROM(int32)
FLOATS_FROM(int64)

/* The integers that images, tokens and masks come in. */
static bool floats_from_ints(const struct tensor *src, float *to)
{
	size_t n = (size_t)src->count;

	switch (src->type) {
	case DT_UINT8: return floats_from_uint8(src->data, to, n), true;
	case DT_BOOL: return floats_from_uint8(src->data, to, n), true;
	case DT_INT8: return floats_from_int8(src->data, to, n), true;
	case DT_INT32: return floats_from_int32(src->data, to, n), true;
	case DT_INT64: return floats_from_int64(src->data, to, n), true;
	default: return false;
	}
}

/* The pairs that fill whole activations; true when it was one of them. */
static bool convert_fast(const struct tensor *src, struct tensor *dst)
{
	size_t n = (size_t)src->count;

	if (src->type == dst->type)
		memcpy(dst->data, src->data, tensor_bytes(src));
	else if (src->type == DT_FLOAT16 && dst->type == DT_FLOAT)
		half_to_floats(src->data, dst->data, n);
	else if (src->type == DT_FLOAT && dst->type == DT_FLOAT16)
		half_from_floats(src->data, dst->data, n);
	else if (src->type == DT_BFLOAT16 && dst->type == DT_FLOAT)
		bf16_to_floats(src->data, dst->data, n);
	else if (src->type == DT_FLOAT && dst->type == DT_BFLOAT16)
		bf16_from_floats(src->data, dst->data, n);
	else if (src->type == DT_FLOAT && dst->type == DT_DOUBLE)
		for (size_t i = 0; i < n; i++)
			((double *)dst->data)[i] = ((const float *)src->data)[i];
	else if (src->type == DT_DOUBLE && dst->type == DT_FLOAT)
		for (size_t i = 0; i < n; i++)
			((float *)dst->data)[i] = (float)((const double *)src->data)[i];
	else
		return dst->type == DT_FLOAT && floats_from_ints(src, dst->data);
	return true;
}

static bool convertible(enum dtype type)
{
	return dtype_known((int)type) && type != DT_STRING && type != DT_COMPLEX64 && type != DT_COMPLEX128;
}

enum tamis_status tensor_convert(const struct tensor *src, struct tensor *dst, struct tamis_error *err)
{
	if (src->count != dst->count)
		return tm_fail(err, TAMIS_E_INTERNAL, "%lld elements were to be converted into %lld",
		               (long long)src->count, (long long)dst->count);
	if (src->count == 0 || convert_fast(src, dst))
		return TAMIS_OK;
	if (!convertible(src->type) || !convertible(dst->type))
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "conversion from %s to %s is not supported",
		               dtype_name((int)src->type), dtype_name((int)dst->type));
	if (dtype_is_integer((int)src->type) || src->type == DT_BOOL)
		convert_from_ints(src, dst);
	else
		convert_from_floats(src, dst);
	return TAMIS_OK;
}
