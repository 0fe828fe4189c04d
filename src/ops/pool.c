/* SPDX-License-Identifier: Apache-2.0 */
/* MaxPool, AveragePool, LpPool and their global forms. Averages and norms are sums under a window with
 * something done to the elements before and to the sums after; in reverse the same steps run backwards. */
#include "ops/pool.h"

#include <math.h>

#include "base/checked.h"
#include "base/error.h"
#include "ops/blas.h"

#define MOST_BEYOND 65536 /* elements of a kernel larger than its image */

#define POSITIVE fabsf
#define POWER powf
#define ROOT sqrtf
#define T float
#define NAME(x) x##_float
#include "ops/pool.inc"
#undef POSITIVE
#undef POWER
#undef ROOT
#undef T
#undef NAME

#define POSITIVE fabs
#define POWER pow
#define ROOT sqrt
#define T double
#define NAME(x) x##_double
#include "ops/pool.inc"
#undef POSITIVE
#undef POWER
#undef ROOT
#undef T
#undef NAME

/* Calls the function of the tensor type in hand: `type` is DT_FLOAT or DT_DOUBLE, and only those come
 * here. */
#define BY_TYPE(type, name, ...) ((type) == DT_FLOAT ? name##_float(__VA_ARGS__) : name##_double(__VA_ARGS__))

/* Whole from opset 2 on. */
static enum tamis_status parse_p(struct op_parse *p, struct pool_attr *a)
{
	int64_t whole = 2;
	float any = 2;
	enum tamis_status s = p->node->opset == 1 ? attr_float(p, "p", 2, &any) : attr_int(p, "p", 2, &whole);

	a->p = p->node->opset == 1 ? (double)any : (double)whole;
	if (!s && !(a->p >= 1 && isfinite(a->p)))
		return tm_fail(p->err, TAMIS_E_INVALID, "p is %g; at least 1 is expected", a->p);
	return s;
}

static enum tamis_status parse_windowed(struct op_parse *p, struct pool_attr *a)
{
	enum tamis_status s;

	if ((s = attr_required(p, "kernel_shape")) || (s = window_parse(p, &a->window)) ||
	    (s = attr_bool(p, "ceil_mode", false, &a->window.ceil_mode)) ||
	    (s = attr_bool(p, "count_include_pad", false, &a->include_pad)) ||
	    (s = attr_bool(p, "storage_order", false, &a->column_major)))
		return s;
	return parse_p(p, a);
}

static enum tamis_status parse(struct op_parse *p, void **attr)
{
	*attr = arena_alloc(p->arena, sizeof(struct pool_attr));
	return *attr ? parse_windowed(p, *attr) : tm_no_memory(p->err, "reading the attributes of a pooling");
}

static enum tamis_status parse_global(struct op_parse *p, void **attr)
{
	*attr = arena_alloc(p->arena, sizeof(struct pool_attr));
	return *attr ? parse_p(p, *attr) : tm_no_memory(p->err, "reading the attributes of a pooling");
}

static enum tamis_status count_planes(const struct tensor *x, struct pooling *p, struct tamis_error *err)
{
	if (!tm_mul(x->dims[0], x->dims[1], &p->planes))
		return tm_fail(err, TAMIS_E_INVALID, "the number of images in a batch overflows");
	return TAMIS_OK;
}

/* A kernel, unlike that of a convolution, is no data: one that is larger than the image reads little but padding, which
 * takes time for nothing. Small ones may hang over small images. */
static enum tamis_status check_kernel(const struct window *w, struct tamis_error *err)
{
	if (w->kernel_size <= MOST_BEYOND || w->kernel_size <= w->in_size)
		return TAMIS_OK;
	return tm_fail(err, TAMIS_E_UNSUPPORTED, "a kernel of %lld elements over an image of %lld is not supported",
	               (long long)w->kernel_size, (long long)w->in_size);
}

/* Shapes alone: no spans. */
static enum tamis_status resolve(const struct op_call *call, struct pooling *p)
{
	const struct pool_attr *a = call->node->attr;
	enum tamis_status s = window_resolve(&a->window, call->in[0], NULL, &p->win, call->err);

	if (!s)
		s = check_kernel(&p->win, call->err);
	return s ? s : count_planes(call->in[0], p, call->err);
}

/* The spatial axes, however many, become one, and the window covers it. */
static enum tamis_status resolve_global(const struct op_call *call, struct pooling *p)
{
	const struct tensor *x = call->in[0];
	struct tensor flat = {.rank = 3};
	enum tamis_status s;

	if (x->rank < 2)
		return tm_fail(call->err, TAMIS_E_INVALID,
		               "the input has rank %d; batch and channels at least are expected", x->rank);
	if (!tm_product(x->dims + 2, x->rank - 2, &flat.dims[2]) || flat.dims[2] < 1)
		return tm_fail(call->err, TAMIS_E_INVALID, "the spatial axes hold no element to pool");
	s = window_resolve(&(struct window_attr){.kernel = &flat.dims[2], .n_kernel = 1, .n_strides = -1,
	                                         .n_dilations = -1, .n_pads = -1}, &flat, NULL, &p->win, call->err);
	return s ? s : count_planes(x, p, call->err);
}

/* As resolve or resolve_global, with spans, for running. */
static enum tamis_status open_pooling(const struct op_call *call, bool global, struct pooling *p)
{
	enum tamis_status s = global ? resolve_global(call, p) : resolve(call, p);

	if (s)
		return s;
	p->spans = window_spans(&p->win, call->scratch);
	return p->spans ? TAMIS_OK : tm_no_memory(call->err, "pooling");
}

static enum tamis_status check_type(const struct op_call *call, bool bytes)
{
	enum dtype t = call->in[0]->type;

	if (dtype_is_float((int)t) || (bytes && (t == DT_INT8 || t == DT_UINT8)))
		return TAMIS_OK;
	return tm_fail(call->err, TAMIS_E_UNSUPPORTED, "pooling of the type %s is not supported",
	               dtype_name((int)t));
}

static enum tamis_status set_shape(struct op_call *call)
{
	const struct tensor *x = call->in[0];
	int64_t dims[WINDOW_AXES + 2] = {0};
	struct pooling p;
	enum tamis_status s;

	if ((s = resolve(call, &p)))
		return s;
	dims[0] = x->dims[0];
	dims[1] = x->dims[1];
	for (int i = 0; i < p.win.rank; i++)
		dims[2 + i] = p.win.out[WINDOW_AXES - p.win.rank + i];
	s = op_set_out(call, 0, x->type, x->rank, dims);
	return s ? s : op_set_out(call, 1, DT_INT64, x->rank, dims);
}

static enum tamis_status shape(struct op_call *call)
{
	enum tamis_status s = check_type(call, false);

	return s ? s : set_shape(call);
}

static enum tamis_status shape_max(struct op_call *call)
{
	enum tamis_status s = check_type(call, true);

	return s ? s : set_shape(call);
}

static enum tamis_status shape_global(struct op_call *call)
{
	const struct tensor *x = call->in[0];
	int64_t dims[TENSOR_MAX_RANK];
	struct pooling p;
	enum tamis_status s;

	if ((s = check_type(call, false)) || (s = resolve_global(call, &p)))
		return s;
	for (int i = 0; i < x->rank; i++)
		dims[i] = i < 2 ? x->dims[i] : 1;
	return op_set_out(call, 0, x->type, x->rank, dims);
}

static enum tamis_status run_any_max(struct op_call *call, bool global)
{
	struct pooling p;
	enum tamis_status s = open_pooling(call, global, &p);

	return s ? s : pool_run_max(call, &p);
}

static enum tamis_status reverse_any_max(struct op_grad *g, bool global)
{
	struct pooling p;
	enum tamis_status s;

	if (!g->gout[0] || !g->gin[0])
		return TAMIS_OK;
	s = open_pooling(g->call, global, &p);
	return s ? s : pool_reverse_max(g, &p);
}

static enum tamis_status run_max(struct op_call *call)
{
	return run_any_max(call, false);
}

static enum tamis_status reverse_max(struct op_grad *g)
{
	return reverse_any_max(g, false);
}

static enum tamis_status run_global_max(struct op_call *call)
{
	return run_any_max(call, true);
}

static enum tamis_status reverse_global_max(struct op_grad *g)
{
	return reverse_any_max(g, true);
}

/* Elements under the window at position o of one axis; with `include_pad` those of the padding too, but
 * never those that ceil_mode reaches beyond it. */
static int64_t elements(const struct window *w, int axis, int64_t o, bool include_pad)
{
	int64_t start = o * w->stride[axis] - w->begin[axis], d = w->dilation[axis];
	int64_t end = w->in[axis] + (include_pad ? w->end[axis] : 0);
	int64_t lo = start < 0 && !include_pad ? (-start + d - 1) / d : 0;
	int64_t hi = end > start ? (end - start + d - 1) / d : 0;

	hi = hi < w->kernel[axis] ? hi : w->kernel[axis];
	return hi > lo ? hi - lo : 0;
}

/* Elements under the window: a factor for each output row (down) and one for each column (across). */
static enum tamis_status count_elements(const struct op_call *call, const struct pooling *p, int64_t **down,
                                        int64_t **across)
{
	const struct pool_attr *a = call->node->attr;
	const struct window *w = &p->win;

	*down = scratch_alloc(call->scratch, (size_t)(w->out[0] * w->out[1]), sizeof **down);
	*across = scratch_alloc(call->scratch, (size_t)w->out[2], sizeof **across);
	if (!*down || !*across)
		return tm_no_memory(call->err, "pooling");
	for (int64_t r = 0; r < w->out[0] * w->out[1]; r++)
		(*down)[r] = elements(w, 0, r / w->out[1], a->include_pad) * elements(w, 1, r % w->out[1], a->include_pad);
	for (int64_t i = 0; i < w->out[2]; i++)
		(*across)[i] = elements(w, 2, i, a->include_pad);
	return TAMIS_OK;
}

static enum tamis_status run_average(struct op_call *call)
{
	const struct tensor *x = call->in[0], *y = call->out[0];
	int64_t *down, *across;
	struct pooling p;
	enum tamis_status s;

	if (!y)
		return TAMIS_OK;
	if ((s = open_pooling(call, false, &p)) || (s = count_elements(call, &p, &down, &across)))
		return s;
	for (int64_t i = 0; i < p.planes; i++) {
		void *from = blas_at(x->type, x->data, i * p.win.in_size);
		void *to = blas_at(x->type, y->data, i * p.win.out_size);

		BY_TYPE(x->type, sum_plane, &p.win, p.spans, from, to);
		BY_TYPE(x->type, divide_plane, &p.win, down, across, to, to);
	}
	return TAMIS_OK;
}

static enum tamis_status reverse_average(struct op_grad *g)
{
	const struct tensor *gy = g->gout[0], *gx = g->gin[0];
	int64_t *down, *across;
	struct pooling p;
	enum tamis_status s;
	void *part;

	if (!gy || !gx)
		return TAMIS_OK;
	if ((s = open_pooling(g->call, false, &p)) || (s = count_elements(g->call, &p, &down, &across)))
		return s;
	part = scratch_alloc(g->call->scratch, (size_t)p.win.out_size, blas_size(gy->type));
	if (!part)
		return tm_no_memory(g->call->err, "pooling in reverse");
	for (int64_t i = 0; i < p.planes; i++) {
		void *from = blas_at(gy->type, gy->data, i * p.win.out_size);

		BY_TYPE(gy->type, divide_plane, &p.win, down, across, from, part);
		BY_TYPE(gy->type, spread_plane, &p.win, p.spans, part, blas_at(gy->type, gx->data, i * p.win.in_size));
	}
	return TAMIS_OK;
}

static enum tamis_status run_lp(struct op_call *call)
{
	const struct pool_attr *a = call->node->attr;
	const struct tensor *x = call->in[0], *y = call->out[0];
	struct pooling p;
	enum tamis_status s;
	void *power;

	if (!y)
		return TAMIS_OK;
	if ((s = open_pooling(call, false, &p)))
		return s;
	power = scratch_alloc(call->scratch, (size_t)p.win.in_size, blas_size(x->type));
	if (!power)
		return tm_no_memory(call->err, "pooling");
	for (int64_t i = 0; i < p.planes; i++) {
		void *to = blas_at(x->type, y->data, i * p.win.out_size);

		BY_TYPE(x->type, powers, p.win.in_size, blas_at(x->type, x->data, i * p.win.in_size), a->p, power);
		BY_TYPE(x->type, sum_plane, &p.win, p.spans, power, to);
		BY_TYPE(x->type, roots, p.win.out_size, a->p, to);
	}
	return TAMIS_OK;
}

static enum tamis_status reverse_lp(struct op_grad *g)
{
	const struct pool_attr *a = g->call->node->attr;
	const struct tensor *x = g->call->in[0], *y = g->call->out[0], *gy = g->gout[0], *gx = g->gin[0];
	struct pooling p;
	enum tamis_status s;
	void *slopes, *sums;

	if (!gy || !gx)
		return TAMIS_OK;
	if ((s = open_pooling(g->call, false, &p)))
		return s;
	slopes = scratch_alloc(g->call->scratch, (size_t)p.win.out_size, blas_size(x->type));
	sums = scratch_alloc(g->call->scratch, (size_t)p.win.in_size, blas_size(x->type));
	if (!slopes || !sums)
		return tm_no_memory(g->call->err, "pooling in reverse");
	for (int64_t i = 0; i < p.planes; i++) {
		int64_t from = i * p.win.in_size, to = i * p.win.out_size;

		BY_TYPE(x->type, norm_slopes, p.win.out_size, blas_at(x->type, gy->data, to), blas_at(x->type, y->data, to),
		        a->p, slopes);
		blas_fill_rows(x->type, 1, p.win.in_size, NULL, 1, sums);
		BY_TYPE(x->type, spread_plane, &p.win, p.spans, slopes, sums);
		BY_TYPE(x->type, power_slopes, p.win.in_size, sums, false, blas_at(x->type, x->data, from), a->p,
		        blas_at(x->type, gx->data, from));
	}
	return TAMIS_OK;
}

static enum tamis_status run_global_average(struct op_call *call)
{
	const struct tensor *x = call->in[0], *y = call->out[0];
	struct pooling p;
	enum tamis_status s = resolve_global(call, &p);

	if (s || !y)
		return s;
	blas_fill_rows(x->type, p.planes, 1, NULL, 1, y->data);
	blas_row_sums(x->type, p.planes, p.win.in_size, x->data, p.win.in_size, 1 / (double)p.win.in_size, y->data);
	return TAMIS_OK;
}

static enum tamis_status reverse_global_average(struct op_grad *g)
{
	const struct tensor *gy = g->gout[0], *gx = g->gin[0];
	struct pooling p;
	enum tamis_status s;

	if (!gy || !gx)
		return TAMIS_OK;
	if ((s = resolve_global(g->call, &p)))
		return s;
	for (int64_t i = 0; i < p.planes; i++)
		BY_TYPE(gy->type, add_constant, p.win.in_size, tensor_get(gy, i) / (double)p.win.in_size,
		        blas_at(gy->type, gx->data, i * p.win.in_size));
	return TAMIS_OK;
}

static enum tamis_status run_global_lp(struct op_call *call)
{
	const struct pool_attr *a = call->node->attr;
	const struct tensor *x = call->in[0], *y = call->out[0];
	struct pooling p;
	enum tamis_status s = resolve_global(call, &p);
	void *power;

	if (s || !y)
		return s;
	power = scratch_alloc(call->scratch, (size_t)p.win.in_size, blas_size(x->type));
	if (!power)
		return tm_no_memory(call->err, "pooling");
	blas_fill_rows(x->type, p.planes, 1, NULL, 1, y->data);
	for (int64_t i = 0; i < p.planes; i++) {
		BY_TYPE(x->type, powers, p.win.in_size, blas_at(x->type, x->data, i * p.win.in_size), a->p, power);
		blas_row_sums(x->type, 1, p.win.in_size, power, p.win.in_size, 1, blas_at(x->type, y->data, i));
	}
	BY_TYPE(x->type, roots, p.planes, a->p, y->data);
	return TAMIS_OK;
}

static enum tamis_status reverse_global_lp(struct op_grad *g)
{
	const struct pool_attr *a = g->call->node->attr;
	const struct tensor *x = g->call->in[0], *y = g->call->out[0], *gy = g->gout[0], *gx = g->gin[0];
	struct pooling p;
	enum tamis_status s;
	double slope[1];

	if (!gy || !gx)
		return TAMIS_OK;
	if ((s = resolve_global(g->call, &p)))
		return s;
	for (int64_t i = 0; i < p.planes; i++) {
		int64_t from = i * p.win.in_size;

		BY_TYPE(x->type, norm_slopes, 1, blas_at(x->type, gy->data, i), blas_at(x->type, y->data, i), a->p,
		        (void *)slope);
		BY_TYPE(x->type, power_slopes, p.win.in_size, (void *)slope, true, blas_at(x->type, x->data, from), a->p,
		        blas_at(x->type, gx->data, from));
	}
	return TAMIS_OK;
}

#define ROW(op, first, outs, p, s, r, b) \
	{.name = op, .domain = "", .since = first, .until = OP_LATEST, .min_in = 1, .max_in = 1, .min_out = 1, \
	 .max_out = outs, .channels = channels_window, .parse = p, .shape = s, .run = r, .reverse = b}

const struct op ops_pool[] = {
	ROW("AveragePool", 1, 1, parse, shape, run_average, reverse_average),
	ROW("GlobalAveragePool", 1, 1, NULL, shape_global, run_global_average, reverse_global_average),
	ROW("GlobalLpPool", 1, 1, parse_global, shape_global, run_global_lp, reverse_global_lp),
	ROW("GlobalMaxPool", 1, 1, NULL, shape_global, run_global_max, reverse_global_max),
	ROW("LpPool", 1, 1, parse, shape, run_lp, reverse_lp),
	ROW("MaxPool", 1, 2, parse, shape_max, run_max, reverse_max),
	{0},
};
