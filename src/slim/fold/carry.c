/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/fold/carry.h"

static bool is_vector(const struct graph *g, int value, int64_t n)
{
	const struct value *v = &g->values[value];

	return v->kind == VALUE_CONSTANT && !v->overridable && v->constant.type == DT_FLOAT && v->constant.count == n;
}

bool carry_can(const struct graph *g, const struct layer *l)
{
	const struct node *by;

	if (l->note || l->bias == GRAPH_NONE || g->nodes[l->node].inlined || g->values[l->weight].n_uses != 1
	    || g->values[l->weight].constant.type != DT_FLOAT || !is_vector(g, l->bias, l->view.outs) || l->view.bias_scale == 0)
		return false;
	by = &g->nodes[g->values[l->bias].uses[0].node];
	return l->bias_kind != BIAS_MEAN || (is_vector(g, by->in[1], l->view.outs) && is_vector(g, by->in[2], l->view.outs));
}

int carry_result(const struct graph *g, const struct layer *l)
{
	int node = l->bias == GRAPH_NONE || l->bias_kind == BIAS_INPUT ? l->node : g->values[l->bias].uses[0].node;

	return g->nodes[node].out[0];
}

int *carry_makers(const struct graph *g, const struct layers *l)
{
	int *made_by = tm_array((size_t)g->n_values + 1, sizeof *made_by);

	for (int v = 0; made_by && v < g->n_values; v++)
		made_by[v] = -1;
	for (int i = 0; made_by && i < l->n; i++)
		made_by[carry_result(g, &l->list[i])] = i;
	return made_by;
}

enum tamis_status carry_port(struct rewrite *r, int node, int input, double a, const double *b, bool each, double by,
                             struct tamis_error *err)
{
	struct tensor *t = rewrite_values(r, node, input);

	if (!t)
		return tm_no_memory(err, "folding into weights");
	for (int64_t i = 0; i < t->count; i++)
		tensor_set(t, i, a * tensor_get(t, i) + b[each ? i : 0] / by);
	return TAMIS_OK;
}

enum tamis_status carry(struct rewrite *r, const struct layer *l, double a, const double *b, bool each, struct tamis_error *err)
{
	static const double none = 0;
	struct use bias = r->graph->values[l->bias].uses[0];
	bool norm = l->bias_kind == BIAS_MEAN;
	enum tamis_status s = carry_port(r, norm ? bias.node : l->node, norm ? 1 : l->view.weight, a, &none, false, 1, err);

	if (s != TAMIS_OK)
		return s;
	return carry_port(r, bias.node, norm ? 2 : bias.input, a, b, each, l->bias_kind == BIAS_INPUT ? l->view.bias_scale : 1, err);
}
