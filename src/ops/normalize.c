/* SPDX-License-Identifier: Apache-2.0 */
/* BatchNormalization with given moments, and the normalizations without parameters: local response, Lp and
 * mean-variance. */
#include <string.h>
#include <tgmath.h>

#include "base/eight.h"
#include "base/loop.h"
#include "ops/args.h"
#include "ops/broadcast.h"
#include "ops/reduce.h"

static bool is_half(enum dtype type)
{
	return type == DT_FLOAT16 || type == DT_BFLOAT16;
}

static enum tamis_status float_shape(struct op_call *c)
{
	const struct tensor *x = op_in(c, 0);

	if (!dtype_is_float((int)x->type))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "%s does not take elements of type %s", c->node->op->name,
		               dtype_name((int)x->type));
	return op_set_like(c, 0, x->type, x);
}

/* ---- BatchNormalization: y = (x - mean) * scale / sqrt(var + epsilon) + bias, per channel ---- */

struct batch_attr {
	double epsilon;
	bool spatial, training;
};

static enum tamis_status batch_parse(struct op_parse *p, void **attr)
{
	struct batch_attr *a = args_alloc(p, sizeof *a);
	float epsilon;
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	*attr = a;
	a->spatial = true;
	status = attr_float(p, "epsilon", 1e-5f, &epsilon);
	a->epsilon = (double)epsilon;
	if (status == TAMIS_OK && p->node->opset < 9)
		status = attr_bool(p, "spatial", true, &a->spatial);
	if (status == TAMIS_OK && p->node->opset < 7)
		status = attr_inference(p);
	if (status == TAMIS_OK && p->node->opset >= 14)
		status = attr_bool(p, "training_mode", false, &a->training);
	return status;
}

/* Channels: axis 1, or every feature of its own in the old form with spatial = 0; a vector is one channel. */
static struct cut batch_cut(const struct op_call *c)
{
	const struct batch_attr *a = c->node->attr;
	const struct tensor *x = op_in(c, 0);

	if (x->rank < 2)
		return (struct cut){1, 1, x->count};
	return a->spatial ? cut_at(x, 1) : (struct cut){x->dims[0], tensor_extent(x, 1, x->rank), 1};
}

static enum tamis_status batch_parameters(const struct op_call *c)
{
	const struct batch_attr *a = c->node->attr;
	int64_t channels = batch_cut(c).n;
	enum dtype data = op_in(c, 0)->type;

	for (int i = 1; i < 5; i++) {
		const struct tensor *t = op_in(c, i);
		bool mixed = (t->type == DT_FLOAT || is_half(t->type)) && (data == DT_FLOAT || is_half(data));

		if (t->type != data && !mixed)
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "BatchNormalization takes inputs of one type; input 0 is %s, input %d is %s",
			               dtype_name((int)data), i, dtype_name((int)t->type));
		if ((a->spatial && t->rank != 1) || t->count != channels)
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "input %d of BatchNormalization has %lld elements; the data have %lld channels", i,
			               (long long)t->count, (long long)channels);
	}
	return TAMIS_OK;
}

static enum tamis_status batch_shape(struct op_call *c)
{
	const struct batch_attr *a = c->node->attr;
	bool training = a->training;
	enum tamis_status status = float_shape(c);

	for (int i = 1; i < c->n_out; i++)
		training |= c->out[i] != NULL;
	if (training)
		return tm_fail(
			c->err, TAMIS_E_UNSUPPORTED,
			"BatchNormalization in training form is not supported; export the model for inference");
	return status == TAMIS_OK ? batch_parameters(c) : status;
}

/* factor[c] = scale / sqrt(var + epsilon); the subtraction comes first, so that large means cost no
 * digits. */
#define BATCH(name, type) \
	static void name(const type *x, struct cut cut, const type *scale, const type *bias, const type *mean, \
	                 const type *var, double epsilon, type *factor, type *y) \
	{ \
		for (int64_t k = 0; k < cut.n; k++) \
			factor[k] = (type)((double)scale[k] / sqrt((double)var[k] + epsilon)); \
		for (int64_t o = 0; o < cut.outer && cut.inner == 1; o++) { \
			LOOP_INDEPENDENT \
			for (int64_t k = 0; k < cut.n; k++) \
				y[o * cut.n + k] = (x[o * cut.n + k] - mean[k]) * factor[k] + bias[k]; \
		} \
		for (int64_t row = 0; row < cut.outer * cut.n && cut.inner != 1; row++) { \
			const type m = mean[row % cut.n], f = factor[row % cut.n], b = bias[row % cut.n]; \
 \
			LOOP_INDEPENDENT \
			for (int64_t i = row * cut.inner; i < (row + 1) * cut.inner; i++) \
				y[i] = (x[i] - m) * f + b; \
		} \
	}
BATCH(batch_float, float)
BATCH(batch_double, double)

static enum tamis_status batch_run(struct op_call *c)
{
	const struct batch_attr *a = c->node->attr;
	const struct tensor *x = op_in(c, 0);
	struct cut cut = batch_cut(c);
	void *factor = scratch_alloc(c->scratch, (size_t)cut.n, sizeof(double));

	if (!factor)
		return tm_no_memory(c->err, "normalising a batch");
	if (x->count == 0)
		return TAMIS_OK;
	if (x->type == DT_FLOAT)
		batch_float(x->data, cut, c->in[1]->data, c->in[2]->data, c->in[3]->data, c->in[4]->data, a->epsilon,
		            factor, c->out[0]->data);
	else
		batch_double(x->data, cut, c->in[1]->data, c->in[2]->data, c->in[3]->data, c->in[4]->data, a->epsilon,
		             factor, c->out[0]->data);
	return TAMIS_OK;
}

/* Of one channel: sum of g and of g (x - mean); adds factor * g to gx where that is wanted. */
struct batch_sums { double g, gx; };

/* Partial sums side by side, so that they are vectors; their number fixes the order. */
#define BATCH_SLOPE(name, type) \
	LOOP_VERSIONS static void name##_sums(const type *x, const type *g, int64_t n, double mean, struct batch_sums *to) \
	{ \
		double a[LANES] = { 0 }, b[LANES] = { 0 }; \
		int64_t i = 0; \
 \
		for (; i + LANES <= n; i += LANES) \
			for (int k = 0; k < LANES; k++) { \
				a[k] += (double)g[i + k]; \
				b[k] += (double)g[i + k] * ((double)x[i + k] - mean); \
			} \
		for (; i < n; i++) { \
			a[0] += (double)g[i]; \
			b[0] += (double)g[i] * ((double)x[i] - mean); \
		} \
		for (int k = 0; k < LANES; k++) { \
			to->g += a[k]; \
			to->gx += b[k]; \
		} \
	} \
 \
	LOOP_VERSIONS static void name##_inputs(const type *g, int64_t n, type factor, type *restrict gx) \
	{ \
		for (int64_t i = 0; i < n; i++) \
			gx[i] += g[i] * factor; \
	} \
 \
	static void name(const type *x, const type *g, struct cut cut, const type *mean, const double *factor, \
	                 struct batch_sums *sums, type *gx) \
	{ \
		for (int64_t row = 0; row < cut.outer * cut.n; row++) { \
			int64_t k = row % cut.n, at = row * cut.inner; \
 \
			if (sums) \
				name##_sums(x + at, g + at, cut.inner, (double)mean[k], &sums[k]); \
			if (gx) \
				name##_inputs(g + at, cut.inner, (type)factor[k], gx + at); \
		} \
	}
BATCH_SLOPE(batch_slope_float, float)
BATCH_SLOPE(batch_slope_double, double)

static void add_at(struct tensor *t, int64_t i, double value)
{
	if (t)
		tensor_set(t, i, tensor_get(t, i) + value);
}

/* With inverse = 1 / sqrt(var + epsilon): dscale = inverse sum g (x - mean), dbias = sum g, dmean = -factor
 * sum g, dvar = -1/2 factor inverse^2 sum g (x - mean). */
static enum tamis_status batch_reverse(struct op_grad *g)
{
	const struct batch_attr *a = g->call->node->attr;
	const struct tensor *const *in = g->call->in;
	struct cut cut = batch_cut(g->call);
	bool wanted = g->gin[1] || g->gin[2] || g->gin[3] || g->gin[4];
	struct batch_sums *sums = wanted ? scratch_alloc(g->call->scratch, (size_t)cut.n, sizeof *sums) : NULL;
	double *factor = scratch_alloc(g->call->scratch, (size_t)cut.n, sizeof *factor);
	void *gx = g->gin[0] ? g->gin[0]->data : NULL;

	if ((wanted && !sums) || !factor)
		return tm_no_memory(g->call->err, "reversing a normalization");
	if (!g->gout[0] || in[0]->count == 0)
		return TAMIS_OK;
	for (int64_t k = 0; k < cut.n; k++) {
		if (sums)
			sums[k] = (struct batch_sums){0, 0};
		factor[k] = tensor_get(in[1], k) / sqrt(tensor_get(in[4], k) + a->epsilon);
	}
	if (in[0]->type == DT_FLOAT)
		batch_slope_float(in[0]->data, g->gout[0]->data, cut, in[3]->data, factor, sums, gx);
	else
		batch_slope_double(in[0]->data, g->gout[0]->data, cut, in[3]->data, factor, sums, gx);
	for (int64_t k = 0; sums && k < cut.n; k++) {
		double inverse = 1 / sqrt(tensor_get(in[4], k) + a->epsilon);

		add_at(g->gin[1], k, inverse * sums[k].gx);
		add_at(g->gin[2], k, sums[k].g);
		add_at(g->gin[3], k, -factor[k] * sums[k].g);
		add_at(g->gin[4], k, -0.5 * factor[k] * inverse * inverse * sums[k].gx);
	}
	return TAMIS_OK;
}

/* ---- LRN: y = x (bias + alpha / size * S)^-beta, S the sum of squares over neighbouring channels ---- */

struct lrn_attr {
	double alpha, beta, bias;
	int64_t size;
};

static enum tamis_status lrn_parse(struct op_parse *p, void **attr)
{
	struct lrn_attr *a = args_alloc(p, sizeof *a);
	float alpha, beta, bias;
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	*attr = a;
	status = attr_required(p, "size");
	if (status == TAMIS_OK)
		status = attr_int(p, "size", 1, &a->size);
	if (status == TAMIS_OK)
		status = attr_float(p, "alpha", 1e-4f, &alpha);
	if (status == TAMIS_OK)
		status = attr_float(p, "beta", 0.75f, &beta);
	if (status == TAMIS_OK)
		status = attr_float(p, "bias", 1, &bias);
	if (status != TAMIS_OK)
		return status;
	if (a->size < 1)
		return tm_fail(p->err, TAMIS_E_INVALID, "size must be positive; it is %lld", (long long)a->size);
	a->alpha = (double)alpha;
	a->beta = (double)beta;
	a->bias = (double)bias;
	return TAMIS_OK;
}

static enum tamis_status lrn_shape(struct op_call *c)
{
	if (op_in(c, 0)->rank < 2)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "LRN needs data with a batch and a channel axis; its rank is %d", op_in(c, 0)->rank);
	return float_shape(c);
}

/* prefix[(k + 1) * inner + i] = the sum over channels 0..k, so that any window is one difference; in double,
 * whose cancellation is far below the data's own rounding. out[k] = sum over channels k - before .. k +
 * after. */
static void window_sums(double *prefix, struct cut cut, int64_t before, int64_t after, double *out)
{
	for (int64_t k = 1; k <= cut.n; k++)
		for (int64_t i = 0; i < cut.inner; i++)
			prefix[k * cut.inner + i] += prefix[(k - 1) * cut.inner + i];
	for (int64_t k = 0; k < cut.n; k++) {
		int64_t first = k > before ? k - before : 0, end = cut.n - k > after ? k + after + 1 : cut.n;

		for (int64_t i = 0; i < cut.inner; i++)
			out[k * cut.inner + i] = prefix[end * cut.inner + i] - prefix[first * cut.inner + i];
	}
}

struct lrn_work { double *prefix, *base, *sums; };

static enum tamis_status lrn_make_work(struct op_call *c, struct cut cut, struct lrn_work *w)
{
	size_t block = (size_t)(cut.n * cut.inner);

	w->prefix = scratch_alloc(c->scratch, block + (size_t)cut.inner, sizeof *w->prefix);
	w->base = scratch_alloc(c->scratch, block, sizeof *w->base);
	w->sums = scratch_alloc(c->scratch, block, sizeof *w->sums);
	return w->prefix && w->base && w->sums ? TAMIS_OK : tm_no_memory(c->err, "normalising responses");
}

/* base = bias + alpha / size * S of one item. */
#define LRN(name, type) \
	static void name##_base(const type *x, struct cut cut, const struct lrn_attr *a, \
	                        const struct lrn_work *w) \
	{ \
		memset(w->prefix, 0, (size_t)cut.inner * sizeof *w->prefix); \
		for (int64_t i = 0; i < cut.n * cut.inner; i++) \
			w->prefix[cut.inner + i] = (double)x[i] * (double)x[i]; \
		window_sums(w->prefix, cut, (a->size - 1) / 2, a->size / 2, w->base); \
		for (int64_t i = 0; i < cut.n * cut.inner; i++) \
			w->base[i] = a->bias + a->alpha / (double)a->size * w->base[i]; \
	} \
	static void name##_block(const type *x, struct cut cut, const struct lrn_attr *a, \
	                         const struct lrn_work *w, type *y) \
	{ \
		name##_base(x, cut, a, w); \
		for (int64_t i = 0; i < cut.n * cut.inner; i++) \
			y[i] = (type)((double)x[i] * pow(w->base[i], -a->beta)); \
	} \
	/* gx = g D^-beta - 2 alpha beta / size x sum of g x D^(-beta - 1) over the windows that contain x */ \
	static void name##_slope(const type *x, const type *g, struct cut cut, const struct lrn_attr *a, \
	                         const struct lrn_work *w, type *gx) \
	{ \
		double factor = 2 * a->alpha * a->beta / (double)a->size; \
 \
		name##_base(x, cut, a, w); \
		memset(w->prefix, 0, (size_t)cut.inner * sizeof *w->prefix); \
		for (int64_t i = 0; i < cut.n * cut.inner; i++) \
			w->prefix[cut.inner + i] = (double)g[i] * (double)x[i] * pow(w->base[i], -a->beta - 1); \
		window_sums(w->prefix, cut, a->size / 2, (a->size - 1) / 2, w->sums); \
		for (int64_t i = 0; i < cut.n * cut.inner; i++) \
			gx[i] += (type)((double)g[i] * pow(w->base[i], -a->beta) - factor * (double)x[i] * w->sums[i]); \
	}
LRN(lrn_float, float)
LRN(lrn_double, double)

static enum tamis_status lrn_run(struct op_call *c)
{
	const struct tensor *x = op_in(c, 0);
	struct cut cut = cut_at(x, 1);
	struct lrn_work w;
	enum tamis_status status = x->count ? lrn_make_work(c, cut, &w) : TAMIS_OK;

	for (int64_t o = 0; status == TAMIS_OK && x->count && o < cut.outer; o++) {
		int64_t at = o * cut.n * cut.inner;

		if (x->type == DT_FLOAT)
			lrn_float_block((const float *)x->data + at, cut, c->node->attr, &w,
			                (float *)c->out[0]->data + at);
		else
			lrn_double_block((const double *)x->data + at, cut, c->node->attr, &w,
			                 (double *)c->out[0]->data + at);
	}
	return status;
}

static enum tamis_status lrn_reverse(struct op_grad *g)
{
	const struct tensor *x = op_in(g->call, 0), *gy = g->gout[0];
	struct tensor *gx = g->gin[0];
	struct cut cut = cut_at(x, 1);
	struct lrn_work w;
	enum tamis_status status;

	if (!gy || !gx || x->count == 0)
		return TAMIS_OK;
	status = lrn_make_work(g->call, cut, &w);
	for (int64_t o = 0; status == TAMIS_OK && o < cut.outer; o++) {
		int64_t at = o * cut.n * cut.inner;

		if (x->type == DT_FLOAT)
			lrn_float_slope((const float *)x->data + at, (const float *)gy->data + at, cut,
			                g->call->node->attr, &w, (float *)gx->data + at);
		else
			lrn_double_slope((const double *)x->data + at, (const double *)gy->data + at, cut,
			                 g->call->node->attr, &w, (double *)gx->data + at);
	}
	return status;
}

/* ---- LpNormalization: y = x / (sum |x|^p)^(1/p) along an axis, p 1 or 2; zero where the norm is ---- */

struct lp_attr { int64_t axis, p; };

static enum tamis_status lp_parse(struct op_parse *p, void **attr)
{
	struct lp_attr *a = args_alloc(p, sizeof *a);
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	*attr = a;
	status = attr_int(p, "axis", -1, &a->axis);
	if (status == TAMIS_OK)
		status = attr_int(p, "p", 2, &a->p);
	if (status == TAMIS_OK && a->p != 1 && a->p != 2)
		return tm_fail(p->err, TAMIS_E_INVALID, "p must be 1 or 2; it is %lld", (long long)a->p);
	return status;
}

static enum tamis_status lp_shape(struct op_call *c)
{
	const struct lp_attr *a = c->node->attr;
	int axis;
	enum tamis_status status = float_shape(c);

	return status == TAMIS_OK ? args_axis(c->err, a->axis, op_in(c, 0)->rank, &axis) : status;
}

#define LP(name, type) \
	static void name##_norms(const type *x, struct cut cut, int64_t p, double *norm) \
	{ \
		memset(norm, 0, (size_t)cut.inner * sizeof *norm); \
		for (int64_t k = 0; k < cut.n; k++) \
			for (int64_t i = 0; i < cut.inner; i++) { \
				const double v = (double)x[k * cut.inner + i]; \
 \
				norm[i] += p == 1 ? fabs(v) : v * v; \
			} \
		for (int64_t i = 0; i < cut.inner && p == 2; i++) \
			norm[i] = sqrt(norm[i]); \
	} \
	static void name##_block(const type *x, struct cut cut, int64_t p, double *norm, type *y) \
	{ \
		name##_norms(x, cut, p, norm); \
		for (int64_t k = 0; k < cut.n; k++) \
			for (int64_t i = 0; i < cut.inner; i++) \
				y[k * cut.inner + i] = norm[i] == 0 ? 0 : (type)((double)x[k * cut.inner + i] / norm[i]); \
	} \
	/* (g - d sum g y) / norm with d = dnorm/dx: x / norm for p = 2, the sign of x for p = 1 */ \
	static void name##_slope(const type *x, const type *g, struct cut cut, int64_t p, double *norm, \
	                         double *dot, type *gx) \
	{ \
		name##_norms(x, cut, p, norm); \
		memset(dot, 0, (size_t)cut.inner * sizeof *dot); \
		for (int64_t k = 0; k < cut.n; k++) \
			for (int64_t i = 0; i < cut.inner; i++) \
				dot[i] += (double)g[k * cut.inner + i] * (double)x[k * cut.inner + i]; \
		for (int64_t k = 0; k < cut.n; k++) \
			for (int64_t i = 0; i < cut.inner; i++) { \
				const double v = (double)x[k * cut.inner + i], s = norm[i]; \
				const double d = p == 2 ? v / s : (v > 0) - (v < 0); \
 \
				if (s != 0) \
					gx[k * cut.inner + i] += (type)(((double)g[k * cut.inner + i] - d * dot[i] / s) / s); \
			} \
	}
LP(lp_float, float)
LP(lp_double, double)

static enum tamis_status lp_cut(struct op_call *c, struct cut *cut, double **norm, double **dot)
{
	const struct lp_attr *a = c->node->attr;
	int axis = 0;
	enum tamis_status status = args_axis(c->err, a->axis, op_in(c, 0)->rank, &axis);

	if (status != TAMIS_OK)
		return status;
	*cut = cut_at(op_in(c, 0), axis);
	*norm = scratch_alloc(c->scratch, (size_t)cut->inner, sizeof **norm);
	*dot = scratch_alloc(c->scratch, (size_t)cut->inner, sizeof **dot);
	return *norm && *dot ? TAMIS_OK : tm_no_memory(c->err, "normalising");
}

static enum tamis_status lp_run(struct op_call *c)
{
	const struct lp_attr *a = c->node->attr;
	const struct tensor *x = op_in(c, 0);
	struct cut cut;
	double *norm, *dot;
	enum tamis_status status = lp_cut(c, &cut, &norm, &dot);

	for (int64_t o = 0; status == TAMIS_OK && x->count && o < cut.outer; o++) {
		int64_t at = o * cut.n * cut.inner;

		if (x->type == DT_FLOAT)
			lp_float_block((const float *)x->data + at, cut, a->p, norm, (float *)c->out[0]->data + at);
		else
			lp_double_block((const double *)x->data + at, cut, a->p, norm, (double *)c->out[0]->data + at);
	}
	return status;
}

static enum tamis_status lp_reverse(struct op_grad *g)
{
	const struct lp_attr *a = g->call->node->attr;
	const struct tensor *x = op_in(g->call, 0), *gy = g->gout[0];
	struct tensor *gx = g->gin[0];
	struct cut cut;
	double *norm, *dot;
	enum tamis_status status = gy && gx ? lp_cut(g->call, &cut, &norm, &dot) : TAMIS_OK;

	for (int64_t o = 0; status == TAMIS_OK && gy && gx && x->count && o < cut.outer; o++) {
		int64_t at = o * cut.n * cut.inner;

		if (x->type == DT_FLOAT)
			lp_float_slope((const float *)x->data + at, (const float *)gy->data + at, cut, a->p, norm, dot,
			               (float *)gx->data + at);
		else
			lp_double_slope((const double *)x->data + at, (const double *)gy->data + at, cut, a->p, norm, dot,
			                (double *)gx->data + at);
	}
	return status;
}

static void channels_batch(struct channel_call *c)
{
	channels_pass(c);
	for (int i = 1; i < c->n_in && c->in[0]->rank > 1; i++)
		channels_tie(c, i, 0, 0, 1);
}

static void channels_lrn(struct channel_call *c)
{
	channels_elementwise(c);
	channels_keep(c, 0, 1, "neighbouring channels are normalised together");
}

static void channels_lp(struct channel_call *c)
{
	const struct lp_attr *a = c->node->attr;

	channels_elementwise(c);
	channels_keep(c, 0, (int)a->axis, "a norm runs over it");
}

#define FLOAT_ROW(op_name, first, inputs, outputs, steps) \
	.name = op_name, .domain = "", .since = first, .min_in = inputs, .max_in = inputs, .min_out = 1, \
	.max_out = outputs, .parse = steps##_parse, .shape = steps##_shape, .run = steps##_run, \
	.reverse = steps##_reverse

/* The outputs beyond the first are those of training, which the shape function refuses. */
const struct op ops_normalize[] = {
	{FLOAT_ROW("BatchNormalization", 1, 5, 5, batch), .until = 13, .flags = OP_INPLACE,
	 .channels = channels_batch},
	{FLOAT_ROW("BatchNormalization", 14, 5, 3, batch), .until = OP_LATEST, .flags = OP_INPLACE,
	 .channels = channels_batch},
	{FLOAT_ROW("LRN", 1, 1, 1, lrn), .until = OP_LATEST, .flags = OP_INPLACE, .channels = channels_lrn},
	{FLOAT_ROW("LpNormalization", 1, 1, 1, lp), .until = OP_LATEST, .flags = OP_INPLACE,
	 .channels = channels_lp},
	{0},
};
