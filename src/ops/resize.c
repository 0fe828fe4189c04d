/* SPDX-License-Identifier: Apache-2.0 */
/* Resize and its forerunner Upsample: interpolation one axis after the other, the last axis first. */
#include <math.h>
#include <string.h>

#include "ops/args.h"
#include "ops/blocks.h"
#include "ops/family.h"
#include "ops/interpolate.h"

enum policy { POLICY_STRETCH, POLICY_NOT_LARGER, POLICY_NOT_SMALLER };

struct resize_attr {
	struct interpolation rule;
	int policy;
	float extrapolation;
	const int64_t *axes; /* from opset 18; n_axes -1: all axes */
	int n_axes;
	const float *scales; /* Upsample up to opset 8; else NULL */
	int n_scales;
	int scales_at, sizes_at, roi_at; /* inputs; 0: this version has none */
};

static enum tamis_status parse_rule(struct op_parse *p, struct resize_attr *a)
{
	static const char *const coordinates[] = {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
		"align_corners", "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize", NULL};
	static const char *const nearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};
	static const char *const policies[] = {"stretch", "not_larger", "not_smaller", NULL};
	struct interpolation *rule = &a->rule;
	enum tamis_status status = attr_choice(p, "coordinate_transformation_mode", coordinates, COORD_HALF_PIXEL,
	                                       &rule->coordinates);

	if (!status)
		status = attr_choice(p, "nearest_mode", nearest, NEAREST_PREFER_FLOOR, &rule->nearest);
	if (!status)
		status = attr_choice(p, "keep_aspect_ratio_policy", policies, POLICY_STRETCH, &a->policy);
	if (!status)
		status = attr_bool(p, "exclude_outside", false, &rule->exclude_outside);
	if (!status)
		status = attr_bool(p, "antialias", false, &rule->antialias);
	if (!status)
		status = attr_float(p, "cubic_coeff_a", -0.75F, &rule->cubic_a);
	if (!status)
		status = attr_float(p, "extrapolation_value", 0, &a->extrapolation);
	return status ? status : attr_ints(p, "axes", &a->axes, &a->n_axes);
}

/* Upsample before opset 7: images alone, scaled by two attributes. */
static enum tamis_status parse_image(struct op_parse *p, struct resize_attr *a)
{
	static const char *const modes[] = {"nearest", "bilinear", NULL};
	float *scales = args_alloc(p, 4 * sizeof *scales);
	enum tamis_status status = scales ? attr_choice(p, "mode", modes, KERNEL_NEAREST, &a->rule.kernel) : TAMIS_E_MEMORY;

	a->rule.coordinates = COORD_ASYMMETRIC;
	a->rule.nearest = NEAREST_FLOOR;
	a->scales = scales;
	a->n_scales = 4;
	if (!status)
		status = attr_required(p, "height_scale");
	if (!status)
		status = attr_required(p, "width_scale");
	if (status)
		return status;
	scales[0] = scales[1] = 1;
	status = attr_float(p, "height_scale", 1, &scales[2]);
	return status ? status : attr_float(p, "width_scale", 1, &scales[3]);
}

/* Up to opset 10 there is one way: coordinates divided by the scale, nearest meaning the pixel below. */
static enum tamis_status resize_parse(struct op_parse *p, void **attr)
{
	static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
	struct resize_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	a->n_axes = -1;
	if (p->node->opset < 7)
		return parse_image(p, a);
	status = attr_choice(p, "mode", modes, KERNEL_NEAREST, &a->rule.kernel);
	if (status)
		return status;
	if (p->node->opset >= 11) {
		a->roi_at = 1;
		a->scales_at = 2;
		a->sizes_at = 3;
		return parse_rule(p, a);
	}
	a->rule.coordinates = COORD_ASYMMETRIC;
	a->rule.nearest = NEAREST_FLOOR;
	a->scales_at = 1;
	if (p->node->opset >= 9)
		return TAMIS_OK;
	status = attr_required(p, "scales");
	return status ? status : attr_floats(p, "scales", &a->scales, &a->n_scales);
}

/* An input that is there and not empty: opset 11 writes absent ones as empty tensors. */
static const struct tensor *given(const struct op_call *c, int i)
{
	const struct tensor *t = i ? op_in(c, i) : NULL;

	return t && t->count ? t : NULL;
}

/* ---- Lengths ---- */

/* The listed axes; all of them by default. */
static enum tamis_status listed_axes(const struct op_call *c, int64_t *axes, int *n)
{
	const struct resize_attr *a = c->node->attr;

	*n = a->n_axes < 0 ? c->in[0]->rank : a->n_axes;
	if (*n > c->in[0]->rank)
		return tm_fail(c->err, TAMIS_E_INVALID, "%d axes are listed for a tensor of rank %d", *n,
		               c->in[0]->rank);
	for (int k = 0; k < *n; k++)
		axes[k] = a->n_axes < 0 ? k : a->axes[k];
	return args_axes(c->err, axes, *n, c->in[0]->rank);
}

static enum tamis_status scaled(const struct op_call *c, struct axis_map *m, double scale)
{
	m->scale = scale;
	m->length = (double)m->in * scale;
	if (!(scale > 0) || !(m->length < 0x1p60))
		return tm_fail(c->err, TAMIS_E_INVALID, "scale %g of an axis of length %lld is not usable", scale,
		               (long long)m->in);
	m->out = (int64_t)floor(m->length);
	return TAMIS_OK;
}

static enum tamis_status by_scales(const struct op_call *c, const int64_t *axes, int n, struct axis_map *maps)
{
	const struct resize_attr *a = c->node->attr;
	const struct tensor *t = given(c, a->scales_at);
	int64_t count = t ? t->count : a->n_scales;
	enum tamis_status status = TAMIS_OK;

	if (count != n || (t && (t->rank != 1 || t->type != DT_FLOAT)))
		return tm_fail(c->err, TAMIS_E_INVALID, "scales must be %d floats, one an axis, not %lld", n,
		               (long long)count);
	for (int k = 0; !status && k < n; k++)
		status = scaled(c, &maps[axes[k]], t ? tensor_get(t, k) : (double)a->scales[k]);
	return status;
}

/* The scale that all axes share when the aspect ratio is kept: the least or the greatest one wanted. */
static double shared_scale(const struct resize_attr *a, const int64_t *axes, const int64_t *sizes, int n,
                           const struct axis_map *maps)
{
	double shared = 0;

	for (int k = 0; k < n; k++) {
		double scale = (double)sizes[k] / (double)maps[axes[k]].in;

		if (k == 0 || (a->policy == POLICY_NOT_LARGER ? scale < shared : scale > shared))
			shared = scale;
	}
	return shared;
}

static enum tamis_status by_sizes(const struct op_call *c, const int64_t *axes, int n, struct axis_map *maps)
{
	const struct resize_attr *a = c->node->attr;
	int64_t sizes[TENSOR_MAX_RANK];
	int count = 0;
	double shared;
	enum tamis_status status = args_ints(c, a->sizes_at, "sizes", TENSOR_MAX_RANK, sizes, &count);

	if (status)
		return status;
	if (count != n)
		return tm_fail(c->err, TAMIS_E_INVALID, "sizes has %d elements for %d axes", count, n);
	for (int k = 0; k < n; k++)
		if (sizes[k] < 0 || (sizes[k] > 0 && maps[axes[k]].in == 0))
			return tm_fail(c->err, TAMIS_E_INVALID, "an axis of length %lld cannot be resized to %lld",
			               (long long)maps[axes[k]].in, (long long)sizes[k]);
	shared = shared_scale(a, axes, sizes, n, maps);
	for (int k = 0; k < n; k++) {
		struct axis_map *m = &maps[axes[k]];

		if (a->policy != POLICY_STRETCH) {
			status = scaled(c, m, shared);
			m->out = status ? 0 : (int64_t)floor(m->length + 0.5);
		} else {
			m->out = sizes[k];
			m->scale = m->in ? (double)m->out / (double)m->in : 1;
		}
		m->length = (double)m->out;
		if (status)
			return status;
	}
	return TAMIS_OK;
}

/* The region of interest, listed as all starts and then all ends of the listed axes. */
static enum tamis_status read_roi(const struct op_call *c, const int64_t *axes, int n, struct axis_map *maps)
{
	const struct resize_attr *a = c->node->attr;
	const struct tensor *roi = given(c, a->roi_at);

	if (a->rule.coordinates != COORD_TF_CROP)
		return TAMIS_OK;
	if (!roi || roi->rank != 1 || roi->count != 2 * n || !dtype_is_float((int)roi->type))
		return tm_fail(c->err, TAMIS_E_INVALID, "tf_crop_and_resize needs a roi of %d numbers", 2 * n);
	for (int k = 0; roi->data && k < n; k++) {
		maps[axes[k]].roi_start = tensor_get(roi, k);
		maps[axes[k]].roi_end = tensor_get(roi, n + k);
	}
	return TAMIS_OK;
}

/* One map an axis of the input; data of scales or sizes must be there. */
static enum tamis_status maps_of(const struct op_call *c, struct axis_map *maps)
{
	const struct resize_attr *a = c->node->attr;
	bool scales = given(c, a->scales_at) || a->scales, sizes = given(c, a->sizes_at) != NULL;
	int64_t axes[TENSOR_MAX_RANK];
	int n = 0;
	enum tamis_status status = listed_axes(c, axes, &n);

	for (int i = 0; i < c->in[0]->rank; i++) {
		int64_t d = c->in[0]->dims[i];

		maps[i] = (struct axis_map){d, d, 1, (double)d, 0, 1};
	}
	if (!status && scales == sizes)
		status = tm_fail(c->err, TAMIS_E_INVALID, "one of scales and sizes must be given, and not both");
	if (!status)
		status = scales ? by_scales(c, axes, n, maps) : by_sizes(c, axes, n, maps);
	return status ? status : read_roi(c, axes, n, maps);
}

static bool numeric(enum dtype type)
{
	return (dtype_is_integer((int)type) || dtype_is_float((int)type)) && args_element(type);
}

static enum tamis_status resize_shape(struct op_call *c)
{
	const struct resize_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	struct axis_map maps[TENSOR_MAX_RANK];
	int64_t dims[TENSOR_MAX_RANK];
	enum tamis_status status = args_movable(c, 0);

	if (!status && a->rule.kernel != KERNEL_NEAREST && !numeric(x->type))
		status = tm_fail(c->err, TAMIS_E_UNSUPPORTED, "interpolating elements of type %s is not supported",
		                 dtype_name((int)x->type));
	if (status || (given(c, a->scales_at) && !op_needs(c, a->scales_at)) ||
	    (given(c, a->sizes_at) && !op_needs(c, a->sizes_at)))
		return status;
	status = maps_of(c, maps);
	for (int i = 0; i < x->rank; i++)
		dims[i] = maps[i].out;
	return status ? status : op_set_out(c, 0, x->type, x->rank, dims);
}

/* ---- Passes ---- */

/* Axes that change something, with their taps; `outer` and `inner` of the pass, which runs from the last
 * axis. */
struct pass { int64_t outer, in, inner; struct taps taps; };
struct passes { int n, axis[TENSOR_MAX_RANK]; struct pass at[TENSOR_MAX_RANK]; };

static enum tamis_status make_passes(struct op_call *c, const int64_t *out_dims, struct passes *ps)
{
	const struct resize_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	struct axis_map maps[TENSOR_MAX_RANK];
	int64_t inner = 1;
	enum tamis_status status = maps_of(c, maps);

	ps->n = 0;
	for (int i = x->rank - 1; !status && i >= 0; i--) {
		bool still = maps[i].out == maps[i].in && maps[i].scale == 1 && maps[i].roi_start == 0 &&
			maps[i].roi_end == 1;

		if (!still || a->rule.coordinates == COORD_TF_HALF_PIXEL) {
			struct pass *p = &ps->at[ps->n];

			*p = (struct pass){.outer = tensor_extent(x, 0, i), .in = maps[i].in, .inner = inner};
			ps->axis[ps->n++] = i;
			status = interpolation_taps(c, &a->rule, &maps[i], &p->taps);
		}
		inner *= out_dims[i];
	}
	return status;
}

/* Room for what a pass makes; the last one makes the output itself. */
static void *pass_room(struct op_call *c, const struct passes *ps, int k, size_t size, void *out)
{
	const struct pass *p = &ps->at[k];

	if (k == ps->n - 1)
		return out;
	return scratch_alloc(c->scratch, (size_t)(p->outer * p->taps.n * p->inner), size);
}

/* Nearest reads one input a position, whatever the type; positions that a crop leaves out read the first. */
static enum tamis_status pass_nearest(struct op_call *c, const struct pass *p, size_t size, const char *from,
                                      char *to)
{
	struct blocks b;
	enum tamis_status status = blocks_make(c, &b, p->taps.n, p->inner);

	if (status)
		return status;
	for (int64_t o = 0; o < p->taps.n; o++) {
		int64_t k = p->taps.start[o];

		b.offset[o] = k < p->taps.start[o + 1] ? p->taps.index[k] * p->inner : 0;
	}
	for (int64_t u = 0; u < p->outer; u++)
		blocks_gather(&b, size, from + (size_t)(u * p->in * p->inner) * size,
		              to + (size_t)(u * p->taps.n * p->inner) * size);
	return TAMIS_OK;
}

static enum tamis_status run_passes(struct op_call *c, const struct passes *ps, enum dtype type,
                                    const void *from, void *out)
{
	const struct resize_attr *a = c->node->attr;
	size_t size = args_element(type);

	for (int k = 0; k < ps->n; k++) {
		const struct pass *p = &ps->at[k];
		void *to = pass_room(c, ps, k, size, out);
		enum tamis_status status = TAMIS_OK;

		if (!to)
			return tm_no_memory(c->err, "resizing");
		if (a->rule.kernel == KERNEL_NEAREST)
			status = pass_nearest(c, p, size, from, to);
		else
			taps_apply(&p->taps, type, p->outer, p->in, p->inner, from, to);
		if (status)
			return status;
		from = to;
	}
	return TAMIS_OK;
}

/* Integers are interpolated in double and cut toward zero. */
static enum tamis_status run_integers(struct op_call *c, const struct passes *ps)
{
	const struct tensor *x = c->in[0];
	struct tensor *y = c->out[0];
	double *from = scratch_alloc(c->scratch, (size_t)x->count, sizeof *from);
	double *to = scratch_alloc(c->scratch, (size_t)y->count, sizeof *to);
	enum tamis_status status;

	if (!from || !to)
		return tm_no_memory(c->err, "resizing");
	for (int64_t i = 0; i < x->count; i++)
		from[i] = tensor_get(x, i);
	status = run_passes(c, ps, DT_DOUBLE, from, to);
	for (int64_t i = 0; !status && i < y->count; i++)
		tensor_set(y, i, to[i]);
	return status;
}

/* Elements that any axis finds outside the region take the extrapolation value. */
static void extrapolate(const struct resize_attr *a, const struct passes *ps, struct tensor *y)
{
	for (int k = 0; k < ps->n; k++) {
		const struct taps *t = &ps->at[k].taps;
		int64_t inner = ps->at[k].inner, outer = y->count / (t->n * inner);

		for (int64_t o = 0; o < t->n; o++) {
			if (t->start[o] < t->start[o + 1])
				continue;
			for (int64_t u = 0; u < outer; u++)
				for (int64_t i = 0; i < inner; i++)
					tensor_set(y, (u * t->n + o) * inner + i, (double)a->extrapolation);
		}
	}
}

static enum tamis_status resize_run(struct op_call *c)
{
	const struct resize_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	struct tensor *y = c->out[0];
	struct passes ps;
	enum tamis_status status;

	if (!y || y->count == 0)
		return TAMIS_OK;
	status = make_passes(c, y->dims, &ps);
	if (status)
		return status;
	if (ps.n == 0)
		memcpy(y->data, x->data, tensor_bytes(y));
	else if (a->rule.kernel == KERNEL_NEAREST || x->type == DT_FLOAT || x->type == DT_DOUBLE)
		status = run_passes(c, &ps, x->type, x->data, y->data);
	else
		status = run_integers(c, &ps);
	if (!status && a->rule.coordinates == COORD_TF_CROP)
		extrapolate(a, &ps, y);
	return status;
}

/* The passes backwards, each transposed, from the output's gradient to the input's. */
static enum tamis_status resize_reverse(struct op_grad *g)
{
	struct op_call *c = g->call;
	const struct tensor *gy = g->gout[0];
	struct tensor *gx = g->gin[0];
	const struct taps identity = {1, (int64_t[]){0, 1}, (int64_t[]){0}, (double[]){1}};
	size_t size;
	const void *from;
	struct passes ps;
	enum tamis_status status;

	if (!gy || !gx || gy->count == 0)
		return TAMIS_OK;
	status = make_passes(c, gy->dims, &ps);
	if (status)
		return status;
	if (ps.n == 0)
		taps_transpose(&identity, gx->type, 1, 1, gx->count, gy->data, gx->data);
	size = args_element(gx->type);
	from = gy->data;
	for (int k = ps.n - 1; k >= 0; k--) {
		const struct pass *p = &ps.at[k];
		size_t n = (size_t)(p->outer * p->in * p->inner);
		void *to = k == 0 ? gx->data : scratch_alloc(c->scratch, n, size);

		if (!to)
			return tm_no_memory(c->err, "reversing a resize");
		if (k)
			memset(to, 0, n * size);
		taps_transpose(&p->taps, gx->type, p->outer, p->in, p->inner, from, to);
		from = to;
	}
	return TAMIS_OK;
}

/* Axes that keep their length pass. Where lengths are listed, that of a channel axis is one of them. */
static void channels(struct channel_call *c)
{
	const struct resize_attr *a = c->node->attr;
	const struct tensor *x = c->in[0], *y = c->out[0];
	bool sized = a->sizes_at && a->sizes_at < c->n_in && c->in[a->sizes_at] && c->in[a->sizes_at]->count;

	if (!y || a->rule.coordinates == COORD_TF_CROP) {
		channels_keep_all(c, "it is resized by a region");
		return;
	}
	for (int k = 0; k < x->rank; k++)
		if (k < 2 && x->dims[k] == y->dims[k])
			channels_tie(c, 0, k, COUPLING_OUT(0), k);
		else {
			channels_keep(c, 0, k, "it is resized");
			channels_keep(c, COUPLING_OUT(0), k, "it is resized");
		}
	for (int i = 0; sized && i < (a->n_axes < 0 ? x->rank : a->n_axes); i++) {
		int axis = a->n_axes < 0 ? i : (int)(a->axes[i] < 0 ? a->axes[i] + x->rank : a->axes[i]);

		channels_number(c, a->sizes_at, i, 0, axis, x->dims[axis]);
	}
}

#define RESIZE .domain = "", .min_out = 1, .max_out = 1, .channels = channels, .parse = resize_parse, \
	.shape = resize_shape, .run = resize_run, .reverse = resize_reverse

const struct op ops_resize[] = {
	{.name = "Resize", .since = 10, .until = 10, .min_in = 2, .max_in = 2, RESIZE},
	{.name = "Resize", .since = 11, .until = OP_LATEST, .min_in = 1, .max_in = 4, RESIZE},
	{.name = "Upsample", .since = 1, .until = 8, .min_in = 1, .max_in = 1, RESIZE},
	{.name = "Upsample", .since = 9, .until = 9, .min_in = 2, .max_in = 2, RESIZE},
	{0},
};
