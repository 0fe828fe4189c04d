/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that pick or mark elements by what they find: Compress, NonZero, OneHot, TopK. */
#include <string.h>

#include "base/checked.h"
#include "ops/args.h"
#include "ops/blocks.h"
#include "ops/family.h"
#include "ops/strided.h"

static enum tamis_status axis_parse(struct op_parse *p, void **attr)
{
	int64_t *axis = *attr = args_alloc(p, sizeof *axis);

	return axis ? attr_int(p, "axis", -1, axis) : TAMIS_E_MEMORY;
}

/* Integer or float elements of at least a byte. */
static bool is_numeric(enum dtype type)
{
	return (dtype_is_integer((int)type) || dtype_is_float((int)type)) && args_element(type);
}

/* ---- Compress ---- */

struct compress_attr { bool has_axis; int64_t axis; };

static enum tamis_status compress_parse(struct op_parse *p, void **attr)
{
	struct compress_attr *a = *attr = args_alloc(p, sizeof *a);

	if (!a)
		return TAMIS_E_MEMORY;
	a->has_axis = attr_has(p, "axis");
	return attr_int(p, "axis", 0, &a->axis);
}

/* Without an axis the input counts as a vector. */
static enum tamis_status compress_axis(const struct op_call *c, int *axis, int64_t *length)
{
	const struct compress_attr *a = c->node->attr;
	enum tamis_status status = TAMIS_OK;

	*axis = -1;
	*length = c->in[0]->count;
	if (!a->has_axis)
		return TAMIS_OK;
	status = args_axis(c->err, a->axis, c->in[0]->rank, axis);
	if (!status)
		*length = c->in[0]->dims[*axis];
	return status;
}

static enum tamis_status compress_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0], *condition = c->in[1];
	int64_t dims[TENSOR_MAX_RANK], length = 0, chosen = 0;
	int axis = -1;
	enum tamis_status status = args_movable(c, 0);

	if (!status && (condition->type != DT_BOOL || condition->rank != 1))
		status = tm_fail(c->err, TAMIS_E_INVALID, "the condition must be a vector of bool");
	if (!status)
		status = compress_axis(c, &axis, &length);
	if (status || !op_needs(c, 1))
		return status;
	for (int64_t i = 0; i < condition->count; i++) {
		bool kept = ((const uint8_t *)condition->data)[i] != 0;

		if (kept && i >= length)
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "the condition selects index %lld of an axis of length %lld", (long long)i,
			               (long long)length);
		chosen += kept;
	}
	for (int i = 0; i < x->rank; i++)
		dims[i] = i == axis ? chosen : x->dims[i];
	return axis < 0 ? op_set_out(c, 0, x->type, 1, &chosen) : op_set_out(c, 0, x->type, x->rank, dims);
}

static enum tamis_status compress_blocks(struct op_call *c, struct blocks *b)
{
	const struct tensor *x = c->in[0], *condition = c->in[1];
	int axis = -1;
	int64_t length = 0, outer, inner, chosen = 0, k = 0;
	enum tamis_status status = compress_axis(c, &axis, &length);

	if (status)
		return status;
	outer = axis < 0 ? 1 : tensor_extent(x, 0, axis);
	inner = axis < 0 ? 1 : tensor_extent(x, axis + 1, x->rank);
	for (int64_t i = 0; i < condition->count; i++)
		chosen += ((const uint8_t *)condition->data)[i] != 0;
	status = blocks_make(c, b, outer * chosen, inner);
	for (int64_t o = 0; !status && o < outer; o++)
		for (int64_t i = 0; i < condition->count; i++)
			if (((const uint8_t *)condition->data)[i])
				b->offset[k++] = (o * length + i) * inner;
	return status;
}

static enum tamis_status compress_run(struct op_call *c)
{
	struct blocks b;
	enum tamis_status status;

	if (!c->out[0] || c->out[0]->count == 0)
		return TAMIS_OK;
	status = compress_blocks(c, &b);
	if (!status)
		blocks_gather(&b, args_element(c->in[0]->type), c->in[0]->data, c->out[0]->data);
	return status;
}

static enum tamis_status compress_reverse(struct op_grad *g)
{
	struct blocks b;
	enum tamis_status status;

	if (!g->gout[0] || !g->gin[0] || g->gout[0]->count == 0)
		return TAMIS_OK;
	status = compress_blocks(g->call, &b);
	if (!status)
		blocks_scatter_add(&b, g->gin[0]->type, g->gout[0]->data, g->gin[0]->data);
	return status;
}

/* ---- NonZero ---- */

static enum tamis_status non_zero_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0];
	int64_t dims[2] = {x->rank, 0};

	if (!is_numeric(x->type) && x->type != DT_BOOL)
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "elements of type %s are not supported here",
		               dtype_name((int)x->type));
	if (!op_needs(c, 0))
		return TAMIS_OK;
	for (int64_t i = 0; i < x->count; i++)
		dims[1] += tensor_get(x, i) != 0;
	return op_set_out(c, 0, DT_INT64, 2, dims);
}

static enum tamis_status non_zero_run(struct op_call *c)
{
	const struct tensor *x = c->in[0];
	int64_t at[TENSOR_MAX_RANK] = {0}, k = 0, n, *y;

	if (!c->out[0])
		return TAMIS_OK;
	y = c->out[0]->data;
	n = c->out[0]->dims[1];
	for (int64_t i = 0; i < x->count; i++) {
		if (tensor_get(x, i) != 0) {
			for (int axis = 0; axis < x->rank; axis++)
				y[axis * n + k] = at[axis];
			k++;
		}
		for (int axis = x->rank - 1; axis >= 0 && ++at[axis] == x->dims[axis]; axis--)
			at[axis] = 0;
	}
	return TAMIS_OK;
}

/* ---- OneHot ---- */

static enum tamis_status one_hot_check(const struct op_call *c, int *axis)
{
	const struct tensor *index = c->in[0], *depth = c->in[1], *values = c->in[2];
	int64_t at = *(const int64_t *)c->node->attr;

	if (index->rank == TENSOR_MAX_RANK)
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "the output has rank %d; at most %d is supported",
		               index->rank + 1, TENSOR_MAX_RANK);
	if (!is_numeric(index->type) || !is_numeric(depth->type) || depth->rank > 1 || depth->count != 1)
		return tm_fail(c->err, TAMIS_E_INVALID, "indices must be numbers and depth must be one number");
	if (values->rank != 1 || values->count != 2)
		return tm_fail(c->err, TAMIS_E_INVALID, "values must be a vector of two elements, off and on");
	return args_axis(c->err, at, index->rank + 1, axis);
}

static enum tamis_status one_hot_shape(struct op_call *c)
{
	const struct tensor *index = c->in[0];
	int64_t dims[TENSOR_MAX_RANK], depth;
	int axis = 0;
	enum tamis_status status = one_hot_check(c, &axis);

	if (!status)
		status = args_movable(c, 2);
	if (status || !op_needs(c, 1))
		return status;
	depth = tensor_get_int(c->in[1], 0);
	if (depth < 1)
		return tm_fail(c->err, TAMIS_E_INVALID, "depth is %lld; it must be at least 1", (long long)depth);
	for (int i = 0; i <= index->rank; i++)
		dims[i] = i == axis ? depth : index->dims[i < axis ? i : i - 1];
	return op_set_out(c, 0, c->in[2]->type, index->rank + 1, dims);
}

/* One block an index that is in range: where its "on" stands. */
static enum tamis_status one_hot_blocks(struct op_call *c, struct blocks *b)
{
	const struct tensor *index = c->in[0];
	int64_t axis = *(const int64_t *)c->node->attr, depth = tensor_get_int(c->in[1], 0), n = 0, inner;
	enum tamis_status status = blocks_make(c, b, index->count, 1);

	if (axis < 0)
		axis += index->rank + 1;
	inner = tensor_extent(index, (int)axis, index->rank);
	for (int64_t k = 0; !status && k < index->count; k++) {
		int64_t value = tensor_get_int(index, k);

		if (value < -depth || value >= depth)
			continue;
		value += value < 0 ? depth : 0;
		b->offset[n++] = (k / inner * depth + value) * inner + k % inner;
	}
	b->n = n;
	return status;
}

static enum tamis_status one_hot_run(struct op_call *c)
{
	const char *values = c->in[2]->data;
	size_t size = args_element(c->in[2]->type);
	struct tensor *y = c->out[0];
	struct blocks b;
	enum tamis_status status;

	if (!y || y->count == 0)
		return TAMIS_OK;
	status = one_hot_blocks(c, &b);
	if (status)
		return status;
	strided_fill(y->data, y->count, size, values);
	for (int64_t k = 0; k < b.n; k++)
		memcpy((char *)y->data + b.offset[k] * (int64_t)size, values + size, size);
	return TAMIS_OK;
}

/* The gradient of "on" is the sum where it stands, that of "off" the sum elsewhere. */
static enum tamis_status one_hot_reverse(struct op_grad *g)
{
	const struct tensor *gy = g->gout[0];
	struct tensor *gvalues = g->gin[2];
	double on = 0, all = 0;
	struct blocks b;
	enum tamis_status status;

	if (!gy || !gvalues || gy->count == 0)
		return TAMIS_OK;
	status = one_hot_blocks(g->call, &b);
	if (status)
		return status;
	for (int64_t k = 0; k < b.n; k++)
		on += tensor_get(gy, b.offset[k]);
	for (int64_t k = 0; k < gy->count; k++)
		all += tensor_get(gy, k);
	tensor_set(gvalues, 0, tensor_get(gvalues, 0) + all - on);
	tensor_set(gvalues, 1, tensor_get(gvalues, 1) + on);
	return TAMIS_OK;
}

/* ---- TopK ---- */

struct top_k_attr { int64_t axis, k; bool largest; }; /* k: up to opset 9 */

/* An element of a lane. Keys are ordered as the elements are, better ones above. */
struct candidate { uint64_t key; int64_t index; };

static enum tamis_status top_k_parse(struct op_parse *p, void **attr)
{
	struct top_k_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	a->largest = true;
	status = attr_int(p, "axis", -1, &a->axis);
	if (!status && p->node->opset < 10) {
		status = attr_required(p, "k");
		return status ? status : attr_int(p, "k", 0, &a->k);
	}
	return status ? status : attr_bool(p, "largest", true, &a->largest);
}

static enum tamis_status top_k_shape(struct op_call *c)
{
	const struct top_k_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	int64_t dims[TENSOR_MAX_RANK], k = a->k;
	int axis = 0;
	enum tamis_status status = args_axis(c->err, a->axis, x->rank, &axis);

	if (!status && !is_numeric(x->type))
		status = tm_fail(c->err, TAMIS_E_UNSUPPORTED, "elements of type %s are not supported here",
		                 dtype_name((int)x->type));
	if (!status && op_in(c, 1)) {
		if (!op_needs(c, 1))
			return TAMIS_OK;
		status = args_int(c, 1, "K", &k);
	}
	if (status)
		return status;
	if (k < 0 || k > x->dims[axis])
		return tm_fail(c->err, TAMIS_E_INVALID, "K is %lld for an axis of length %lld", (long long)k,
		               (long long)x->dims[axis]);
	for (int i = 0; i < x->rank; i++)
		dims[i] = i == axis ? k : x->dims[i];
	status = op_set_out(c, 0, x->type, x->rank, dims);
	return status ? status : op_set_out(c, 1, DT_INT64, x->rank, dims);
}

/* Unsigned words in the order of the values: both zeros are equal and NaN is above everything. */
static uint64_t order_key(const struct tensor *t, int64_t i)
{
	const uint64_t top = (uint64_t)1 << 63;
	uint64_t bits;
	double v;

	if (dtype_kind((int)t->type) == 'u')
		return (uint64_t)tensor_get_int(t, i);
	if (dtype_kind((int)t->type) == 'i')
		return (uint64_t)tensor_get_int(t, i) ^ top;
	v = tensor_get(t, i);
	if (v != v)
		return UINT64_MAX;
	if (v == 0)
		return top;
	memcpy(&bits, &v, sizeof bits);
	return bits & top ? ~bits : bits | top;
}

static bool better(struct candidate a, struct candidate b)
{
	return a.key > b.key || (a.key == b.key && a.index < b.index);
}

/* Restores a heap whose root is its worst member after the root was replaced. */
static void sink(struct candidate *heap, int64_t n)
{
	struct candidate moved = heap[0];
	int64_t at = 0;

	for (int64_t child = 1; child < n; child = 2 * at + 1) {
		if (child + 1 < n && better(heap[child], heap[child + 1]))
			child++;
		if (!better(moved, heap[child]))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moved;
}

static void rise(struct candidate *heap, int64_t at)
{
	struct candidate moved = heap[at];

	while (at > 0 && better(heap[(at - 1) / 2], moved)) {
		heap[at] = heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap[at] = moved;
}

/* The k best of a lane of `length` elements from `start`, `pitch` apart, best first. O(length log k). */
static void top_lane(const struct tensor *x, int64_t start, int64_t pitch, int64_t length, bool largest,
                     int64_t k, struct candidate *best)
{
	for (int64_t i = 0; i < length; i++) {
		uint64_t key = order_key(x, start + i * pitch);
		struct candidate next = {largest ? key : ~key, i};

		if (i < k) {
			best[i] = next;
			rise(best, i);
		} else if (better(next, best[0])) {
			best[0] = next;
			sink(best, k);
		}
	}
	for (int64_t n = k - 1; n > 0; n--) {
		struct candidate worst = best[0];

		best[0] = best[n];
		best[n] = worst;
		sink(best, n);
	}
}

/* Where each output element comes from, in the order of the output. */
static enum tamis_status top_blocks(struct op_call *c, const int64_t *out_dims, struct blocks *b)
{
	const struct top_k_attr *a = c->node->attr;
	const struct tensor *x = c->in[0];
	int axis = (int)(a->axis < 0 ? a->axis + x->rank : a->axis);
	int64_t outer = tensor_extent(x, 0, axis), inner = tensor_extent(x, axis + 1, x->rank);
	int64_t length = x->dims[axis], k = out_dims[axis];
	struct candidate *best = scratch_alloc(c->scratch, (size_t)k, sizeof *best);
	enum tamis_status status = blocks_make(c, b, outer * k * inner, 1);

	if (status || !best)
		return tm_no_memory(c->err, "finding the largest elements");
	for (int64_t lane = 0; lane < outer * inner; lane++) {
		int64_t start = lane / inner * length * inner + lane % inner;

		top_lane(x, start, inner, length, a->largest, k, best);
		for (int64_t i = 0; i < k; i++)
			b->offset[(lane / inner * k + i) * inner + lane % inner] = start + best[i].index * inner;
	}
	return TAMIS_OK;
}

static enum tamis_status top_k_run(struct op_call *c)
{
	const struct top_k_attr *a = c->node->attr;
	struct tensor *y = c->out[0], *index = c->n_out > 1 ? c->out[1] : NULL;
	const struct tensor *any = y ? y : index, *x = c->in[0];
	int64_t axis = a->axis < 0 ? a->axis + x->rank : a->axis, inner;
	struct blocks b;
	enum tamis_status status;

	if (!any || any->count == 0)
		return TAMIS_OK;
	status = top_blocks(c, any->dims, &b);
	if (status)
		return status;
	if (y)
		blocks_gather(&b, args_element(x->type), x->data, y->data);
	inner = tensor_extent(x, (int)axis + 1, x->rank);
	for (int64_t i = 0; index && i < index->count; i++)
		((int64_t *)index->data)[i] = b.offset[i] / inner % x->dims[axis];
	return TAMIS_OK;
}

static enum tamis_status top_k_reverse(struct op_grad *g)
{
	const struct tensor *gy = g->gout[0];
	struct blocks b;
	enum tamis_status status;

	if (!gy || !g->gin[0] || gy->count == 0)
		return TAMIS_OK;
	status = top_blocks(g->call, gy->dims, &b);
	if (!status)
		blocks_scatter_add(&b, gy->type, gy->data, g->gin[0]->data);
	return status;
}

const struct op ops_search[] = {
	{.name = "Compress", .domain = "", .since = 9, .until = OP_LATEST, .min_in = 2, .max_in = 2, .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .parse = compress_parse, .shape = compress_shape,
	 .run = compress_run, .reverse = compress_reverse},
	{.name = "NonZero", .domain = "", .since = 9, .until = OP_LATEST, .min_in = 1, .max_in = 1, .min_out = 1,
	 .max_out = 1, .shape = non_zero_shape, .run = non_zero_run},
	{.name = "OneHot", .domain = "", .since = 9, .until = OP_LATEST, .min_in = 3, .max_in = 3, .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .parse = axis_parse, .shape = one_hot_shape, .run = one_hot_run,
	 .reverse = one_hot_reverse},
	{.name = "TopK", .domain = "", .since = 1, .until = 9, .min_in = 1, .max_in = 1, .min_out = 2,
	 .max_out = 2, .parse = top_k_parse, .shape = top_k_shape, .run = top_k_run, .reverse = top_k_reverse},
	{.name = "TopK", .domain = "", .since = 10, .until = OP_LATEST, .min_in = 2, .max_in = 2, .min_out = 2,
	 .max_out = 2, .parse = top_k_parse, .shape = top_k_shape, .run = top_k_run, .reverse = top_k_reverse},
	{0},
};
