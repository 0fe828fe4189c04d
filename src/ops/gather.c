/* SPDX-License-Identifier: Apache-2.0 */
/* Reading by index: Gather, GatherElements, GatherND. Each turns its indices into offsets once; running
 * gathers blocks there, and the gradient adds them back there. */
#include <string.h>

#include "ops/args.h"
#include "ops/family.h"
#include "ops/offsets.h"

typedef enum tamis_status offsets_fn(struct op_call *c, struct blocks *b);

static enum tamis_status gather_by(struct op_call *c, offsets_fn *offsets)
{
	struct blocks b;
	enum tamis_status status;

	if (!c->out[0] || c->out[0]->count == 0)
		return TAMIS_OK;
	status = offsets(c, &b);
	if (!status)
		blocks_gather(&b, args_element(c->in[0]->type), c->in[0]->data, c->out[0]->data);
	return status;
}

static enum tamis_status scatter_back(struct op_grad *g, offsets_fn *offsets)
{
	struct blocks b;
	enum tamis_status status;

	if (!g->gout[0] || !g->gin[0] || g->gout[0]->count == 0)
		return TAMIS_OK;
	status = offsets(g->call, &b);
	if (!status)
		blocks_scatter_add(&b, g->gin[0]->type, g->gout[0]->data, g->gin[0]->data);
	return status;
}

static enum tamis_status axis_parse(struct op_parse *p, void **attr)
{
	int64_t *axis = *attr = args_alloc(p, sizeof *axis);

	return axis ? attr_int(p, "axis", 0, axis) : TAMIS_E_MEMORY;
}

static int axis_of(const struct op_call *c)
{
	int64_t axis = *(const int64_t *)c->node->attr;

	return (int)(axis < 0 ? axis + c->in[0]->rank : axis);
}

/* Movable data, indices that are indices, and the axis. */
static enum tamis_status check_inputs(const struct op_call *c, int *axis)
{
	enum tamis_status status = args_movable(c, 0);

	if (!status)
		status = args_index_type(c, 1);
	return status ? status : args_axis(c->err, *(const int64_t *)c->node->attr, c->in[0]->rank, axis);
}

static enum tamis_status rank_too_high(const struct op_call *c, int rank)
{
	return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "the output has rank %d; at most %d is supported", rank,
	               TENSOR_MAX_RANK);
}

/* ---- Gather ---- */

static enum tamis_status gather_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0], *index = c->in[1];
	int64_t dims[2 * TENSOR_MAX_RANK];
	int axis = 0, rank = x->rank - 1 + index->rank, n = 0;
	enum tamis_status status = check_inputs(c, &axis);

	if (status)
		return status;
	if (rank > TENSOR_MAX_RANK)
		return rank_too_high(c, rank);
	for (int i = 0; i < axis; i++)
		dims[n++] = x->dims[i];
	for (int i = 0; i < index->rank; i++)
		dims[n++] = index->dims[i];
	for (int i = axis + 1; i < x->rank; i++)
		dims[n++] = x->dims[i];
	return op_set_out(c, 0, x->type, rank, dims);
}

static enum tamis_status gather_offsets(struct op_call *c, struct blocks *b)
{
	const struct tensor *x = c->in[0], *index = c->in[1];
	int axis = axis_of(c);
	int64_t outer = tensor_extent(x, 0, axis), inner = tensor_extent(x, axis + 1, x->rank), n = index->count;
	enum tamis_status status = blocks_make(c, b, outer * n, inner);

	for (int64_t k = 0; !status && k < n; k++) {
		int64_t value = tensor_get_int(index, k);

		status = blocks_index(c->err, &value, x->dims[axis]);
		b->offset[k] = status ? 0 : value * inner;
	}
	for (int64_t k = n; !status && k < outer * n; k++)
		b->offset[k] = b->offset[k - n] + x->dims[axis] * inner;
	return status;
}

static enum tamis_status gather_run(struct op_call *c)
{
	return gather_by(c, gather_offsets);
}

static enum tamis_status gather_reverse(struct op_grad *g)
{
	return scatter_back(g, gather_offsets);
}

/* ---- GatherElements ---- */

static enum tamis_status gather_elements_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0], *index = c->in[1];
	int axis = 0;
	enum tamis_status status = check_inputs(c, &axis);

	if (status)
		return status;
	if (index->rank != x->rank)
		return tm_fail(c->err, TAMIS_E_INVALID, "indices must have rank %d, as the data, not %d", x->rank,
		               index->rank);
	for (int i = 0; i < x->rank; i++)
		if (i != axis && index->dims[i] > x->dims[i])
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "axis %d of the indices is %lld long but the data have %lld", i,
			               (long long)index->dims[i], (long long)x->dims[i]);
	return op_set_like(c, 0, x->type, index);
}

static enum tamis_status gather_elements_offsets(struct op_call *c, struct blocks *b)
{
	return offsets_of_elements(c, c->in[0], c->in[1], axis_of(c), b);
}

static enum tamis_status gather_elements_run(struct op_call *c)
{
	return gather_by(c, gather_elements_offsets);
}

static enum tamis_status gather_elements_reverse(struct op_grad *g)
{
	return scatter_back(g, gather_elements_offsets);
}

/* ---- GatherND ---- */

static enum tamis_status gather_nd_parse(struct op_parse *p, void **attr)
{
	int64_t *batch = *attr = args_alloc(p, sizeof *batch);

	return batch ? attr_int(p, "batch_dims", 0, batch) : TAMIS_E_MEMORY;
}

static enum tamis_status gather_nd_check(const struct op_call *c, int64_t batch)
{
	const struct tensor *x = c->in[0], *index = c->in[1];
	int64_t width;

	if (x->rank < 1 || index->rank < 1 || batch < 0 || batch >= x->rank || batch >= index->rank)
		return tm_fail(c->err, TAMIS_E_INVALID, "batch_dims %lld must be below the ranks %d and %d",
		               (long long)batch, x->rank, index->rank);
	for (int i = 0; i < batch; i++)
		if (x->dims[i] != index->dims[i])
			return tm_fail(c->err, TAMIS_E_INVALID,
			               "batch axis %d is %lld long in the data and %lld in the indices", i,
			               (long long)x->dims[i], (long long)index->dims[i]);
	width = index->dims[index->rank - 1];
	if (width < 1 || width > x->rank - batch)
		return tm_fail(c->err, TAMIS_E_INVALID,
		               "the last axis of the indices is %lld long; 1 to %lld are possible", (long long)width,
		               (long long)(x->rank - batch));
	return TAMIS_OK;
}

static enum tamis_status gather_nd_shape(struct op_call *c)
{
	const struct tensor *x = c->in[0], *index = c->in[1];
	int64_t dims[2 * TENSOR_MAX_RANK], batch = *(const int64_t *)c->node->attr;
	int n = 0;
	enum tamis_status status = args_movable(c, 0);

	if (!status)
		status = args_index_type(c, 1);
	if (!status)
		status = gather_nd_check(c, batch);
	if (status)
		return status;
	for (int i = 0; i < index->rank - 1; i++)
		dims[n++] = index->dims[i];
	for (int64_t i = batch + index->dims[index->rank - 1]; i < x->rank; i++)
		dims[n++] = x->dims[i];
	return n > TENSOR_MAX_RANK ? rank_too_high(c, n) : op_set_out(c, 0, x->type, n, dims);
}

static enum tamis_status gather_nd_offsets(struct op_call *c, struct blocks *b)
{
	return offsets_of_rows(c, c->in[0], c->in[1], (int)*(const int64_t *)c->node->attr, b);
}

static enum tamis_status gather_nd_run(struct op_call *c)
{
	return gather_by(c, gather_nd_offsets);
}

static enum tamis_status gather_nd_reverse(struct op_grad *g)
{
	return scatter_back(g, gather_nd_offsets);
}

/* The axis that is read by index stays; those around it pass, and the axes of the indices stand in its place. */
static void channels_gather(struct channel_call *c)
{
	int64_t axis = *(const int64_t *)c->node->attr;
	int rank = c->in[0]->rank, more = c->in[1]->rank - 1;

	axis += axis < 0 ? rank : 0;
	for (int k = 0; k < rank; k++)
		if (k == axis)
			channels_keep(c, 0, k, "it is read by index");
		else
			channels_tie(c, 0, k, COUPLING_OUT(0), k < axis ? k : k + more);
	for (int k = 0; k <= more; k++)
		channels_tie(c, 1, k, COUPLING_OUT(0), (int)axis + k);
}

const struct op ops_gather[] = {
	{.name = "Gather", .domain = "", .since = 1, .until = OP_LATEST, .min_in = 2, .max_in = 2, .min_out = 1,
	 .max_out = 1, .flags = OP_ANY_BITS, .channels = channels_gather, .parse = axis_parse, .shape = gather_shape,
	 .run = gather_run,
	 .reverse = gather_reverse},
	{.name = "GatherElements", .domain = "", .since = 11, .until = OP_LATEST, .min_in = 2, .max_in = 2,
	 .min_out = 1, .max_out = 1, .flags = OP_ANY_BITS, .parse = axis_parse, .shape = gather_elements_shape,
	 .run = gather_elements_run, .reverse = gather_elements_reverse},
	{.name = "GatherND", .domain = "", .since = 11, .until = OP_LATEST, .min_in = 2, .max_in = 2,
	 .min_out = 1, .max_out = 1, .flags = OP_ANY_BITS, .parse = gather_nd_parse, .shape = gather_nd_shape,
	 .run = gather_nd_run, .reverse = gather_nd_reverse},
	{0},
};
