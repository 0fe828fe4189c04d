/* SPDX-License-Identifier: Apache-2.0 */
/* Products of small integers: MatMulInteger, ConvInteger, QLinearMatMul and QLinearConv. The factors, less
 * their zero
 * points, are multiplied by MatMul and Conv in double, where sums of 2^21 products of 16-bit integers are
 * exact. */
#include <math.h>

#include "ops/args.h"
#include "ops/broadcast.h"
#include "ops/family.h"

/* Where a form of product finds its inputs; -1: it has none. */
struct form {
	const struct op *base; /* Conv or MatMul */
	bool conv;
	int a, b, a_zero, b_zero, a_scale, b_scale, y_scale, y_zero, bias;
};

static const struct form matmul_integer = {&ops_matmul[0], false, 0, 1, 2, 3, -1, -1, -1, -1, -1};
static const struct form conv_integer = {&ops_conv[0], true, 0, 1, 2, 3, -1, -1, -1, -1, -1};
static const struct form matmul_quantized = {&ops_matmul[0], false, 0, 3, 2, 5, 1, 4, 6, 7, -1};
static const struct form conv_quantized = {&ops_conv[0], true, 0, 3, 2, 5, 1, 4, 6, 7, 8};

static enum tamis_status conv_parse(struct op_parse *p, void **attr)
{
	return ops_conv[0].parse(p, attr);
}

static const struct tensor *given(const struct op_call *c, int i)
{
	return i < 0 ? NULL : op_in(c, i);
}

/* Zero point and scale of a factor as a tensor that broadcasts to it: a vector stands for rows of a left
 * factor,
 * columns of a right one, and output channels of a kernel. Others are as they are. */
static struct tensor laid_over(const struct tensor *t, const struct tensor *factor, bool rows, bool channels)
{
	struct tensor to = *t;

	if (t->rank != 1 || t->count == 1) {
		if (t->count == 1)
			to.rank = 0;
		return to;
	}
	if (rows && factor->rank >= 2) {
		to.rank = 2;
		to.dims[1] = 1;
	}
	for (int i = 1; channels && i < factor->rank; i++)
		to.dims[to.rank++] = 1;
	return to;
}

static struct tensor over_a(const struct form *f, const struct op_call *c, int i)
{
	return laid_over(c->in[i], c->in[f->a], !f->conv, false);
}

static struct tensor over_b(const struct form *f, const struct op_call *c, int i)
{
	return laid_over(c->in[i], c->in[f->b], false, f->conv);
}

/* ---- Shape ---- */

static bool is_byte(enum dtype t)
{
	return t == DT_UINT8 || t == DT_INT8;
}

static enum tamis_status check_zero(const struct op_call *c, int i, enum dtype type)
{
	if (i >= 0 && op_in(c, i) && c->in[i]->type != type)
		return tm_fail(c->err, TAMIS_E_INVALID, "zero point %d must be %s; it is %s", i,
		               dtype_name((int)type),
		               dtype_name((int)c->in[i]->type));
	return TAMIS_OK;
}

static enum tamis_status check_scale(const struct op_call *c, int i)
{
	if (i >= 0 && !dtype_is_float((int)c->in[i]->type))
		return tm_fail(c->err, TAMIS_E_INVALID, "scale %d must be a float; it is %s", i,
		               dtype_name((int)c->in[i]->type));
	return TAMIS_OK;
}

static enum tamis_status check_fits(const struct op_call *c, int i, const struct tensor *t,
                                    const struct tensor *factor)
{
	char a[128], b[128];

	if (broadcast_fits(t, factor))
		return TAMIS_OK;
	return tm_fail(c->err, TAMIS_E_INVALID, "input %d, %s, does not fit %s", i,
	               tensor_describe(c->in[i], a, sizeof a), tensor_describe(factor, b, sizeof b));
}

static enum tamis_status check_inputs(const struct form *f, const struct op_call *c)
{
	const int zeros[] = {f->a_zero, f->b_zero}, scales[] = {f->a_scale, f->b_scale, f->y_scale};
	const int factors[] = {f->a, f->b};
	enum tamis_status s = TAMIS_OK;

	for (int k = 0; k < 2; k++)
		if (!is_byte(c->in[factors[k]]->type))
			return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "%s of %s is not supported; int8 and uint8 are",
			               c->node->op->name, dtype_name((int)c->in[factors[k]]->type));
	for (int k = 0; !s && k < 2; k++) {
		struct tensor zero;

		s = check_zero(c, zeros[k], c->in[factors[k]]->type);
		if (s || !given(c, zeros[k]))
			continue;
		zero = k ? over_b(f, c, zeros[k]) : over_a(f, c, zeros[k]);
		s = check_fits(c, zeros[k], &zero, c->in[factors[k]]);
	}
	for (int k = 0; !s && k < 3; k++)
		s = check_scale(c, scales[k]);
	if (!s && f->y_zero >= 0 && !is_byte(c->in[f->y_zero]->type))
		s = tm_fail(c->err, TAMIS_E_UNSUPPORTED, "a result of %s is not supported; int8 and uint8 are",
		            dtype_name((int)c->in[f->y_zero]->type));
	if (!s && f->conv && f->y_scale >= 0 && (c->in[f->a_scale]->count != 1 || c->in[f->y_scale]->count != 1))
		s = tm_fail(c->err, TAMIS_E_INVALID, "the scales of data and result must be one number each");
	if (!s && given(c, f->bias) && c->in[f->bias]->type != DT_INT32)
		s = tm_fail(c->err, TAMIS_E_INVALID, "the bias must be int32; it is %s",
		            dtype_name((int)c->in[f->bias]->type));
	return s;
}

/* A call of Conv or MatMul on doubles; data are set by the caller. */
struct inner {
	struct tensor in[3], y;
	const struct tensor *ins[3];
	struct tensor *outs[1];
	struct op_call call;
};

static enum tamis_status make_inner(const struct form *f, const struct op_call *c, struct inner *n)
{
	const int from[] = {f->a, f->b, f->bias};

	n->y = (struct tensor){0};
	for (int k = 0; k < 3; k++) {
		n->ins[k] = NULL;
		if (!given(c, from[k]))
			continue;
		n->in[k] = *c->in[from[k]];
		n->in[k].type = DT_DOUBLE;
		n->in[k].data = NULL;
		n->ins[k] = &n->in[k];
	}
	n->outs[0] = &n->y;
	n->call = (struct op_call){.node = c->node, .n_in = n->ins[2] ? 3 : 2, .n_out = 1, .in = n->ins, .out =
	                           n->outs,
	                           .scratch = c->scratch, .err = c->err};
	return f->base->shape(&n->call);
}

/* Rows, columns or channels of a result. */
static int64_t slices_of(const struct form *f, const struct tensor *y, bool rows)
{
	int64_t last = y->rank ? y->dims[y->rank - 1] : 1;

	if (f->conv)
		return y->dims[1];
	return rows && y->rank ? tensor_extent(y, 0, y->rank - 1) : last;
}

/* Scales of a matrix product broadcast to the result as the factors do; those of a convolution are one a
 * channel. */
static enum tamis_status check_scales(const struct form *f, const struct op_call *c, const struct tensor *y)
{
	const int scales[] = {f->a_scale, f->b_scale, f->y_scale, f->y_zero};
	enum tamis_status s = TAMIS_OK;

	for (int k = 0; !s && k < 4; k++) {
		struct tensor t = laid_over(c->in[scales[k]], y, !f->conv && k != 1, false);
		bool vector = f->conv && t.rank == 1;

		for (int i = 2; vector && i < y->rank; i++) /* [channels, 1, ...] */
			t.dims[t.rank++] = 1;
		s = check_fits(c, scales[k], &t, y);
		if (!s && t.count != 1 && t.count != slices_of(f, y, k != 1))
			s = tm_fail(c->err, TAMIS_E_UNSUPPORTED,
			            "scale or zero point %d of %lld elements is not supported; one, "
			            "or one a row, column or channel is", scales[k], (long long)t.count);
	}
	return s;
}

static enum tamis_status shape_of(struct op_call *c, const struct form *f)
{
	struct inner n;
	enum tamis_status s = check_inputs(f, c);

	if (!s)
		s = make_inner(f, c, &n);
	if (!s && f->y_scale >= 0)
		s = check_scales(f, c, &n.y);
	return s ? s : op_set_like(c, 0, f->y_zero < 0 ? DT_INT32 : c->in[f->y_zero]->type, &n.y);
}

/* ---- Run ---- */

/* to = t - zero, in double. */
static enum tamis_status lower(const struct op_call *c, const struct tensor *t, const struct tensor *zero,
                               struct tensor *to)
{
	struct broadcast w;
	double *d = to->data = scratch_alloc(c->scratch, (size_t)t->count, sizeof(double));

	if (!d)
		return tm_no_memory(c->err, "multiplying integers");
	if (!zero)
		return tensor_convert(t, to, c->err);
	for (bool more = broadcast_start(&w, t, &zero, 1); more; more = broadcast_next(&w))
		for (int64_t i = 0; i < w.row; i++)
			d[w.out + i] = tensor_get(t, w.out + i) - tensor_get(zero, w.at[0] + i * w.step[0]);
	return TAMIS_OK;
}

static enum tamis_status multiply(const struct form *f, const struct op_call *c, struct inner *n)
{
	struct tensor a_zero = {0}, b_zero = {0};
	bool has_a = given(c, f->a_zero) != NULL, has_b = given(c, f->b_zero) != NULL;
	enum tamis_status s = make_inner(f, c, n);

	if (has_a)
		a_zero = over_a(f, c, f->a_zero);
	if (has_b)
		b_zero = over_b(f, c, f->b_zero);
	if (!s)
		s = lower(c, c->in[f->a], has_a ? &a_zero : NULL, &n->in[0]);
	if (!s)
		s = lower(c, c->in[f->b], has_b ? &b_zero : NULL, &n->in[1]);
	if (!s && n->ins[2])
		s = lower(c, c->in[f->bias], NULL, &n->in[2]);
	if (s)
		return s;
	n->y.data = scratch_alloc(c->scratch, (size_t)n->y.count, sizeof(double));
	return n->y.data ? f->base->run(&n->call) : tm_no_memory(c->err, "multiplying integers");
}

/* The element of a scale or zero point for element i of the result, as rows, columns or channels. */
struct pick {
	struct tensor t;
	int64_t step, dim; /* element: i / step % dim */
};

static struct pick pick_of(const struct form *f, const struct tensor *t, const struct tensor *y, bool rows)
{
	int64_t last = y->rank ? y->dims[y->rank - 1] : 1;
	struct pick p = {*t, 1, 1};

	if (t->count == 1)
		return p;
	if (f->conv)
		p.step = tensor_extent(y, 2, y->rank);
	else if (rows)
		p.step = last;
	p.dim = t->count;
	return p;
}

static double picked(const struct pick *p, int64_t i)
{
	return tensor_get(&p->t, i / p->step % p->dim);
}

static void requantize(const struct form *f, const struct op_call *c, const struct tensor *product)
{
	struct tensor *y = c->out[0];
	struct pick a = pick_of(f, c->in[f->a_scale], y, true), b = pick_of(f, c->in[f->b_scale], y, false);
	struct pick scale = pick_of(f, c->in[f->y_scale], y, true), zero = pick_of(f, c->in[f->y_zero], y, true);
	const double *from = product->data;

	for (int64_t i = 0; i < y->count; i++) {
		float factor = (float)picked(&a, i) * (float)picked(&b, i) / (float)picked(&scale, i);

		tensor_set(y, i, rint((double)((float)from[i] * factor)) + picked(&zero, i));
	}
}

static enum tamis_status run_of(struct op_call *c, const struct form *f)
{
	struct inner n;
	enum tamis_status s;

	if (!c->out[0] || c->out[0]->count == 0)
		return TAMIS_OK;
	s = multiply(f, c, &n);
	if (s)
		return s;
	if (f->y_scale < 0)
		return tensor_convert(&n.y, c->out[0], c->err);
	requantize(f, c, &n.y);
	return TAMIS_OK;
}

#define FORM_STEPS(name) \
	static enum tamis_status name##_shape(struct op_call *c) \
	{ \
		return shape_of(c, &name); \
	} \
	static enum tamis_status name##_run(struct op_call *c) \
	{ \
		return run_of(c, &name); \
	}
FORM_STEPS(matmul_integer)
FORM_STEPS(conv_integer)
FORM_STEPS(matmul_quantized)
FORM_STEPS(conv_quantized)

const struct op ops_integer[] = {
	{.name = "ConvInteger", .domain = "", .since = 10, .until = OP_LATEST, .min_in = 2, .max_in = 4,
	 .min_out = 1,
	 .max_out = 1, .parse = conv_parse, .shape = conv_integer_shape, .run = conv_integer_run},
	{.name = "MatMulInteger", .domain = "", .since = 10, .until = OP_LATEST, .min_in = 2, .max_in = 4,
	 .min_out = 1,
	 .max_out = 1, .shape = matmul_integer_shape, .run = matmul_integer_run},
	{.name = "QLinearConv", .domain = "", .since = 10, .until = OP_LATEST, .min_in = 8, .max_in = 9,
	 .min_out = 1,
	 .max_out = 1, .parse = conv_parse, .shape = conv_quantized_shape, .run = conv_quantized_run},
	{.name = "QLinearMatMul", .domain = "", .since = 10, .until = OP_LATEST, .min_in = 8, .max_in = 8,
	 .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .shape = matmul_quantized_shape, .run = matmul_quantized_run},
	{0},
};
