/* SPDX-License-Identifier: Apache-2.0 */
/* QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear: numbers as small integers or small floats times
 * a scale
 * that is one for all, one a slice of an axis, or one a block along it. */
#include <math.h>

#include "ops/args.h"
#include "ops/bytes.h"
#include "ops/family.h"
#include "ops/reals.h"

struct quantize_attr {
	int64_t axis, block, output, precision;
	bool saturate;
};

static enum tamis_status quantize_parse(struct op_parse *p, void **attr)
{
	struct quantize_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status s;

	if (!a)
		return TAMIS_E_MEMORY;
	s = attr_int(p, "axis", 1, &a->axis);
	if (!s)
		s = attr_int(p, "block_size", 0, &a->block);
	if (!s)
		s = attr_int(p, "output_dtype", 0, &a->output);
	if (!s)
		s = attr_int(p, "precision", 0, &a->precision);
	if (!s)
		s = attr_bool(p, "saturate", true, &a->saturate);
	if (!s && (a->block < 0 || a->output < 0 || a->output >= DT_COUNT || a->precision < 0 ||
	           a->precision >= DT_COUNT))
		return tm_fail(p->err, TAMIS_E_INVALID,
		               "block_size is %lld, output_dtype %lld and precision %lld, where a size "
		               "and data types are expected", (long long)a->block, (long long)a->output,
		               (long long)a->precision);
	return s;
}

/* Which scale an element uses: elements are [outer, dim, inner], `block` neighbours along dim share a scale;
 * dim 0:
 * one scale for all. */
struct grain {
	int64_t dim, inner, block, blocks;
};

static int64_t scale_of(const struct grain *g, int64_t i)
{
	int64_t at, rest;

	if (g->dim == 0)
		return 0;
	at = i / g->inner % g->dim;
	if (g->block == 0)
		return at;
	rest = i / g->inner / g->dim;
	return (rest * g->blocks + at / g->block) * g->inner + i % g->inner;
}

static enum tamis_status misfit(const struct op_call *c)
{
	char x[128], scale[128];

	return tm_fail(c->err, TAMIS_E_INVALID, "the scale %s fits neither an axis nor blocks of the data %s",
	               tensor_describe(c->in[1], scale, sizeof scale), tensor_describe(c->in[0], x, sizeof x));
}

static enum tamis_status find_grain(const struct op_call *c, struct grain *g)
{
	const struct quantize_attr *a = c->node->attr;
	const struct tensor *x = c->in[0], *scale = c->in[1];
	enum tamis_status s;
	int axis = 0;

	*g = (struct grain){0};
	if (scale->rank == 0 || (scale->count == 1 && scale->rank == 1))
		return TAMIS_OK;
	s = args_axis(c->err, a->axis, x->rank, &axis);
	if (s)
		return s;
	*g = (struct grain){x->dims[axis], tensor_extent(x, axis + 1, x->rank), a->block, 0};
	if (a->block == 0)
		return scale->rank == 1 && scale->dims[0] == g->dim ? TAMIS_OK : misfit(c);
	if (scale->rank != x->rank)
		return misfit(c);
	g->blocks = scale->dims[axis];
	for (int i = 0; i < x->rank; i++)
		if (i != axis && scale->dims[i] != x->dims[i])
			return misfit(c);
	return g->blocks == g->dim / a->block + (g->dim % a->block != 0) ? TAMIS_OK : misfit(c);
}

/* What numbers are quantized to. */
static bool is_small(enum dtype t)
{
	return t == DT_UINT8 || t == DT_INT8 || t == DT_UINT16 || t == DT_INT16 || t == DT_INT32 ||
		t == DT_UINT4 ||
	       t == DT_INT4 || t == DT_UINT2 || t == DT_INT2 || t == DT_FLOAT4E2M1 ||
	       (t >= DT_FLOAT8E4M3FN && t <= DT_FLOAT8E5M2FNUZ);
}

static bool is_single(enum dtype t)
{
	return t == DT_FLOAT || t == DT_FLOAT16 || t == DT_BFLOAT16;
}

static enum tamis_status check_zero(const struct op_call *c, enum dtype type)
{
	const struct tensor *zero = op_in(c, 2);
	char text[128];

	if (zero && (zero->type != type || (zero->count != c->in[1]->count)))
		return tm_fail(c->err, TAMIS_E_INVALID, "the zero point must be %s and shaped as the scale; it is %s",
		               dtype_name((int)type), tensor_describe(zero, text, sizeof text));
	return TAMIS_OK;
}

/* ---- QuantizeLinear ---- */

static enum dtype quantized_type(const struct op_call *c)
{
	const struct quantize_attr *a = c->node->attr;

	if (op_in(c, 2))
		return c->in[2]->type;
	return a->output ? (enum dtype)a->output : DT_UINT8;
}

static enum tamis_status quantize_shape(struct op_call *c)
{
	const struct quantize_attr *a = c->node->attr;
	const struct tensor *x = c->in[0], *scale = c->in[1];
	enum dtype to = quantized_type(c);
	struct grain g;
	enum tamis_status s;

	if ((!is_single(x->type) && x->type != DT_INT32) || (!is_single(scale->type) && scale->type != DT_INT32 &&
	    scale->type != DT_FLOAT8E8M0) || !is_small(to))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "quantizing %s with a scale of %s to %s is not supported",
		               dtype_name((int)x->type), dtype_name((int)scale->type), dtype_name((int)to));
	if (a->output && (enum dtype)a->output != to)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "output_dtype is %s, the zero point is %s; the same is expected",
		               dtype_name((int)a->output), dtype_name((int)to));
	if (!a->saturate && dtype_kind((int)to) == 'o')
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "quantizing to %s without saturation is not supported",
		               dtype_name((int)to));
	s = check_zero(c, to);
	if (!s)
		s = find_grain(c, &g);
	return s ? s : op_set_like(c, 0, to, x);
}

/* The type that x / scale is rounded to. */
static enum dtype quotient_type(const struct op_call *c)
{
	const struct quantize_attr *a = c->node->attr;
	enum dtype t = a->precision ? (enum dtype)a->precision : c->in[1]->type;

	return is_single(t) ? t : DT_FLOAT;
}

static double rounded(double v, enum dtype type)
{
	uint16_t half;
	struct tensor t = {.type = type, .count = 1, .data = &half};

	if (type == DT_FLOAT)
		return (double)(float)v;
	tensor_set(&t, 0, v);
	return tensor_get(&t, 0);
}

/* Elements that share a scale and lie together. */
static int64_t run_of(const struct grain *g, int64_t count)
{
	return g->dim == 0 ? count : g->block == 0 ? g->inner : 1;
}

static void quantize_runs(const struct op_call *c, const struct grain *g, int64_t run)
{
	const struct tensor *scale = c->in[1], *zero = op_in(c, 2);

	for (int64_t i = 0; i < c->in[0]->count; i += run) {
		int64_t k = scale_of(g, i);

		bytes_from_floats((const float *)c->in[0]->data + i, run, ((const float *)scale->data)[k],
		                  zero ? (float)tensor_get(zero, k) : 0, c->out[0], i);
	}
}

static enum tamis_status quantize_run(struct op_call *c)
{
	const struct tensor *x = c->in[0], *scale = c->in[1], *zero = op_in(c, 2);
	struct tensor *y = c->out[0];
	enum dtype precision = quotient_type(c);
	bool whole = y && dtype_is_integer((int)y->type);
	struct grain g;
	enum tamis_status s = find_grain(c, &g);

	if (!s && y && y->count && is_byte(y->type) && x->type == DT_FLOAT && precision == DT_FLOAT
	    && scale->type == DT_FLOAT) {
		quantize_runs(c, &g, run_of(&g, x->count));
		return TAMIS_OK;
	}
	for (int64_t i = 0; !s && y && i < x->count; i++) {
		int64_t k = scale_of(&g, i);
		double v = rounded(tensor_get(x, i) / tensor_get(scale, k), precision);

		tensor_set(y, i, (whole ? rint(v) : v) + (zero ? tensor_get(zero, k) : 0));
	}
	return s;
}

/* ---- DequantizeLinear ---- */

static enum tamis_status dequantize_shape(struct op_call *c)
{
	const struct quantize_attr *a = c->node->attr;
	const struct tensor *x = c->in[0], *scale = c->in[1];
	enum dtype to = a->output ? (enum dtype)a->output : scale->type;
	struct grain g;
	enum tamis_status s;

	if (!is_small(x->type) || (!is_single(scale->type) && scale->type != DT_FLOAT8E8M0) || !is_single(to))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED,
		               "dequantizing %s with a scale of %s to %s is not supported",
		               dtype_name((int)x->type), dtype_name((int)scale->type), dtype_name((int)to));
	s = check_zero(c, x->type);
	if (!s)
		s = find_grain(c, &g);
	return s ? s : op_set_like(c, 0, to, x);
}

static double level(const struct op_call *c, int64_t i, int64_t k)
{
	return tensor_get(c->in[0], i) - (op_in(c, 2) ? tensor_get(c->in[2], k) : 0);
}

static void dequantize_runs(const struct op_call *c, const struct grain *g, int64_t run)
{
	for (int64_t i = 0; i < c->in[0]->count; i += run) {
		int64_t k = scale_of(g, i);

		bytes_to_floats(c->in[0], i, run, op_in(c, 2) ? (float)tensor_get(c->in[2], k) : 0,
		                ((const float *)c->in[1]->data)[k], (float *)c->out[0]->data + i);
	}
}

static enum tamis_status dequantize_run(struct op_call *c)
{
	struct tensor *y = c->out[0];
	struct grain g;
	enum tamis_status s = find_grain(c, &g);

	if (!s && y && y->count && is_byte(c->in[0]->type) && y->type == DT_FLOAT && c->in[1]->type == DT_FLOAT) {
		dequantize_runs(c, &g, run_of(&g, y->count));
		return TAMIS_OK;
	}

	for (int64_t i = 0; !s && y && i < y->count; i++) {
		int64_t k = scale_of(&g, i);

		tensor_set(y, i, level(c, i, k) * tensor_get(c->in[1], k));
	}
	return s;
}

/* Of the scale: the data are integers. */
static enum tamis_status dequantize_reverse(struct op_grad *g)
{
	const struct op_call *c = g->call;
	struct grain grain;
	enum tamis_status s = find_grain(c, &grain);

	for (int64_t i = 0; !s && g->gout[0] && g->gin[1] && i < c->in[0]->count; i++) {
		int64_t k = scale_of(&grain, i);

		real_add(g->gin[1], k, real_get(g->gout[0], i) * level(c, i, k));
	}
	return s;
}

/* ---- DynamicQuantizeLinear ---- */

static enum tamis_status dynamic_shape(struct op_call *c)
{
	enum tamis_status s;

	if (c->in[0]->type != DT_FLOAT)
		return tm_fail(c->err, TAMIS_E_INVALID, "DynamicQuantizeLinear takes float, not %s",
		               dtype_name((int)c->in[0]->type));
	s = op_set_like(c, 0, DT_UINT8, c->in[0]);
	if (!s)
		s = op_set_out(c, 1, DT_FLOAT, 0, NULL);
	return s ? s : op_set_out(c, 2, DT_UINT8, 0, NULL);
}

/* The range of the data, widened to hold zero, on 0 .. 255, in single precision as the definition has it. */
static enum tamis_status dynamic_run(struct op_call *c)
{
	const float *x = c->in[0]->data;
	float low = 0, high = 0, scale, zero;

	for (int64_t i = 0; i < c->in[0]->count; i++) {
		low = x[i] < low ? x[i] : low;
		high = x[i] > high ? x[i] : high;
	}
	scale = (high > low ? high - low : 1) / 255;
	zero = rintf(fminf(fmaxf(-low / scale, 0), 255));
	if (c->out[0])
		bytes_from_floats(x, c->in[0]->count, scale, zero, c->out[0], 0);
	if (c->n_out > 1 && c->out[1])
		tensor_set(c->out[1], 0, (double)scale);
	if (c->n_out > 2 && c->out[2])
		tensor_set(c->out[2], 0, (double)zero);
	return TAMIS_OK;
}

static void channels(struct channel_call *c)
{
	const struct quantize_attr *a = c->node->attr;
	struct tamis_error ignored = {0};
	int axis = 0;

	channels_pass(c);
	if (a->block) {
		channels_keep_all(c, "it is quantised in blocks");
		return;
	}
	if (args_axis(&ignored, a->axis, c->in[0]->rank, &axis) != TAMIS_OK)
		return; /* one scale for all: the axis means nothing */
	for (int i = 1; i < c->n_in; i++)
		if (c->in[i] && c->in[i]->rank == 1 && c->in[i]->dims[0] == c->in[0]->dims[axis])
			channels_tie(c, i, 0, 0, axis);
}

const struct op ops_quantize[] = {
	{.name = "DequantizeLinear", .domain = "", .since = 10, .until = OP_LATEST, .min_in = 2, .max_in = 3,
	 .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .channels = channels, .parse = quantize_parse, .shape = dequantize_shape, .run =
	 dequantize_run,
	 .reverse = dequantize_reverse},
	{.name = "DynamicQuantizeLinear", .domain = "", .since = 11, .until = OP_LATEST, .min_in = 1, .max_in = 1,
	 .min_out = 3, .max_out = 3, .shape = dynamic_shape, .run = dynamic_run},
	{.name = "QuantizeLinear", .domain = "", .since = 10, .until = OP_LATEST, .min_in = 2, .max_in = 3,
	 .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .channels = channels, .parse = quantize_parse, .shape = quantize_shape, .run =
	 quantize_run},
	{0},
};
