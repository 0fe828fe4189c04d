/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that put every element somewhere else, or in several places. Most describe themselves as one
 * strided walk from input to output: running copies along it, and the gradient adds along the swapped one. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "ops/args.h"
#include "ops/family.h"
#include "ops/strided.h"

typedef void walk_fn(const struct op_call *c, struct strided *s);

static enum tamis_status copy_along(struct op_call *c, walk_fn *walk)
{
	struct strided s;

	if (!c->out[0] || c->out[0]->count == 0)
		return TAMIS_OK;
	walk(c, &s);
	strided_copy(&s, args_element(c->in[0]->type), c->in[0]->data, c->out[0]->data);
	return TAMIS_OK;
}

static enum tamis_status add_along(struct op_grad *g, walk_fn *walk)
{
	struct strided s;

	if (!g->gout[0] || !g->gin[0] || g->gout[0]->count == 0)
		return TAMIS_OK;
	walk(g->call, &s);
	strided_swap(&s);
	strided_add(&s, g->gin[0]->type, g->gout[0]->data, g->gin[0]->data);
	return TAMIS_OK;
}

/* Shape of output 0 is settled; refuses what cannot be moved. */
static enum tamis_status set_moved(struct op_call *c, int rank, const int64_t *dims)
{
	enum tamis_status status = args_movable(c, 0);

	return status ? status : op_set_out(c, 0, c->in[0]->type, rank, dims);
}

/* ---- Transpose ---- */

struct perm { const int64_t *axes; int n; }; /* n = -1: reversed */

static enum tamis_status transpose_parse(struct op_parse *p, void **attr)
{
	struct perm *perm = *attr = args_alloc(p, sizeof *perm);

	return perm ? attr_ints(p, "perm", &perm->axes, &perm->n) : TAMIS_E_MEMORY;
}

static int transpose_axis(const struct perm *perm, int rank, int i)
{
	return perm->n < 0 ? rank - 1 - i : (int)perm->axes[i];
}

static enum tamis_status transpose_shape(struct op_call *c)
{
	const struct perm *perm = c->node->attr;
	const struct tensor *x = c->in[0];
	int64_t dims[TENSOR_MAX_RANK];
	uint64_t seen = 0;

	if (perm->n >= 0 && perm->n != x->rank)
		return tm_fail(c->err, TAMIS_E_INVALID, "perm has %d elements for a tensor of rank %d", perm->n,
		               x->rank);
	for (int i = 0; i < x->rank; i++) {
		int64_t axis = perm->n < 0 ? x->rank - 1 - i : perm->axes[i];

		if (axis < 0 || axis >= x->rank || seen >> axis & 1)
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "perm must hold each of 0 to %d once; its element %d is %lld", x->rank - 1, i,
			               (long long)axis);
		seen |= (uint64_t)1 << axis;
		dims[i] = x->dims[axis];
	}
	return set_moved(c, x->rank, dims);
}

static void transpose_walk(const struct op_call *c, struct strided *s)
{
	const struct tensor *x = c->in[0];
	int64_t dims[TENSOR_MAX_RANK], strides[TENSOR_MAX_RANK];

	for (int i = 0; i < x->rank; i++)
		dims[i] = x->dims[transpose_axis(c->node->attr, x->rank, i)];
	args_strides(x->rank, x->dims, strides);
	strided_init(s, x->rank, dims);
	for (int i = 0; i < x->rank; i++)
		s->from[i] = strides[transpose_axis(c->node->attr, x->rank, i)];
}

static enum tamis_status transpose_run(struct op_call *c)
{
	return copy_along(c, transpose_walk);
}

static enum tamis_status transpose_reverse(struct op_grad *g)
{
	return add_along(g, transpose_walk);
}

/* ---- Expand ---- */

/* The new shape broadcast with the input's, both aligned at the last axis. */
static enum tamis_status expand_dims(const struct op_call *c, int64_t *dims, int *rank)
{
	const struct tensor *x = c->in[0];
	int64_t want[TENSOR_MAX_RANK];
	int n;
	enum tamis_status status = args_ints(c, 1, "the new shape", TENSOR_MAX_RANK, want, &n);

	if (status)
		return status;
	*rank = n > x->rank ? n : x->rank;
	for (int i = 0; i < *rank; i++) {
		int64_t a = i < *rank - x->rank ? 1 : x->dims[i - (*rank - x->rank)];
		int64_t b = i < *rank - n ? 1 : want[i - (*rank - n)];

		if (b < 0 || (a != b && a != 1 && b != 1))
			return tm_fail(c->err, TAMIS_E_INVALID, "dimension %lld cannot be expanded to %lld", (long long)a,
			               (long long)b);
		dims[i] = a == 1 ? b : a;
	}
	return TAMIS_OK;
}

static enum tamis_status expand_shape(struct op_call *c)
{
	int64_t dims[TENSOR_MAX_RANK];
	int rank;
	enum tamis_status status;

	if (!op_needs(c, 1))
		return TAMIS_OK;
	status = expand_dims(c, dims, &rank);
	return status ? status : set_moved(c, rank, dims);
}

/* Reads c->in only, and the dimensions that shape found valid. */
static void expand_walk(const struct op_call *c, struct strided *s)
{
	const struct tensor *x = c->in[0];
	int64_t dims[TENSOR_MAX_RANK], strides[TENSOR_MAX_RANK];
	int rank = 0, lead;

	if (expand_dims(c, dims, &rank) != TAMIS_OK)
		rank = 0;
	lead = rank - x->rank;
	strided_init(s, rank, dims);
	args_strides(x->rank, x->dims, strides);
	for (int i = 0; i < rank; i++)
		s->from[i] = i < lead || x->dims[i - lead] != dims[i] ? 0 : strides[i - lead];
}

static enum tamis_status expand_run(struct op_call *c)
{
	return copy_along(c, expand_walk);
}

static enum tamis_status expand_reverse(struct op_grad *g)
{
	return add_along(g, expand_walk);
}

/* ---- Tile ---- */

static enum tamis_status tile_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0];
	int64_t dims[TENSOR_MAX_RANK];
	int n;
	enum tamis_status status;

	if (!op_needs(c, 1))
		return TAMIS_OK;
	status = args_ints(c, 1, "repeats", TENSOR_MAX_RANK, dims, &n);
	if (status)
		return status;
	if (n != x->rank)
		return tm_fail(c->err, TAMIS_E_INVALID, "repeats has %d elements for a tensor of rank %d", n,
		               x->rank);
	for (int i = 0; i < n; i++)
		if (dims[i] < 0 || !tm_mul(dims[i], x->dims[i], &dims[i]))
			return tm_fail(c->err, TAMIS_E_INVALID, "axis %d of length %lld cannot be repeated %lld times", i,
			               (long long)x->dims[i], (long long)dims[i]);
	return set_moved(c, n, dims);
}

/* Each axis is walked as two: the repeat, which reads the same elements again, and the element. */
static void tile_walk(const struct op_call *c, struct strided *s)
{
	const struct tensor *x = c->in[0];
	int64_t dims[TENSOR_MAX_RANK], from[TENSOR_MAX_RANK], to[TENSOR_MAX_RANK];

	for (int i = 0; i < x->rank; i++)
		dims[i] = tensor_get_int(c->in[1], i) * x->dims[i];
	args_strides(x->rank, x->dims, from);
	args_strides(x->rank, dims, to);
	s->rank = 0;
	for (int i = 0; i < x->rank; i++) {
		strided_axis(s, tensor_get_int(c->in[1], i), 0, x->dims[i] * to[i]);
		strided_axis(s, x->dims[i], from[i], to[i]);
	}
}

static enum tamis_status tile_run(struct op_call *c)
{
	return copy_along(c, tile_walk);
}

static enum tamis_status tile_reverse(struct op_grad *g)
{
	return add_along(g, tile_walk);
}

/* Before opset 6: repeats and axis are one number each, of the data's own type. */
static enum tamis_status tile_number(const struct op_call *c, int i, const char *what, int64_t *value)
{
	double v = c->in[i]->count == 1 ? tensor_get(c->in[i], 0) : NAN;

	*value = fabs(v) < 0x1p31 ? (int64_t)v : 0;
	if ((double)*value == v)
		return TAMIS_OK;
	return tm_fail(c->err, TAMIS_E_INVALID, "%s of Tile must be one whole number", what);
}

static enum tamis_status tile_axis_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0];
	int64_t dims[TENSOR_MAX_RANK], repeats, at;
	int axis = 0;
	enum tamis_status status;

	if (!op_needs(c, 1) || !op_needs(c, 2))
		return TAMIS_OK;
	status = tile_number(c, 1, "the repeats", &repeats);
	if (!status)
		status = tile_number(c, 2, "the axis", &at);
	if (!status)
		status = args_axis(c->err, at, x->rank, &axis);
	if (status)
		return status;
	for (int i = 0; i < x->rank; i++)
		dims[i] = x->dims[i];
	if (repeats < 0 || !tm_mul(repeats, dims[axis], &dims[axis]))
		return tm_fail(c->err, TAMIS_E_INVALID, "axis %d of length %lld cannot be repeated %lld times", axis,
		               (long long)x->dims[axis], (long long)repeats);
	return set_moved(c, x->rank, dims);
}

static void tile_axis_walk(const struct op_call *c, struct strided *s)
{
	const struct tensor *x = c->in[0];
	int64_t repeats = (int64_t)tensor_get(c->in[1], 0), at = (int64_t)tensor_get(c->in[2], 0);
	int axis = (int)(at < 0 ? at + x->rank : at);
	int64_t run = tensor_extent(x, axis, x->rank);

	s->rank = 0;
	strided_axis(s, tensor_extent(x, 0, axis), run, repeats * run);
	strided_axis(s, repeats, 0, run);
	strided_axis(s, run, 1, 1);
}

static enum tamis_status tile_axis_run(struct op_call *c)
{
	return copy_along(c, tile_axis_walk);
}

static enum tamis_status tile_axis_reverse(struct op_grad *g)
{
	return add_along(g, tile_axis_walk);
}

/* ---- DepthToSpace, SpaceToDepth ---- */

struct blocks_attr { int64_t size; int crd; };

static enum tamis_status blocks_parse(struct op_parse *p, void **attr)
{
	static const char *const modes[] = {"DCR", "CRD", NULL};
	struct blocks_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	status = attr_required(p, "blocksize");
	if (!status)
		status = attr_int(p, "blocksize", 1, &a->size);
	return status ? status : attr_choice(p, "mode", modes, 0, &a->crd);
}

/* Rank four, a positive block, and its square without overflow. */
static enum tamis_status blocks_check(const struct op_call *c, int64_t *square)
{
	const struct blocks_attr *a = c->node->attr;

	if (c->in[0]->rank != 4)
		return tm_fail(c->err, TAMIS_E_INVALID, "the input must have rank 4, not %d", c->in[0]->rank);
	if (a->size < 1 || !tm_mul(a->size, a->size, square))
		return tm_fail(c->err, TAMIS_E_INVALID, "blocksize is %lld; it must be at least 1",
		               (long long)a->size);
	return TAMIS_OK;
}

static enum tamis_status depth_to_space_shape(struct op_call *c)
{
	const struct blocks_attr *a = c->node->attr;
	const int64_t *x = c->in[0]->dims;
	int64_t square = 1, height, width;
	enum tamis_status status = blocks_check(c, &square);

	if (status)
		return status;
	if (x[1] % square || !tm_mul(x[2], a->size, &height) || !tm_mul(x[3], a->size, &width))
		return tm_fail(c->err, TAMIS_E_INVALID, "%lld channels do not divide into blocks of %lld x %lld",
		               (long long)x[1], (long long)a->size, (long long)a->size);
	return set_moved(c, 4, (const int64_t[]){x[0], x[1] / square, height, width});
}

static enum tamis_status space_to_depth_shape(struct op_call *c)
{
	const struct blocks_attr *a = c->node->attr;
	const int64_t *x = c->in[0]->dims;
	int64_t square = 1, depth;
	enum tamis_status status = blocks_check(c, &square);

	if (status)
		return status;
	if (x[2] % a->size || x[3] % a->size || !tm_mul(x[1], square, &depth))
		return tm_fail(c->err, TAMIS_E_INVALID, "%lld x %lld does not divide into blocks of %lld x %lld",
		               (long long)x[2], (long long)x[3], (long long)a->size, (long long)a->size);
	return set_moved(c, 4, (const int64_t[]){x[0], depth, x[2] / a->size, x[3] / a->size});
}

/* The walk between depth D = C b b (H x W) and space C (H b x W b): axes n, c, block row, block column, h,
 * w. */
static void blocks_walk(const struct op_call *c, const int64_t *space, bool to_space, struct strided *s)
{
	const struct blocks_attr *a = c->node->attr;
	int64_t b = a->size, channels = space[1], h = space[2] / b, w = space[3] / b;
	int64_t depth_plane = h * w, space_plane = space[2] * space[3];
	int64_t c_step = a->crd ? b * b * depth_plane : depth_plane;
	int64_t row_step = a->crd ? b * depth_plane : b * channels * depth_plane;
	int64_t col_step = a->crd ? depth_plane : channels * depth_plane;

	s->rank = 0;
	strided_axis(s, space[0], channels * space_plane, channels * space_plane);
	strided_axis(s, channels, c_step, space_plane);
	strided_axis(s, h, w, b * space[3]);
	strided_axis(s, b, row_step, space[3]);
	strided_axis(s, w, 1, b);
	strided_axis(s, b, col_step, 1);
	if (!to_space)
		strided_swap(s);
}

static void depth_to_space_walk(const struct op_call *c, struct strided *s)
{
	const struct blocks_attr *a = c->node->attr;
	const int64_t *x = c->in[0]->dims;

	blocks_walk(c, (const int64_t[]){x[0], x[1] / (a->size * a->size), x[2] * a->size, x[3] * a->size}, true,
	            s);
}

static void space_to_depth_walk(const struct op_call *c, struct strided *s)
{
	blocks_walk(c, c->in[0]->dims, false, s);
}

static enum tamis_status depth_to_space_run(struct op_call *c)
{
	return copy_along(c, depth_to_space_walk);
}

static enum tamis_status depth_to_space_reverse(struct op_grad *g)
{
	return add_along(g, depth_to_space_walk);
}

static enum tamis_status space_to_depth_run(struct op_call *c)
{
	return copy_along(c, space_to_depth_walk);
}

static enum tamis_status space_to_depth_reverse(struct op_grad *g)
{
	return add_along(g, space_to_depth_walk);
}

/* ---- ReverseSequence ---- */

struct reverse_attr { int64_t batch, time; };

static enum tamis_status reverse_sequence_parse(struct op_parse *p, void **attr)
{
	struct reverse_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status status;

	if (!a)
		return TAMIS_E_MEMORY;
	status = attr_int(p, "batch_axis", 1, &a->batch);
	if (!status)
		status = attr_int(p, "time_axis", 0, &a->time);
	if (!status && (a->batch < 0 || a->batch > 1 || a->time != 1 - a->batch))
		return tm_fail(p->err, TAMIS_E_INVALID,
		               "batch_axis %lld and time_axis %lld must be 0 and 1 in some order",
		               (long long)a->batch, (long long)a->time);
	return status;
}

static enum tamis_status reverse_sequence_shape(struct op_call *c)
{
	const struct reverse_attr *a = c->node->attr;
	const struct tensor *x = c->in[0], *lengths = c->in[1];

	if (x->rank < 2)
		return tm_fail(c->err, TAMIS_E_INVALID, "the input must have rank 2 at least, not %d", x->rank);
	if (lengths->type != DT_INT64 || lengths->rank != 1 || lengths->count != x->dims[a->batch])
		return tm_fail(c->err, TAMIS_E_INVALID, "sequence_lens must be %lld int64, one a batch item",
		               (long long)x->dims[a->batch]);
	return set_moved(c, x->rank, x->dims);
}

/* One batch item: the first `length` steps backwards, the others as they are. `add` sums instead of
 * copying. */
static void reverse_item(const struct tensor *x, const struct reverse_attr *a, int64_t item, int64_t length,
                         bool add, const char *from, char *to)
{
	int64_t inner = tensor_extent(x, 2, x->rank), steps = x->dims[a->time];
	int64_t time_step = a->time == 0 ? x->dims[1] * inner : inner;
	int64_t item_step = a->batch == 0 ? x->dims[1] * inner : inner;
	int64_t size = (int64_t)args_element(x->type);
	int64_t start = item * item_step, kept = start + length * time_step;
	struct strided turned = {2, {length, inner}, {-time_step, 1}, {time_step, 1}};
	struct strided rest = {2, {steps - length, inner}, {time_step, 1}, {time_step, 1}};

	if (add) {
		strided_add(&turned, x->type, from + (kept - time_step) * size, to + start * size);
		strided_add(&rest, x->type, from + kept * size, to + kept * size);
	} else {
		strided_copy(&turned, (size_t)size, from + (kept - time_step) * size, to + start * size);
		strided_copy(&rest, (size_t)size, from + kept * size, to + kept * size);
	}
}

static enum tamis_status reverse_sequence_apply(const struct op_call *c, const struct tensor *from,
                                                struct tensor *to, bool add)
{
	const struct reverse_attr *a = c->node->attr;
	const int64_t *lengths = c->in[1]->data;

	for (int64_t i = 0; i < c->in[1]->count; i++)
		if (lengths[i] < 0 || lengths[i] > from->dims[a->time])
			return tm_fail(c->err, TAMIS_E_INVALID, "sequence length %lld is outside 0 to %lld",
			               (long long)lengths[i], (long long)from->dims[a->time]);
	for (int64_t i = 0; from->count && i < c->in[1]->count; i++)
		reverse_item(from, a, i, lengths[i], add, from->data, to->data);
	return TAMIS_OK;
}

static enum tamis_status reverse_sequence_run(struct op_call *c)
{
	return c->out[0] ? reverse_sequence_apply(c, c->in[0], c->out[0], false) : TAMIS_OK;
}

/* Reversing is its own inverse. */
static enum tamis_status reverse_sequence_reverse(struct op_grad *g)
{
	if (!g->gout[0] || !g->gin[0])
		return TAMIS_OK;
	return reverse_sequence_apply(g->call, g->gout[0], g->gin[0], true);
}

/* ---- Channels ---- */

static void channels_transpose(struct channel_call *c)
{
	for (int i = 0; i < c->in[0]->rank; i++)
		channels_tie(c, 0, transpose_axis(c->node->attr, c->in[0]->rank, i), COUPLING_OUT(0), i);
}

/* Axes that are not repeated pass; input 1 of Expand states their lengths, unless as 1. */
static void channels_expand(struct channel_call *c)
{
	const struct tensor *x = c->in[0], *y = c->out[0], *asked = c->in[1];

	for (int k = 1; y && k <= y->rank; k++) {
		if (k <= x->rank && x->dims[x->rank - k] == y->dims[y->rank - k])
			channels_tie(c, 0, -k, COUPLING_OUT(0), -k);
		else
			channels_keep(c, COUPLING_OUT(0), -k, "it is repeated");
		if (k <= asked->count && !(asked->data && tensor_get_int(asked, asked->count - k) == 1))
			channels_number(c, 1, (int)asked->count - k, COUPLING_OUT(0), -k, y->dims[y->rank - k]);
	}
}

static void channels_tile(struct channel_call *c)
{
	for (int k = 0; c->out[0] && k < c->in[0]->rank; k++)
		if (c->in[0]->dims[k] == c->out[0]->dims[k])
			channels_tie(c, 0, k, COUPLING_OUT(0), k);
		else {
			channels_keep(c, 0, k, "it is repeated");
			channels_keep(c, COUPLING_OUT(0), k, "it is repeated");
		}
}

/* Channel k of the image and its block^2 channels of depth go together. */
static void channels_blocks(struct channel_call *c)
{
	const struct blocks_attr *a = c->node->attr;
	bool to_space = !strcmp(c->node->op->name, "DepthToSpace");
	int depth = to_space ? 0 : COUPLING_OUT(0), space = to_space ? COUPLING_OUT(0) : 0;
	int64_t square, n;

	if (!c->out[0]) { /* then nobody has said that the size of a block is possible */
		channels_keep_port(c, 0, "the shape of what it makes is not known");
		return;
	}
	square = a->size * a->size;
	n = to_space ? c->in[0]->dims[1] / square : c->in[0]->dims[1];
	channels_tie(c, 0, 0, COUPLING_OUT(0), 0);
	for (int64_t k = 0; k < n; k++)
		for (int64_t i = 0; i < square; i++)
			channels_tie_some(c, depth, 1, a->crd ? k * square + i : i * n + k, space, 1, k, 1);
	for (int k = 2; k < 4; k++) {
		channels_keep(c, 0, k, "it runs over space");
		channels_keep(c, COUPLING_OUT(0), k, "it runs over space");
	}
}

const struct op ops_move[] = {
	{.name = "DepthToSpace", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 1, .max_in = 1,
	 .min_out = 1, .max_out = 1, .flags = OP_ANY_BITS, .channels = channels_blocks, .parse = blocks_parse, .shape = depth_to_space_shape,
	 .run = depth_to_space_run, .reverse = depth_to_space_reverse},
	{.name = "Expand", .domain = "", .since = 8, .until = OP_LATEST, .min_in = 2, .max_in = 2, .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .channels = channels_expand, .shape = expand_shape, .run = expand_run,
	 .reverse = expand_reverse},
	{.name = "ReverseSequence", .domain = "", .since = 10, .until = OP_LATEST, .min_in = 2, .max_in = 2,
	 .min_out = 1, .max_out = 1, .flags = OP_ANY_BITS, .parse = reverse_sequence_parse,
	 .shape = reverse_sequence_shape, .run = reverse_sequence_run, .reverse = reverse_sequence_reverse},
	{.name = "SpaceToDepth", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 1, .max_in = 1,
	 .min_out = 1, .max_out = 1, .flags = OP_ANY_BITS, .channels = channels_blocks, .parse = blocks_parse, .shape = space_to_depth_shape,
	 .run = space_to_depth_run, .reverse = space_to_depth_reverse},
	{.name = "Tile", .domain = "", .since = 1, .until = 5, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	 .flags = OP_ANY_BITS, .channels = channels_tile, .shape = tile_axis_shape, .run = tile_axis_run,
	 .reverse = tile_axis_reverse},
	{.name = "Tile", .domain = "", .since = 6, .until = OP_LATEST, .min_in = 2, .max_in = 2, .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .channels = channels_tile, .shape = tile_shape, .run = tile_run,
	 .reverse = tile_reverse},
	{.name = "Transpose", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 1, .max_in = 1,
	 .min_out = 1, .max_out = 1, .flags = OP_ANY_BITS, .channels = channels_transpose, .parse = transpose_parse, .shape = transpose_shape,
	 .run = transpose_run, .reverse = transpose_reverse},
	{0},
};
