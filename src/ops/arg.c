/* SPDX-License-Identifier: Apache-2.0 */
/* Along one axis: the position of an extreme (ArgMax, ArgMin) and running sums (CumSum). */
#include <math.h>
#include <string.h>

#include "ops/args.h"
#include "ops/reduce.h"

/* ---- ArgMax, ArgMin ---- */

#define FLOAT_NAN(x, best) (isnan(x) && !isnan(best)) /* the first NaN wins, as in NumPy */
#define WHOLE_NAN(x, best) 0

/* at[i], i < inner: position along an axis of n of the extreme among x[. * inner + i]. O(n * inner). */
typedef void (*arg_block)(const void *x, int64_t n, int64_t inner, bool smallest, bool last, int64_t *at);

#define ARG_BLOCK(name, type, IS_NAN) \
	static void name(const void *px, int64_t n, int64_t inner, bool smallest, bool last, int64_t *at) \
	{ \
		const type *xs = px; \
 \
		for (int64_t i = 0; i < inner; i++) \
			at[i] = 0; \
		for (int64_t k = 1; k < n; k++) { \
			for (int64_t i = 0; i < inner; i++) { \
				const type x = xs[k * inner + i], best = xs[at[i] * inner + i]; \
 \
				if ((smallest ? x < best : x > best) || (last && x == best) || IS_NAN(x, best)) \
					at[i] = k; \
			} \
		} \
	}
ARG_BLOCK(arg_float, float, FLOAT_NAN)
ARG_BLOCK(arg_double, double, FLOAT_NAN)
ARG_BLOCK(arg_int8, int8_t, WHOLE_NAN)
ARG_BLOCK(arg_int16, int16_t, WHOLE_NAN)
ARG_BLOCK(arg_int32, int32_t, WHOLE_NAN)
ARG_BLOCK(arg_int64, int64_t, WHOLE_NAN)
ARG_BLOCK(arg_uint8, uint8_t, WHOLE_NAN)
ARG_BLOCK(arg_uint16, uint16_t, WHOLE_NAN)
ARG_BLOCK(arg_uint32, uint32_t, WHOLE_NAN)
ARG_BLOCK(arg_uint64, uint64_t, WHOLE_NAN)

static const arg_block arg_blocks[DT_COUNT] = {
	[DT_FLOAT] = arg_float, [DT_DOUBLE] = arg_double, [DT_INT8] = arg_int8, [DT_INT16] = arg_int16,
	[DT_INT32] = arg_int32, [DT_INT64] = arg_int64, [DT_UINT8] = arg_uint8, [DT_UINT16] = arg_uint16,
	[DT_UINT32] = arg_uint32, [DT_UINT64] = arg_uint64,
};

struct arg_attr {
	int64_t axis;
	bool keepdims, last;
};

static enum tamis_status arg_parse(struct op_parse *p, void **attr)
{
	struct arg_attr *a = args_alloc(p, sizeof *a);
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	*attr = a;
	status = attr_int(p, "axis", 0, &a->axis);
	if (status == TAMIS_OK)
		status = attr_bool(p, "keepdims", true, &a->keepdims);
	if (status == TAMIS_OK && p->node->opset >= 12)
		status = attr_bool(p, "select_last_index", false, &a->last);
	return status;
}

static enum tamis_status arg_shape(struct op_call *c)
{
	const struct arg_attr *a = c->node->attr;
	const struct tensor *x = op_in(c, 0);
	bool half = x->type == DT_FLOAT16 || x->type == DT_BFLOAT16;
	int64_t dims[TENSOR_MAX_RANK];
	int axis = 0, rank = 0;

	if (!arg_blocks[half ? DT_FLOAT : x->type])
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "%s does not take elements of type %s", c->node->op->name,
		               dtype_name((int)x->type));
	if (x->rank == 0 && a->axis >= -1 && a->axis <= 0)
		return op_set_out(c, 0, DT_INT64, 0, dims); /* a scalar's only position is 0 */
	if (args_axis(c->err, a->axis, x->rank, &axis) != TAMIS_OK)
		return TAMIS_E_INVALID;
	for (int i = 0; i < x->rank; i++)
		if (i != axis || a->keepdims)
			dims[rank++] = i == axis ? 1 : x->dims[i];
	if (x->dims[axis] == 0)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "%s has nothing to choose from: axis %d of its input is empty", c->node->op->name,
		               axis);
	return op_set_out(c, 0, DT_INT64, rank, dims);
}

static enum tamis_status arg_run(struct op_call *c, bool smallest)
{
	const struct arg_attr *a = c->node->attr;
	const struct tensor *x = op_in(c, 0);
	int64_t *at = c->out[0]->data;
	int64_t size = dtype_bits((int)x->type) / 8;
	struct cut cut = {1, 1, 1};
	int axis;

	if (x->rank > 0) {
		if (args_axis(c->err, a->axis, x->rank, &axis) != TAMIS_OK)
			return TAMIS_E_INVALID;
		cut = cut_at(x, axis);
	}
	for (int64_t i = 0; i < cut.outer; i++)
		arg_blocks[x->type]((const char *)x->data + i * cut.n * cut.inner * size, cut.n, cut.inner, smallest,
		                    a->last, at + i * cut.inner);
	return TAMIS_OK;
}

static enum tamis_status arg_max_run(struct op_call *c)
{
	return arg_run(c, false);
}

static enum tamis_status arg_min_run(struct op_call *c)
{
	return arg_run(c, true);
}

/* ---- CumSum ---- */

struct cum_attr {
	bool exclusive, backward;
};

/* z[k * inner + i] = or += the sum of x over the elements before k (and k itself unless exclusive), from the
 * far end when backward. sum has room for `inner` accumulators. z may be x unless it is added to. */
typedef void (*cum_block)(const void *x, struct cut cut, struct cum_attr how, bool add, void *sum, void *z);

#define CUM_BLOCK(name, type, acc_type) \
	static void name(const void *px, struct cut cut, struct cum_attr how, bool add, void *psum, void *pz) \
	{ \
		const type *xs = px; \
		type *zs = pz; \
		acc_type *sum = psum; \
 \
		memset(sum, 0, (size_t)cut.inner * sizeof *sum); \
		for (int64_t step = 0; step < cut.n; step++) { \
			int64_t row = (how.backward ? cut.n - 1 - step : step) * cut.inner; \
 \
			for (int64_t i = 0; i < cut.inner; i++) { \
				acc_type before = sum[i], after = before + (acc_type)xs[row + i]; \
				type value = (type)(how.exclusive ? before : after); \
 \
				sum[i] = after; \
				zs[row + i] = add ? (type)(zs[row + i] + value) : value; \
			} \
		} \
	}
CUM_BLOCK(cum_float, float, double)
CUM_BLOCK(cum_double, double, double)
CUM_BLOCK(cum_int32, int32_t, uint64_t)
CUM_BLOCK(cum_int64, int64_t, uint64_t)
CUM_BLOCK(cum_uint32, uint32_t, uint64_t)
CUM_BLOCK(cum_uint64, uint64_t, uint64_t)

static const cum_block cum_blocks[DT_COUNT] = {
	[DT_FLOAT] = cum_float, [DT_DOUBLE] = cum_double, [DT_INT32] = cum_int32, [DT_INT64] = cum_int64,
	[DT_UINT32] = cum_uint32, [DT_UINT64] = cum_uint64,
};

static enum tamis_status cum_parse(struct op_parse *p, void **attr)
{
	struct cum_attr *a = args_alloc(p, sizeof *a);
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	*attr = a;
	status = attr_bool(p, "exclusive", false, &a->exclusive);
	return status == TAMIS_OK ? attr_bool(p, "reverse", false, &a->backward) : status;
}

static enum tamis_status cum_axis(const struct op_call *c, int *axis)
{
	int64_t value;
	enum tamis_status status = args_int(c, 1, "the axis of CumSum", &value);

	return status == TAMIS_OK ? args_axis(c->err, value, op_in(c, 0)->rank, axis) : status;
}

static enum tamis_status cum_shape(struct op_call *c)
{
	const struct tensor *x = op_in(c, 0);
	bool half = x->type == DT_FLOAT16 || x->type == DT_BFLOAT16;
	int axis;

	if (!cum_blocks[half ? DT_FLOAT : x->type])
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "CumSum does not take elements of type %s",
		               dtype_name((int)x->type));
	if (args_index_type(c, 1) != TAMIS_OK || (op_in(c, 1)->data && cum_axis(c, &axis) != TAMIS_OK))
		return TAMIS_E_INVALID;
	return op_set_like(c, 0, x->type, x);
}

static enum tamis_status cum_all(const struct op_call *c, const struct tensor *x, struct cum_attr how,
                                 bool add, struct tensor *z)
{
	int64_t size = dtype_bits((int)x->type) / 8;
	int axis;
	enum tamis_status status = cum_axis(c, &axis);
	struct cut cut;
	void *sum;

	if (status != TAMIS_OK)
		return status;
	cut = cut_at(x, axis);
	sum = scratch_alloc(c->scratch, (size_t)cut.inner, 8);
	if (!sum)
		return tm_no_memory(c->err, "summing");
	for (int64_t i = 0; i < cut.outer && x->count; i++) {
		int64_t at = i * cut.n * cut.inner * size;

		cum_blocks[x->type]((const char *)x->data + at, cut, how, add, sum, (char *)z->data + at);
	}
	return TAMIS_OK;
}

static enum tamis_status cum_run(struct op_call *c)
{
	return cum_all(c, op_in(c, 0), *(const struct cum_attr *)c->node->attr, false, c->out[0]);
}

/* The gradient is summed the other way. */
static enum tamis_status cum_reverse(struct op_grad *g)
{
	struct cum_attr how = *(const struct cum_attr *)g->call->node->attr;

	how.backward = !how.backward;
	if (!g->gout[0] || !g->gin[0])
		return TAMIS_OK;
	return cum_all(g->call, g->gout[0], how, true, g->gin[0]);
}

#define ARG(op_name, function) \
	{.name = op_name, .domain = "", .since = 1, .until = OP_LATEST, .min_in = 1, .max_in = 1, .min_out = 1, \
	 .max_out = 1, .parse = arg_parse, .shape = arg_shape, .run = function}

const struct op ops_arg[] = {
	ARG("ArgMax", arg_max_run),
	ARG("ArgMin", arg_min_run),
	{.name = "CumSum", .domain = "", .since = 11, .until = OP_LATEST, .min_in = 2, .max_in = 2, .min_out = 1,
	 .max_out = 1, .flags = OP_INPLACE, .parse = cum_parse, .shape = cum_shape, .run = cum_run,
	 .reverse = cum_reverse},
	{0},
};
