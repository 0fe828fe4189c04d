/* SPDX-License-Identifier: Apache-2.0 */
/* Products of small integers: MatMulInteger, ConvInteger, QLinearMatMul and QLinearConv. The factors, less their zero
 * points, are multiplied by MatMul and Conv in float, in sums short enough to be exact, which are added in double. */
#include <string.h>

#include "ops/args.h"
#include "ops/broadcast.h"
#include "ops/bytes.h"
#include "ops/family.h"

enum { EXACT = 257 }; /* products of magnitude 255^2 whose sum is below 2^24: every partial sum is exact in float */

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

/* A call of Conv or MatMul on floats or doubles, without the bias; data are set by the caller. */
struct inner {
	struct tensor in[2], y;
	const struct tensor *ins[2];
	struct tensor *outs[1];
	struct op_call call;
};

static enum tamis_status make_inner(const struct form *f, const struct op_call *c, enum dtype type, struct inner *n)
{
	const int from[] = {f->a, f->b};

	n->y = (struct tensor){0};
	for (int k = 0; k < 2; k++) {
		n->in[k] = *c->in[from[k]];
		n->in[k].type = type;
		n->in[k].data = NULL;
		n->ins[k] = &n->in[k];
	}
	n->outs[0] = &n->y;
	n->call = (struct op_call){.node = c->node, .n_in = 2, .n_out = 1, .in = n->ins, .out = n->outs,
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
		s = make_inner(f, c, DT_FLOAT, &n);
	if (!s && f->y_scale >= 0)
		s = check_scales(f, c, &n.y);
	return s ? s : op_set_like(c, 0, f->y_zero < 0 ? DT_INT32 : c->in[f->y_zero]->type, &n.y);
}

/* ---- Products ---- */

static enum tamis_status no_memory(const struct op_call *c)
{
	return tm_no_memory(c->err, "multiplying integers");
}

/* The factor less its zero point as floats, which is exact. NULL without memory. */
static float *lower(const struct form *f, const struct op_call *c, bool right)
{
	const struct tensor *t = c->in[right ? f->b : f->a], *zero = given(c, right ? f->b_zero : f->a_zero);
	float *to = scratch_alloc(c->scratch, (size_t)t->count, sizeof *to);
	struct tensor over;
	struct broadcast w;

	if (!to || !zero) {
		if (to)
			bytes_to_floats(t, 0, t->count, 0, 1, to);
		return to;
	}
	over = right ? over_b(f, c, f->b_zero) : over_a(f, c, f->a_zero);
	zero = &over;
	for (bool more = broadcast_start(&w, t, &zero, 1); more; more = broadcast_next(&w)) {
		bytes_to_floats(t, w.out, w.row, w.step[0] ? 0 : (float)tensor_get(zero, w.at[0]), 1, to + w.out);
		for (int64_t i = 0; w.step[0] && i < w.row; i++)
			to[w.out + i] -= (float)tensor_get(zero, w.at[0] + i * w.step[0]);
	}
	return to;
}

/* What the products are summed over: an axis of each factor, and how many elements of the sum a step along it is. */
struct summed { int axis[2]; int64_t dim, unit; };

static struct summed find_summed(const struct form *f, const struct tensor *a, const struct tensor *b)
{
	if (f->conv)
		return (struct summed){{1, 1}, b->dims[1], tensor_extent(b, 2, b->rank)};
	return (struct summed){{a->rank - 1, b->rank > 1 ? b->rank - 2 : 0}, a->dims[a->rank - 1], 1};
}

/* Elements [from, from + n) of an axis of `data`, shaped as t, whose axis becomes n long; copied to `room` where they
 * do not lie together. */
static void cut(float *data, int64_t dim, float *room, struct tensor *t, int axis, int64_t from, int64_t n)
{
	int64_t inner = tensor_extent(t, axis + 1, t->rank), outer = tensor_extent(t, 0, axis);

	t->data = outer == 1 ? data + from * inner : room;
	for (int64_t o = 0; outer > 1 && o < outer; o++)
		memcpy(room + o * n * inner, data + (o * dim + from) * inner, (size_t)(n * inner) * sizeof *data);
	t->dims[axis] = n;
	t->count = outer * n * inner;
}

LOOP_VERSIONS static void add(const float *restrict part, int64_t n, bool first, double *restrict sum)
{
	for (int64_t i = 0; first && i < n; i++)
		sum[i] = (double)part[i];
	for (int64_t i = 0; !first && i < n; i++)
		sum[i] += (double)part[i];
}

/* Modulo 2^32. */
LOOP_VERSIONS static void wrap(const double *restrict sum, int64_t n, int32_t *restrict y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = (int32_t)(uint32_t)(int64_t)sum[i];
}

/* Sums of up to EXACT products are exact in float, in any order; longer ones are made of such parts. */
static enum tamis_status sum_parts(const struct form *f, const struct op_call *c, const struct summed *k, int64_t most,
                                   struct inner *n, double *sum)
{
	float *data[2] = {lower(f, c, false), lower(f, c, true)}, *room[2] = {data[0], data[1]};
	float *part = scratch_alloc(c->scratch, (size_t)n->y.count, sizeof *part);
	enum tamis_status s = data[0] && data[1] && part ? TAMIS_OK : no_memory(c);

	for (int i = 0; !s && i < 2; i++) {
		n->in[i].data = data[i];
		if (most < k->dim)
			room[i] = scratch_alloc(c->scratch, (size_t)n->in[i].count, sizeof(float));
		s = room[i] ? TAMIS_OK : no_memory(c);
	}
	n->y.data = part;
	for (int64_t at = 0; !s && at < k->dim; at += most) {
		for (int i = 0; most < k->dim && i < 2; i++)
			cut(data[i], k->dim, room[i], &n->in[i], k->axis[i], at, at + most < k->dim ? most : k->dim - at);
		s = f->base->run(&n->call);
		if (!s)
			add(part, n->y.count, at == 0, sum);
	}
	return s;
}

/* In one sum of doubles: groups of convolutions with very large windows. */
static enum tamis_status sum_doubles(const struct form *f, const struct op_call *c, struct inner *n, double *sum)
{
	enum tamis_status s = make_inner(f, c, DT_DOUBLE, n);

	n->y.data = sum;
	for (int i = 0; !s && i < 2; i++) {
		const float *from = lower(f, c, i);
		double *to = n->in[i].data = scratch_alloc(c->scratch, (size_t)n->in[i].count, sizeof *to);

		if (!from || !to)
			return no_memory(c);
		for (int64_t j = 0; j < n->in[i].count; j++)
			to[j] = (double)from[j];
	}
	return s ? s : f->base->run(&n->call);
}

static void add_bias(const struct tensor *bias, const struct tensor *y, double *sum)
{
	int64_t size = tensor_extent(y, 2, y->rank);

	for (int64_t i = 0; i < y->count; i++)
		sum[i] += tensor_get(bias, i / size % bias->count);
}

/* *sum: the products as doubles, in scratch. */
static enum tamis_status multiply(const struct form *f, const struct op_call *c, struct inner *n, double **sum)
{
	enum tamis_status s = make_inner(f, c, DT_FLOAT, n);
	struct summed k;
	int64_t most;

	if (s)
		return s;
	*sum = scratch_alloc(c->scratch, (size_t)n->y.count, sizeof **sum);
	if (!*sum)
		return no_memory(c);
	if (n->in[0].count == 0 || n->in[1].count == 0)
		memset(*sum, 0, (size_t)n->y.count * sizeof **sum);
	k = find_summed(f, &n->in[0], &n->in[1]);
	most = k.unit > 0 ? EXACT / k.unit : k.dim;
	if (most >= k.dim || (most > 0 && (!f->conv || n->in[0].dims[1] == k.dim)))
		s = sum_parts(f, c, &k, most, n, *sum);
	else
		s = sum_doubles(f, c, n, *sum);
	if (!s && given(c, f->bias))
		add_bias(c->in[f->bias], &n->y, *sum);
	return s;
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

/* Rows of a matrix or channels of an image, of which only the scales of columns differ. */
static enum tamis_status requantize(const struct form *f, const struct op_call *c, const double *sum)
{
	struct tensor *y = c->out[0];
	struct pick a = pick_of(f, c->in[f->a_scale], y, true), b = pick_of(f, c->in[f->b_scale], y, false);
	struct pick scale = pick_of(f, c->in[f->y_scale], y, true), zero = pick_of(f, c->in[f->y_zero], y, true);
	int64_t run = f->conv ? tensor_extent(y, 2, y->rank) : y->rank ? y->dims[y->rank - 1] : 1;
	bool each = !f->conv && b.t.count > 1;
	float *factor = scratch_alloc(c->scratch, each ? (size_t)run : 1, sizeof *factor);

	if (!factor)
		return no_memory(c);
	for (int64_t i = 0; i < y->count; i += run) {
		for (int64_t j = 0; j < (each ? run : 1); j++)
			factor[j] = (float)picked(&a, i) * (float)picked(&b, i + j) / (float)picked(&scale, i);
		bytes_from_sums(sum + i, run, factor, each, (float)picked(&zero, i), y, i);
	}
	return TAMIS_OK;
}

static enum tamis_status run_of(struct op_call *c, const struct form *f)
{
	struct inner n;
	double *sum;
	enum tamis_status s;

	if (!c->out[0] || c->out[0]->count == 0)
		return TAMIS_OK;
	s = multiply(f, c, &n, &sum);
	if (s)
		return s;
	if (f->y_scale >= 0)
		return requantize(f, c, sum);
	wrap(sum, c->out[0]->count, c->out[0]->data);
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
