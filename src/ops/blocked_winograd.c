/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution over blocks by fewer products (ops/winograd.h), with what follows it done on the way to memory. */
#include <string.h>

#include "base/error.h"
#include "ops/blocked_geometry.h"
#include "ops/winograd.h"

struct attr {
	struct blocked_geometry geometry;
	int n_after;
	struct blocked_after after[BLOCKED_AFTER];
};

static bool suits(const struct blocked_conv_spec *spec, const struct correlation *c)
{
	return !spec->plain && winograd_fits(blocked_width(), &c->win, c->groups, c->channels, c->maps, c->win.out + 1)
	       && winograd_can_follow(spec->after, spec->n_after);
}

static enum tamis_status pack(const struct tensor *weight, struct tensor *packed, struct tamis_error *err)
{
	int64_t floats = (int64_t)winograd_weight_size(blocked_width(), weight->dims[1], weight->dims[0], false);
	enum tamis_status s = tensor_shape(packed, DT_FLOAT, 1, &floats, err);

	packed->data = NULL;
	if (s == TAMIS_OK)
		s = tensor_alloc(packed, err);
	if (s == TAMIS_OK)
		winograd_weight(blocked_width(), weight->data, weight->dims[1], weight->dims[0], false, packed->data);
	return s;
}

enum tamis_status blocked_winograd_prepare(const struct blocked_conv_spec *spec, struct arena *arena, void **attr,
                                           struct tensor *packed, struct tamis_error *err)
{
	struct correlation c;
	struct attr *a;
	enum tamis_status s = conv_resolve(spec->conv->attr, spec->x, spec->weight, NULL, &c, err);

	*attr = NULL;
	if (s != TAMIS_OK || !suits(spec, &c))
		return s;
	a = arena_alloc(arena, sizeof *a);
	if (!a)
		return tm_no_memory(err, "preparing a convolution");
	*a = (struct attr){ .geometry = blocked_geometry(spec), .n_after = spec->n_after };
	memcpy(a->after, spec->after, sizeof a->after);
	s = pack(spec->weight, packed, err);
	if (s == TAMIS_OK)
		*attr = a;
	return s;
}

static enum tamis_status shape(struct op_call *call)
{
	return blocked_geometry_shape(&((const struct attr *)call->node->attr)->geometry, call);
}

/* Whole blocks of it; NULL: no memory. */
static const float *widen_bias(struct op_call *call, int64_t blocks)
{
	const struct tensor *bias = call->in[2];
	int64_t n = blocks * blocked_width();
	float *wide = scratch_alloc(call->scratch, (size_t)n, sizeof *wide);

	for (int64_t i = 0; wide && i < n; i++)
		wide[i] = i < bias->count ? ((const float *)bias->data)[i] : 0;
	return wide;
}

static enum tamis_status run(struct op_call *call)
{
	const struct attr *a = call->node->attr;
	const struct tensor *x = call->in[0], *y = call->out[0], *bias = op_in(call, 2), *residual = op_in(call, 3);
	struct winograd w = { .lanes = x->dims[4], .items = x->dims[0], .in_blocks = x->dims[1], .out_blocks = y->dims[1],
		.in = { x->dims[2], x->dims[3] }, .out = { y->dims[2], y->dims[3] }, .x = x->data,
		.weight = call->in[1]->data, .residual = residual ? residual->data : NULL, .after = a->after,
		.n_after = a->n_after, .y = y->data };
	struct window win;
	enum tamis_status s = blocked_geometry_window(&a->geometry, call, &win);
	float *room;

	if (s != TAMIS_OK || y->count == 0)
		return s;
	w.begin[0] = win.begin[1];
	w.begin[1] = win.begin[2];
	w.bias = bias ? widen_bias(call, w.out_blocks) : NULL;
	room = scratch_alloc(call->scratch, winograd_room(&w), sizeof *room);
	if (!room || (bias && !w.bias))
		return tm_no_memory(call->err, "convolving");
	winograd_run(&w, room);
	return TAMIS_OK;
}

const struct op blocked_winograd = {
	.name = "Conv", .domain = "tamis.blocked", .since = 1, .until = OP_LATEST, .min_in = 2, .max_in = 4, .min_out = 1,
	.max_out = 1, .shape = shape, .run = run };
