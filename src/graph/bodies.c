/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs inside control-flow nodes. A body is a graph like any other; what it reads from around it becomes one more
 * input of the body and one more input of the node, so that lifetimes and order need no other rule. The depth of
 * nesting is at most DOC_MAX_SUBGRAPHS, and so is that of the calls here. */
#include <stdlib.h>
#include <string.h>

#include "graph/build.h"
#include "graph/names.h"
#include "onnx/document.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "building the graphs inside nodes");
}

/* ---- captured values ---------------------------------------------------------------------------------------- */

static enum tamis_status add_captured(struct graph *g, const char *name, int outer, int *id, struct tamis_error *err)
{
	struct value *v;

	if (!tm_grow((void **)&g->values, &g->cap_values, (size_t)g->n_values + 1, sizeof *g->values)
	    || !tm_grow((void **)&g->captured, &g->cap_captured, (size_t)g->n_captured + 1, sizeof *g->captured)
	    || !names_put(g->names, name, g->n_values))
		return no_memory(err);
	v = &g->values[g->n_values];
	*v = (struct value){ .name = name, .kind = VALUE_INPUT, .producer = GRAPH_NONE, .output = GRAPH_NONE };
	v->declared.rank = -1;
	g->captured[g->n_captured++] = (struct captured){ g->n_values, outer };
	*id = g->n_values++;
	return TAMIS_OK;
}

enum tamis_status graph_capture(struct graph *g, const char *name, int *id, struct tamis_error *err)
{
	struct graph *between[DOC_MAX_SUBGRAPHS + 1];
	enum tamis_status s = TAMIS_OK;
	int n = 0;

	*id = GRAPH_NONE;
	for (; g && n <= DOC_MAX_SUBGRAPHS; g = g->outer) {
		*id = names_get(g->names, name);
		if (*id != GRAPH_NONE)
			break;
		between[n++] = g;
	}
	if (*id == GRAPH_NONE)
		return TAMIS_OK;
	while (s == TAMIS_OK && n--)
		s = add_captured(between[n], name, *id, id, err);
	return s;
}

/* ---- bodies ------------------------------------------------------------------------------------------------- */

static enum tamis_status append_captured(struct graph *g, struct node *n, struct body *b, struct tamis_error *err)
{
	const struct graph *inner = b->graph;
	int *in = arena_array(&g->arena, (size_t)n->n_in + (size_t)inner->n_captured + 1, sizeof *in);

	if (!in)
		return no_memory(err);
	memcpy(in, n->in, (size_t)n->n_in * sizeof *in);
	b->first = n->n_in;
	for (int i = 0; i < inner->n_captured; i++)
		in[n->n_in++] = inner->captured[i].outer;
	n->n_captured += inner->n_captured;
	n->in = in;
	return TAMIS_OK;
}

static enum tamis_status add_body(struct graph *g, struct node *n, const Onnx__AttributeProto *a,
                                  const struct op_table *ops, struct tamis_error *err)
{
	struct body *b = &n->bodies[n->n_bodies];
	enum tamis_status s;

	b->attribute = a->name;
	s = graph_build_body(g, n, a->g, ops, &b->graph, err);
	if (s != TAMIS_OK)
		return s;
	n->n_bodies++;
	return append_captured(g, n, b, err);
}

enum tamis_status bodies_build(struct graph *g, struct node *n, const struct op_table *ops, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	if (!(n->op->flags & OP_CONTROL))
		return TAMIS_OK;
	n->bodies = arena_array(&g->arena, n->proto->n_attribute + 1, sizeof *n->bodies);
	if (!n->bodies)
		return no_memory(err);
	for (size_t i = 0; s == TAMIS_OK && i < n->proto->n_attribute; i++)
		if (n->proto->attribute[i]->g && n->proto->attribute[i]->name)
			s = add_body(g, n, n->proto->attribute[i], ops, err);
	if (s != TAMIS_OK)
		tm_in_node(err, n->name);
	return s;
}

const struct body *node_body(const struct node *n, const char *attribute)
{
	for (int i = 0; i < n->n_bodies; i++)
		if (!strcmp(n->bodies[i].attribute, attribute))
			return &n->bodies[i];
	return NULL;
}
