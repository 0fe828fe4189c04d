/* SPDX-License-Identifier: Apache-2.0 */
/* Operators of object detectors: NonMaxSuppression, RoiAlign and MaxRoiPool. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "ops/args.h"
#include "ops/family.h"
#include "ops/reals.h"

/* ---- NonMaxSuppression ---- */

struct candidate { float score; int64_t box; };

/* Corners in order, so that left <= right and low <= high. */
struct corners { float left, low, right, high; };

struct limits { int64_t most; float overlap, score; bool has_score; };

static enum tamis_status suppression_parse(struct op_parse *p, void **attr)
{
	bool *center = *attr = args_alloc(p, sizeof *center);

	return center ? attr_bool(p, "center_point_box", false, center) : TAMIS_E_MEMORY;
}

static enum tamis_status check_boxes(const struct op_call *c)
{
	const struct tensor *boxes = c->in[0], *scores = c->in[1];

	if (boxes->type != DT_FLOAT || scores->type != DT_FLOAT || boxes->rank != 3 || scores->rank != 3 ||
	    boxes->dims[2] != 4)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "boxes must be floats of shape [batch, boxes, 4] and scores [batch, classes, boxes]");
	if (boxes->dims[0] != scores->dims[0] || boxes->dims[1] != scores->dims[2])
		return tm_fail(c->err, TAMIS_E_INVALID, "%lld batches of %lld boxes do not match %lld of %lld scores",
		               (long long)boxes->dims[0], (long long)boxes->dims[1], (long long)scores->dims[0],
		               (long long)scores->dims[2]);
	for (int i = 2; i < 5; i++) {
		const struct tensor *t = op_in(c, i);

		if (t && (t->count != 1 || t->rank > 1 || t->type != (i == 2 ? DT_INT64 : DT_FLOAT)))
			return tm_fail(c->err, TAMIS_E_INVALID, "input %d must be one %s", i,
			               i == 2 ? "int64" : "float");
	}
	return TAMIS_OK;
}

static struct limits limits_of(const struct op_call *c)
{
	const struct tensor *most = op_in(c, 2), *overlap = op_in(c, 3), *score = op_in(c, 4);

	return (struct limits){most ? tensor_get_int(most, 0) : 0, overlap ? (float)tensor_get(overlap, 0) : 0,
	                       score ? (float)tensor_get(score, 0) : 0, score != NULL};
}

/* Best first: higher score, then lower index; NaN is worst. */
static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int x_nan = x->score != x->score, y_nan = y->score != y->score;

	if (x_nan != y_nan)
		return x_nan - y_nan;
	if (x->score > y->score || x->score < y->score)
		return x->score > y->score ? -1 : 1;
	return x->box < y->box ? -1 : x->box > y->box;
}

static struct corners corners_of(const float *box, bool center)
{
	float x0 = box[1], y0 = box[0], x1 = box[3], y1 = box[2];

	if (center) {
		x0 = box[0] - box[2] / 2;
		x1 = box[0] + box[2] / 2;
		y0 = box[1] - box[3] / 2;
		y1 = box[1] + box[3] / 2;
		return (struct corners){x0, y0, x1, y1};
	}
	return (struct corners){fminf(x0, x1), fminf(y0, y1), fmaxf(x0, x1), fmaxf(y0, y1)};
}

/* Intersection over union above the threshold; empty boxes overlap nothing. */
static bool overlaps(const struct corners *a, const struct corners *b, float threshold)
{
	float width = fminf(a->right, b->right) - fmaxf(a->left, b->left);
	float height = fminf(a->high, b->high) - fmaxf(a->low, b->low), shared = width * height;
	float area_a = (a->right - a->left) * (a->high - a->low);
	float area_b = (b->right - b->left) * (b->high - b->low);
	float whole = area_a + area_b - shared;

	if (!(width > 0 && height > 0 && area_a > 0 && area_b > 0 && whole > 0))
		return false;
	return shared / whole > threshold;
}

/* Boxes of one class in the order of their selection, at the front of `list`; returns how many. */
static int64_t select_class(const struct limits *limits, const float *boxes, const float *scores, int64_t n,
                            bool center, struct candidate *list)
{
	int64_t candidates = 0, selected = 0;

	for (int64_t i = 0; i < n; i++)
		if (!limits->has_score || scores[i] > limits->score)
			list[candidates++] = (struct candidate){scores[i], i};
	qsort(list, (size_t)candidates, sizeof *list, compare_candidates);
	for (int64_t i = 0; i < candidates && selected < limits->most; i++) {
		struct corners box = corners_of(boxes + 4 * list[i].box, center);
		bool suppressed = false;

		for (int64_t k = 0; k < selected && !suppressed; k++) {
			struct corners other = corners_of(boxes + 4 * list[k].box, center);

			suppressed = overlaps(&box, &other, limits->overlap);
		}
		if (!suppressed)
			list[selected++] = list[i];
	}
	return selected;
}

/* All batches and classes; rows of (batch, class, box) into `rows` unless it is NULL. */
static enum tamis_status suppress(const struct op_call *c, int64_t *rows, int64_t *count)
{
	const struct tensor *boxes = c->in[0], *scores = c->in[1];
	struct limits limits = limits_of(c);
	int64_t classes = scores->dims[1], n = boxes->dims[1];
	struct candidate *list;

	*count = 0;
	if (limits.most <= 0 || scores->count == 0)
		return TAMIS_OK;
	list = tm_array_uninit((size_t)n, sizeof *list);
	if (!list)
		return tm_no_memory(c->err, "suppressing boxes");
	for (int64_t k = 0; k < scores->dims[0] * classes; k++) {
		const float *of_batch = (const float *)boxes->data + k / classes * n * 4;
		int64_t selected = select_class(&limits, of_batch, (const float *)scores->data + k * n, n,
		                                *(const bool *)c->node->attr, list);

		for (int64_t i = 0; rows && i < selected; i++) {
			int64_t *row = rows + 3 * (*count + i);

			row[0] = k / classes;
			row[1] = k % classes;
			row[2] = list[i].box;
		}
		*count += selected;
	}
	free(list);
	return TAMIS_OK;
}

static enum tamis_status suppression_shape(struct op_call *c)
{
	int64_t count = 0;
	enum tamis_status status = check_boxes(c);

	for (int i = 0; !status && i < c->n_in; i++)
		if (op_in(c, i) && !op_needs(c, i))
			return TAMIS_OK;
	if (!status)
		status = suppress(c, NULL, &count);
	return status ? status : op_set_out(c, 0, DT_INT64, 2, (const int64_t[]){count, 3});
}

static enum tamis_status suppression_run(struct op_call *c)
{
	int64_t count;

	return c->out[0] ? suppress(c, c->out[0]->data, &count) : TAMIS_OK;
}

/* ---- RoiAlign ---- */

#define MOST_SAMPLES 65536 /* along one side of one bin: more is no region of an image; of a whole one if that is small */

struct align_attr { int64_t height, width, ratio; float scale; bool half_pixel, max; };

static enum tamis_status align_parse(struct op_parse *p, void **attr)
{
	static const char *const coordinates[] = {"output_half_pixel", "half_pixel", NULL};
	static const char *const modes[] = {"avg", "max", NULL};
	struct align_attr *a = *attr = args_alloc(p, sizeof *a);
	int half = 0, max = 0;
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	status = attr_int(p, "output_height", 1, &a->height);
	if (!status)
		status = attr_int(p, "output_width", 1, &a->width);
	if (!status)
		status = attr_int(p, "sampling_ratio", 0, &a->ratio);
	if (!status)
		status = attr_float(p, "spatial_scale", 1, &a->scale);
	if (!status)
		status = attr_choice(p, "mode", modes, 0, &max);
	if (!status && p->node->opset >= 16)
		status = attr_choice(p, "coordinate_transformation_mode", coordinates, 1, &half);
	a->half_pixel = half == 1;
	a->max = max == 1;
	if (!status && (a->height < 1 || a->width < 1 || a->ratio < 0 || a->ratio > MOST_SAMPLES))
		return tm_fail(p->err, TAMIS_E_INVALID,
		               "output %lld x %lld with sampling_ratio %lld is not possible", (long long)a->height,
		               (long long)a->width, (long long)a->ratio);
	return status;
}

static enum tamis_status align_shape(struct op_call *c)
{
	const struct align_attr *a = c->node->attr;
	const struct tensor *x = c->in[0], *rois = c->in[1], *batch = c->in[2];

	if (!dtype_is_float((int)x->type) || rois->type != x->type || batch->type != DT_INT64)
		return tm_fail(c->err, TAMIS_E_INVALID, "RoiAlign takes floats, floats and int64, not %s, %s and %s",
		               dtype_name((int)x->type), dtype_name((int)rois->type), dtype_name((int)batch->type));
	if (x->rank != 4 || rois->rank != 2 || rois->dims[1] != 4 || batch->rank != 1 ||
	    batch->dims[0] != rois->dims[0])
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "RoiAlign needs an image batch of rank 4, rois of shape [n, 4] and n batch indices");
	if (x->dims[2] == 0 || x->dims[3] == 0)
		return tm_fail(c->err, TAMIS_E_INVALID, "the images are empty: no region can be read");
	return op_set_out(c, 0, x->type, 4, (const int64_t[]){rois->dims[0], x->dims[1], a->height, a->width});
}

/* One side of a region: where it starts, the length of a bin, samples a bin. */
struct side { double start, bin; int64_t samples; };

static double rounded(double v, enum dtype type)
{
	return type == DT_FLOAT ? (double)(float)v : v;
}

static enum tamis_status side_of(const struct op_call *c, int64_t roi, int at, int64_t bins, struct side *s)
{
	const struct align_attr *a = c->node->attr;
	const struct tensor *rois = c->in[1];
	double shift = a->half_pixel ? 0.5 : 0, end, length, samples;

	s->start = rounded(tensor_get(rois, 4 * roi + at) * (double)a->scale - shift, rois->type);
	end = rounded(tensor_get(rois, 4 * roi + at + 2) * (double)a->scale - shift, rois->type);
	length = rounded(end - s->start, rois->type);
	if (!a->half_pixel && length < 1)
		length = 1;
	s->bin = rounded(length / (double)bins, rois->type);
	samples = a->ratio > 0 ? (double)a->ratio : ceil(s->bin);
	if (!(fabs(s->start) < 0x1p60) || !(samples <= MOST_SAMPLES))
		return tm_fail(c->err, TAMIS_E_INVALID, "region %lld has no usable bounds", (long long)roi);
	s->samples = samples > 0 ? (int64_t)samples : 0;
	return TAMIS_OK;
}

/* Bilinear reading along one side: two neighbours and the weight of the second. False: beyond the image. */
struct pair { int64_t low, high; double part; };

static bool pair_at(const struct side *s, int64_t bin, int64_t sample, int64_t length, struct pair *p)
{
	double x = s->start + (double)bin * s->bin + ((double)sample + 0.5) * s->bin / (double)s->samples;

	if (!(x >= -1 && x <= (double)length))
		return false;
	x = x < 0 ? 0 : x;
	p->low = (int64_t)x;
	p->high = p->low + 1;
	p->part = x - (double)p->low;
	if (p->low >= length - 1) {
		p->low = p->high = length - 1;
		p->part = 0;
	}
	return true;
}

/* One bin: the four corners of every sample, walked by a function of the corner's offset and weight. */
struct bin { const struct side *rows, *cols; int64_t row, col, height, width; };

typedef void corner_fn(int64_t offset, double weight, bool read, void *ctx);

static void each_corner(const struct bin *b, corner_fn *fn, void *ctx)
{
	for (int64_t i = 0; i < b->rows->samples; i++)
		for (int64_t j = 0; j < b->cols->samples; j++) {
			struct pair y = {0}, x = {0};
			bool read = pair_at(b->rows, b->row, i, b->height, &y) &&
				pair_at(b->cols, b->col, j, b->width, &x);

			fn(y.low * b->width + x.low, (1 - y.part) * (1 - x.part), read, ctx);
			fn(y.low * b->width + x.high, (1 - y.part) * x.part, read, ctx);
			fn(y.high * b->width + x.low, y.part * (1 - x.part), read, ctx);
			fn(y.high * b->width + x.high, y.part * x.part, read, ctx);
		}
}

/* Sum, or greatest weighted corner with its place, over one channel. */
struct pooled { const struct tensor *x; int64_t base, best_at; double sum, best, best_weight; bool any; };

static void pool_corner(int64_t offset, double weight, bool read, void *ctx)
{
	struct pooled *p = ctx;
	double value = read ? weight * tensor_get(p->x, p->base + offset) : 0;

	p->sum += value;
	if (!p->any || value > p->best) {
		p->best = value;
		p->best_at = read ? offset : 0;
		p->best_weight = read ? weight : 0;
		p->any = true;
	}
}

struct spread { struct tensor *gx; int64_t base; double scale; };

static void spread_corner(int64_t offset, double weight, bool read, void *ctx)
{
	const struct spread *s = ctx;

	if (!read)
		return;
	if (s->gx->type == DT_FLOAT)
		((float *)s->gx->data)[s->base + offset] += (float)(weight * s->scale);
	else
		((double *)s->gx->data)[s->base + offset] += weight * s->scale;
}

typedef void bin_fn(const struct op_call *c, const struct bin *b, int64_t base, int64_t out, void *ctx);

/* Bins of regions far larger than the image read the same pixels, or none, for as long as one likes. */
static enum tamis_status check_samples(const struct op_call *c, int64_t roi, const struct side *rows,
                                       const struct side *cols, int64_t plane)
{
	int64_t n = rows->samples * cols->samples;

	if (n <= MOST_SAMPLES || n / 4 <= plane)
		return TAMIS_OK;
	return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "region %lld reads %lld x %lld samples a bin of an image of %lld pixels",
	               (long long)roi, (long long)rows->samples, (long long)cols->samples, (long long)plane);
}

/* Calls fn for each bin of each channel: base is where the channel begins in the input, out the output
 * element. */
static enum tamis_status each_bin(const struct op_call *c, bin_fn *fn, void *ctx)
{
	const struct align_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	int64_t channels = x->dims[1], plane = tensor_extent(x, 2, x->rank), out = 0;

	for (int64_t roi = 0; roi < c->in[1]->dims[0]; roi++) {
		int64_t item = tensor_get_int(c->in[2], roi);
		struct side rows, cols;
		struct bin b = {&rows, &cols, 0, 0, x->dims[2], x->dims[3]};
		enum tamis_status status = side_of(c, roi, 1, a->height, &rows);

		if (!status)
			status = side_of(c, roi, 0, a->width, &cols);
		if (!status)
			status = check_samples(c, roi, &rows, &cols, plane);
		if (!status && (item < 0 || item >= x->dims[0]))
			status = tm_fail(c->err, TAMIS_E_INVALID, "batch index %lld is outside a batch of %lld",
			                 (long long)item, (long long)x->dims[0]);
		if (status)
			return status;
		for (int64_t k = 0; k < channels; k++)
			for (b.row = 0; b.row < a->height; b.row++)
				for (b.col = 0; b.col < a->width; b.col++)
					fn(c, &b, (item * channels + k) * plane, out++, ctx);
	}
	return TAMIS_OK;
}

static double samples_of(const struct bin *b)
{
	int64_t n = b->rows->samples * b->cols->samples;

	return n > 0 ? (double)n : 1;
}

static void run_bin(const struct op_call *c, const struct bin *b, int64_t base, int64_t out, void *ctx)
{
	const struct align_attr *a = c->node->attr;
	struct pooled p = {.x = c->in[0], .base = base};

	each_corner(b, pool_corner, &p);
	tensor_set(ctx, out, a->max ? p.best : p.sum / samples_of(b));
}

static void reverse_bin(const struct op_call *c, const struct bin *b, int64_t base, int64_t out, void *ctx)
{
	const struct align_attr *a = c->node->attr;
	const struct op_grad *g = ctx;
	double gy = tensor_get(g->gout[0], out);
	struct pooled p = {.x = c->in[0], .base = base};
	struct spread s = {g->gin[0], base, gy / samples_of(b)};

	if (a->max) {
		each_corner(b, pool_corner, &p);
		s.scale = gy;
		spread_corner(p.best_at, p.best_weight, p.any, &s);
	} else {
		each_corner(b, spread_corner, &s);
	}
}

static enum tamis_status align_run(struct op_call *c)
{
	return c->out[0] && c->out[0]->count ? each_bin(c, run_bin, c->out[0]) : TAMIS_OK;
}

/* Of the images; regions are not differentiated. */
static enum tamis_status align_reverse(struct op_grad *g)
{
	if (!g->gout[0] || !g->gin[0] || g->gout[0]->count == 0)
		return TAMIS_OK;
	return each_bin(g->call, reverse_bin, g);
}

/* ---- MaxRoiPool ---- */

struct roi_attr { int64_t height, width; float scale; };

static enum tamis_status roi_parse(struct op_parse *p, void **attr)
{
	struct roi_attr *a = *attr = args_alloc(p, sizeof *a);
	const int64_t *size;
	enum tamis_status s;
	int n;

	if (!a)
		return TAMIS_E_MEMORY;
	if ((s = attr_required(p, "pooled_shape")) || (s = attr_ints(p, "pooled_shape", &size, &n)) ||
	    (s = attr_float(p, "spatial_scale", 1, &a->scale)))
		return s;
	if (n != 2 || size[0] < 1 || size[1] < 1)
		return tm_fail(p->err, TAMIS_E_INVALID, "pooled_shape must be a height and a width");
	a->height = size[0];
	a->width = size[1];
	return TAMIS_OK;
}

static enum tamis_status roi_shape(struct op_call *c)
{
	const struct roi_attr *a = c->node->attr;
	const struct tensor *x = c->in[0], *rois = c->in[1];

	if (!dtype_is_float((int)x->type) || rois->type != x->type || x->rank != 4 || rois->rank != 2 ||
	    rois->dims[1] != 5)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "MaxRoiPool takes float images of rank 4 and rois of shape [n, 5], both of one type");
	if (x->dims[2] == 0 || x->dims[3] == 0)
		return tm_fail(c->err, TAMIS_E_INVALID, "the images are empty: no region can be read");
	return op_set_out(c, 0, x->type, 4, (const int64_t[]){rois->dims[0], x->dims[1], a->height, a->width});
}

/* Pixels [from, to) of an axis that fall into one bin of a region, whose ends are whole pixels, both included. */
struct reach { int64_t from, to; };

static struct reach reach_of(const struct op_call *c, int64_t roi, int at, int64_t bin, int64_t bins, int64_t length)
{
	const struct roi_attr *a = c->node->attr;
	double start = round(real_get(c->in[1], 5 * roi + at) * (double)a->scale);
	double end = round(real_get(c->in[1], 5 * roi + at + 2) * (double)a->scale);
	double size = fmax(end - start + 1, 1) / (double)bins;
	double from = floor((double)bin * size) + start, to = ceil((double)(bin + 1) * size) + start;

	return (struct reach){(int64_t)fmin(fmax(from, 0), (double)length), (int64_t)fmin(fmax(to, 0), (double)length)};
}

/* Offset of the greatest element of channel `base` within the bin, the first of equal ones; -1: the bin is empty. */
static int64_t greatest(const struct tensor *x, int64_t base, struct reach rows, struct reach cols)
{
	int64_t best = -1;

	for (int64_t i = rows.from; i < rows.to; i++)
		for (int64_t j = cols.from; j < cols.to; j++) {
			int64_t at = base + i * x->dims[3] + j;

			if (best < 0 || real_get(x, at) > real_get(x, best))
				best = at;
		}
	return best;
}

typedef void greatest_fn(int64_t out, int64_t at, void *ctx);

static enum tamis_status each_greatest(const struct op_call *c, greatest_fn *fn, void *ctx)
{
	const struct roi_attr *a = c->node->attr;
	const struct tensor *x = c->in[0], *rois = c->in[1];
	int64_t out = 0;

	for (int64_t roi = 0; roi < rois->dims[0]; roi++) {
		double item = real_get(rois, 5 * roi);

		if (!(item >= 0 && item < (double)x->dims[0]))
			return tm_fail(c->err, TAMIS_E_INVALID, "region %lld names image %g of %lld", (long long)roi, item,
			               (long long)x->dims[0]);
		for (int64_t k = 0; k < x->dims[1]; k++)
			for (int64_t bin = 0; bin < a->height * a->width; bin++) {
				int64_t base = ((int64_t)item * x->dims[1] + k) * x->dims[2] * x->dims[3];
				struct reach rows = reach_of(c, roi, 2, bin / a->width, a->height, x->dims[2]);
				struct reach cols = reach_of(c, roi, 1, bin % a->width, a->width, x->dims[3]);

				fn(out++, greatest(x, base, rows, cols), ctx);
			}
	}
	return TAMIS_OK;
}

static void take_greatest(int64_t out, int64_t at, void *ctx)
{
	const struct op_call *c = ctx;

	real_set(c->out[0], out, at < 0 ? 0 : real_get(c->in[0], at));
}

static void give_greatest(int64_t out, int64_t at, void *ctx)
{
	const struct op_grad *g = ctx;

	if (at >= 0)
		real_add(g->gin[0], at, real_get(g->gout[0], out));
}

static enum tamis_status roi_run(struct op_call *c)
{
	return each_greatest(c, take_greatest, c);
}

static enum tamis_status roi_reverse(struct op_grad *g)
{
	return g->gout[0] && g->gin[0] ? each_greatest(g->call, give_greatest, g) : TAMIS_OK;
}

const struct op ops_detect[] = {
	{.name = "MaxRoiPool", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 2, .max_in = 2, .min_out = 1,
	 .max_out = 1, .parse = roi_parse, .shape = roi_shape, .run = roi_run, .reverse = roi_reverse},
	{.name = "NonMaxSuppression", .domain = "", .since = 10, .until = OP_LATEST, .min_in = 2, .max_in = 5,
	 .min_out = 1, .max_out = 1, .parse = suppression_parse, .shape = suppression_shape,
	 .run = suppression_run},
	{.name = "RoiAlign", .domain = "", .since = 10, .until = OP_LATEST, .min_in = 3, .max_in = 3,
	 .min_out = 1, .max_out = 1, .parse = align_parse, .shape = align_shape, .run = align_run,
	 .reverse = align_reverse},
	{0},
};
