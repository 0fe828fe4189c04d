/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/channels/zero.h"

static void zero_made(const struct channel_groups *g, struct graph *graph, int layer, const bool *dead)
{
	const struct layer *l = &g->layers->list[layer];
	struct tensor *w = &graph->values[l->weight].constant;

	for (int64_t o = 0; o < l->view.outs; o++)
		for (int64_t d = 0; g->made[layer][o] >= 0 && dead[g->made[layer][o]] && d < l->view.fan_in; d++)
			tensor_set(w, layer_offset(&l->view, o, d), 0);
}

static void zero_recurrent(const struct channel_groups *g, struct graph *graph, const struct group_reader *r,
                           const bool *dead)
{
	struct tensor *w = &graph->values[g->graph->nodes[r->read.node].in[r->read.weight]].constant;
	int axis = r->read.weight_axis;
	int64_t inner = tensor_extent(w, axis + 1, w->rank), outer = tensor_extent(w, 0, axis);

	for (int64_t c = 0; c < r->extent; c++)
		for (int64_t k = 0; r->unit[c] >= 0 && dead[r->unit[c]] && k < outer * inner; k++)
			tensor_set(w, (k / inner * r->extent + c) * inner + k % inner, 0);
}

static void zero_read(const struct channel_groups *g, struct graph *graph, const struct group_reader *r,
                      const bool *dead)
{
	const struct layer *l = &g->layers->list[r->layer];
	struct tensor *w = &graph->values[l->weight].constant;

	for (int64_t d = 0; d < l->view.fan_in; d++) {
		int32_t u = r->unit[d / l->view.inner];

		for (int64_t o = 0; u >= 0 && dead[u] && o < l->view.outs; o++)
			tensor_set(w, layer_offset(&l->view, o, d), 0);
	}
}

void channels_zero(const struct channel_groups *g, struct graph *graph, const bool *dead)
{
	for (int i = 0; i < g->layers->n; i++)
		zero_made(g, graph, i, dead);
	for (int i = 0; i < g->n_readers; i++)
		if (g->readers[i].layer >= 0)
			zero_read(g, graph, &g->readers[i], dead);
		else if (g->readers[i].recurrent)
			zero_recurrent(g, graph, &g->readers[i], dead);
}
