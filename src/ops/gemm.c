/* SPDX-License-Identifier: Apache-2.0 */
/* Gemm: y = alpha * op(A) op(B) + beta * C. */
#include <math.h>

#include "base/error.h"
#include "ops/blas.h"
#include "ops/family.h"
#include "ops/gemm.h"
#include "ops/row_linear.h"

#define T float
#define NAME(x) x##_float
#include "ops/gemm.inc"
#undef T
#undef NAME
#define T double
#define NAME(x) x##_double
#include "ops/gemm.inc"
#undef T
#undef NAME

static enum tamis_status parse(struct op_parse *p, void **attr)
{
	struct gemm_attr *a = arena_alloc(p->arena, sizeof *a);
	enum tamis_status s;

	if (!a)
		return tm_no_memory(p->err, "reading the attributes of Gemm");
	*attr = a;
	if ((s = attr_bool(p, "transA", false, &a->ta)) || (s = attr_bool(p, "transB", false, &a->tb)) ||
	    (s = attr_float(p, "alpha", 1, &a->alpha)))
		return s;
	return attr_float(p, "beta", 1, &a->beta);
}

/* m x k times k x n, and the strides of C as broadcast: 0 along an axis that it repeats on. */
struct sizes { int64_t m, n, k, row, col; };

static enum tamis_status find_c_strides(const struct tensor *c, struct sizes *s, struct tamis_error *err)
{
	int64_t cols = c->rank > 0 ? c->dims[c->rank - 1] : 1, rows = c->rank > 1 ? c->dims[0] : 1;
	char text[128];

	if (c->rank > 2 || (cols != 1 && cols != s->n) || (rows != 1 && rows != s->m))
		return tm_fail(err, TAMIS_E_INVALID,
		               "the input C is %s; a shape that broadcasts to [%lld,%lld] is expected",
		               tensor_describe(c, text, sizeof text), (long long)s->m, (long long)s->n);
	s->col = cols > 1;
	s->row = rows > 1 ? cols : 0;
	return TAMIS_OK;
}

static enum tamis_status find_sizes(const struct gemm_attr *a, const struct tensor *const *in,
                                    const struct tensor *c, struct sizes *s, struct tamis_error *err)
{
	if (in[0]->rank != 2 || in[1]->rank != 2)
		return tm_fail(err, TAMIS_E_INVALID, "the inputs A and B have ranks %d and %d; both must be matrices",
		               in[0]->rank, in[1]->rank);
	*s = (struct sizes){.m = in[0]->dims[a->ta], .k = in[0]->dims[!a->ta], .n = in[1]->dims[!a->tb]};
	if (in[1]->dims[a->tb] != s->k)
		return tm_fail(err, TAMIS_E_INVALID,
		               "the product runs over %lld elements of A and %lld of B; the same is expected",
		               (long long)s->k, (long long)in[1]->dims[a->tb]);
	if (!blas_fits(s->m) || !blas_fits(s->n) || !blas_fits(s->k))
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "a matrix exceeds %d rows or columns", INT32_MAX);
	return c ? find_c_strides(c, s, err) : TAMIS_OK;
}

static enum tamis_status shape(struct op_call *call)
{
	const struct tensor *const *in = call->in, *c = op_in(call, 2);
	struct sizes s;
	enum tamis_status status;

	if (!blas_has_type(in[0]->type))
		return tm_fail(call->err, TAMIS_E_UNSUPPORTED, "Gemm of the type %s is not defined",
		               dtype_name((int)in[0]->type));
	if (in[1]->type != in[0]->type || (c && c->type != in[0]->type))
		return tm_fail(call->err, TAMIS_E_INVALID, "the inputs of Gemm have different types");
	status = find_sizes(call->node->attr, in, c, &s, call->err);
	return status ? status : op_set_out(call, 0, in[0]->type, 2, (int64_t[]){s.m, s.n});
}

/* Integers: the product modulo 2^bits. Scaled results go through double, truncated towards zero. */
static void run_int(const struct gemm_attr *a, const struct op_call *call, const struct tensor *c,
                    const struct sizes *s)
{
	const struct tensor *x = call->in[0], *w = call->in[1];
	struct tensor *y = call->out[0];
	int bits = dtype_bits((int)y->type);
	bool plain = a->alpha == 1 && (!c || a->beta == 1);

	for (int64_t i = 0; i < y->count; i++) {
		int64_t start = plain && c ? tensor_get_int(c, i / s->n * s->row + i % s->n * s->col) : 0;

		if (bits == 32)
			((uint32_t *)y->data)[i] = (uint32_t)start;
		else
			((uint64_t *)y->data)[i] = (uint64_t)start;
	}
	blas_gemm_int(bits, s->m, s->n, s->k, x->data, a->ta ? 1 : s->k, a->ta ? s->m : 1, w->data, a->tb ? 1 : s->n,
	              a->tb ? s->k : 1, y->data);
	for (int64_t i = 0; !plain && i < y->count; i++) {
		double extra = c ? (double)a->beta * tensor_get(c, i / s->n * s->row + i % s->n * s->col) : 0;

		tensor_set(y, i, trunc((double)a->alpha * tensor_get(y, i) + extra));
	}
}

static enum tamis_status run(struct op_call *call)
{
	const struct gemm_attr *a = call->node->attr;
	const struct tensor *c = a->beta != 0 ? op_in(call, 2) : NULL;
	struct tensor *y = call->out[0];
	struct sizes s;
	enum tamis_status status = find_sizes(a, call->in, c, &s, call->err);

	if (status || !y)
		return status;
	if (!dtype_is_float((int)y->type)) {
		run_int(a, call, c, &s);
		return TAMIS_OK;
	}
	if (c && y->type == DT_FLOAT)
		spread_float(s.m, s.n, a->beta, c->data, s.row, s.col, y->data);
	else if (c)
		spread_double(s.m, s.n, a->beta, c->data, s.row, s.col, y->data);
	blas_gemm(y->type, a->ta, a->tb, s.m, s.n, s.k, a->alpha, call->in[0]->data, a->ta ? s.m : s.k,
	          call->in[1]->data, a->tb ? s.k : s.n, c ? 1 : 0, y->data, s.n);
	return TAMIS_OK;
}

static enum tamis_status reverse(struct op_grad *g)
{
	const struct op_call *call = g->call;
	const struct gemm_attr *a = call->node->attr;
	const struct tensor *gy = g->gout[0], *c = op_in(call, 2);
	const void *x = call->in[0]->data, *w = call->in[1]->data;
	struct sizes s;
	enum tamis_status status = find_sizes(a, call->in, c, &s, call->err);
	int64_t ldx = a->ta ? s.m : s.k, ldw = a->tb ? s.k : s.n;

	if (status || !gy)
		return status;
	if (g->gin[0] && a->ta)
		blas_gemm(gy->type, a->tb, true, s.k, s.m, s.n, a->alpha, w, ldw, gy->data, s.n, 1, g->gin[0]->data, ldx);
	else if (g->gin[0])
		blas_gemm(gy->type, false, !a->tb, s.m, s.k, s.n, a->alpha, gy->data, s.n, w, ldw, 1, g->gin[0]->data, ldx);
	if (g->gin[1] && a->tb)
		blas_gemm(gy->type, true, a->ta, s.n, s.k, s.m, a->alpha, gy->data, s.n, x, ldx, 1, g->gin[1]->data, ldw);
	else if (g->gin[1])
		blas_gemm(gy->type, !a->ta, false, s.k, s.n, s.m, a->alpha, x, ldx, gy->data, s.n, 1, g->gin[1]->data, ldw);
	if (c && g->gin[2] && gy->type == DT_FLOAT)
		collect_float(s.m, s.n, a->beta, gy->data, s.row, s.col, g->gin[2]->data);
	else if (c && g->gin[2])
		collect_double(s.m, s.n, a->beta, gy->data, s.row, s.col, g->gin[2]->data);
	return TAMIS_OK;
}

/* With transA the items would run along the second axis, which no reader of rows expects. */
static enum tamis_status describe(const struct node *n, const struct tensor *const *in, int n_in,
                                  struct linear_view *view, struct tamis_error *err)
{
	const struct gemm_attr *a = n->attr;
	const struct tensor *c = n_in > 2 ? in[2] : NULL;
	struct sizes s = {0};
	enum tamis_status status = find_sizes(a, in, c, &s, err);
	bool bias_fits;

	if (status)
		return status;
	bias_fits = !c || (c->rank > 0 && c->count == s.n && c->dims[c->rank - 1] == s.n);
	if (!dtype_is_float((int)in[0]->type) || a->ta || a->alpha == 0 || s.k == 0 || s.n == 0)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "this form of Gemm makes no connections");
	*view = (struct linear_view){
		.data = 0, .weight = 1, .bias = bias_fits ? 2 : GRAPH_NONE, .can_bias = bias_fits && a->beta != 0,
		.groups = 1, .fan_in = s.k, .outs = s.n, .inner = 1, .stride_out = a->tb ? s.k : 1,
		.stride_channel = a->tb ? 1 : s.n, .in_axis = -1, .out_axis = -1,
		.weight_scale = (double)a->alpha, .bias_scale = (double)a->beta, .exact_mean = true,
	};
	return TAMIS_OK;
}

static const struct linear_op linear = {describe, row_linear_positions, row_linear_gather,
                                        row_linear_sums, row_linear_gather_out};

static void channels(struct channel_call *c)
{
	const struct gemm_attr *a = c->node->attr;

	channels_read(c, 0, !a->ta, 1, a->tb);
	channels_tie(c, 0, a->ta, COUPLING_OUT(0), 0);
	channels_tie(c, 1, !a->tb, COUPLING_OUT(0), 1);
	for (int k = 0; c->n_in > 2 && c->in[2] && c->out[0] && k < c->in[2]->rank; k++)
		if (c->in[2]->dims[c->in[2]->rank - 1 - k] == c->out[0]->dims[1 - k])
			channels_tie(c, 2, -1 - k, COUPLING_OUT(0), -1 - k);
}

/* Until opset 10 the third input is required; until 6 an attribute says whether it repeats, which its shape tells. */
const struct op ops_gemm[] = {
	{.name = "Gemm", .domain = "", .since = 1, .until = 10, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	 .channels = channels, .parse = parse, .shape = shape, .run = run, .reverse = reverse,
	 .linear = &linear},
	{.name = "Gemm", .domain = "", .since = 11, .until = OP_LATEST, .min_in = 2, .max_in = 3, .min_out = 1,
	 .max_out = 1, .channels = channels, .parse = parse, .shape = shape, .run = run, .reverse = reverse,
	 .linear = &linear},
	{0},
};
