/* SPDX-License-Identifier: Apache-2.0 */
/* Slice: start, step and count an axis, so a strided walk with an offset. */
#include <string.h>

#include "ops/args.h"
#include "ops/family.h"
#include "ops/strided.h"

/* Up to opset 9 the bounds are attributes; then inputs. */
struct slice_attr {
	const int64_t *starts, *ends, *axes;
	int n_starts, n_ends, n_axes; /* n_axes = -1: not given */
};

/* Bounds as written, one entry a listed axis; then as they apply, one an axis of the input. */
struct bounds {
	int n;
	int64_t starts[TENSOR_MAX_RANK], ends[TENSOR_MAX_RANK], axes[TENSOR_MAX_RANK], steps[TENSOR_MAX_RANK];
};

struct cut { int64_t start[TENSOR_MAX_RANK], step[TENSOR_MAX_RANK], count[TENSOR_MAX_RANK]; };

static enum tamis_status slice_parse(struct op_parse *p, void **attr)
{
	struct slice_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	status = attr_required(p, "starts");
	if (!status)
		status = attr_required(p, "ends");
	if (!status)
		status = attr_ints(p, "starts", &a->starts, &a->n_starts);
	if (!status)
		status = attr_ints(p, "ends", &a->ends, &a->n_ends);
	return status ? status : attr_ints(p, "axes", &a->axes, &a->n_axes);
}

static enum tamis_status lengths_differ(const struct op_call *c, int starts, int ends, int axes, int steps)
{
	return tm_fail(c->err, TAMIS_E_INVALID,
	               "starts, ends, axes and steps need one length, at most the rank, not %d, %d, %d and %d",
	               starts, ends, axes, steps);
}

static enum tamis_status bounds_of_attr(const struct op_call *c, struct bounds *b)
{
	const struct slice_attr *a = c->node->attr;
	int n = a->n_starts;

	if (n > c->in[0]->rank || a->n_ends != n || (a->n_axes >= 0 && a->n_axes != n))
		return lengths_differ(c, n, a->n_ends, a->n_axes < 0 ? n : a->n_axes, n);
	b->n = n;
	for (int k = 0; k < n; k++) {
		b->starts[k] = a->starts[k];
		b->ends[k] = a->ends[k];
		b->axes[k] = a->n_axes < 0 ? k : a->axes[k];
		b->steps[k] = 1;
	}
	return TAMIS_OK;
}

static enum tamis_status bounds_of_inputs(const struct op_call *c, struct bounds *b)
{
	int ends = 0, axes, steps;
	enum tamis_status status = args_ints(c, 1, "starts", TENSOR_MAX_RANK, b->starts, &b->n);

	axes = steps = b->n;
	if (!status)
		status = args_ints(c, 2, "ends", TENSOR_MAX_RANK, b->ends, &ends);
	for (int k = 0; !status && k < b->n; k++) {
		b->axes[k] = k;
		b->steps[k] = 1;
	}
	if (!status && op_in(c, 3))
		status = args_ints(c, 3, "axes", TENSOR_MAX_RANK, b->axes, &axes);
	if (!status && op_in(c, 4))
		status = args_ints(c, 4, "steps", TENSOR_MAX_RANK, b->steps, &steps);
	if (!status && (b->n > c->in[0]->rank || ends != b->n || axes != b->n || steps != b->n))
		status = lengths_differ(c, b->n, ends, axes, steps);
	return status;
}

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
	return v < low ? low : v > high ? high : v;
}

/* One axis of length d: negative bounds count from the end, then everything is clamped to where a walk can
 * stand. A step beyond the length meets one element, as one equal to the length does. */
static void cut_axis(struct cut *cut, int axis, int64_t d, int64_t start, int64_t end, int64_t step)
{
	int64_t limit = d > 1 ? d : 1, low = step > 0 ? 0 : -1, high = step > 0 ? d : d - 1, span;

	step = clamp(step, -limit, limit);
	start = clamp(start < 0 ? start + d : start, 0, high);
	end = clamp(end < 0 ? end + d : end, low, high);
	if (d == 0)
		start = end = 0;
	span = step > 0 ? end - start : start - end;
	cut->start[axis] = start;
	cut->step[axis] = step;
	cut->count[axis] = span <= 0 ? 0 : (span - 1) / (step > 0 ? step : -step) + 1;
}

static enum tamis_status cut_of(const struct op_call *c, struct cut *cut)
{
	const struct tensor *x = c->in[0];
	struct bounds b = {0};
	enum tamis_status status = c->node->attr ? bounds_of_attr(c, &b) : bounds_of_inputs(c, &b);

	if (!status)
		status = args_axes(c->err, b.axes, b.n, x->rank);
	for (int i = 0; i < x->rank; i++)
		cut_axis(cut, i, x->dims[i], 0, x->dims[i], 1);
	for (int k = 0; !status && k < b.n; k++) {
		int axis = (int)b.axes[k];

		if (b.steps[k] == 0)
			return tm_fail(c->err, TAMIS_E_INVALID, "the step of axis %d is 0", axis);
		cut_axis(cut, axis, x->dims[axis], b.starts[k], b.ends[k], b.steps[k]);
	}
	return status;
}

static enum tamis_status slice_shape(struct op_call *c)
{
	struct cut cut;
	enum tamis_status status = args_movable(c, 0);

	for (int i = 1; i < c->n_in; i++)
		if (op_in(c, i) && !op_needs(c, i))
			return status;
	if (!status)
		status = cut_of(c, &cut);
	return status ? status : op_set_out(c, 0, c->in[0]->type, c->in[0]->rank, cut.count);
}

/* Walk from the input, beginning at *start, to the output. */
static enum tamis_status slice_walk(const struct op_call *c, struct strided *s, int64_t *start)
{
	const struct tensor *x = c->in[0];
	struct cut cut;
	int64_t strides[TENSOR_MAX_RANK];
	enum tamis_status status = cut_of(c, &cut);

	if (status)
		return status;
	args_strides(x->rank, x->dims, strides);
	strided_init(s, x->rank, cut.count);
	*start = 0;
	for (int i = 0; i < x->rank; i++) {
		s->from[i] = strides[i] * cut.step[i];
		*start += strides[i] * cut.start[i];
	}
	return TAMIS_OK;
}

static enum tamis_status slice_run(struct op_call *c)
{
	const struct tensor *x = c->in[0];
	size_t size = args_element(x->type);
	struct strided s;
	int64_t start = 0;
	enum tamis_status status = slice_walk(c, &s, &start);

	if (!status && c->out[0] && c->out[0]->count)
		strided_copy(&s, size, (const char *)x->data + start * (int64_t)size, c->out[0]->data);
	return status;
}

static enum tamis_status slice_reverse(struct op_grad *g)
{
	const struct tensor *gy = g->gout[0], *gx = g->gin[0];
	struct strided s;
	int64_t start = 0;
	enum tamis_status status = slice_walk(g->call, &s, &start);

	if (status || !gy || !gx || gy->count == 0)
		return status;
	strided_swap(&s);
	strided_add(&s, gx->type, gy->data, (char *)gx->data + start * (int64_t)args_element(gx->type));
	return TAMIS_OK;
}

/* Bound k of an axis, wherever this version lists it. */
static void channels_bound(struct channel_call *c, bool end, int k, int axis, int64_t before)
{
	if (c->node->attr)
		channels_attribute(c, end ? "ends" : "starts", k, 0, axis, before, 1);
	else
		channels_number(c, end ? 2 : 1, k, 0, axis, before);
}

static void channels(struct channel_call *c)
{
	struct tamis_error ignored = {0};
	const struct op_call call = channels_shapes(c, &ignored);
	const struct tensor *x = c->in[0];
	struct bounds b = {0};
	struct cut cut;

	if (!c->out[0] || (c->n_in > 1 && (!c->in[1]->data || !c->in[2]->data)) || cut_of(&call, &cut) != TAMIS_OK
	    || (c->node->attr ? bounds_of_attr(&call, &b) : bounds_of_inputs(&call, &b)) != TAMIS_OK) {
		channels_keep_all(c, "the bounds of a slice are not known");
		return;
	}
	for (int axis = 0; axis < x->rank; axis++)
		if (cut.step[axis] == 1)
			channels_tie_some(c, 0, axis, cut.start[axis], COUPLING_OUT(0), axis, 0, cut.count[axis]);
		else {
			channels_keep(c, 0, axis, "it is sliced in steps");
			channels_keep(c, COUPLING_OUT(0), axis, "it is sliced in steps");
		}
	for (int k = 0; k < b.n; k++) {
		int axis = (int)(b.axes[k] < 0 ? b.axes[k] + x->rank : b.axes[k]);

		if (cut.step[axis] == 1 && cut.start[axis] > 0)
			channels_bound(c, false, k, axis, cut.start[axis]);
		if (cut.step[axis] == 1 && b.ends[k] < x->dims[axis])
			channels_bound(c, true, k, axis, cut.start[axis] + cut.count[axis]);
	}
}

const struct op ops_slice[] = {
	{.name = "Slice", .domain = "", .since = 1, .until = 9, .min_in = 1, .max_in = 1, .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .channels = channels, .parse = slice_parse, .shape = slice_shape, .run = slice_run,
	 .reverse = slice_reverse},
	{.name = "Slice", .domain = "", .since = 10, .until = OP_LATEST, .min_in = 3, .max_in = 5, .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .channels = channels, .shape = slice_shape, .run = slice_run, .reverse = slice_reverse},
	{0},
};
