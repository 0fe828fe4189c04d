/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax, LogSoftmax and Hardmax. From opset 13 on they run along one axis; before, along everything from
 * that axis on. Both are blocks of n slices of `inner` elements, reduced over n; inner is 1 in the old
 * form. */
#include <string.h>
#include <tgmath.h>

#include "ops/args.h"
#include "ops/reduce.h"

struct softmax_attr {
	int64_t axis;
	bool flattened; /* the old form */
};

/* One block: x and y hold n * inner elements; m and s have room for `inner`. y may be x. */
typedef void (*softmax_block)(const void *x, int64_t n, int64_t inner, void *m, double *s, void *y);
/* gx += the gradient, from y and g; s has room for `inner`. */
typedef void (*softmax_slope)(const void *y, const void *g, int64_t n, int64_t inner, double *s, void *gx);

/* m[i] = the largest of x[. * inner + i]; subtracting it keeps exp from overflowing. */
#define LARGEST(name, type) \
	static void name(const type *x, int64_t n, int64_t inner, type *m) \
	{ \
		memcpy(m, x, (size_t)inner * sizeof *m); \
		for (int64_t k = 1; k < n; k++) \
			for (int64_t i = 0; i < inner; i++) \
				m[i] = x[k * inner + i] > m[i] ? x[k * inner + i] : m[i]; \
	}
LARGEST(largest_float, float)
LARGEST(largest_double, double)

#define SOFTMAX(name, type, largest) \
	static void name(const void *px, int64_t n, int64_t inner, void *pm, double *s, void *py) \
	{ \
		const type *x = px; \
		type *m = pm, *y = py; \
 \
		largest(x, n, inner, m); \
		memset(s, 0, (size_t)inner * sizeof *s); \
		for (int64_t k = 0; k < n; k++) \
			for (int64_t i = 0; i < inner; i++) { \
				const type e = exp(x[k * inner + i] - m[i]); \
 \
				y[k * inner + i] = e; \
				s[i] += (double)e; \
			} \
		for (int64_t i = 0; i < inner; i++) \
			m[i] = (type)(1 / s[i]); \
		for (int64_t k = 0; k < n; k++) \
			for (int64_t i = 0; i < inner; i++) \
				y[k * inner + i] *= m[i]; \
	} \
	/* y (g - sum g y) */ \
	static void name##_slope(const void *py, const void *pg, int64_t n, int64_t inner, double *s, void *pgx) \
	{ \
		const type *y = py, *g = pg; \
		type *gx = pgx; \
 \
		memset(s, 0, (size_t)inner * sizeof *s); \
		for (int64_t k = 0; k < n; k++) \
			for (int64_t i = 0; i < inner; i++) \
				s[i] += (double)(g[k * inner + i] * y[k * inner + i]); \
		for (int64_t k = 0; k < n; k++) \
			for (int64_t i = 0; i < inner; i++) \
				gx[k * inner + i] += y[k * inner + i] * (g[k * inner + i] - (type)s[i]); \
	}
SOFTMAX(softmax_float, float, largest_float)
SOFTMAX(softmax_double, double, largest_double)

#define LOG_SOFTMAX(name, type, largest) \
	static void name(const void *px, int64_t n, int64_t inner, void *pm, double *s, void *py) \
	{ \
		const type *x = px; \
		type *m = pm, *y = py; \
 \
		largest(x, n, inner, m); \
		memset(s, 0, (size_t)inner * sizeof *s); \
		for (int64_t k = 0; k < n; k++) \
			for (int64_t i = 0; i < inner; i++) \
				s[i] += (double)exp(x[k * inner + i] - m[i]); \
		for (int64_t i = 0; i < inner; i++) \
			s[i] = log(s[i]); \
		for (int64_t k = 0; k < n; k++) \
			for (int64_t i = 0; i < inner; i++) \
				y[k * inner + i] = x[k * inner + i] - m[i] - (type)s[i]; \
	} \
	/* g - exp(y) sum g */ \
	static void name##_slope(const void *py, const void *pg, int64_t n, int64_t inner, double *s, void *pgx) \
	{ \
		const type *y = py, *g = pg; \
		type *gx = pgx; \
 \
		memset(s, 0, (size_t)inner * sizeof *s); \
		for (int64_t k = 0; k < n; k++) \
			for (int64_t i = 0; i < inner; i++) \
				s[i] += (double)g[k * inner + i]; \
		for (int64_t k = 0; k < n; k++) \
			for (int64_t i = 0; i < inner; i++) \
				gx[k * inner + i] += g[k * inner + i] - exp(y[k * inner + i]) * (type)s[i]; \
	}
LOG_SOFTMAX(log_softmax_float, float, largest_float)
LOG_SOFTMAX(log_softmax_double, double, largest_double)

/* 1 at the first largest element, 0 elsewhere; s[i] counts how often it was found. */
#define HARDMAX(name, type, largest) \
	static void name(const void *px, int64_t n, int64_t inner, void *pm, double *s, void *py) \
	{ \
		const type *x = px; \
		type *m = pm, *y = py; \
 \
		largest(x, n, inner, m); \
		memset(s, 0, (size_t)inner * sizeof *s); \
		for (int64_t k = 0; k < n; k++) \
			for (int64_t i = 0; i < inner; i++) { \
				const bool found = x[k * inner + i] == m[i]; \
 \
				y[k * inner + i] = found && s[i] == 0 ? 1 : 0; \
				s[i] += found; \
			} \
	}
HARDMAX(hardmax_float, float, largest_float)
HARDMAX(hardmax_double, double, largest_double)

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

static enum tamis_status run_blocks(struct op_call *c, softmax_block single, softmax_block twice)
{
	const struct tensor *x = op_in(c, 0);
	int64_t size = dtype_bits((int)x->type) / 8;
	struct cut cut;
	enum tamis_status status = softmax_cut(c, &cut);
	double *m, *s;

	if (status != TAMIS_OK || x->count == 0)
		return status;
	m = scratch_alloc(c->scratch, (size_t)cut.inner, sizeof *m);
	s = scratch_alloc(c->scratch, (size_t)cut.inner, sizeof *s);
	if (!m || !s)
		return tm_no_memory(c->err, "normalising exponentials");
	for (int64_t i = 0; i < cut.outer; i++) {
		int64_t at = i * cut.n * cut.inner * size;

		(x->type == DT_FLOAT ? single : twice)((const char *)x->data + at, cut.n, cut.inner, m, s,
		                                       (char *)c->out[0]->data + at);
	}
	return TAMIS_OK;
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
	return reverse_blocks(g, softmax_float_slope, softmax_double_slope);
}

static enum tamis_status log_softmax_run(struct op_call *c)
{
	return run_blocks(c, log_softmax_float, log_softmax_double);
}

static enum tamis_status log_softmax_reverse(struct op_grad *g)
{
	return reverse_blocks(g, log_softmax_float_slope, log_softmax_double_slope);
}

static enum tamis_status hardmax_run(struct op_call *c)
{
	return run_blocks(c, hardmax_float, hardmax_double);
}

#define SOFT(op_name) \
	.name = op_name, .domain = "", .since = 1, .until = OP_LATEST, .min_in = 1, .max_in = 1, .min_out = 1, \
	.max_out = 1, .flags = OP_INPLACE, .parse = softmax_parse, .shape = softmax_shape

const struct op ops_softmax[] = {
	{SOFT("Hardmax"), .run = hardmax_run},
	{SOFT("LogSoftmax"), .run = log_softmax_run, .reverse = log_softmax_reverse},
	{SOFT("Softmax"), .run = softmax_run, .reverse = softmax_reverse},
	{0},
};
