/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/layers.h"

#include <stdlib.h>
#include <string.h>

#include "graph/coupling.h"

#define NO_BIAS "its bias is not a constant vector"

int64_t layer_offset(const struct linear_view *v, int64_t o, int64_t d)
{
	int64_t per_group = v->outs / v->groups;
	int64_t g = o / per_group;

	return g * v->stride_group + o % per_group * v->stride_out + d / v->inner * v->stride_channel + d % v->inner;
}

/* ---- biases ------------------------------------------------------------------------------------------------- */

/* What a Constant node says in value_floats or sparse_value is nowhere that could be written to. */
static bool can_write(const struct value *v)
{
	return v->tensor_proto || v->sparse_proto;
}

static const struct value *constant_vector(const struct graph *g, int id, int64_t n)
{
	const struct value *v = id == GRAPH_NONE ? NULL : &g->values[id];

	if (!v || v->kind != VALUE_CONSTANT || v->constant.count != n || !dtype_is_float((int)v->constant.type)
	    || !can_write(v))
		return NULL;
	return v;
}

/* The node that alone reads a node's first output; NULL when there is none or it is a graph output. */
static const struct node *only_reader(const struct graph *g, const struct node *n)
{
	const struct value *z = &g->values[n->out[0]];

	return z->n_uses == 1 && !z->is_output ? &g->nodes[z->uses[0].node] : NULL;
}

static bool is(const struct node *n, const char *name)
{
	return n && !*n->op->domain && !strcmp(n->op->name, name);
}

/* BatchNormalization(z, scale, shift, mean, var) with a mean of its own. It runs over axis 1, so z must have its
 * channels there. */
static int norm_mean(const struct graph *g, const struct node *n, int64_t outs, int channel_axis)
{
	const struct node *norm = only_reader(g, n);
	const struct value *mean;

	if (channel_axis != 1 || !is(norm, "BatchNormalization") || norm->n_in < 5 || norm->in[0] != n->out[0])
		return GRAPH_NONE;
	mean = constant_vector(g, norm->in[3], outs);
	return mean && mean->n_uses == 1 && !mean->overridable && !mean->is_output ? norm->in[3] : GRAPH_NONE;
}

/* Add(z, vector) with a vector of its own that runs over the last axis, where a MatMul has its channels. Before opset 7
 * an attribute says which axis that is: not looked into. */
static int added_vector(const struct graph *g, const struct node *n, int64_t outs)
{
	const struct node *add = only_reader(g, n);
	const struct value *b;
	int side;

	if (!is(add, "Add") || add->op->channels != channels_elementwise)
		return GRAPH_NONE;
	side = add->in[0] == n->out[0];
	b = constant_vector(g, add->in[side], outs);
	if (!b || b->constant.rank < 1 || b->constant.dims[b->constant.rank - 1] != outs || b->n_uses != 1
	    || b->overridable || b->is_output)
		return GRAPH_NONE;
	return add->in[side];
}

static bool own_bias(const struct graph *g, int id, int64_t outs)
{
	const struct value *b = constant_vector(g, id, outs);

	return b && b->n_uses == 1 && !b->overridable && !b->is_output
		&& (b->constant.rank == 0 || b->constant.dims[b->constant.rank - 1] == outs);
}

/* Where a mean can be folded now. BIAS_NONE with *note NULL: nowhere yet, but a bias may be added. A bias input that
 * the node multiplies by zero (Gemm beta) is none. rank: of z. */
static void find_bias(const struct graph *g, struct layer *l, int rank)
{
	const struct node *n = &g->nodes[l->node];
	int id = l->view.can_bias && l->view.bias < n->n_in ? n->in[l->view.bias] : GRAPH_NONE;

	l->bias_kind = BIAS_NONE;
	l->bias = GRAPH_NONE;
	if (id != GRAPH_NONE) {
		if (own_bias(g, id, l->view.outs)) {
			l->bias_kind = BIAS_INPUT;
			l->bias = id;
		} else if (g->values[id].kind != VALUE_CONSTANT) {
			l->note = NO_BIAS;
		}
		return;
	}
	l->bias = norm_mean(g, n, l->view.outs, l->view.out_axis < 0 ? l->view.out_axis + rank : l->view.out_axis);
	l->bias_kind = BIAS_MEAN;
	if (l->bias == GRAPH_NONE && !l->view.can_bias) {
		l->bias = added_vector(g, n, l->view.outs);
		l->bias_kind = BIAS_ADD;
	}
	if (l->bias == GRAPH_NONE)
		l->bias_kind = BIAS_NONE;
}

/* ---- which may be slimmed ----------------------------------------------------------------------------------- */

static bool named(const regex_t *re, const char *a, const char *b)
{
	return !regexec(re, a, 0, NULL, 0) || !regexec(re, b, 0, NULL, 0);
}

const char *layers_why_filtered(const struct layer_filter *f, const char *node, const char *value)
{
	if (f->only && !named(f->only, node, value))
		return "not named by --only";
	return f->skip && named(f->skip, node, value) ? "named by --skip" : NULL;
}

static const char *why_weight_stays(const struct graph *g, int node, int weight, const struct layer_filter *f)
{
	const struct value *w = &g->values[weight];
	const char *filtered = layers_why_filtered(f, g->nodes[node].name, w->name);

	if (filtered)
		return filtered;
	if (!dtype_is_float((int)w->constant.type))
		return "its weight is not of a float type";
	if (w->overridable && !f->mutable_initializers)
		return "its weight is also a graph input";
	if (w->is_output)
		return "its weight is a graph output";
	if (w->n_uses > 1)
		return "its weight is read by other nodes too";
	if (w->producer != GRAPH_NONE && g->nodes[w->producer].inlined)
		return "its weight is inside a function";
	if (!can_write(w))
		return "its weight is in a Constant node's sparse value";
	return NULL;
}

static const char *why_left_alone(const struct graph *g, const struct plan *plan, const struct layer *l,
                                  const struct layer_filter *f)
{
	enum place made = plan->value[g->nodes[l->node].out[0]].place;
	const char *why = why_weight_stays(g, l->node, l->weight, f);

	if (why)
		return why;
	if (made == PLACE_NONE)
		return "nothing reads its output";
	if (made == PLACE_CONSTANT || made == PLACE_FOLDED)
		return "its output is constant";
	return NULL;
}

/* ---- finding ------------------------------------------------------------------------------------------------ */

static enum tamis_status describe(const struct graph *g, const struct plan *plan, int node, struct linear_view *v,
                                  bool *linear, struct tamis_error *err)
{
	const struct node *n = &g->nodes[node];
	const struct tensor **in = tm_array((size_t)n->n_in + 1, sizeof *in);
	struct tamis_error ignored = { 0 };
	enum tamis_status s;

	if (!in)
		return tm_no_memory(err, "listing the layers");
	for (int i = 0; i < n->n_in; i++)
		in[i] = n->in[i] == GRAPH_NONE ? NULL : &plan->value[n->in[i]].shape;
	s = n->op->linear->describe(n, in, n->n_in, v, &ignored);
	free(in);
	*linear = s == TAMIS_OK;
	return s == TAMIS_E_MEMORY ? tm_no_memory(err, "listing the layers") : TAMIS_OK;
}

static int64_t positions_of(const struct graph *g, const struct plan *plan, const struct layer *l)
{
	const struct node *n = &g->nodes[l->node];
	const struct tensor *z = &plan->value[n->out[0]].shape;

	return l->view.outs > 0 ? z->count / l->view.outs : 0;
}

static enum tamis_status add_layer(const struct graph *g, const struct plan *plan, int node,
                                   const struct layer_filter *f, struct layers *out, struct tamis_error *err)
{
	struct layer l = { .node = node, .bias = GRAPH_NONE };
	const struct node *n = &g->nodes[node];
	bool linear = false;
	enum tamis_status s;

	for (int i = 0; i < n->n_in; i++)
		if (n->in[i] != GRAPH_NONE && plan->value[n->in[i]].place == PLACE_DYNAMIC)
			return TAMIS_OK;
	s = describe(g, plan, node, &l.view, &linear, err);
	if (s != TAMIS_OK || !linear)
		return s;
	l.weight = n->in[l.view.weight];
	if (l.weight == GRAPH_NONE || g->values[l.weight].kind != VALUE_CONSTANT || n->out[0] == GRAPH_NONE)
		return TAMIS_OK;
	l.features = l.view.groups * l.view.fan_in;
	l.entries = g->values[l.weight].constant.count;
	l.positions = positions_of(g, plan, &l);
	l.macs = (double)l.entries * (double)l.positions;
	l.note = why_left_alone(g, plan, &l, f);
	find_bias(g, &l, plan->value[n->out[0]].shape.rank);
	out->list[out->n++] = l;
	return TAMIS_OK;
}

/* W and R are inputs 1 and 2. */
static void add_recurrent(const struct graph *g, int node, const struct layer_filter *f, struct layers *out)
{
	const struct node *n = &g->nodes[node];

	if (!is(n, "LSTM") && !is(n, "GRU") && !is(n, "RNN"))
		return;
	for (int k = 1; k <= 2; k++)
		if (g->values[n->in[k]].kind == VALUE_CONSTANT && !why_weight_stays(g, node, n->in[k], f))
			out->recurrent[out->n_recurrent++] = n->in[k];
}

enum tamis_status layers_find(const struct graph *g, const struct plan *plan, const struct layer_filter *filter,
                              struct layers *out, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	*out = (struct layers){ 0 };
	out->list = arena_array(&out->arena, (size_t)g->n_nodes + 1, sizeof *out->list);
	out->recurrent = arena_array(&out->arena, 2 * (size_t)g->n_nodes + 1, sizeof *out->recurrent);
	if (!out->list || !out->recurrent) {
		layers_free(out);
		return tm_no_memory(err, "listing the layers");
	}
	for (int i = 0; s == TAMIS_OK && i < g->n_nodes; i++) {
		add_recurrent(g, i, filter, out);
		if (g->nodes[i].op->linear)
			s = add_layer(g, plan, i, filter, out, err);
	}
	if (s != TAMIS_OK)
		layers_free(out);
	return s;
}

void layers_free(struct layers *l)
{
	arena_free(&l->arena);
	*l = (struct layers){ 0 };
}
