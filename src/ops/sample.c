/* SPDX-License-Identifier: Apache-2.0 */
/* GridSample: reading a tensor at arbitrary positions, in one to three dimensions of space. */
#include <math.h>
#include <string.h>

#include "ops/args.h"
#include "ops/family.h"
#include "ops/interpolate.h"

#define MAX_SPACE 3
#define MAX_STENCIL 64 /* 4 taps in each of three dimensions */
#define CUBIC_A (-0.75)

enum padding { PADDING_ZEROS, PADDING_BORDER, PADDING_REFLECTION };

struct sample_attr { int kernel, padding; bool align; };

/* Taps of one coordinate along its axis: weights, and their derivatives by the normalised coordinate. */
struct line { int n; int64_t index[4]; double weight[4], slope[4]; };

/* What one output position reads: element offsets within a channel, weights, and derivatives by each
 * coordinate. */
struct stencil {
	int n;
	int64_t offset[MAX_STENCIL];
	double weight[MAX_STENCIL], slope[MAX_SPACE][MAX_STENCIL];
};

static enum tamis_status sample_parse(struct op_parse *p, void **attr)
{
	static const char *const modes[] = {"linear", "nearest", "cubic", "bilinear", "bicubic", NULL};
	static const int kernels[] = {KERNEL_LINEAR, KERNEL_NEAREST, KERNEL_CUBIC, KERNEL_LINEAR, KERNEL_CUBIC};
	static const char *const paddings[] = {"zeros", "border", "reflection", NULL};
	struct sample_attr *a = *attr = args_alloc(p, sizeof *a);
	int mode = 0;
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	status = attr_choice(p, "mode", modes, 0, &mode);
	a->kernel = kernels[mode];
	if (!status)
		status = attr_choice(p, "padding_mode", paddings, PADDING_ZEROS, &a->padding);
	return status ? status : attr_bool(p, "align_corners", false, &a->align);
}

static bool is_real(const struct tensor *t)
{
	return dtype_is_float((int)t->type);
}

static enum tamis_status sample_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0], *grid = c->in[1];
	int space = x->rank - 2;
	int64_t dims[TENSOR_MAX_RANK];

	if (!is_real(x) || !is_real(grid))
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "sampling %s by a grid of %s is not supported",
		               dtype_name((int)x->type), dtype_name((int)grid->type));
	if (space < 1 || grid->rank != x->rank || grid->dims[0] != x->dims[0] || grid->dims[space + 1] != space)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "the grid must have rank %d, batch %lld and %d coordinates a position", x->rank,
		               (long long)(x->rank ? x->dims[0] : 0), space);
	if (space > MAX_SPACE)
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED,
		               "sampling %d dimensions of space is not supported; %d are", space, MAX_SPACE);
	for (int i = 0; i < x->rank; i++)
		dims[i] = i < 2 ? x->dims[i] : grid->dims[i - 1];
	for (int i = 2; i < x->rank; i++)
		if (x->dims[i] == 0)
			return tm_fail(c->err, TAMIS_E_INVALID, "axis %d of the input is empty: nothing can be sampled",
			               i);
	return op_set_out(c, 0, x->type, x->rank, dims);
}

/* ---- One coordinate ---- */

/* Mirrors x at the ends of [low, high] until it lies inside; *slope gets the sign that this gives dx. */
static double reflect(double x, double low, double high, double *slope)
{
	double range = high - low, beyond = x < low ? low - x : x - high, turn;
	bool below = x < low;

	if (!(x < low || x > high))
		return x;
	if (range <= 0)
		return low;
	turn = fmod(beyond, 2 * range);
	if (turn < range) {
		*slope = -*slope;
		return below ? low + turn : high - turn;
	}
	return below ? high - (turn - range) : low + (turn - range);
}

/* Where the mode finds pixel i of an axis of length d; -1: a zero. */
static int64_t pixel(const struct sample_attr *a, double i, int64_t d)
{
	double last = (double)(d - 1), ignored = 1;

	if (i >= 0 && i <= last)
		return (int64_t)i;
	if (a->padding == PADDING_ZEROS)
		return -1;
	if (a->padding == PADDING_REFLECTION)
		i = rint(reflect(i, a->align ? 0 : -0.5, a->align ? last : last + 0.5, &ignored));
	return i < 0 ? 0 : i > last ? d - 1 : (int64_t)i;
}

static double cubic_slope(double t)
{
	double x = fabs(t), sign = t < 0 ? -1 : 1;

	if (x <= 1)
		return sign * (3 * (CUBIC_A + 2) * x - 2 * (CUBIC_A + 3)) * x;
	if (x < 2)
		return sign * ((3 * CUBIC_A * x - 10 * CUBIC_A) * x + 8 * CUBIC_A);
	return 0;
}

static void add_tap(const struct sample_attr *a, struct line *l, double i, int64_t d, double weight,
                    double slope)
{
	int64_t index = pixel(a, i, d);

	if (index < 0)
		return;
	l->index[l->n] = index;
	l->weight[l->n] = weight;
	l->slope[l->n++] = slope;
}

/* Position on the axis of a normalised coordinate, -1 and 1 being the ends, and its derivative. Positions
 * that are not finite read nothing with zero padding, and the first pixel otherwise. */
static double position(const struct sample_attr *a, double v, int64_t d, bool single, double *slope)
{
	double last = (double)(d - 1), low = a->align ? 0 : -0.5, high = a->align ? last : last + 0.5;
	double x = a->align ? (v + 1) / 2 * last : ((v + 1) * (double)d - 1) / 2;

	*slope = a->align ? last / 2 : (double)d / 2;
	if (single)
		x = (double)(float)x;
	if (a->kernel == KERNEL_NEAREST)
		x = rint(x);
	if (a->padding == PADDING_ZEROS || (x >= low && x <= high))
		return x;
	if (a->padding == PADDING_BORDER) {
		*slope = 0;
		return x > last ? last : x < 0 || x != x ? 0 : x;
	}
	x = reflect(x, low, high, slope);
	return x == x ? x : 0;
}

static void make_line(const struct sample_attr *a, double v, int64_t d, bool single, struct line *l)
{
	double slope, x = position(a, v, d, single, &slope), below = floor(x), part = x - below;

	l->n = 0;
	if (!(fabs(x) < 0x1p52))
		return;
	if (a->kernel == KERNEL_NEAREST) {
		add_tap(a, l, x, d, 1, 0);
	} else if (a->kernel == KERNEL_LINEAR) {
		add_tap(a, l, below, d, 1 - part, -slope);
		add_tap(a, l, below + 1, d, part, slope);
	} else {
		for (int k = -1; k <= 2; k++)
			add_tap(a, l, below + k, d, interpolation_cubic(part - k, CUBIC_A),
			        slope * cubic_slope(part - k));
	}
}

/* ---- One position: the product of its lines ---- */

/* Multiplies a stencil over the outer axes by a line of the next inner one. */
static void extend(struct stencil *s, const struct line *l, int64_t d, int axis)
{
	struct stencil old = *s;

	s->n = 0;
	for (int i = 0; i < old.n; i++)
		for (int k = 0; k < l->n; k++, s->n++) {
			s->offset[s->n] = old.offset[i] * d + l->index[k];
			s->weight[s->n] = old.weight[i] * l->weight[k];
			for (int j = 0; j < axis; j++)
				s->slope[j][s->n] = old.slope[j][i] * l->weight[k];
			s->slope[axis][s->n] = old.weight[i] * l->slope[k];
		}
}

/* Coordinates of a position are listed innermost axis first. */
static void make_stencil(const struct op_call *c, int64_t position, struct stencil *s)
{
	const struct tensor *x = c->in[0], *grid = c->in[1];
	int space = x->rank - 2;

	s->n = 1;
	s->offset[0] = 0;
	s->weight[0] = 1;
	for (int axis = 0; axis < space; axis++) {
		double v = tensor_get(grid, position * space + (space - 1 - axis));
		struct line l;

		make_line(c->node->attr, v, x->dims[axis + 2], x->type == DT_FLOAT, &l);
		extend(s, &l, x->dims[axis + 2], axis);
	}
}

/* Sizes of a call: channels, elements a channel in input and output. */
struct extent { int64_t batch, channels, in, out; };

static struct extent extent_of(const struct op_call *c)
{
	const struct tensor *x = c->in[0], *grid = c->in[1];

	return (struct extent){x->dims[0], x->dims[1], tensor_extent(x, 2, x->rank),
	                       tensor_extent(grid, 1, grid->rank - 1)};
}

static double dot(const struct stencil *s, const double *weight, const struct tensor *x, int64_t base)
{
	double sum = 0;

	if (x->type == DT_FLOAT)
		for (int i = 0; i < s->n; i++)
			sum += weight[i] * (double)((const float *)x->data)[base + s->offset[i]];
	else
		for (int i = 0; i < s->n; i++)
			sum += weight[i] * ((const double *)x->data)[base + s->offset[i]];
	return sum;
}

static enum tamis_status sample_run(struct op_call *c)
{
	struct extent e = extent_of(c);
	struct tensor *y = c->out[0];
	struct stencil s;

	if (!y || y->count == 0)
		return TAMIS_OK;
	for (int64_t b = 0; b < e.batch; b++)
		for (int64_t p = 0; p < e.out; p++) {
			make_stencil(c, b * e.out + p, &s);
			for (int64_t k = b * e.channels; k < (b + 1) * e.channels; k++)
				tensor_set(y, k * e.out + p, dot(&s, s.weight, c->in[0], k * e.in));
		}
	return TAMIS_OK;
}

static void add_value(struct tensor *t, int64_t i, double v)
{
	if (t->type == DT_FLOAT)
		((float *)t->data)[i] += (float)v;
	else
		((double *)t->data)[i] += v;
}

/* One position: its gradient goes to the pixels it read, and through the weights to its coordinates. */
static void position_back(struct op_grad *g, const struct extent *e, int64_t batch, int64_t p)
{
	const struct op_call *c = g->call;
	int space = c->in[0]->rank - 2;
	struct stencil s;

	make_stencil(c, batch * e->out + p, &s);
	for (int64_t k = batch * e->channels; k < (batch + 1) * e->channels; k++) {
		double gy = tensor_get(g->gout[0], k * e->out + p);

		for (int i = 0; g->gin[0] && i < s.n; i++)
			add_value(g->gin[0], k * e->in + s.offset[i], gy * s.weight[i]);
		for (int axis = 0; g->gin[1] && axis < space; axis++)
			add_value(g->gin[1], (batch * e->out + p) * space + (space - 1 - axis),
			          gy * dot(&s, s.slope[axis], c->in[0], k * e->in));
	}
}

static enum tamis_status sample_reverse(struct op_grad *g)
{
	struct extent e = extent_of(g->call);

	if (!g->gout[0] || g->gout[0]->count == 0)
		return TAMIS_OK;
	for (int64_t b = 0; b < e.batch; b++)
		for (int64_t p = 0; p < e.out; p++)
			position_back(g, &e, b, p);
	return TAMIS_OK;
}

const struct op ops_sample[] = {
	{.name = "GridSample", .domain = "", .since = 16, .until = OP_LATEST, .min_in = 2, .max_in = 2,
	 .min_out = 1, .max_out = 1, .parse = sample_parse, .shape = sample_shape, .run = sample_run,
	 .reverse = sample_reverse},
	{0},
};
