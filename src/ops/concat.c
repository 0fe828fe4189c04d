/* SPDX-License-Identifier: Apache-2.0 */
/* Concat and Split: both are copies between one whole tensor and parts of it along an axis. */
#include "base/checked.h"
#include "ops/args.h"
#include "ops/family.h"
#include "ops/strided.h"

/* A part as the walk sees it: `outer` runs of `run` elements, run k at whole[start + k * pitch]. */
struct part { int64_t outer, run, start, pitch; };

/* The part of `whole` that begins at index `at` of the axis and is `length` long. */
static struct part part_of(const struct tensor *whole, int axis, int64_t at, int64_t length)
{
	int64_t inner = tensor_extent(whole, axis + 1, whole->rank);

	return (struct part){tensor_extent(whole, 0, axis), length * inner, at * inner,
	                     whole->dims[axis] * inner};
}

/* Walk from the dense part to the whole. */
static struct strided into_whole(const struct part *p)
{
	return (struct strided){2, {p->outer, p->run}, {p->run, 1}, {p->pitch, 1}};
}

static void put_part(const struct tensor *part, int axis, int64_t at, const struct tensor *whole)
{
	size_t size = args_element(part->type);
	struct part p = part_of(whole, axis, at, part->dims[axis]);
	struct strided s = into_whole(&p);

	if (part->count)
		strided_copy(&s, size, part->data, (char *)whole->data + p.start * (int64_t)size);
}

static void take_part(const struct tensor *whole, int axis, int64_t at, const struct tensor *part)
{
	size_t size = args_element(part->type);
	struct part p = part_of(whole, axis, at, part->dims[axis]);
	struct strided s = into_whole(&p);

	strided_swap(&s);
	if (part->count)
		strided_copy(&s, size, (const char *)whole->data + p.start * (int64_t)size, part->data);
}

/* part += its place in the whole, or the other way round. */
static void add_part(const struct tensor *whole, int axis, int64_t at, const struct tensor *part,
                     bool to_whole)
{
	int64_t size = (int64_t)args_element(part->type);
	struct part p = part_of(whole, axis, at, part->dims[axis]);
	struct strided s = into_whole(&p);
	char *place;

	if (part->count == 0)
		return;
	place = (char *)whole->data + p.start * size;
	if (to_whole) {
		strided_add(&s, part->type, part->data, place);
	} else {
		strided_swap(&s);
		strided_add(&s, part->type, place, part->data);
	}
}

/* ---- Concat ---- */

/* Up to opset 3 a missing axis is that of the channels. */
static enum tamis_status concat_parse(struct op_parse *p, void **attr)
{
	int64_t *axis = *attr = args_alloc(p, sizeof *axis);
	enum tamis_status status = axis ? TAMIS_OK : TAMIS_E_MEMORY;

	if (!status && p->node->opset >= 4)
		status = attr_required(p, "axis");
	return status ? status : attr_int(p, "axis", 1, axis);
}

static int concat_axis(const struct op_call *c)
{
	int64_t axis = *(const int64_t *)c->node->attr;

	return (int)(axis < 0 ? axis + c->in[0]->rank : axis);
}

/* Input i joins the others: same type and rank, same dimensions but along the axis. */
static enum tamis_status concat_joins(const struct op_call *c, int i, int axis)
{
	const struct tensor *x = c->in[0], *y = c->in[i];

	if (!y || y->type != x->type || y->rank != x->rank)
		return tm_fail(c->err, TAMIS_E_INVALID, "input %d must have type %s and rank %d, as input 0 has", i,
		               dtype_name((int)x->type), x->rank);
	for (int k = 0; k < x->rank; k++)
		if (k != axis && y->dims[k] != x->dims[k])
			return tm_fail(c->err, TAMIS_E_INVALID, "axis %d of input %d is %lld long; input 0 has %lld", k,
			               i, (long long)y->dims[k], (long long)x->dims[k]);
	return TAMIS_OK;
}

static enum tamis_status concat_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0];
	int64_t dims[TENSOR_MAX_RANK], total = 0;
	int axis = 0;
	enum tamis_status status = args_axis(c->err, *(const int64_t *)c->node->attr, x->rank, &axis);

	for (int i = 0; !status && i < c->n_in; i++) {
		status = concat_joins(c, i, axis);
		if (!status && !tm_add(total, c->in[i]->dims[axis], &total))
			status = tm_fail(c->err, TAMIS_E_INVALID, "the length of axis %d overflows", axis);
	}
	if (!status)
		status = args_movable(c, 0);
	if (status)
		return status;
	for (int k = 0; k < x->rank; k++)
		dims[k] = k == axis ? total : x->dims[k];
	return op_set_out(c, 0, x->type, x->rank, dims);
}

static enum tamis_status concat_run(struct op_call *c)
{
	int axis = concat_axis(c);
	int64_t at = 0;

	for (int i = 0; c->out[0] && i < c->n_in; i++) {
		put_part(c->in[i], axis, at, c->out[0]);
		at += c->in[i]->dims[axis];
	}
	return TAMIS_OK;
}

static enum tamis_status concat_reverse(struct op_grad *g)
{
	const struct op_call *c = g->call;
	int axis = concat_axis(c);
	int64_t at = 0;

	for (int i = 0; g->gout[0] && i < c->n_in; i++) {
		if (g->gin[i])
			add_part(g->gout[0], axis, at, g->gin[i], false);
		at += c->in[i]->dims[axis];
	}
	return TAMIS_OK;
}

/* ---- Split ---- */

struct split_attr {
	int64_t axis;
	const int64_t *lengths; /* up to opset 12 */
	int n;                  /* of lengths; -1: not given */
	int64_t outputs;        /* num_outputs, from opset 18; 0: not given */
};

static enum tamis_status split_parse(struct op_parse *p, void **attr)
{
	struct split_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	a->n = -1;
	status = attr_int(p, "axis", 0, &a->axis);
	if (!status && p->node->opset < 13)
		status = attr_ints(p, "split", &a->lengths, &a->n);
	if (!status && p->node->opset >= 18 && attr_has(p, "num_outputs")) {
		status = attr_int(p, "num_outputs", 0, &a->outputs);
		if (!status && a->outputs < 1)
			status = tm_fail(p->err, TAMIS_E_INVALID, "num_outputs is %lld; it must be at least 1",
			                 (long long)a->outputs);
	}
	return status;
}

static bool split_is_listed(const struct op_call *c)
{
	const struct split_attr *a = c->node->attr;

	return a->n >= 0 || op_in(c, 1);
}

/* Length of output i along the axis, which is `total` long. Equal parts, where the last takes what is
 * left. */
static int64_t split_length(const struct op_call *c, int64_t total, int i)
{
	const struct split_attr *a = c->node->attr;
	int64_t n = c->n_out, chunk = total / n + (total % n != 0);

	if (a->n >= 0)
		return a->lengths[i];
	if (op_in(c, 1))
		return tensor_get_int(c->in[1], i);
	return i < n - 1 ? chunk : total - chunk * (n - 1);
}

/* One length for each output, in whichever form this version writes them. */
static enum tamis_status split_check(const struct op_call *c, int64_t total)
{
	const struct split_attr *a = c->node->attr;
	const struct tensor *list = op_in(c, 1);
	int64_t n = a->n >= 0 ? a->n : list ? list->count : c->n_out;

	if (list && (list->type != DT_INT64 || list->rank != 1))
		return tm_fail(c->err, TAMIS_E_INVALID, "split must be a vector of int64");
	if (c->n_out < 1 || n != c->n_out)
		return tm_fail(c->err, TAMIS_E_INVALID, "split has %lld elements for %d outputs", (long long)n,
		               c->n_out);
	if (c->node->opset >= 18 && (a->outputs > 0) == (list != NULL))
		return tm_fail(c->err, TAMIS_E_INVALID, "one of split and num_outputs must be given, and not both");
	if (a->outputs > 0 && a->outputs != c->n_out)
		return tm_fail(c->err, TAMIS_E_INVALID, "num_outputs is %lld but the node has %d outputs",
		               (long long)a->outputs, c->n_out);
	if (!split_is_listed(c) && c->node->opset < 18 && total % c->n_out)
		return tm_fail(c->err, TAMIS_E_INVALID, "an axis of length %lld cannot be split into %d equal parts",
		               (long long)total, c->n_out);
	return TAMIS_OK;
}

static enum tamis_status split_outputs(struct op_call *c, int axis)
{
	const struct tensor *x = c->in[0];
	int64_t dims[TENSOR_MAX_RANK], total = x->dims[axis], sum = 0;

	for (int k = 0; k < x->rank; k++)
		dims[k] = x->dims[k];
	for (int i = 0; i < c->n_out; i++) {
		enum tamis_status status;

		dims[axis] = split_length(c, total, i);
		if (dims[axis] < 0 || !tm_add(sum, dims[axis], &sum) || sum > total)
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "part %d of %lld elements does not fit an axis of length %lld", i,
			               (long long)dims[axis], (long long)total);
		status = op_set_out(c, i, x->type, x->rank, dims);
		if (status)
			return status;
	}
	if (sum != total)
		return tm_fail(c->err, TAMIS_E_INVALID, "the parts add up to %lld but the axis is %lld long",
		               (long long)sum, (long long)total);
	return TAMIS_OK;
}

static enum tamis_status split_shape(struct op_call *c)
{
	const struct split_attr *a = c->node->attr;
	int axis = 0;
	enum tamis_status status = args_axis(c->err, a->axis, c->in[0]->rank, &axis);

	if (!status)
		status = args_movable(c, 0);
	if (status || (op_in(c, 1) && !op_needs(c, 1)))
		return status;
	status = split_check(c, c->in[0]->dims[axis]);
	return status ? status : split_outputs(c, axis);
}

static int split_axis(const struct op_call *c)
{
	const struct split_attr *a = c->node->attr;

	return (int)(a->axis < 0 ? a->axis + c->in[0]->rank : a->axis);
}

static enum tamis_status split_run(struct op_call *c)
{
	int axis = split_axis(c);
	int64_t at = 0, total = c->in[0]->dims[axis];

	for (int i = 0; i < c->n_out; i++) {
		if (c->out[i])
			take_part(c->in[0], axis, at, c->out[i]);
		at += split_length(c, total, i);
	}
	return TAMIS_OK;
}

static enum tamis_status split_reverse(struct op_grad *g)
{
	const struct op_call *c = g->call;
	int axis = split_axis(c);
	int64_t at = 0, total = c->in[0]->dims[axis];

	for (int i = 0; g->gin[0] && i < c->n_out; i++) {
		if (g->gout[i])
			add_part(g->gin[0], axis, at, g->gout[i], true);
		at += split_length(c, total, i);
	}
	return TAMIS_OK;
}

/* Part i lies at [at, at + length) of the whole. */
static void channels_part(struct channel_call *c, int whole, int part, const struct tensor *shape, int axis,
                          int64_t at)
{
	for (int k = 0; k < shape->rank; k++)
		if (k == axis)
			channels_tie_some(c, part, k, 0, whole, k, at, shape->dims[k]);
		else
			channels_tie(c, part, k, whole, k);
}

static void channels_concat(struct channel_call *c)
{
	int64_t axis = *(const int64_t *)c->node->attr, at = 0;

	axis += axis < 0 ? c->in[0]->rank : 0;
	for (int i = 0; i < c->n_in; i++) {
		channels_part(c, COUPLING_OUT(0), i, c->in[i], (int)axis, at);
		at += c->in[i]->dims[axis];
	}
}

/* Parts whose lengths nobody lists are all equal, and must stay so: their channels go together. */
static void channels_split(struct channel_call *c)
{
	const struct split_attr *a = c->node->attr;
	int axis = (int)(a->axis < 0 ? a->axis + c->in[0]->rank : a->axis);
	bool listed = a->n >= 0 || (c->n_in > 1 && c->in[1]);
	int64_t at = 0;

	for (int i = 0; i < c->n_out; i++) {
		if (!c->out[i]) {
			channels_keep(c, 0, axis, "a part of it is never made");
			return;
		}
		channels_part(c, 0, COUPLING_OUT(i), c->out[i], axis, at);
		at += c->out[i]->dims[axis];
		if (a->n >= 0)
			channels_attribute(c, "split", i, COUPLING_OUT(i), axis, c->out[i]->dims[axis], 1);
		else if (listed)
			channels_number(c, 1, i, COUPLING_OUT(i), axis, c->out[i]->dims[axis]);
		else if (c->out[i]->dims[axis] == c->out[0]->dims[axis])
			channels_tie(c, COUPLING_OUT(i), axis, COUPLING_OUT(0), axis);
		else
			channels_keep(c, 0, axis, "it is split into parts of which the last is shorter");
	}
}

const struct op ops_concat[] = {
	{.name = "Concat", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 1, .max_in = -1, .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .channels = channels_concat, .parse = concat_parse,
	 .shape = concat_shape, .run = concat_run, .reverse = concat_reverse},
	{.name = "Split", .domain = "", .since = 1, .until = 12, .min_in = 1, .max_in = 1, .min_out = 1,
	 .max_out = -1, .flags = OP_ANY_BITS, .channels = channels_split, .parse = split_parse, .shape = split_shape, .run = split_run,
	 .reverse = split_reverse},
	{.name = "Split", .domain = "", .since = 13, .until = OP_LATEST, .min_in = 1, .max_in = 2, .min_out = 1,
	 .max_out = -1, .flags = OP_ANY_BITS, .channels = channels_split, .parse = split_parse, .shape = split_shape, .run = split_run,
	 .reverse = split_reverse},
	{0},
};
