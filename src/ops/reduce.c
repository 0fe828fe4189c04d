/* SPDX-License-Identifier: Apache-2.0 */
/* ReduceXxx. A reduction is stated by its identity, what an element becomes (map), how two
 * partial results join, how the result is finished, and the derivative. */
#include <math.h>
#include <string.h>

#include "ops/reduce.h"

#define LANES 8

/* start and row for one accumulator type A and element type. A row that is reduced to one element runs in
 * eight independent lanes, so that it vectorises without reordering being left to the compiler. */
#define REDUCE_ROWS(name, type, acc_type, identity, map, JOIN) \
	static void name##_start(void *acc, int64_t n) \
	{ \
		for (int64_t i = 0; i < n; i++) \
			((acc_type *)acc)[i] = (identity); \
	} \
	static void name##_row(const void *px, int64_t n, void *pacc, int64_t step) \
	{ \
		const type *restrict xs = px; \
		acc_type *restrict acc = pacc; \
		acc_type lane[LANES]; \
		int64_t i = 0; \
 \
		for (; step && i < n; i++) { \
			const acc_type x = (acc_type)xs[i]; \
 \
			acc[i] = JOIN(acc[i], (map)); \
		} \
		name##_start(lane, LANES); \
		for (; i + LANES <= n; i += LANES) \
			for (int k = 0; k < LANES; k++) { \
				const acc_type x = (acc_type)xs[i + k]; \
 \
				lane[k] = JOIN(lane[k], (map)); \
			} \
		for (int k = 0; i < n; i++, k++) { \
			const acc_type x = (acc_type)xs[i]; \
 \
			lane[k] = JOIN(lane[k], (map)); \
		} \
		for (int k = 0; !step && k < LANES; k++) \
			*acc = JOIN(*acc, lane[k]); \
	}

/* out = value of the accumulator a and the number of elements count. */
#define REDUCE_FINISH(name, type, acc_type, value) \
	static void name##_finish(const void *acc, void *out, int64_t n, int64_t count) \
	{ \
		(void)count; \
		for (int64_t i = 0; i < n; i++) { \
			const acc_type a = ((const acc_type *)acc)[i]; \
 \
			((type *)out)[i] = (type)(value); \
		} \
	}

/* derivative may use x, y and count. */
#define REDUCE_SLOPE(name, type, derivative) \
	static void name##_slope(const void *px, const void *py, const void *pg, int64_t step, int64_t count, \
	                         void *pgx, int64_t n) \
	{ \
		typedef type T; \
		const T *restrict xs = px, *restrict ys = py, *restrict g = pg; \
		T *restrict gx = pgx; \
 \
		(void)count; \
		for (int64_t i = 0; i < n; i++) { \
			const T x = xs[i], y = ys[i * step]; \
 \
			(void)x, (void)y; \
			gx[i] += g[i * step] * (T)(derivative); \
		} \
	}

#define SUM(a, b) ((a) + (b))
#define PRODUCT(a, b) ((a) * (b))
#define LARGER(a, b) ((a) > (b) ? (a) : (b))
#define SMALLER(a, b) ((a) < (b) ? (a) : (b))
#define LARGER_OR_NAN(a, b) ((((a) > (b)) | ((a) != (a))) ? (a) : (b))
#define SMALLER_OR_NAN(a, b) ((((a) < (b)) | ((a) != (a))) ? (a) : (b))

#define FLOAT_ROWS(name, identity, map, JOIN) \
	REDUCE_ROWS(name##_float, float, double, identity, map, JOIN) \
	REDUCE_ROWS(name##_double, double, double, identity, map, JOIN)

/* Integers are summed and multiplied as uint64_t, which wraps. */
#define SIGNED_ROWS(name, identity, map, JOIN) \
	REDUCE_ROWS(name##_int32, int32_t, uint64_t, identity, map, JOIN) \
	REDUCE_ROWS(name##_int64, int64_t, uint64_t, identity, map, JOIN)

#define UNSIGNED_ROWS(name, identity, map, JOIN) \
	REDUCE_ROWS(name##_uint32, uint32_t, uint64_t, identity, map, JOIN) \
	REDUCE_ROWS(name##_uint64, uint64_t, uint64_t, identity, map, JOIN)

#define FLOAT_FINISH(name, value) \
	REDUCE_FINISH(name##_float, float, double, value) \
	REDUCE_FINISH(name##_double, double, double, value)

#define WHOLE_FINISH(name, signed_value, unsigned_value) \
	REDUCE_FINISH(name##_int32, int32_t, int64_t, signed_value) \
	REDUCE_FINISH(name##_int64, int64_t, int64_t, signed_value) \
	REDUCE_FINISH(name##_uint32, uint32_t, uint64_t, unsigned_value) \
	REDUCE_FINISH(name##_uint64, uint64_t, uint64_t, unsigned_value)

#define FLOAT_SLOPES(name, single, twice) \
	REDUCE_SLOPE(name##_float, float, single) \
	REDUCE_SLOPE(name##_double, double, twice)

#define WHOLE(rows, name, type) {rows##_##type##_start, rows##_##type##_row, name##_##type##_finish, NULL}
#define WHOLE_REDUCERS(rows, name) \
	[DT_INT32] = WHOLE(rows, name, int32), [DT_INT64] = WHOLE(rows, name, int64), \
	[DT_UINT32] = WHOLE(rows, name, uint32), [DT_UINT64] = WHOLE(rows, name, uint64)
#define FLOAT_REDUCERS(rows, name, slope) \
	[DT_FLOAT] = {rows##_float_start, rows##_float_row, name##_float_finish, slope##_float_slope}, \
	[DT_DOUBLE] = {rows##_double_start, rows##_double_row, name##_double_finish, slope##_double_slope}

#define STEPS(name) \
	static enum tamis_status name##_shape(struct op_call *c) \
	{ \
		return reduce_shape(c, &name##_reduce); \
	} \
	static enum tamis_status name##_run(struct op_call *c) \
	{ \
		return reduce_run(c, &name##_reduce); \
	}

#define STEPS_REVERSE(name) \
	STEPS(name) \
	static enum tamis_status name##_reverse(struct op_grad *g) \
	{ \
		return reduce_reverse(g, &name##_reduce); \
	}

/* ---- sums ---- */

FLOAT_ROWS(sum, 0, x, SUM)
SIGNED_ROWS(sum, 0, x, SUM)
UNSIGNED_ROWS(sum, 0, x, SUM)
FLOAT_FINISH(plain, a)
WHOLE_FINISH(plain, a, a)
FLOAT_SLOPES(sum, 1, 1)
static const struct reduce sum_reduce = {{FLOAT_REDUCERS(sum, plain, sum), WHOLE_REDUCERS(sum, plain)}};
STEPS_REVERSE(sum)

/* Integer means are rounded toward zero; of no integers at all they are 0. */
FLOAT_FINISH(mean, a / (double)count)
WHOLE_FINISH(mean, count ? a / count : 0, count ? a / (uint64_t)count : 0)
FLOAT_SLOPES(mean, 1 / (float)count, 1 / (double)count)
static const struct reduce mean_reduce = {{FLOAT_REDUCERS(sum, mean, mean), WHOLE_REDUCERS(sum, mean)}};
STEPS_REVERSE(mean)

FLOAT_ROWS(abs_sum, 0, fabs(x), SUM)
SIGNED_ROWS(abs_sum, 0, (int64_t)x < 0 ? 0 - x : x, SUM)
UNSIGNED_ROWS(abs_sum, 0, x, SUM)
FLOAT_SLOPES(abs_sum, (x > 0) - (x < 0), (x > 0) - (x < 0))
static const struct reduce abs_sum_reduce = {
	{FLOAT_REDUCERS(abs_sum, plain, abs_sum), WHOLE_REDUCERS(abs_sum, plain)},
};
STEPS_REVERSE(abs_sum)

FLOAT_ROWS(square_sum, 0, x * x, SUM)
SIGNED_ROWS(square_sum, 0, x * x, SUM)
UNSIGNED_ROWS(square_sum, 0, x * x, SUM)
FLOAT_SLOPES(square_sum, 2 * x, 2 * x)
static const struct reduce square_sum_reduce = {
	{FLOAT_REDUCERS(square_sum, plain, square_sum), WHOLE_REDUCERS(square_sum, plain)},
};
STEPS_REVERSE(square_sum)

/* Sums of squares of integers may have wrapped; below 0 they have no root. */
FLOAT_FINISH(norm, sqrt(a))
WHOLE_FINISH(norm, a > 0 ? (int64_t)sqrt((double)a) : 0, (uint64_t)sqrt((double)a))
FLOAT_SLOPES(norm, y > 0 ? x / y : 0, y > 0 ? x / y : 0)
static const struct reduce norm_reduce = {
	{FLOAT_REDUCERS(square_sum, norm, norm), WHOLE_REDUCERS(square_sum, norm)},
};
STEPS_REVERSE(norm)

FLOAT_FINISH(log_sum, log(a))
WHOLE_FINISH(log_sum, a > 0 ? log((double)a) : 0, a > 0 ? log((double)a) : 0)
FLOAT_SLOPES(log_sum, expf(-y), exp(-y))
static const struct reduce log_sum_reduce = {
	{FLOAT_REDUCERS(sum, log_sum, log_sum), WHOLE_REDUCERS(sum, log_sum)},
};
STEPS_REVERSE(log_sum)

/* ---- extremes: the identity, the far end of the type, is also the value of an empty reduction ---- */

#define EXTREME_ROWS(name, JOIN, FLOAT_JOIN, end, int_end, uint_end) \
	FLOAT_ROWS(name, end, x, FLOAT_JOIN) \
	REDUCE_ROWS(name##_int8, int8_t, int64_t, INT8_##int_end, x, JOIN) \
	REDUCE_ROWS(name##_int32, int32_t, int64_t, INT32_##int_end, x, JOIN) \
	REDUCE_ROWS(name##_int64, int64_t, int64_t, INT64_##int_end, x, JOIN) \
	REDUCE_ROWS(name##_uint8, uint8_t, uint64_t, (uint8_t)uint_end, x, JOIN) \
	REDUCE_ROWS(name##_uint32, uint32_t, uint64_t, (uint32_t)uint_end, x, JOIN) \
	REDUCE_ROWS(name##_uint64, uint64_t, uint64_t, (uint64_t)uint_end, x, JOIN) \
	REDUCE_ROWS(name##_bool, uint8_t, uint64_t, (uint64_t)uint_end & 1, x != 0, JOIN)
EXTREME_ROWS(max, LARGER, LARGER_OR_NAN, -INFINITY, MIN, 0)
EXTREME_ROWS(min, SMALLER, SMALLER_OR_NAN, INFINITY, MAX, -1)

REDUCE_FINISH(plain_int8, int8_t, int64_t, a)
REDUCE_FINISH(plain_uint8, uint8_t, uint64_t, a)
REDUCE_FINISH(plain_bool, uint8_t, uint64_t, a)

#define EXTREME_REDUCERS(name) \
	[DT_FLOAT] = {name##_float_start, name##_float_row, plain_float_finish, NULL}, \
	[DT_DOUBLE] = {name##_double_start, name##_double_row, plain_double_finish, NULL}, \
	[DT_INT8] = WHOLE(name, plain, int8), [DT_UINT8] = WHOLE(name, plain, uint8), \
	[DT_BOOL] = WHOLE(name, plain, bool), WHOLE_REDUCERS(name, plain)
static const struct reduce max_reduce = {{EXTREME_REDUCERS(max)}};
STEPS(max)
static const struct reduce min_reduce = {{EXTREME_REDUCERS(min)}};
STEPS(min)

/* The gradient of an extreme goes to the first element that attains it. */
#define WINNER(name, type) \
	static void name(const type *x, const type *y, const type *g, uint8_t *taken, int64_t step, type *gx, \
	                 int64_t n) \
	{ \
		for (int64_t i = 0; i < n; i++) { \
			if (taken[i * step] || x[i] != y[i * step]) \
				continue; \
			taken[i * step] = 1; \
			gx[i] += g[i * step]; \
		} \
	}
WINNER(winner_float, float)
WINNER(winner_double, double)

static enum tamis_status extreme_reverse(struct op_grad *g)
{
	struct reduction plan = {0};
	const struct tensor *x = op_in(g->call, 0), *y = g->call->out[0], *gy = g->gout[0], *in[] = {&plan.kept};
	struct tensor *gx = g->gin[0];
	struct broadcast w;
	uint8_t *taken;
	enum tamis_status status;

	if (!gy || !gx)
		return TAMIS_OK;
	status = reduce_plan(g->call, &plan);
	taken = scratch_alloc(g->call->scratch, (size_t)gy->count, 1);
	if (status != TAMIS_OK || !taken)
		return status != TAMIS_OK ? status : tm_no_memory(g->call->err, "reversing a reduction");
	memset(taken, 0, (size_t)gy->count);
	for (bool more = broadcast_start(&w, x, in, 1); more; more = broadcast_next(&w)) {
		int64_t i = w.out, k = w.at[0];

		if (x->type == DT_FLOAT)
			winner_float((const float *)x->data + i, (const float *)y->data + k, (const float *)gy->data + k,
			             taken + k, w.step[0], (float *)gx->data + i, w.row);
		else
			winner_double((const double *)x->data + i, (const double *)y->data + k,
			              (const double *)gy->data + k, taken + k, w.step[0], (double *)gx->data + i, w.row);
	}
	return TAMIS_OK;
}

/* ---- products ---- */

FLOAT_ROWS(prod, 1, x, PRODUCT)
SIGNED_ROWS(prod, 1, x, PRODUCT)
UNSIGNED_ROWS(prod, 1, x, PRODUCT)
static const struct reduce prod_reduce = {
	{[DT_FLOAT] = {prod_float_start, prod_float_row, plain_float_finish, NULL},
	 [DT_DOUBLE] = {prod_double_start, prod_double_row, plain_double_finish, NULL},
	 WHOLE_REDUCERS(prod, plain)},
};
STEPS(prod)

/* Of each product: how many factors are zero, and the product of the others. */
struct factors { double zeros, rest; };

#define FACTORS(name, type) \
	static void name##_split(const type *x, struct factors *f, int64_t step, int64_t n) \
	{ \
		for (int64_t i = 0; i < n; i++) { \
			f[i * step].zeros += x[i] == 0; \
			f[i * step].rest *= x[i] == 0 ? 1 : (double)x[i]; \
		} \
	} \
	/* The product of the other factors: rest / x without zeros; rest at the only zero; else 0. */ \
	static void name##_slope(const type *x, const struct factors *f, const type *g, int64_t step, type *gx, \
	                         int64_t n) \
	{ \
		for (int64_t i = 0; i < n; i++) { \
			const struct factors *k = &f[i * step]; \
			double others = x[i] == 0 ? 1 : (double)x[i]; \
 \
			if (k->zeros == (x[i] == 0)) \
				gx[i] += (type)((double)g[i * step] * k->rest / others); \
		} \
	}
FACTORS(factors_float, float)
FACTORS(factors_double, double)

static enum tamis_status prod_reverse(struct op_grad *g)
{
	struct reduction plan = {0};
	const struct tensor *x = op_in(g->call, 0), *gy = g->gout[0], *in[] = {&plan.kept};
	struct tensor *gx = g->gin[0];
	bool single = x->type == DT_FLOAT;
	struct factors *f;
	struct broadcast w;
	enum tamis_status status;

	if (!gy || !gx)
		return TAMIS_OK;
	status = reduce_plan(g->call, &plan);
	f = scratch_alloc(g->call->scratch, (size_t)gy->count, sizeof *f);
	if (status != TAMIS_OK || !f)
		return status != TAMIS_OK ? status : tm_no_memory(g->call->err, "reversing a reduction");
	for (int64_t i = 0; i < gy->count; i++)
		f[i] = (struct factors){0, 1};
	for (bool more = broadcast_start(&w, x, in, 1); more; more = broadcast_next(&w)) {
		if (single)
			factors_float_split((const float *)x->data + w.out, f + w.at[0], w.step[0], w.row);
		else
			factors_double_split((const double *)x->data + w.out, f + w.at[0], w.step[0], w.row);
	}
	for (bool more = broadcast_start(&w, x, in, 1); more; more = broadcast_next(&w)) {
		if (single)
			factors_float_slope((const float *)x->data + w.out, f + w.at[0],
			                    (const float *)gy->data + w.at[0], w.step[0], (float *)gx->data + w.out,
			                    w.row);
		else
			factors_double_slope((const double *)x->data + w.out, f + w.at[0],
			                     (const double *)gy->data + w.at[0], w.step[0],
			                     (double *)gx->data + w.out, w.row);
	}
	return TAMIS_OK;
}

/* ---- log of a sum of exponentials: exp(x - m) with m the largest element, so that nothing overflows ---- */

FLOAT_SLOPES(log_sum_exp, expf(x - y), exp(x - y))
static const struct reduce log_sum_exp_reduce = {{FLOAT_REDUCERS(max, plain, log_sum_exp)}};

static enum tamis_status log_sum_exp_shape(struct op_call *c)
{
	return reduce_shape(c, &log_sum_exp_reduce);
}

static enum tamis_status log_sum_exp_reverse(struct op_grad *g)
{
	return reduce_reverse(g, &log_sum_exp_reduce);
}

/* An infinite or missing maximum is no shift: the plain formula then gives the right infinity or NaN. */
#define LOG_SUM_EXP(name, type, EXP) \
	static void name##_row(const type *x, const type *m, double *sum, int64_t step, int64_t n) \
	{ \
		double total = 0; \
 \
		for (int64_t i = 0; i < n; i++) { \
			type term = EXP(x[i] - (isfinite(m[i * step]) ? m[i * step] : 0)); \
 \
			if (step) \
				sum[i] += (double)term; \
			else \
				total += (double)term; \
		} \
		if (!step) \
			*sum += total; \
	} \
	static void name##_finish(const double *sum, type *m, int64_t n) \
	{ \
		for (int64_t i = 0; i < n; i++) \
			m[i] = (type)((isfinite(m[i]) ? (double)m[i] : 0) + log(sum[i])); \
	}
LOG_SUM_EXP(log_sum_exp_float, float, expf)
LOG_SUM_EXP(log_sum_exp_double, double, exp)

static enum tamis_status log_sum_exp_run(struct op_call *c)
{
	struct reduction plan = {0};
	const struct tensor *x = op_in(c, 0), *in[] = {&plan.kept};
	struct tensor *y = c->out[0];
	double *sum = scratch_alloc(c->scratch, (size_t)y->count, sizeof *sum);
	struct broadcast w;
	enum tamis_status status = reduce_run(c, &log_sum_exp_reduce);

	if (status == TAMIS_OK)
		status = sum ? reduce_plan(c, &plan) : tm_no_memory(c->err, "reducing");
	if (status != TAMIS_OK)
		return status;
	memset(sum, 0, (size_t)y->count * sizeof *sum);
	for (bool more = broadcast_start(&w, x, in, 1); more; more = broadcast_next(&w)) {
		if (x->type == DT_FLOAT)
			log_sum_exp_float_row((const float *)x->data + w.out, (const float *)y->data + w.at[0],
			                      sum + w.at[0], w.step[0], w.row);
		else
			log_sum_exp_double_row((const double *)x->data + w.out, (const double *)y->data + w.at[0],
			                       sum + w.at[0], w.step[0], w.row);
	}
	if (x->type == DT_FLOAT)
		log_sum_exp_float_finish(sum, y->data, y->count);
	else
		log_sum_exp_double_finish(sum, y->data, y->count);
	return TAMIS_OK;
}

/* Axes are an attribute before opset `change`, an input from then on. */
#define REDUCTION(op_name, first, last, inputs, steps) \
	{ \
		.name = op_name, .domain = "", .since = first, .until = last, .min_in = 1, .max_in = inputs, \
		.min_out = 1, .max_out = 1, .parse = reduce_parse, .shape = steps##_shape, .run = steps##_run, \
		.reverse = steps##_reverse, .channels = reduce_channels \
	}
#define REDUCTIONS(op_name, change, steps) \
	REDUCTION(op_name, 1, change - 1, 1, steps), REDUCTION(op_name, change, OP_LATEST, 2, steps)
#define max_reverse extreme_reverse
#define min_reverse extreme_reverse

const struct op ops_reduce[] = {
	REDUCTIONS("ReduceL1", 18, abs_sum),
	REDUCTIONS("ReduceL2", 18, norm),
	REDUCTIONS("ReduceLogSum", 18, log_sum),
	REDUCTIONS("ReduceLogSumExp", 18, log_sum_exp),
	REDUCTIONS("ReduceMax", 18, max),
	REDUCTIONS("ReduceMean", 18, mean),
	REDUCTIONS("ReduceMin", 18, min),
	REDUCTIONS("ReduceProd", 18, prod),
	REDUCTIONS("ReduceSum", 13, sum),
	REDUCTIONS("ReduceSumSquare", 18, square_sum),
	{0},
};
