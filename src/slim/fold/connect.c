/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/fold/connect.h"

#include <stdlib.h>

#include "onnx/edit.h"

enum tamis_status connect_open(struct connections *c, struct document *doc, const struct graph *g, struct tamis_error *err)
{
	*c = (struct connections){ doc, g, tm_array((size_t)g->n_values + 1, sizeof *c->stands_for) };
	for (int v = 0; c->stands_for && v < g->n_values; v++)
		c->stands_for[v] = v;
	return c->stands_for ? TAMIS_OK : tm_no_memory(err, "connecting nodes");
}

void connect_close(struct connections *c)
{
	free(c->stands_for);
}

bool connect_can(const struct graph *g, int value)
{
	const struct value *v = &g->values[value];

	for (int i = 0; i < v->n_uses; i++) {
		const struct node *n = &g->nodes[v->uses[i].node];

		if (n->inlined || (size_t)v->uses[i].input >= n->proto->n_input)
			return false;
	}
	return !v->is_output && v->n_uses > 0;
}

enum tamis_status connect_input(const struct connections *c, int node, int input, int value, struct tamis_error *err)
{
	while (c->stands_for[value] != value)
		value = c->stands_for[value];
	return edit_string(c->doc, &c->graph->nodes[node].proto->input[input], c->graph->values[value].name, err);
}

enum tamis_status connect_all(struct connections *c, int from, int to, struct tamis_error *err)
{
	const struct value *v = &c->graph->values[from];
	enum tamis_status s = TAMIS_OK;

	if (from == to)
		return TAMIS_OK;
	c->stands_for[from] = to;
	for (int i = 0; s == TAMIS_OK && i < v->n_uses; i++)
		s = connect_input(c, v->uses[i].node, v->uses[i].input, to, err);
	return s;
}
