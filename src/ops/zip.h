/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that are a function of two elements, broadcast: z = f(x, y). A family states the value and the
 * two partial derivatives in one line each. */
#ifndef OPS_ZIP_H
#define OPS_ZIP_H

#include <tgmath.h>

#include "ops/broadcast.h"
#include "ops/family.h"

/* z[i] = f(a[i * sa], b[i * sb]) for n elements; sa and sb are 0 or 1. z may be a (with sa = 1). */
typedef void (*zip_row)(const void *a, int64_t sa, const void *b, int64_t sb, void *z, int64_t n);
/* to[i * st] += g[i] * df(a[i * sa], b[i * sb]); the sum is formed in double when st is 0. */
typedef void (*zip_slope)(const void *a, int64_t sa, const void *b, int64_t sb, const void *g, void *to,
                          int64_t st, int64_t n);

struct zip {
	zip_row row[DT_COUNT];                          /* NULL: the element type is not supported */
	zip_slope left[DT_COUNT], right[DT_COUNT];      /* df/dx, df/dy; NULL: zero */
	enum dtype result;                              /* DT_UNDEFINED: the type of the inputs */
};

/* The three steps for a node with two inputs of one element type. */
enum tamis_status zip_shape(struct op_call *c, const struct zip *z);
enum tamis_status zip_run(struct op_call *c, const struct zip *z);
enum tamis_status zip_reverse(struct op_grad *g, const struct zip *z);

/* The same for any two tensors: `out` has the broadcast shape. out->data may be a->data when a has out's
 * count. */
void zip_apply(const struct zip *z, const struct tensor *a, const struct tensor *b, struct tensor *out);

extern const struct zip add_zip, mul_zip; /* those of Add and Mul */

/* TAMIS_E_UNSUPPORTED when z has no row for the type (half types count as float), TAMIS_E_INVALID when the
 * inputs from 0 to n - 1 have different types. */
enum tamis_status zip_check_types(struct op_call *c, const struct zip *z, int n);

/* The body is written once and specialised by the constant strides, so that each of the three cases
 * vectorises. */
#define ZIP_ROW(name, type, result, value) \
	static inline __attribute__((always_inline)) void name##_body(const type *a, int64_t sa, const type *b, \
	                                                              int64_t sb, result *z, int64_t n) \
	{ \
		typedef type T; \
 \
		LOOP_INDEPENDENT \
		for (int64_t i = 0; i < n; i++) { \
			const T x = a[i * sa], y = b[i * sb]; \
 \
			z[i] = (result)(value); \
		} \
	} \
	LOOP_VERSIONS static void name(const void *a, int64_t sa, const void *b, int64_t sb, void *z, int64_t n) \
	{ \
		const type xa = *(const type *)a, xb = *(const type *)b; \
 \
		if (sa && sb) \
			name##_body(a, 1, b, 1, z, n); \
		else if (sa) \
			name##_body(a, 1, &xb, 0, z, n); \
		else \
			name##_body(&xa, 0, b, sb, z, n); \
	}

#define ZIP_SLOPE(name, type, derivative) \
	static inline __attribute__((always_inline)) void name##_body( \
		const type *restrict a, int64_t sa, const type *restrict b, int64_t sb, const type *restrict g, \
		type *restrict to, int64_t st, int64_t n) \
	{ \
		typedef type T; \
		double sum = 0; \
 \
		for (int64_t i = 0; i < n; i++) { \
			const T x = a[i * sa], y = b[i * sb]; \
			const T part = g[i] * (T)(derivative); \
 \
			(void)x, (void)y; \
			if (st) \
				to[i] += part; \
			else \
				sum += (double)part; \
		} \
		if (!st) \
			*to += (T)sum; \
	} \
	static void name(const void *a, int64_t sa, const void *b, int64_t sb, const void *g, void *to, \
	                 int64_t st, int64_t n) \
	{ \
		if (sa && sb && st) \
			name##_body(a, 1, b, 1, g, to, 1, n); \
		else if (sa && st) \
			name##_body(a, 1, b, 0, g, to, 1, n); \
		else if (sb && st) \
			name##_body(a, 0, b, 1, g, to, 1, n); \
		else \
			name##_body(a, sa, b, sb, g, to, st, n); \
	}

#define ZIP_FLOAT_ROWS(name, value) \
	ZIP_ROW(name##_float, float, float, value) \
	ZIP_ROW(name##_double, double, double, value)

#define ZIP_FLOAT_SLOPES(name, by_x, by_y) \
	ZIP_SLOPE(name##_left_float, float, by_x) \
	ZIP_SLOPE(name##_left_double, double, by_x) \
	ZIP_SLOPE(name##_right_float, float, by_y) \
	ZIP_SLOPE(name##_right_double, double, by_y)

#define ZIP_SIGNED_ROWS(name, value) \
	ZIP_ROW(name##_int8, int8_t, int8_t, value) \
	ZIP_ROW(name##_int16, int16_t, int16_t, value) \
	ZIP_ROW(name##_int32, int32_t, int32_t, value) \
	ZIP_ROW(name##_int64, int64_t, int64_t, value)

#define ZIP_UNSIGNED_ROWS(name, value) \
	ZIP_ROW(name##_uint8, uint8_t, uint8_t, value) \
	ZIP_ROW(name##_uint16, uint16_t, uint16_t, value) \
	ZIP_ROW(name##_uint32, uint32_t, uint32_t, value) \
	ZIP_ROW(name##_uint64, uint64_t, uint64_t, value)

#define ZIP_FLOATS(name) [DT_FLOAT] = name##_float, [DT_DOUBLE] = name##_double
#define ZIP_SIGNED(name) [DT_INT8] = name##_int8, [DT_INT16] = name##_int16, [DT_INT32] = name##_int32, \
	[DT_INT64] = name##_int64
#define ZIP_UNSIGNED(name) \
	[DT_UINT8] = name##_uint8, [DT_UINT16] = name##_uint16, [DT_UINT32] = name##_uint32, \
	[DT_UINT64] = name##_uint64
#define ZIP_NUMBERS(name) ZIP_FLOATS(name), ZIP_SIGNED(name), ZIP_UNSIGNED(name)
#define ZIP_LEFT(name) [DT_FLOAT] = name##_left_float, [DT_DOUBLE] = name##_left_double
#define ZIP_RIGHT(name) [DT_FLOAT] = name##_right_float, [DT_DOUBLE] = name##_right_double

/* name_shape and name_run over a struct zip called name_zip; with reverse where there are derivatives. */
#define ZIP_STEPS(name) \
	static enum tamis_status name##_shape(struct op_call *c) \
	{ \
		return zip_shape(c, &name##_zip); \
	} \
	static enum tamis_status name##_run(struct op_call *c) \
	{ \
		return zip_run(c, &name##_zip); \
	}

#define ZIP_STEPS_REVERSE(name) \
	ZIP_STEPS(name) \
	static enum tamis_status name##_reverse(struct op_grad *g) \
	{ \
		return zip_reverse(g, &name##_zip); \
	}

#endif
