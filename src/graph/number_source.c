/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/number_source.h"

#include <string.h>

/* Hands on the elements of its first input in order. */
static bool hands_on(const struct node *n)
{
	return n->op->flags & OP_VIEW || (!*n->op->domain && !strcmp(n->op->name, "Cast"));
}

/* Which input of a Concat of vectors holds an element, and where. */
static bool find_part(const struct node *n, const struct tensor *const *shape, struct number_port *p)
{
	for (int i = 0; i < n->n_in; i++) {
		const struct tensor *t = n->in[i] == GRAPH_NONE ? NULL : shape[n->in[i]];

		if (!t || t->rank != 1)
			return false;
		if (p->element < t->count) {
			p->input = i;
			return true;
		}
		p->element -= (int)t->count;
	}
	return false;
}

/* Gather(Shape(x), one constant index): the length of an axis of x. */
static bool is_length(const struct graph *g, const struct tensor *const *shape, int node, struct number_port *p)
{
	const struct node *n = &g->nodes[node];
	const struct tensor *which = n->n_in > 1 && n->in[1] != GRAPH_NONE ? shape[n->in[1]] : NULL;
	const struct value *lengths = n->n_in ? &g->values[n->in[0]] : NULL;
	const struct node *from = lengths && lengths->producer != GRAPH_NONE ? &g->nodes[lengths->producer] : NULL;
	int64_t axis;

	if (strcmp(n->op->name, "Gather") || *n->op->domain || !from || strcmp(from->op->name, "Shape")
	    || from->proto->n_attribute || !which || !which->data || which->count != 1 || !shape[from->in[0]])
		return false;
	axis = tensor_get_int(which, 0);
	p->of = from->in[0];
	p->axis = (int)(axis < 0 ? axis + shape[p->of]->rank : axis);
	return p->axis >= 0 && p->axis < shape[p->of]->rank;
}

bool number_source(const struct graph *g, const struct tensor *const *shape, struct number_port *p)
{
	p->of = p->axis = GRAPH_NONE;
	for (;;) {
		int value = g->nodes[p->node].in[p->input];
		const struct value *v = value == GRAPH_NONE ? NULL : &g->values[value];

		if (!v || v->kind == VALUE_INPUT || v->overridable)
			return false;
		if (v->kind == VALUE_CONSTANT)
			return true;
		if (is_length(g, shape, v->producer, p))
			return true;
		if (v->n_uses != 1 || v->is_output || g->nodes[v->producer].inlined)
			return false;
		p->node = v->producer;
		p->input = 0;
		if (!strcmp(g->nodes[v->producer].op->name, "Concat") ? !find_part(&g->nodes[v->producer], shape, p)
		                                                      : !hands_on(&g->nodes[v->producer]))
			return false;
	}
}
