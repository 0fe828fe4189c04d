/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/fold/fold.h"

#include <stdlib.h>
#include <string.h>

#include "slim/fold/folding.h"

#define DEEPEST 64 /* sums, one behind the other, that are looked through */

struct adding {
	struct folding all;
	bool *taken;       /* by value: something was added to it */
};

static bool is_sum(const struct node *n)
{
	return !*n->op->domain && !strcmp(n->op->name, "Add") && !n->inlined && n->opset >= STEP_BROADCAST_OPSET;
}

/* A constant of one element a channel, which is on the layer's axis of channels where it is added to what has the shape of the
 * layer's result. */
static bool is_along(const struct adding *f, const struct tensor *c, const struct layer *l)
{
	int rank = f->all.plan->value[carry_result(f->all.graph, l)].shape.rank;
	int axis = l->view.out_axis < 0 ? l->view.out_axis + rank : l->view.out_axis;

	return c->count == l->view.outs && rank - axis <= c->rank && c->rank <= rank && c->dims[c->rank - (rank - axis)] == c->count;
}

/* The layer that a sum can be moved to: what makes the value, through sums that it alone reads, and of the value's full shape. NULL
 * = there is none. */
static const struct layer *find_layer(const struct adding *f, int value, const struct tensor *c, int depth)
{
	const struct graph *g = f->all.graph;
	const struct value *v = &g->values[value];
	const struct layer *l = f->all.made_by[value] < 0 ? NULL : &f->all.layers->list[f->all.made_by[value]];
	const struct node *n;

	if (!step_read_once(g, value) || f->taken[value] || depth > DEEPEST)
		return NULL;
	if (l)
		return carry_can(g, l) && is_along(f, c, l) ? l : NULL;
	n = v->producer == GRAPH_NONE ? NULL : &g->nodes[v->producer];
	if (!n || !is_sum(n))
		return NULL;
	for (int i = 0; i < 2 && !l; i++)
		if (tensor_same_shape(&f->all.plan->value[n->in[i]].shape, &f->all.plan->value[value].shape))
			l = find_layer(f, n->in[i], c, depth + 1);
	return l;
}

/* The input of a sum that is no constant, where the other is one; GRAPH_NONE = there is none. */
static int data_of(const struct graph *g, const struct node *n)
{
	for (int i = 0; is_sum(n) && i < 2; i++) {
		const struct value *c = &g->values[n->in[1 - i]];

		if (c->kind == VALUE_CONSTANT && !c->overridable && c->constant.type == DT_FLOAT && c->constant.count > 1
		    && g->values[n->in[i]].kind != VALUE_CONSTANT)
			return i;
	}
	return GRAPH_NONE;
}

static enum tamis_status move(struct adding *f, int node, int data, const struct layer *l, const struct tensor *c)
{
	const struct node *n = &f->all.graph->nodes[node];
	double *b = tm_array((size_t)c->count + 1, sizeof *b);
	enum tamis_status s = b ? TAMIS_OK : tm_no_memory(f->all.err, "folding sums");

	for (int64_t i = 0; b && i < c->count; i++)
		b[i] = tensor_get(c, i);
	if (s == TAMIS_OK)
		s = carry(&f->all.rewrite, l, 1, b, true, f->all.err);
	if (s == TAMIS_OK)
		s = connect_all(&f->all.connections, n->out[0], n->in[data], f->all.err);
	free(b);
	rewrite_drop_node(&f->all.rewrite, node);
	f->all.gone++;
	return s;
}

/* The sum that is a layer's own bias stays where it is. */
static enum tamis_status try_node(struct adding *f, int node)
{
	const struct graph *g = f->all.graph;
	const struct node *n = &g->nodes[node];
	int data = data_of(g, n);
	const struct tensor *c = data == GRAPH_NONE ? NULL : &g->values[n->in[1 - data]].constant;
	const struct layer *l;

	if (!c || layers_why_filtered(f->all.filter, n->name, "") || f->all.made_by[n->out[0]] >= 0 || !connect_can(g, n->out[0])
	    || !tensor_same_shape(&f->all.plan->value[n->in[data]].shape, &f->all.plan->value[n->out[0]].shape))
		return TAMIS_OK;
	l = find_layer(f, n->in[data], c, 0);
	if (!l)
		return TAMIS_OK;
	f->taken[n->in[data]] = true;
	return move(f, node, data, l, c);
}

enum tamis_status fold_vectors(struct document *doc, const struct graph *g, const struct plan *plan, const struct layers *l,
                               const struct layer_filter *filter, int *gone, struct tamis_error *err)
{
	struct adding f = { .all = { .graph = g, .plan = plan, .filter = filter, .layers = l, .err = err },
		.taken = tm_array((size_t)g->n_values + 1, sizeof *f.taken) };
	enum tamis_status s = folding_open(&f.all, doc);

	if (s == TAMIS_OK && !f.taken)
		s = tm_no_memory(err, "folding sums");
	for (int i = 0; s == TAMIS_OK && i < g->n_nodes; i++)
		s = try_node(&f, i);
	free(f.taken);
	return folding_close(&f.all, s, gone);
}
