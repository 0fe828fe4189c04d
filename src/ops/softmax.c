/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax, LogSoftmax and Hardmax. From opset 13 on they run along one axis; before, along everything from
 * that axis on. Both are blocks of n slices of `inner` elements, reduced over n; inner is 1 in the old
 * form. */
#include <string.h>
#include <tgmath.h>

#include "ops/args.h"
#include "ops/reduce.h"
#include "ops/vector_math.h"

struct softmax_attr {
	int64_t axis;
	bool flattened; /* the old form */
};

/* One block of x and y, n * inner elements each, and scratch of the element type: m, f (inner elements) and e
 * (as many as the block); s: inner sums. */
struct block {
	int64_t n, inner;
	void *m, *f, *e;
	double *s;
};
typedef void (*softmax_block)(const struct block *b, const void *x, void *y); /* y may be x */
/* gx += the gradient, from y and g; s has room for `inner`. */
typedef void (*softmax_slope)(const void *y, const void *g, int64_t n, int64_t inner, double *s, void *gx);

#define LANES 8

#define T float
#define NAME(x) x##_float
#include "ops/softmax.inc"
#undef T
#undef NAME
#define T double
#define NAME(x) x##_double
#include "ops/softmax.inc"
#undef T
#undef NAME

#define SOFTMAX(name, type) \
	static void name(const struct block *b, const void *x, void *y) \
	{ \
		type *m = b->m, *f = b->f; \
 \
		largest_##type(x, b->n, b->inner, m); \
		exponents_##type(x, b->n, b->inner, m, y); \
		sums_##type(y, b->n, b->inner, b->s); \
		for (int64_t i = 0; i < b->inner; i++) \
			f[i] = (type)(1 / b->s[i]); \
		finish_##type(y, b->n, b->inner, m, f, false, y); \
	}
SOFTMAX(softmax_float, float)
SOFTMAX(softmax_double, double)

/* The exponentials go to b->e: y may be x, which is needed again. */
#define LOG_SOFTMAX(name, type) \
	static void name(const struct block *b, const void *x, void *y) \
	{ \
		type *m = b->m, *f = b->f; \
 \
		largest_##type(x, b->n, b->inner, m); \
		exponents_##type(x, b->n, b->inner, m, b->e); \
		sums_##type(b->e, b->n, b->inner, b->s); \
		for (int64_t i = 0; i < b->inner; i++) \
			f[i] = (type)log(b->s[i]); \
		finish_##type(x, b->n, b->inner, m, f, true, y); \
	}
LOG_SOFTMAX(log_softmax_float, float)
LOG_SOFTMAX(log_softmax_double, double)

/* 1 at the first largest element, 0 elsewhere; s[i] counts how often it was found. */
#define HARDMAX(name, type) \
	static void name(const struct block *b, const void *px, void *py) \
	{ \
		const type *x = px; \
		type *m = b->m, *y = py; \
 \
		largest_##type(x, b->n, b->inner, m); \
		memset(b->s, 0, (size_t)b->inner * sizeof *b->s); \
		for (int64_t k = 0; k < b->n; k++) \
			for (int64_t i = 0; i < b->inner; i++) { \
				const bool found = x[k * b->inner + i] == m[i]; \
 \
				y[k * b->inner + i] = found && b->s[i] == 0 ? 1 : 0; \
				b->s[i] += found; \
			} \
	}
HARDMAX(hardmax_float, float)
HARDMAX(hardmax_double, double)

static enum tamis_status softmax_parse(struct op_parse *p, void **attr)
{
	struct softmax_attr *a = args_alloc(p, sizeof *a);

	if (!a)
		return TAMIS_E_MEMORY;
	*attr = a;
	a->flattened = p->node->opset < 13;
	return attr_int(p, "axis", a->flattened ? 1 : -1, &a->axis);
}

static enum tamis_status softmax_cut(const struct op_call *c, struct cut *cut)
{
	const struct softmax_attr *a = c->node->attr;
	const struct tensor *x = op_in(c, 0);
	int axis = 0;
	enum tamis_status status = args_axis(c->err, a->axis, x->rank, &axis);

	if (status != TAMIS_OK)
		return status;
	*cut = cut_at(x, axis);
	if (a->flattened)
		*cut = (struct cut){cut->outer, tensor_extent(x, axis, x->rank), 1};
	return TAMIS_OK;
}

static enum tamis_status softmax_shape(struct op_call *c)
{
	const struct tensor *x = op_in(c, 0);
	struct cut cut;
	enum tamis_status status;

	if (!dtype_is_float((int)x->type))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "%s does not take elements of type %s", c->node->op->name,
		               dtype_name((int)x->type));
	status = softmax_cut(c, &cut);
	return status == TAMIS_OK ? op_set_like(c, 0, x->type, x) : status;
}

static enum tamis_status make_block(struct op_call *c, struct cut cut, struct block *b)
{
	size_t inner = (size_t)cut.inner, size = sizeof(double);

	*b = (struct block){.n = cut.n, .inner = cut.inner};
	b->m = scratch_alloc(c->scratch, inner, size);
	b->f = scratch_alloc(c->scratch, inner, size);
	b->s = scratch_alloc(c->scratch, inner, size);
	b->e = scratch_alloc(c->scratch, (size_t)(cut.n * cut.inner), size);
	return b->m && b->f && b->s && b->e ? TAMIS_OK : tm_no_memory(c->err, "normalising exponentials");
}

static enum tamis_status run_blocks(struct op_call *c, softmax_block single, softmax_block twice)
{
	const struct tensor *x = op_in(c, 0);
	int64_t size = dtype_bits((int)x->type) / 8;
	struct cut cut;
	struct block b;
	enum tamis_status status = softmax_cut(c, &cut);

	if (status != TAMIS_OK || x->count == 0)
		return status;
	status = make_block(c, cut, &b);
	for (int64_t i = 0; status == TAMIS_OK && i < cut.outer; i++) {
		int64_t at = i * cut.n * cut.inner * size;

		(x->type == DT_FLOAT ? single : twice)(&b, (const char *)x->data + at, (char *)c->out[0]->data + at);
	}
	return status;
}

static enum tamis_status reverse_blocks(struct op_grad *g, softmax_slope single, softmax_slope twice)
{
	const struct tensor *y = g->call->out[0];
	int64_t size = dtype_bits((int)y->type) / 8;
	struct cut cut;
	enum tamis_status status = softmax_cut(g->call, &cut);
	double *s;

	if (status != TAMIS_OK || !g->gout[0] || !g->gin[0] || y->count == 0)
		return status;
	s = scratch_alloc(g->call->scratch, (size_t)cut.inner, sizeof *s);
	if (!s)
		return tm_no_memory(g->call->err, "reversing normalised exponentials");
	for (int64_t i = 0; i < cut.outer; i++) {
		int64_t at = i * cut.n * cut.inner * size;

		(y->type == DT_FLOAT ? single : twice)((const char *)y->data + at,
		                                       (const char *)g->gout[0]->data + at, cut.n, cut.inner, s,
		                                       (char *)g->gin[0]->data + at);
	}
	return TAMIS_OK;
}

static enum tamis_status softmax_run(struct op_call *c)
{
	return run_blocks(c, softmax_float, softmax_double);
}

static enum tamis_status softmax_reverse(struct op_grad *g)
{
	return reverse_blocks(g, softmax_slope_float, softmax_slope_double);
}

static enum tamis_status log_softmax_run(struct op_call *c)
{
	return run_blocks(c, log_softmax_float, log_softmax_double);
}

static enum tamis_status log_softmax_reverse(struct op_grad *g)
{
	return reverse_blocks(g, log_softmax_slope_float, log_softmax_slope_double);
}

static enum tamis_status hardmax_run(struct op_call *c)
{
	return run_blocks(c, hardmax_float, hardmax_double);
}

static void channels(struct channel_call *c)
{
	const struct softmax_attr *a = c->node->attr;
	int axis = (int)(a->axis < 0 ? a->axis + c->in[0]->rank : a->axis);

	channels_mix_from(c, a->flattened ? axis : c->in[0]->rank, "a softmax runs over it");
	channels_keep(c, 0, axis, "a softmax runs over it");
}

#define SOFT(op_name) \
	.name = op_name, .domain = "", .since = 1, .until = OP_LATEST, .min_in = 1, .max_in = 1, .min_out = 1, \
	.max_out = 1, .flags = OP_INPLACE, .channels = channels, .parse = softmax_parse, .shape = softmax_shape

const struct op ops_softmax[] = {
	{SOFT("Hardmax"), .run = hardmax_run},
	{SOFT("LogSoftmax"), .run = log_softmax_run, .reverse = log_softmax_reverse},
	{SOFT("Softmax"), .run = softmax_run, .reverse = softmax_reverse},
	{0},
};
