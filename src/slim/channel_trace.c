/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/channel_trace.h"

#include <stdlib.h>
#include <string.h>

/* ---- constants ----------------------------------------------------------------------------------------- */

static bool is(const struct node *n, const char *name)
{
	return !*n->op->domain && !strcmp(n->op->name, name);
}

const struct value *channel_constant(const struct graph *g, int value)
{
	while (value != GRAPH_NONE) {
		const struct value *v = &g->values[value];

		if (v->kind == VALUE_CONSTANT)
			return v->overridable ? NULL : v;
		if (v->kind != VALUE_NODE || !is(&g->nodes[v->producer], "Identity"))
			return NULL;
		value = g->nodes[v->producer].in[0];
	}
	return NULL;
}

bool channel_owned(const struct value *v)
{
	return v->kind == VALUE_CONSTANT && v->n_uses == 1 && !v->overridable && !v->is_output
		&& (v->tensor_proto || v->sparse_proto);
}

int channel_axis(const struct tensor *t, int64_t extent, int64_t stride)
{
	int64_t step = 1;

	for (int i = t->rank - 1; i >= 0; i--) {
		if (t->dims[i] == extent && step == stride)
			return i;
		step *= t->dims[i];
	}
	return -1;
}

/* ---- the growing trace --------------------------------------------------------------------------------- */

struct tracer {
	const struct channel_model *m;
	struct channel_trace *t;
	int64_t channels;
	bool memory; /* ran out */
};

static const struct tensor *shape_of(const struct tracer *w, int value)
{
	const struct planned *p = &w->m->plan->value[value];

	if (p->place == PLACE_DYNAMIC || p->place == PLACE_NONE || p->shape.type == DT_UNDEFINED)
		return NULL;
	return &p->shape;
}

static bool grow(struct tracer *w, void **array, size_t *cap, size_t n, size_t size)
{
	if (tm_grow(array, cap, n + 1, size))
		return true;
	w->memory = true;
	return false;
}

/* A place, if the value's extent there is what it should be and nobody outside looks at it. */
static bool add_place(struct tracer *w, int value, int axis, int64_t block)
{
	struct channel_trace *t = w->t;
	const struct tensor *shape = value == GRAPH_NONE ? NULL : shape_of(w, value);
	void *places = t->places;

	if (!shape || w->m->graph->values[value].is_output || axis < 0 || axis >= shape->rank
	    || shape->dims[axis] != w->channels * block
	    || !grow(w, &places, &t->cap_places, t->n_places, sizeof *t->places))
		return false;
	t->places = places;
	t->places[t->n_places++] = (struct channel_place){ value, axis, block };
	return true;
}

static bool add_link(struct tracer *w, struct channel_link *l, int axis, int64_t block)
{
	struct channel_trace *t = w->t;
	const struct node *n = &w->m->graph->nodes[l->node];
	void *links = t->links;

	for (int i = 1; i < n->n_out; i++)
		if (n->out[i] != GRAPH_NONE
		    && (w->m->graph->values[n->out[i]].n_uses || w->m->graph->values[n->out[i]].is_output))
			return false;
	l->to = (int)t->n_places;
	if (!add_place(w, n->out[0], axis, block)
	    || !grow(w, &links, &t->cap_links, t->n_links, sizeof *t->links))
		return false;
	t->links = links;
	t->links[t->n_links++] = *l;
	return true;
}

/* ---- one rule a kind of operator ----------------------------------------------------------------------- */

bool channel_unpadded(const struct node *n)
{
	for (size_t i = 0; i < n->proto->n_attribute; i++) {
		const Onnx__AttributeProto *a = n->proto->attribute[i];

		if (!strcmp(a->name, "ceil_mode") && a->i)
			return false;
		if (!strcmp(a->name, "auto_pad") && a->s.len >= 4 && !memcmp(a->s.data, "SAME", 4))
			return false;
		for (size_t k = 0; !strcmp(a->name, "pads") && k < a->n_ints; k++)
			if (a->ints[k])
				return false;
	}
	return true;
}

/* Of the pools, those that turn equal values into that value; LpPool's sum grows with the window. */
static bool pool_keeps_constants(const struct node *n)
{
	return is(n, "MaxPool") || is(n, "GlobalMaxPool") || is(n, "GlobalAveragePool")
		|| (is(n, "AveragePool") && channel_unpadded(n));
}

static bool follow_same(struct tracer *w, struct channel_link *l, const struct channel_place *at)
{
	const struct node *n = &w->m->graph->nodes[l->node];
	bool elementwise = n->op->flags & (OP_INPLACE | OP_VIEW);

	if (l->input != 0 || (!elementwise && (at->axis != 1 || at->block != 1)))
		return false;
	l->keeps_constants = elementwise || pool_keeps_constants(n);
	return add_link(w, l, at->axis, at->block);
}

static void add_vector(struct channel_link *l, int input, int axis)
{
	l->vectors[l->n_vectors] = input;
	l->vector_axis[l->n_vectors++] = axis;
}

/* The operand beside the channels, aligned at the last axis: equal along the channels, or one number for
 * each. */
static bool operand(struct tracer *w, struct channel_link *l, int input, const struct channel_place *at)
{
	const struct node *n = &w->m->graph->nodes[l->node];
	const struct tensor *x = shape_of(w, at->value), *y = shape_of(w, n->out[0]);
	const struct value *c = channel_constant(w->m->graph, n->in[input]);
	int axis;

	if (!c || !y || !tensor_same_shape(x, y) || c->constant.rank > x->rank)
		return false;
	axis = at->axis - (x->rank - c->constant.rank);
	if (axis < 0 || c->constant.dims[axis] == 1)
		return true;
	if (c->constant.dims[axis] != w->channels * at->block)
		return false;
	add_vector(l, input, axis);
	return true;
}

static bool follow_binary(struct tracer *w, struct channel_link *l, const struct channel_place *at)
{
	const struct node *n = &w->m->graph->nodes[l->node];

	if (n->n_in != 2 || !operand(w, l, 1 - l->input, at))
		return false;
	l->keeps_constants = true;
	return add_link(w, l, at->axis, at->block);
}

static bool is_training(const struct node *n)
{
	for (size_t i = 0; i < n->proto->n_attribute; i++)
		if (!strcmp(n->proto->attribute[i]->name, "training_mode") && n->proto->attribute[i]->i)
			return true;
	return false;
}

static bool follow_norm(struct tracer *w, struct channel_link *l, const struct channel_place *at)
{
	const struct node *n = &w->m->graph->nodes[l->node];

	if (l->input != 0)
		return false;
	l->keeps_constants = !is(n, "InstanceNormalization"); /* it magnifies the rounding of the mean */
	if (is(n, "PRelu"))
		return n->n_in == 2 && operand(w, l, 1, at) && add_link(w, l, at->axis, at->block);
	if ((!is(n, "BatchNormalization") && !is(n, "InstanceNormalization")) || at->axis != 1 || is_training(n)
	    || n->n_in > TENSOR_MAX_RANK)
		return false;
	for (int i = 1; i < n->n_in; i++) {
		const struct value *c = channel_constant(w->m->graph, n->in[i]);

		if (!c || c->constant.rank != 1 || c->constant.count != w->channels * at->block)
			return false;
		add_vector(l, i, 0);
	}
	return add_link(w, l, at->axis, at->block);
}

/* Squeeze without axes drops the channels too, should one alone be left. */
static bool squeezes_all(const struct node *n)
{
	bool axes = n->n_in > 1 && n->in[1] != GRAPH_NONE;

	for (size_t i = 0; i < n->proto->n_attribute; i++)
		axes |= !strcmp(n->proto->attribute[i]->name, "axes");
	return is(n, "Squeeze") && !axes;
}

/* Where the channel axis of x goes when its elements are read as y, row-major: the axis of y that begins at
 * the same element, and holds the channel axis and whole axes after it. */
static bool regroup(const struct tensor *x, const struct channel_place *at, const struct tensor *y, int *axis,
                    int64_t *block)
{
	int64_t before = tensor_extent(x, 0, at->axis), seen = 1, width = x->dims[at->axis];
	int a = 0, last = at->axis;

	while (a < y->rank && (seen != before || y->dims[a] == 1))
		seen *= y->dims[a++];
	if (a < 1 || a >= y->rank || !x->count)
		return false;
	while (width < y->dims[a] && last + 1 < x->rank)
		width *= x->dims[++last];
	*axis = a;
	*block = at->block * (width / x->dims[at->axis]);
	return width == y->dims[a];
}

/* The shape that a Reshape asks for: its element for the new axis says how the width is given. */
static bool asked_width(struct tracer *w, struct channel_link *l, const struct channel_place *at, int axis)
{
	const struct node *n = &w->m->graph->nodes[l->node];
	const struct tensor *asked = &w->m->plan->value[n->in[1]].shape;
	const struct value *c = channel_constant(w->m->graph, n->in[1]);

	if (!asked->data || asked->count <= axis || asked->type != DT_INT64)
		return false;
	for (int64_t i = 0; i < asked->count; i++) {
		int64_t d = tensor_get_int(asked, i);

		if (d == 0 && i == at->axis && i != axis)
			return false;
		if (i != axis || d == -1 || (d == 0 && axis == at->axis))
			continue;
		if (d <= 0 || !c)
			return false;
		l->width_at = axis;
	}
	return true;
}

static bool follow_flatten(struct tracer *w, struct channel_link *l, const struct channel_place *at)
{
	const struct node *n = &w->m->graph->nodes[l->node];
	const struct tensor *x = shape_of(w, at->value), *y = shape_of(w, n->out[0]);
	int axis;
	int64_t block;

	if (l->input != 0 || !y || squeezes_all(n) || !regroup(x, at, y, &axis, &block))
		return false;
	if (is(n, "Reshape") && (n->n_in < 2 || n->in[1] == GRAPH_NONE))
		return false;
	if (is(n, "Reshape") && !asked_width(w, l, at, axis))
		return false;
	l->keeps_constants = true;
	return add_link(w, l, axis, block);
}

/* Shape, where only extents of other axes are taken from it. */
static bool follow_shape(struct tracer *w, const struct node *n, const struct channel_place *at)
{
	const struct graph *g = w->m->graph;
	const struct value *extents = &g->values[n->out[0]];
	int rank = shape_of(w, at->value)->rank;

	if (n->proto->n_attribute || extents->is_output)
		return false;
	for (int u = 0; u < extents->n_uses; u++) {
		const struct node *gather = &g->nodes[extents->uses[u].node];
		const struct value *index = gather->n_in > 1 ? channel_constant(g, gather->in[1]) : NULL;

		if (!is(gather, "Gather") || extents->uses[u].input != 0 || !index)
			return false;
		for (int64_t i = 0; i < index->constant.count; i++) {
			int64_t k = tensor_get_int(&index->constant, i);

			if ((k < 0 ? k + rank : k) == at->axis)
				return false;
		}
	}
	return true;
}

static bool end_at_layer(struct tracer *w, int layer, int input, int place)
{
	struct channel_trace *t = w->t;
	const struct channel_place *at = &t->places[place];
	const struct layer *l = &w->m->layers->list[layer];
	const struct linear_view *v = &l->view;
	const struct value *weight = &w->m->graph->values[l->weight];
	struct channel_reader r = { .layer = layer, .place = place };
	int axis = v->in_axis < 0 ? v->in_axis + shape_of(w, at->value)->rank : v->in_axis;
	void *readers = t->readers;

	if (v->groups != 1 || input != v->data || axis != at->axis || (at->block != 1 && v->inner != 1)
	    || v->fan_in != w->channels * at->block * v->inner || !channel_owned(weight)
	    || !dtype_is_float((int)weight->constant.type))
		return false;
	r.weight_axis = channel_axis(&weight->constant, w->channels * at->block, v->stride_channel);
	if (r.weight_axis < 0 || !grow(w, &readers, &t->cap_readers, t->n_readers, sizeof *t->readers))
		return false;
	t->readers = readers;
	t->readers[t->n_readers++] = r;
	return true;
}

static bool follow(struct tracer *w, struct use use, int place)
{
	const struct node *n = &w->m->graph->nodes[use.node];
	const struct channel_place at = w->t->places[place];
	struct channel_link l = { .node = use.node, .input = use.input, .from = place, .width_at = -1 };

	if (w->m->layer_of[use.node] >= 0)
		return end_at_layer(w, w->m->layer_of[use.node], use.input, place);
	if (n->n_out < 1 || n->out[0] == GRAPH_NONE)
		return false;
	if (is(n, "Shape"))
		return follow_shape(w, n, &at);
	switch ((enum channel_rule)n->op->channels) {
	case CHANNEL_SAME: return follow_same(w, &l, &at);
	case CHANNEL_NORM: return follow_norm(w, &l, &at);
	case CHANNEL_BINARY: return follow_binary(w, &l, &at);
	case CHANNEL_FLATTEN: return follow_flatten(w, &l, &at);
	case CHANNEL_BARRIER:
	case CHANNEL_CONCAT:
	case CHANNEL_LINEAR: break;
	}
	return false;
}

/* ---- the walk ------------------------------------------------------------------------------------------ */

static bool walk(struct tracer *w, const struct layer *l)
{
	const struct node *n = &w->m->graph->nodes[l->node];
	const struct tensor *z = shape_of(w, n->out[0]);
	int axis = l->view.out_axis;

	if (!z || !add_place(w, n->out[0], axis < 0 ? axis + z->rank : axis, 1))
		return false;
	for (size_t i = 0; i < w->t->n_places; i++) {
		const struct value *v = &w->m->graph->values[w->t->places[i].value];

		if (!v->n_uses)
			return false;
		for (int u = 0; u < v->n_uses; u++)
			if (!follow(w, v->uses[u], (int)i))
				return false;
	}
	return w->t->n_readers > 0;
}

enum tamis_status channel_trace(const struct channel_model *m, int layer, struct channel_trace *out,
                                struct tamis_error *err)
{
	const struct layer *l = &m->layers->list[layer];
	struct tracer w = { .m = m, .t = out, .channels = l->view.outs };

	out->n_places = out->n_links = out->n_readers = 0;
	out->understood = walk(&w, l);
	return w.memory ? tm_no_memory(err, "following channels") : TAMIS_OK;
}

void channel_trace_free(struct channel_trace *t)
{
	free(t->places);
	free(t->links);
	free(t->readers);
	*t = (struct channel_trace){ 0 };
}
