/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that are a function of one element: y[i] = f(x[i]). A family states value and slope in one line
 * each. */
#ifndef OPS_MAP_H
#define OPS_MAP_H

#include <tgmath.h>

#include "ops/broadcast.h"
#include "ops/family.h"

/* y[i] = f(x[i]) for n elements; p are the operator's parameters. x and y may be the same memory. */
typedef void (*map_row)(const void *x, void *y, int64_t n, const double *p);
/* gx[i] += g[i] * f'(x[i]), where y[i] = f(x[i]) is known. */
typedef void (*map_slope)(const void *x, const void *y, const void *g, void *gx, int64_t n, const double *p);

struct map {
	map_row row[DT_COUNT];     /* NULL: the element type is not supported */
	map_slope slope[DT_COUNT];
	enum dtype result;         /* DT_UNDEFINED: the type of the input */
};

/* The three steps of an operator. Half types are accepted wherever float is: the executor widens them. The
 * parameters are node->attr when it is not NULL: an array of doubles that parse made. */
enum tamis_status map_shape(struct op_call *c, const struct map *m);
enum tamis_status map_run(struct op_call *c, const struct map *m);
enum tamis_status map_reverse(struct op_grad *g, const struct map *m);

/* How a parse function states its parameters: named float attributes with their defaults, ended by a NULL
 * name. At most 4. */
struct map_param { const char *name; float fallback; };
enum tamis_status map_parse(struct op_parse *p, const struct map_param *params, void **attr);

/* The row for one C type. `value` may use x, T (the type) and the parameters p0, p1, p2. tgmath picks float
 * functions for float. */
#define MAP_ROW(name, type, value) \
	LOOP_VERSIONS static void name(const void *px, void *py, int64_t n, const double *p) \
	{ \
		typedef type T; \
		const T *xs = px; \
		T *ys = py; \
		const T p0 = (T)p[0], p1 = (T)p[1], p2 = (T)p[2]; \
 \
		(void)p0, (void)p1, (void)p2; \
		LOOP_INDEPENDENT \
		for (int64_t i = 0; i < n; i++) { \
			const T x = xs[i]; \
 \
			ys[i] = (T)(value); \
		} \
	}

/* The same for an integer type, without parameters. */
#define MAP_WHOLE(name, type, value) \
	static void name(const void *px, void *py, int64_t n, const double *p) \
	{ \
		typedef type T; \
		const T *xs = px; \
		T *ys = py; \
 \
		(void)p; \
		LOOP_INDEPENDENT \
		for (int64_t i = 0; i < n; i++) { \
			const T x = xs[i]; \
 \
			ys[i] = (T)(value); \
		} \
	}

/* The same for a yes or no: a BOOL result. */
#define MAP_TEST(name, type, value) \
	static void name(const void *px, void *py, int64_t n, const double *p) \
	{ \
		const type *xs = px; \
		uint8_t *ys = py; \
 \
		(void)p; \
		for (int64_t i = 0; i < n; i++) { \
			const type x = xs[i]; \
 \
			ys[i] = (value) ? 1 : 0; \
		} \
	}

/* `derivative` may use x, y = f(x), T and the parameters. */
#define MAP_SLOPE(name, type, derivative) \
	LOOP_VERSIONS static void name(const void *px, const void *py, const void *pg, void *pgx, int64_t n, const double *p) \
	{ \
		typedef type T; \
		const T *restrict xs = px, *restrict ys = py, *restrict g = pg; \
		T *restrict gx = pgx; \
		const T p0 = (T)p[0], p1 = (T)p[1], p2 = (T)p[2]; \
 \
		(void)p0, (void)p1, (void)p2; \
		for (int64_t i = 0; i < n; i++) { \
			const T x = xs[i], y = ys[i]; \
 \
			(void)x, (void)y; \
			gx[i] += g[i] * (T)(derivative); \
		} \
	}

#define MAP_FLOAT_ROWS(name, value) \
	MAP_ROW(name##_float, float, value) \
	MAP_ROW(name##_double, double, value)

#define MAP_FLOAT_SLOPES(name, derivative) \
	MAP_SLOPE(name##_slope_float, float, derivative) \
	MAP_SLOPE(name##_slope_double, double, derivative)

#define MAP_SIGNED_ROWS(name, value) \
	MAP_WHOLE(name##_int8, int8_t, value) \
	MAP_WHOLE(name##_int16, int16_t, value) \
	MAP_WHOLE(name##_int32, int32_t, value) \
	MAP_WHOLE(name##_int64, int64_t, value)

#define MAP_UNSIGNED_ROWS(name, value) \
	MAP_WHOLE(name##_uint8, uint8_t, value) \
	MAP_WHOLE(name##_uint16, uint16_t, value) \
	MAP_WHOLE(name##_uint32, uint32_t, value) \
	MAP_WHOLE(name##_uint64, uint64_t, value)

#define MAP_FLOATS(name) [DT_FLOAT] = name##_float, [DT_DOUBLE] = name##_double
#define MAP_SLOPES(name) [DT_FLOAT] = name##_slope_float, [DT_DOUBLE] = name##_slope_double
#define MAP_SIGNED(name) [DT_INT8] = name##_int8, [DT_INT16] = name##_int16, [DT_INT32] = name##_int32, \
	[DT_INT64] = name##_int64
#define MAP_UNSIGNED(name) \
	[DT_UINT8] = name##_uint8, [DT_UINT16] = name##_uint16, [DT_UINT32] = name##_uint32, \
	[DT_UINT64] = name##_uint64

/* name_shape, name_run and name_reverse over a struct map called name_map. */
#define MAP_STEPS(name) \
	static enum tamis_status name##_shape(struct op_call *c) \
	{ \
		return map_shape(c, &name##_map); \
	} \
	static enum tamis_status name##_run(struct op_call *c) \
	{ \
		return map_run(c, &name##_map); \
	}

#define MAP_STEPS_REVERSE(name) \
	MAP_STEPS(name) \
	static enum tamis_status name##_reverse(struct op_grad *g) \
	{ \
		return map_reverse(g, &name##_map); \
	}

/* A function of float types with a derivative: everything of it. */
#define MAP_SMOOTH(name, value, derivative) \
	MAP_FLOAT_ROWS(name, value) \
	MAP_FLOAT_SLOPES(name, derivative) \
	static const struct map name##_map = {.row = {MAP_FLOATS(name)}, .slope = {MAP_SLOPES(name)}}; \
	MAP_STEPS_REVERSE(name)

/* A function of float types without one (steps, roundings). */
#define MAP_STEP(name, value) \
	MAP_FLOAT_ROWS(name, value) \
	static const struct map name##_map = {.row = {MAP_FLOATS(name)}}; \
	MAP_STEPS(name)

#endif
