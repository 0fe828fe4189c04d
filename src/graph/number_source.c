/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/number_source.h"

#include <string.h>

/* Operators that hand on the elements of their first input in order. */
static bool hands_on(const struct node *n)
{
	static const char *const names[] = { "Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!*n->op->domain && !strcmp(n->op->name, names[i]))
			return true;
	return false;
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

bool number_source(const struct graph *g, const struct tensor *const *shape, struct number_port *p)
{
	for (;;) {
		int value = g->nodes[p->node].in[p->input];
		const struct value *v = value == GRAPH_NONE ? NULL : &g->values[value];

		if (!v || v->kind == VALUE_INPUT || v->overridable)
			return false;
		if (v->kind == VALUE_CONSTANT)
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
