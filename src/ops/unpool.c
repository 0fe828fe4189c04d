/* SPDX-License-Identifier: Apache-2.0 */
/* MaxUnpool: values go back to the places that MaxPool took them from, zeros to all others. */
#include <string.h>

#include "ops/args.h"
#include "ops/family.h"
#include "ops/reals.h"
#include "ops/window.h"

enum { X, INDICES, SHAPE };

static enum tamis_status unpool_parse(struct op_parse *p, void **attr)
{
	struct window_attr *a = *attr = args_alloc(p, sizeof *a);
	enum tamis_status s;

	if (!a)
		return TAMIS_E_MEMORY;
	s = attr_required(p, "kernel_shape");
	return s ? s : window_parse(p, a);
}

/* What MaxPool looked at, by the attributes: the indices count through it. */
static enum tamis_status pooled_shape(const struct op_call *c, struct tensor *from)
{
	const struct tensor *x = c->in[X];
	int64_t dims[TENSOR_MAX_RANK];
	struct window w;
	enum tamis_status s = window_resolve_transposed(c->node->attr, x, NULL, NULL, -1, NULL, -1, &w, c->err);

	if (s != TAMIS_OK)
		return s;
	for (int i = 0; i < x->rank; i++)
		dims[i] = i < 2 ? x->dims[i] : w.in[WINDOW_AXES - w.rank + i - 2];
	return tensor_shape(from, x->type, x->rank, dims, c->err);
}

/* A stated shape holds all of that, and zeros behind. */
static enum tamis_status stated_shape(const struct op_call *c, const struct tensor *from, int64_t *dims)
{
	enum tamis_status s;
	int n;

	s = args_ints(c, SHAPE, "output_shape", TENSOR_MAX_RANK, dims, &n);
	if (s == TAMIS_OK && n != from->rank)
		return tm_fail(c->err, TAMIS_E_INVALID, "output_shape has %d entries; the data have rank %d", n, from->rank);
	for (int i = 0; s == TAMIS_OK && i < n; i++)
		if (dims[i] < from->dims[i])
			return tm_fail(c->err, TAMIS_E_INVALID, "axis %d of output_shape is %lld; what was pooled has %lld", i,
			               (long long)dims[i], (long long)from->dims[i]);
	return s;
}

static enum tamis_status unpool_shape(struct op_call *c)
{
	const struct tensor *x = c->in[X], *at = c->in[INDICES];
	int64_t dims[TENSOR_MAX_RANK];
	struct tensor from = {0};
	enum tamis_status s;

	if (!dtype_is_float((int)x->type) || at->type != DT_INT64 || !tensor_same_shape(x, at))
		return tm_fail(c->err, TAMIS_E_INVALID, "MaxUnpool takes floats and as many int64 indices of one shape");
	s = pooled_shape(c, &from);
	if (s != TAMIS_OK)
		return s;
	if (!op_in(c, SHAPE))
		return op_set_like(c, 0, x->type, &from);
	if (!op_needs(c, SHAPE))
		return TAMIS_OK;
	s = stated_shape(c, &from, dims);
	return s ? s : op_set_out(c, 0, x->type, from.rank, dims);
}

/* Where element `index` of a tensor shaped like `from` lies in the one shaped like `to`, which is no smaller. */
static int64_t place(const struct tensor *from, const struct tensor *to, int64_t index)
{
	int64_t at = 0, step = 1;

	for (int i = from->rank - 1; i >= 0; i--) {
		at += index % from->dims[i] * step;
		index /= from->dims[i];
		step *= to->dims[i];
	}
	return at;
}

/* owner[place in y] = the element of x that ends there, the last of several; -1: none. In scratch. */
static enum tamis_status find_owners(const struct op_call *c, const struct tensor *y, int64_t **owner)
{
	const struct tensor *at = c->in[INDICES];
	struct tensor from = {0};
	enum tamis_status s = pooled_shape(c, &from);

	if (s != TAMIS_OK)
		return s;
	*owner = scratch_alloc(c->scratch, (size_t)y->count, sizeof **owner);
	if (!*owner)
		return tm_no_memory(c->err, "unpooling");
	memset(*owner, 0xff, (size_t)y->count * sizeof **owner);
	for (int64_t i = 0; i < at->count; i++) {
		int64_t index = ((const int64_t *)at->data)[i];

		if (index < 0 || index >= from.count)
			return tm_fail(c->err, TAMIS_E_INVALID, "index %lld is outside the %lld elements that were pooled",
			               (long long)index, (long long)from.count);
		(*owner)[place(&from, y, index)] = i;
	}
	return TAMIS_OK;
}

static enum tamis_status unpool_run(struct op_call *c)
{
	struct tensor *y = c->out[0];
	int64_t *owner;
	enum tamis_status s = find_owners(c, y, &owner);

	for (int64_t i = 0; s == TAMIS_OK && i < y->count; i++)
		real_set(y, i, owner[i] < 0 ? 0 : real_get(c->in[X], owner[i]));
	return s;
}

static enum tamis_status unpool_reverse(struct op_grad *g)
{
	const struct tensor *gy = g->gout[0];
	int64_t *owner;
	enum tamis_status s;

	if (!gy || !g->gin[X])
		return TAMIS_OK;
	s = find_owners(g->call, gy, &owner);
	for (int64_t i = 0; s == TAMIS_OK && i < gy->count; i++)
		if (owner[i] >= 0)
			real_add(g->gin[X], owner[i], real_get(gy, i));
	return s;
}

const struct op ops_unpool[] = {
	{.name = "MaxUnpool", .domain = "", .since = 9, .until = OP_LATEST, .min_in = 2, .max_in = 3, .min_out = 1,
	 .max_out = 1, .parse = unpool_parse, .shape = unpool_shape, .run = unpool_run, .reverse = unpool_reverse},
	{0},
};
