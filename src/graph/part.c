/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/part.h"

#include <string.h>

static void *copy(struct arena *a, const void *from, size_t n, size_t size)
{
	void *to = arena_array(a, n + 1, size);

	if (to && n)
		memcpy(to, from, n * size);
	return to;
}

static void silence(struct graph *g, const bool *gone)
{
	for (int i = 0; gone && i < g->n_nodes; i++)
		if (gone[i])
			g->nodes[i].n_out = 0;
}

static void give(struct value *v, const struct tensor *shape)
{
	v->kind = VALUE_INPUT;
	v->producer = v->output = GRAPH_NONE;
	v->declared = (struct value_type){ .type = shape->type, .rank = shape->rank };
	memcpy(v->declared.dims, shape->dims, sizeof v->declared.dims);
}

static void keep(struct graph *g, const struct part *part)
{
	for (int i = 0; i < g->n_outputs; i++)
		g->values[g->outputs[i]].is_output = false;
	g->n_outputs = part->n_kept;
	for (int i = 0; i < part->n_kept; i++) {
		g->outputs[i] = part->kept[i];
		g->values[part->kept[i]].is_output = true;
	}
}

struct graph *graph_part(const struct graph *g, const struct part *part, struct arena *arena)
{
	struct graph *p = arena_alloc(arena, sizeof *p);
	int most = part->n_kept > g->n_outputs ? part->n_kept : g->n_outputs;

	if (!p)
		return NULL;
	*p = *g;
	p->arena = (struct arena){ 0 };
	p->nodes = copy(arena, g->nodes, (size_t)g->n_nodes, sizeof *g->nodes);
	p->values = copy(arena, g->values, (size_t)g->n_values, sizeof *g->values);
	p->inputs = arena_array(arena, (size_t)(g->n_inputs + part->n_given) + 1, sizeof *p->inputs);
	p->outputs = arena_array(arena, (size_t)most + 1, sizeof *p->outputs);
	if (!p->nodes || !p->values || !p->inputs || !p->outputs)
		return NULL;
	memcpy(p->inputs, g->inputs, (size_t)g->n_inputs * sizeof *p->inputs);
	memcpy(p->outputs, g->outputs, (size_t)g->n_outputs * sizeof *p->outputs);
	silence(p, part->gone);
	for (int i = 0; i < part->n_given; i++) {
		p->inputs[p->n_inputs++] = part->given[i];
		give(&p->values[part->given[i]], &part->shapes[part->given[i]]);
	}
	keep(p, part);
	return p;
}
