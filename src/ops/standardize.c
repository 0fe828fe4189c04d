/* SPDX-License-Identifier: Apache-2.0 */
/* Layer, instance, group and root-mean-square normalization: rows of n contiguous elements are brought to
 * mean 0 and variance 1 (or to mean square 1), then scaled and shifted with broadcasting. They differ only in
 * what a row is and in how scale and bias are laid over the data. */
#include <math.h>
#include <string.h>

#include "ops/args.h"
#include "ops/zip.h"

enum form { FORM_LAYER, FORM_INSTANCE, FORM_GROUP, FORM_RMS };

struct norm_attr {
	enum form form;
	int64_t axis, groups;
	double epsilon;
	enum dtype stash; /* type of the outputs Mean and InvStdDev */
};

/* One call, seen as rows. */
struct rows {
	int64_t count, n;          /* rows, elements a row */
	struct tensor data, scale; /* the data and the scale (and bias) as shapes that broadcast; no data */
};

/* ---- rows ---- */

struct moments { double mean, inverse; };

/* mean = 0 when not centred; inverse = 1 / sqrt(mean square deviation + epsilon). Two passes in double, eight
 * partial sums each. y = (x - mean) * inverse; y may be x. */
#define STANDARDIZE(name, type) \
	static double name##_sum(const type *x, int64_t n, double mean, bool squares) \
	{ \
		double lane[8] = {0}, sum = 0; \
		int64_t i = 0; \
 \
		for (; squares && i + 8 <= n; i += 8) \
			for (int k = 0; k < 8; k++) \
				lane[k] += ((double)x[i + k] - mean) * ((double)x[i + k] - mean); \
		for (; i + 8 <= n; i += 8) \
			for (int k = 0; k < 8; k++) \
				lane[k] += (double)x[i + k]; \
		for (; i < n; i++) \
			sum += squares ? ((double)x[i] - mean) * ((double)x[i] - mean) : (double)x[i]; \
		for (int k = 0; k < 8; k++) \
			sum += lane[k]; \
		return sum; \
	} \
	static struct moments name(const type *x, int64_t n, bool centred, double epsilon, type *y) \
	{ \
		struct moments m = {0, 0}; \
 \
		if (centred) \
			m.mean = name##_sum(x, n, 0, false) / (double)n; \
		m.inverse = 1 / sqrt(name##_sum(x, n, m.mean, true) / (double)n + epsilon); \
		LOOP_INDEPENDENT \
		for (int64_t i = 0; i < n; i++) \
			y[i] = (type)(((double)x[i] - m.mean) * m.inverse); \
		return m; \
	}
STANDARDIZE(standardize_float, float)
STANDARDIZE(standardize_double, double)

/* Gradient through one row, h = dL/dy and y as above: gx += inverse (h - mean h - y mean(h y)), without the
 * mean of h when not centred. by_mean and by_inverse are the gradients of the row's two moments themselves:
 * dmean/dx = 1 / n, dinverse/dx = -inverse^2 y / n. */
#define STANDARDIZE_SLOPE(name, type) \
	static void name(const type *y, const type *h, int64_t n, bool centred, struct moments m, \
	                 double by_mean, double by_inverse, type *gx) \
	{ \
		double sum = 0, product = 0, shift, factor; \
 \
		for (int64_t i = 0; i < n; i++) { \
			sum += (double)h[i]; \
			product += (double)h[i] * (double)y[i]; \
		} \
		shift = (by_mean - (centred ? sum * m.inverse : 0)) / (double)n; \
		factor = -(product * m.inverse + by_inverse * m.inverse * m.inverse) / (double)n; \
		for (int64_t i = 0; i < n; i++) \
			gx[i] += (type)(m.inverse * (double)h[i] + shift + factor * (double)y[i]); \
	}
STANDARDIZE_SLOPE(slope_float, float)
STANDARDIZE_SLOPE(slope_double, double)

/* Standardizes all rows into y; moments may be NULL. */
static void standardize(const struct norm_attr *a, const struct rows *r, const struct tensor *x, void *y,
                        struct moments *moments)
{
	bool centred = a->form != FORM_RMS;

	for (int64_t i = 0; i < r->count; i++) {
		struct moments m;

		if (x->type == DT_FLOAT)
			m = standardize_float((const float *)x->data + i * r->n, r->n, centred, a->epsilon,
			                      (float *)y + i * r->n);
		else
			m = standardize_double((const double *)x->data + i * r->n, r->n, centred, a->epsilon,
			                       (double *)y + i * r->n);
		if (moments)
			moments[i] = m;
	}
}

/* ---- parse ---- */

static enum tamis_status norm_parse(struct op_parse *p, enum form form, struct norm_attr **out)
{
	struct norm_attr *a = args_alloc(p, sizeof *a);
	float epsilon;
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	*out = a;
	a->form = form;
	status = attr_float(p, "epsilon", 1e-5f, &epsilon);
	a->epsilon = (double)epsilon;
	return status;
}

static enum tamis_status parse_axis(struct op_parse *p, enum form form, void **attr)
{
	struct norm_attr *a;
	int64_t stash = DT_FLOAT;
	enum tamis_status status = norm_parse(p, form, &a);

	if (status == TAMIS_OK)
		status = attr_int(p, "axis", -1, &a->axis);
	if (status == TAMIS_OK)
		status = attr_int(p, "stash_type", DT_FLOAT, &stash);
	if (status != TAMIS_OK)
		return status;
	if (stash < 0 || stash >= DT_COUNT || !dtype_is_float((int)stash))
		return tm_fail(p->err, TAMIS_E_INVALID, "stash_type must be a float type; it is %lld",
		               (long long)stash);
	a->stash = (enum dtype)stash;
	*attr = a;
	return TAMIS_OK;
}

static enum tamis_status layer_parse(struct op_parse *p, void **attr)
{
	return parse_axis(p, FORM_LAYER, attr);
}

static enum tamis_status rms_parse(struct op_parse *p, void **attr)
{
	return parse_axis(p, FORM_RMS, attr);
}

static enum tamis_status instance_parse(struct op_parse *p, void **attr)
{
	return norm_parse(p, FORM_INSTANCE, (struct norm_attr **)attr);
}

static enum tamis_status group_parse(struct op_parse *p, void **attr)
{
	struct norm_attr *a;
	enum tamis_status status = attr_required(p, "num_groups");

	if (status == TAMIS_OK)
		status = norm_parse(p, FORM_GROUP, &a);
	if (status == TAMIS_OK)
		status = attr_int(p, "num_groups", 1, &a->groups);
	if (status != TAMIS_OK)
		return status;
	if (a->groups < 1)
		return tm_fail(p->err, TAMIS_E_INVALID, "num_groups must be positive; it is %lld",
		               (long long)a->groups);
	*attr = a;
	return TAMIS_OK;
}

/* ---- shape ---- */

/* Rows are the axes from `axis` on; scale and bias broadcast to the data as they are. */
static enum tamis_status layer_rows(const struct op_call *c, struct rows *r)
{
	const struct norm_attr *a = c->node->attr;
	const struct tensor *x = op_in(c, 0);
	int axis = 0;
	enum tamis_status status = args_axis(c->err, a->axis, x->rank, &axis);

	if (status != TAMIS_OK)
		return status;
	r->count = tensor_extent(x, 0, axis);
	r->n = tensor_extent(x, axis, x->rank);
	r->data = *x;
	r->scale = *op_in(c, 1);
	for (int i = 1; i < 3; i++)
		if (op_in(c, i) && !broadcast_fits(op_in(c, i), x))
			return tm_fail(c->err, TAMIS_E_INVALID, "input %d of %s does not broadcast to the data", i,
			               c->node->op->name);
	return TAMIS_OK;
}

/* [N, C, ...] as [N, blocks, rest] with one scale a block. */
static enum tamis_status channel_rows(const struct op_call *c, int64_t groups, int64_t scales, struct rows *r)
{
	const struct tensor *x = op_in(c, 0);
	int64_t item = tensor_extent(x, 1, x->rank), channels = x->dims[1];
	int64_t dims[3] = {x->dims[0], scales, item / scales}, ones[2] = {scales, 1};
	enum tamis_status status;

	for (int i = 1; i < 3; i++)
		if (op_in(c, i)->rank != 1 || op_in(c, i)->dims[0] != scales)
			return tm_fail(c->err, TAMIS_E_INVALID, "input %d of %s must be a vector of %lld elements", i,
			               c->node->op->name, (long long)scales);
	status = tensor_shape(&r->data, x->type, 3, dims, c->err);
	if (status == TAMIS_OK)
		status = tensor_shape(&r->scale, x->type, 2, ones, c->err);
	r->count = tensor_extent(x, 0, 2) / (channels / groups);
	r->n = item / groups;
	return status;
}

static enum tamis_status group_rows(const struct op_call *c, struct rows *r)
{
	const struct norm_attr *a = c->node->attr;
	int64_t channels = op_in(c, 0)->dims[1];

	if (a->groups > channels || channels % a->groups)
		return tm_fail(c->err, TAMIS_E_INVALID, "num_groups is %lld, which does not divide %lld channels",
		               (long long)a->groups, (long long)channels);
	return channel_rows(c, a->groups, c->node->opset < 21 ? a->groups : channels, r);
}

static enum tamis_status find_rows(const struct op_call *c, struct rows *r)
{
	const struct norm_attr *a = c->node->attr;
	const struct tensor *x = op_in(c, 0);

	memset(r, 0, sizeof *r);
	if (a->form == FORM_LAYER || a->form == FORM_RMS)
		return layer_rows(c, r);
	if (x->rank < 2 || x->dims[1] < 1)
		return tm_fail(c->err, TAMIS_E_INVALID, "%s needs data with a batch and a channel axis",
		               c->node->op->name);
	return a->form == FORM_GROUP ? group_rows(c, r) : channel_rows(c, x->dims[1], x->dims[1], r);
}

static bool is_half(enum dtype type)
{
	return type == DT_FLOAT16 || type == DT_BFLOAT16;
}

/* All of one type; a half type and float may meet, because halves are computed in float. */
static enum tamis_status check_types(const struct op_call *c)
{
	const struct tensor *x = op_in(c, 0);

	if (!dtype_is_float((int)x->type))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "%s does not take elements of type %s", c->node->op->name,
		               dtype_name((int)x->type));
	for (int i = 1; i < 3; i++) {
		const struct tensor *t = op_in(c, i);
		bool single = t && (t->type == DT_FLOAT || is_half(t->type));

		if (t && t->type != x->type && !(single && (x->type == DT_FLOAT || is_half(x->type))))
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "%s takes inputs of one type; input 0 is %s, input %d is %s", c->node->op->name,
			               dtype_name((int)x->type), i, dtype_name((int)t->type));
	}
	return TAMIS_OK;
}

static enum tamis_status norm_shape(struct op_call *c)
{
	const struct norm_attr *a = c->node->attr;
	const struct tensor *x = op_in(c, 0);
	int64_t dims[TENSOR_MAX_RANK];
	struct rows r;
	int axis = 0;
	enum tamis_status status = check_types(c);

	if (status == TAMIS_OK)
		status = find_rows(c, &r);
	if (status == TAMIS_OK)
		status = op_set_like(c, 0, a->form == FORM_RMS ? op_in(c, 1)->type : x->type, x);
	if (status != TAMIS_OK || a->form != FORM_LAYER)
		return status;
	status = args_axis(c->err, a->axis, x->rank, &axis);
	for (int i = 0; i < x->rank; i++)
		dims[i] = i < axis ? x->dims[i] : 1;
	if (status == TAMIS_OK)
		status = op_set_out(c, 1, a->stash, x->rank, dims);
	return status == TAMIS_OK ? op_set_out(c, 2, a->stash, x->rank, dims) : status;
}

/* ---- run ---- */

static struct tensor *output(const struct op_call *c, int i)
{
	return i < c->n_out ? c->out[i] : NULL;
}

static struct tensor with_data(const struct tensor *shape, void *data)
{
	struct tensor t = *shape;

	t.data = data;
	return t;
}

static enum tamis_status norm_run(struct op_call *c)
{
	const struct norm_attr *a = c->node->attr;
	struct tensor *mean = output(c, 1), *inverse = output(c, 2), y, scale, bias;
	struct moments *moments = NULL;
	struct rows r;
	enum tamis_status status = find_rows(c, &r);
	void *rows = output(c, 0) ? c->out[0]->data : scratch_alloc(c->scratch, tensor_bytes(op_in(c, 0)), 1);

	if (mean || inverse)
		moments = scratch_alloc(c->scratch, (size_t)r.count, sizeof *moments);
	if (status != TAMIS_OK || !rows || ((mean || inverse) && !moments))
		return status != TAMIS_OK ? status : tm_no_memory(c->err, "normalising");
	standardize(a, &r, op_in(c, 0), rows, moments);
	y = with_data(&r.data, rows);
	scale = with_data(&r.scale, op_in(c, 1)->data);
	zip_apply(&mul_zip, &y, &scale, &y);
	if (op_in(c, 2)) {
		bias = a->form == FORM_LAYER ? *op_in(c, 2) : with_data(&r.scale, op_in(c, 2)->data);
		zip_apply(&add_zip, &y, &bias, &y);
	}
	for (int64_t i = 0; mean && i < r.count; i++)
		tensor_set(mean, i, moments[i].mean);
	for (int64_t i = 0; inverse && i < r.count; i++)
		tensor_set(inverse, i, moments[i].inverse);
	return TAMIS_OK;
}

/* ---- reverse ---- */

/* What a reverse pass works on, all in scratch: y, the standardized data; h = dL/dy; products. */
struct work {
	struct tensor y, h, product;
	struct moments *moments;
};

static enum tamis_status make_work(const struct op_call *c, const struct rows *r, struct work *w)
{
	size_t bytes = tensor_bytes(op_in(c, 0));

	w->y = with_data(&r->data, scratch_alloc(c->scratch, bytes, 1));
	w->h = with_data(&r->data, scratch_alloc(c->scratch, bytes, 1));
	w->product = with_data(&r->data, scratch_alloc(c->scratch, bytes, 1));
	w->moments = scratch_alloc(c->scratch, (size_t)r->count, sizeof *w->moments);
	if (!w->y.data || !w->h.data || !w->product.data || !w->moments)
		return tm_no_memory(c->err, "reversing a normalization");
	return TAMIS_OK;
}

static const struct tensor *seed(const struct op_grad *g, int i)
{
	return i < g->call->n_out ? g->gout[i] : NULL;
}

static struct tensor *target(const struct op_grad *g, int i)
{
	return i < g->call->n_in ? g->gin[i] : NULL;
}

static void add_to_data(const struct op_grad *g, const struct rows *r, const struct work *w)
{
	const struct norm_attr *a = g->call->node->attr;
	bool centred = a->form != FORM_RMS;

	for (int64_t i = 0; i < r->count; i++) {
		double by_mean = seed(g, 1) ? tensor_get(seed(g, 1), i) : 0;
		double by_inverse = seed(g, 2) ? tensor_get(seed(g, 2), i) : 0;
		int64_t at = i * r->n;

		if (w->y.type == DT_FLOAT)
			slope_float((const float *)w->y.data + at, (const float *)w->h.data + at, r->n, centred,
			            w->moments[i], by_mean, by_inverse, (float *)g->gin[0]->data + at);
		else
			slope_double((const double *)w->y.data + at, (const double *)w->h.data + at, r->n, centred,
			             w->moments[i], by_mean, by_inverse, (double *)g->gin[0]->data + at);
	}
}

/* Scale and bias: sums of g y and of g over where they were broadcast. */
static void add_to_parameters(const struct op_grad *g, const struct rows *r, struct work *w,
                              const struct tensor *gy)
{
	const struct norm_attr *a = g->call->node->attr;
	struct tensor to;

	if (target(g, 1)) {
		zip_apply(&mul_zip, &w->y, gy, &w->product);
		to = with_data(&r->scale, g->gin[1]->data);
		broadcast_add(&w->product, 1, &to);
	}
	if (target(g, 2)) {
		to = a->form == FORM_LAYER ? *g->gin[2] : with_data(&r->scale, g->gin[2]->data);
		broadcast_add(gy, 1, &to);
	}
}

static enum tamis_status norm_reverse(struct op_grad *g)
{
	const struct op_call *c = g->call;
	struct tensor gy, scale;
	struct rows r;
	struct work w;
	enum tamis_status status = find_rows(c, &r);

	if (status == TAMIS_OK && (seed(g, 0) || seed(g, 1) || seed(g, 2)))
		status = make_work(c, &r, &w);
	else
		return status;
	if (status != TAMIS_OK)
		return status;
	standardize(c->node->attr, &r, op_in(c, 0), w.y.data, w.moments);
	memset(w.h.data, 0, tensor_bytes(op_in(c, 0)));
	if (seed(g, 0)) {
		gy = with_data(&r.data, seed(g, 0)->data);
		scale = with_data(&r.scale, op_in(c, 1)->data);
		zip_apply(&mul_zip, &gy, &scale, &w.h);
		add_to_parameters(g, &r, &w, &gy);
	}
	if (target(g, 0))
		add_to_data(g, &r, &w);
	return TAMIS_OK;
}

/* Scale and bias of Instance and Group lie along axis 1, those of the others along the last axes. */
static void channels(struct channel_call *c)
{
	const struct norm_attr *a = c->node->attr;
	int rank = c->in[0]->rank, first = (int)(a->axis < 0 ? a->axis + rank : a->axis);
	bool by_channel = a->form == FORM_INSTANCE || a->form == FORM_GROUP;
	int64_t per = a->form == FORM_GROUP ? c->in[0]->dims[1] / a->groups : 1;

	channels_mix_from(c, by_channel ? 2 : first, "it is normalised over");
	if (!by_channel) {
		for (int i = 1; i < c->n_out; i++)
			channels_keep_port(c, COUPLING_OUT(i), "it is a moment of a norm");
		for (int i = 1; i < c->n_in; i++)
			channels_keep_port(c, i, "it is normalised over");
		return;
	}
	for (int64_t k = 0; k < c->in[0]->dims[1]; k++) {
		channels_tie_some(c, 0, 1, k, 0, 1, k / per * per, 1);
		for (int i = 1; i < 3; i++)
			channels_tie_some(c, 0, 1, k, i, 0, c->in[i]->dims[0] == c->in[0]->dims[1] ? k : k / per, 1);
	}
	if (a->form == FORM_GROUP)
		channels_attribute(c, "num_groups", -1, 0, 1, c->in[0]->dims[1], per);
}

#define NORM(op_name, first, last, least, most, outputs, parser) \
	{ \
		.name = op_name, .domain = "", .since = first, .until = last, .min_in = least, .max_in = most, \
		.min_out = 1, .max_out = outputs, .flags = OP_INPLACE, .channels = channels, .parse = parser, .shape = norm_shape, \
		.run = norm_run, .reverse = norm_reverse \
	}

/* GroupNormalization has one scale a group before opset 21 and one a channel from then on. LayerNormalization of
 * earlier opsets is what onnxruntime wrote before ONNX had it. */
const struct op ops_standardize[] = {
	NORM("GroupNormalization", 18, 20, 3, 3, 1, group_parse),
	NORM("GroupNormalization", 21, OP_LATEST, 3, 3, 1, group_parse),
	NORM("InstanceNormalization", 1, OP_LATEST, 3, 3, 1, instance_parse),
	NORM("LayerNormalization", 1, OP_LATEST, 2, 3, 3, layer_parse),
	NORM("RMSNormalization", 23, OP_LATEST, 2, 2, 1, rms_parse),
	{0},
};
