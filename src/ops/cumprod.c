/* SPDX-License-Identifier: Apache-2.0 */
/* CumProd: running products along an axis, from either end, with or without the element itself. */
#include "ops/args.h"
#include "ops/family.h"
#include "ops/reals.h"

struct cumprod_attr { bool exclusive, backward; };

static enum tamis_status cumprod_parse(struct op_parse *p, void **attr)
{
	struct cumprod_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status s;

	if (!a)
		return TAMIS_E_MEMORY;
	s = attr_bool(p, "exclusive", false, &a->exclusive);
	return s ? s : attr_bool(p, "reverse", false, &a->backward);
}

/* A line of n elements with a stride, which is negative from the end. */
struct line { int64_t first, stride, n; };

typedef void line_fn(const void *x, void *y, const struct line *l, bool exclusive);

#define CUMPROD_LINE(name, type, wide) \
	static void name(const void *px, void *py, const struct line *l, bool exclusive) \
	{ \
		wide product = 1; \
 \
		for (int64_t i = 0; i < l->n; i++) { \
			int64_t at = l->first + i * l->stride; \
			wide after = product * (wide)((const type *)px)[at]; \
 \
			((type *)py)[at] = (type)(exclusive ? product : after); \
			product = after; \
		} \
	}
CUMPROD_LINE(line_float, float, double)
CUMPROD_LINE(line_double, double, double)
CUMPROD_LINE(line_int32, int32_t, uint64_t)
CUMPROD_LINE(line_int64, int64_t, uint64_t)
CUMPROD_LINE(line_uint32, uint32_t, uint64_t)
CUMPROD_LINE(line_uint64, uint64_t, uint64_t)

static line_fn *const lines[DT_COUNT] = {
	[DT_FLOAT] = line_float, [DT_DOUBLE] = line_double, [DT_INT32] = line_int32, [DT_INT64] = line_int64,
	[DT_UINT32] = line_uint32, [DT_UINT64] = line_uint64,
};

static enum tamis_status find_axis(const struct op_call *c, int *axis)
{
	int64_t value;
	enum tamis_status s = args_int(c, 1, "the axis of CumProd", &value);

	return s ? s : args_axis(c->err, value, c->in[0]->rank, axis);
}

static enum tamis_status cumprod_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0];
	enum tamis_status s = args_index_type(c, 1);
	int axis;

	if (!dtype_is_float((int)x->type) && !lines[x->type])
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "CumProd does not take elements of type %s",
		               dtype_name((int)x->type));
	if (!s && c->in[1]->data)
		s = find_axis(c, &axis);
	return s ? s : op_set_like(c, 0, x->type, x);
}

static struct line line_at(const struct tensor *x, int axis, bool backward, int64_t k)
{
	int64_t n = x->dims[axis], inner = tensor_extent(x, axis + 1, x->rank);
	int64_t first = k / inner * n * inner + k % inner;

	return (struct line){backward ? first + (n - 1) * inner : first, backward ? -inner : inner, n};
}

static enum tamis_status cumprod_run(struct op_call *c)
{
	const struct cumprod_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	int axis;
	enum tamis_status s = find_axis(c, &axis);

	for (int64_t k = 0; !s && c->out[0] && x->count && k < x->count / x->dims[axis]; k++) {
		struct line l = line_at(x, axis, a->backward, k);

		lines[x->type](x->data, c->out[0]->data, &l, a->exclusive);
	}
	return s;
}

/* The gradient of x[j] is the product before j times S[j] = g[j] + x[j + 1] S[j + 1]: no division, so zeros
 * are no
 * special case. An exclusive product has g one further. */
static void line_back(const struct tensor *x, const struct tensor *g, struct tensor *gx, const struct line *l,
                      bool exclusive, double *before)
{
	double product = 1, sum = 0;

	for (int64_t i = 0; i < l->n; i++) {
		before[i] = product;
		product *= real_get(x, l->first + i * l->stride);
	}
	for (int64_t i = l->n - 1; i >= 0; i--) {
		int64_t at = l->first + i * l->stride, from = exclusive ? at + l->stride : at;
		double above = i + 1 < l->n ? real_get(x, at + l->stride) * sum : 0;

		sum = above + (exclusive && i + 1 == l->n ? 0 : real_get(g, from));
		real_add(gx, at, before[i] * sum);
	}
}

static enum tamis_status cumprod_reverse(struct op_grad *g)
{
	const struct op_call *c = g->call;
	const struct cumprod_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	double *before;
	int axis;
	enum tamis_status s = find_axis(c, &axis);

	if (s || !g->gout[0] || !g->gin[0] || x->count == 0)
		return s;
	before = scratch_alloc(c->scratch, (size_t)x->dims[axis], sizeof *before);
	if (!before)
		return tm_no_memory(c->err, "reversing products");
	for (int64_t k = 0; k < x->count / x->dims[axis]; k++) {
		struct line l = line_at(x, axis, a->backward, k);

		line_back(x, g->gout[0], g->gin[0], &l, a->exclusive, before);
	}
	return TAMIS_OK;
}

const struct op ops_cumprod[] = {
	{.name = "CumProd", .domain = "", .since = 26, .until = OP_LATEST, .min_in = 2, .max_in = 2, .min_out = 1,
	 .max_out = 1, .flags = OP_INPLACE, .parse = cumprod_parse, .shape = cumprod_shape, .run = cumprod_run,
	 .reverse = cumprod_reverse},
	{0},
};
