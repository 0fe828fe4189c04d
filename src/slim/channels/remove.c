/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/channels/remove.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/edit.h"

static bool is_dead(const struct channel_groups *g, const bool *dead, int64_t position)
{
	int32_t u = groups_unit(g, position);

	return u >= 0 && dead[u];
}

static int64_t count_dead(const struct channel_groups *g, const bool *dead, int64_t first, int64_t n)
{
	int64_t lost = 0;

	for (int64_t i = 0; i < n; i++)
		lost += is_dead(g, dead, first + i);
	return lost;
}

/* ---- axes ------------------------------------------------------------------------------------------------------- */

static enum tamis_status drop_from_constant(const struct channel_groups *g, const bool *dead,
                                            const struct coupled_axis *a, struct rewrite *r, struct tamis_error *err)
{
	bool *drop = tm_array((size_t)a->extent + 1, sizeof *drop);
	enum tamis_status s;

	if (!drop)
		return tm_no_memory(err, "taking channels out");
	for (int64_t i = 0; i < a->extent; i++)
		drop[i] = is_dead(g, dead, a->first + i);
	s = rewrite_drop(r, a->node, a->input, a->axis, drop, err);
	free(drop);
	return s;
}

static enum tamis_status narrow_axes(const struct channel_groups *g, const bool *dead, struct rewrite *r,
                                     struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < g->coupling.n_axes; i++) {
		const struct coupled_axis *a = &g->coupling.axes[i];
		int64_t lost = count_dead(g, dead, a->first, a->extent);

		if (lost && a->node != GRAPH_NONE)
			s = drop_from_constant(g, dead, a, r, err);
		else if (lost)
			rewrite_extent(r, a->value, a->axis, a->extent - lost);
	}
	return s;
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

static int64_t count_of(const struct channel_groups *g, const bool *dead, const struct coupled_number *n)
{
	return (n->before - count_dead(g, dead, n->position, n->before)) / n->per;
}

static struct tensor *number_at(const struct channel_groups *g, struct rewrite *r, const struct coupled_number *n)
{
	int value = g->graph->nodes[n->node].in[n->input];

	return g->graph->values[value].kind == VALUE_CONSTANT ? rewrite_values(r, n->node, n->input)
	       : rewrite_number(r, n->node, n->input, g->coupling.shape[value]->rank);
}

static enum tamis_status state_in_constants(const struct channel_groups *g, const bool *dead, struct rewrite *r,
                                            struct tamis_error *err)
{
	for (size_t i = 0; i < g->coupling.n_numbers; i++) {
		const struct coupled_number *n = &g->coupling.numbers[i];
		struct tensor *t;

		if (n->input == GRAPH_NONE || !count_dead(g, dead, n->position, n->before))
			continue;
		t = number_at(g, r, n);
		if (!t)
			return tm_no_memory(err, "taking channels out");
		tensor_set(t, n->element, (double)count_of(g, dead, n));
	}
	return TAMIS_OK;
}

static void state_in_list(Onnx__NodeProto *node, const struct coupled_number *n, int64_t count)
{
	for (size_t i = 0; i < node->n_attribute; i++)
		if (!strcmp(node->attribute[i]->name, n->attribute) && (size_t)n->element < node->attribute[i]->n_ints)
			node->attribute[i]->ints[n->element] = count;
}

static enum tamis_status state_in_attributes(const struct channel_groups *g, const bool *dead, struct document *doc,
                                             struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (size_t i = 0; s == TAMIS_OK && i < g->coupling.n_numbers; i++) {
		const struct coupled_number *n = &g->coupling.numbers[i];
		Onnx__NodeProto *node = g->graph->nodes[n->node].proto;

		if (n->input != GRAPH_NONE || !count_dead(g, dead, n->position, n->before))
			continue;
		if (n->element < 0)
			s = edit_attribute_int(doc, node, n->attribute, count_of(g, dead, n), err);
		else
			state_in_list(node, n, count_of(g, dead, n));
	}
	return s;
}

enum tamis_status channels_take_out(const struct channel_groups *g, const bool *dead, struct rewrite *r,
                                    struct tamis_error *err)
{
	enum tamis_status s = narrow_axes(g, dead, r, err);

	if (s == TAMIS_OK)
		s = state_in_constants(g, dead, r, err);
	if (s == TAMIS_OK)
		s = rewrite_apply(r, err);
	if (s == TAMIS_OK)
		s = state_in_attributes(g, dead, r->doc, err);
	return s;
}
