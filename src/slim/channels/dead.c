/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/channels/dead.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "slim/channels/constants.h"
#include "slim/channels/remove.h"
#include "slim/channels/silent.h"

/* One call: what is dead is found on the graph as it is and written at the end, so that no finding stands on another. */
struct removal {
	const struct channel_groups *groups;
	struct rewrite rewrite;
	bool *dead;     /* by unit */
	bool *read;     /* by unit: some weight for it is not zero */
	bool *deaf;     /* by unit: every layer that makes it has only zero weights for it, and there is one */
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "looking for dead channels");
}

/* ---- which are dead --------------------------------------------------------------------------------------------- */

static const struct tensor *weight_of(const struct channel_groups *g, const struct group_reader *r)
{
	return g->coupling.shape[g->graph->nodes[r->read.node].in[r->read.weight]];
}

/* Whether a weight's slice is all zero; false where it cannot be seen. */
static bool is_zero(const struct tensor *w, int axis, int64_t index)
{
	int64_t inner = tensor_extent(w, axis + 1, w->rank), outer = tensor_extent(w, 0, axis);

	if (!w->data || !dtype_is_float((int)w->type))
		return false;
	for (int64_t o = 0; o < outer; o++)
		for (int64_t i = 0; i < inner; i++)
			if (tensor_get(w, (o * w->dims[axis] + index) * inner + i) != 0)
				return false;
	return true;
}

static void find_read(struct removal *r)
{
	const struct channel_groups *g = r->groups;

	for (int i = 0; i < g->n_readers; i++) {
		const struct group_reader *x = &g->readers[i];

		for (int64_t c = 0; c < x->extent; c++)
			if (x->unit[c] >= 0 && !r->read[x->unit[c]])
				r->read[x->unit[c]] = !is_zero(weight_of(g, x), x->read.weight_axis, c);
	}
}

static bool hears_nothing(const struct channel_groups *g, const struct layer *l, int64_t o)
{
	const struct tensor *w = &g->graph->values[l->weight].constant;

	for (int64_t d = 0; d < l->view.fan_in; d++)
		if (tensor_get(w, layer_offset(&l->view, o, d)) != 0)
			return false;
	return true;
}

/* Layers with groups pass channels on, and are no makers here. */
static void find_deaf(struct removal *r)
{
	const struct channel_groups *g = r->groups;

	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < g->layers->n; i++)
			for (int64_t o = 0; g->layers->list[i].view.groups == 1 && o < g->layers->list[i].view.outs; o++) {
				int32_t u = g->made[i][o];

				if (u >= 0 && !pass)
					r->deaf[u] = true;
				else if (u >= 0)
					r->deaf[u] = r->deaf[u] && hears_nothing(g, &g->layers->list[i], o);
			}
}

/* Whether w * value can be moved into the reader's bias without an error that padding or half precision would make:
 * every position must meet every kernel element. */
static bool takes_constants(const struct channel_groups *g, const struct group_reader *r)
{
	const struct layer *l = r->layer < 0 ? NULL : &g->layers->list[r->layer];
	enum dtype type = weight_of(g, r)->type;

	return l && l->view.exact_mean && constants_unpadded(&g->graph->nodes[l->node])
		&& strcmp(g->graph->nodes[l->node].op->name, "ConvTranspose") && l->bias_kind != BIAS_NONE
		&& l->bias != GRAPH_NONE && (type == DT_FLOAT || type == DT_DOUBLE)
		&& (l->bias_kind != BIAS_INPUT || l->view.bias_scale != 0);
}

/* value: readers x units of the group. A unit that is read at several indices has one value at all of them. */
static void judge(struct removal *r, int group, const bool *constant, const double *value)
{
	const struct channel_groups *g = r->groups;
	const struct channel_group *x = &g->list[group];

	for (int u = 0; u < x->width; u++)
		r->dead[x->first + u] = !r->read[x->first + u] || constant[u];
	for (int i = 0; i < g->n_readers; i++)
		for (int64_t c = 0; c < g->readers[i].extent; c++) {
			int u = g->readers[i].unit[c] - x->first;

			if (u < 0 || u >= x->width || !r->read[x->first + u] || !constant[u])
				continue;
			if (value[(int64_t)i * x->width + u] != 0 && !takes_constants(g, &g->readers[i]))
				r->dead[x->first + u] = false;
		}
}

static void leave_one(struct removal *r, const struct channel_group *x)
{
	for (int u = 0; u < x->width; u++)
		if (!r->dead[x->first + u])
			return;
	r->dead[x->first] = false;
}

/* ---- folding ---------------------------------------------------------------------------------------------------- */

/* Adds what dead constant units are worth to a reader's bias, scaled as the bias wants it. */
static enum tamis_status fold(struct removal *r, const struct group_reader *x, const struct channel_group *group,
                              const bool *constant, const double *value, struct tamis_error *err)
{
	const struct channel_groups *g = r->groups;
	const struct layer *l = &g->layers->list[x->layer];
	const struct tensor *w = weight_of(g, x);
	struct use port = g->graph->values[l->bias].uses[0];
	double scale = l->bias_kind == BIAS_MEAN ? -l->view.weight_scale : l->view.weight_scale;
	struct tensor *b = rewrite_values(&r->rewrite, port.node, port.input);

	if (!b)
		return no_memory(err);
	if (l->bias_kind == BIAS_INPUT)
		scale /= l->view.bias_scale;
	for (int64_t o = 0; o < l->view.outs; o++) {
		double sum = 0;

		for (int64_t d = 0; d < l->view.fan_in; d++) {
			int u = x->unit[d / l->view.inner] - group->first;

			if (u >= 0 && u < group->width && r->dead[group->first + u] && constant[u])
				sum += value[u] * tensor_get(w, layer_offset(&l->view, o, d));
		}
		if (sum != 0)
			tensor_set(b, o, tensor_get(b, o) + scale * sum);
	}
	return TAMIS_OK;
}

static enum tamis_status fold_group(struct removal *r, int group, const bool *constant, const double *value,
                                    struct tamis_error *err)
{
	const struct channel_groups *g = r->groups;
	const struct channel_group *x = &g->list[group];
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < g->n_readers; i++) {
		const double *v = value + (int64_t)i * x->width;
		bool worth = false;

		for (int64_t c = 0; c < g->readers[i].extent; c++) {
			int u = g->readers[i].unit[c] - x->first;

			worth |= u >= 0 && u < x->width && r->dead[x->first + u] && constant[u] && r->read[x->first + u]
				&& v[u] != 0;
		}
		if (worth)
			s = fold(r, &g->readers[i], x, constant, v, err);
	}
	return s;
}

/* ---- group by group --------------------------------------------------------------------------------------------- */

static enum tamis_status settle(struct removal *r, int group, bool *constant, double *value, struct tamis_error *err)
{
	const struct channel_group *x = &r->groups->list[group];
	enum tamis_status s = TAMIS_OK;
	bool any = false;

	for (int u = 0; u < x->width; u++) {
		constant[u] = r->deaf[x->first + u] && r->read[x->first + u];
		any |= constant[u];
	}
	if (any)
		s = constants_follow(r->groups, group, constant, value, err);
	if (s != TAMIS_OK)
		return s;
	judge(r, group, constant, value);
	leave_one(r, x);
	return any ? fold_group(r, group, constant, value, err) : TAMIS_OK;
}

static enum tamis_status settle_group(struct removal *r, int group, struct tamis_error *err)
{
	const struct channel_group *x = &r->groups->list[group];
	bool *constant;
	double *value;
	enum tamis_status s;

	if (x->why || !x->readers)
		return TAMIS_OK;
	constant = tm_array((size_t)x->width + 1, sizeof *constant);
	value = tm_array((size_t)x->width * (size_t)r->groups->n_readers + 1, sizeof *value);
	s = constant && value ? settle(r, group, constant, value, err) : no_memory(err);
	free(constant);
	free(value);
	return s;
}

static int64_t count_removed(const struct removal *r)
{
	const struct channel_groups *g = r->groups;
	int64_t n = 0;

	for (int i = 0; i < g->layers->n; i++)
		for (int64_t o = 0; o < g->layers->list[i].view.outs; o++)
			n += g->made[i][o] >= 0 && r->dead[g->made[i][o]];
	for (int u = 0; u < g->n_units; u++)
		n += r->dead[u] && !g->list[g->group_of[u]].makers;
	return n;
}

static enum tamis_status remove_dead(struct removal *r, struct document *doc, int64_t *removed,
                                     struct tamis_error *err)
{
	size_t n = (size_t)r->groups->n_units + 1;
	enum tamis_status s = rewrite_open(&r->rewrite, doc, r->groups->graph, err);

	r->dead = tm_array(n, sizeof *r->dead);
	r->read = tm_array(n, sizeof *r->read);
	r->deaf = tm_array(n, sizeof *r->deaf);
	if (s == TAMIS_OK && (!r->dead || !r->read || !r->deaf))
		s = no_memory(err);
	if (s == TAMIS_OK) {
		find_read(r);
		find_deaf(r);
	}
	for (int i = 0; s == TAMIS_OK && i < r->groups->n; i++)
		s = settle_group(r, i, err);
	if (s == TAMIS_OK)
		*removed = count_removed(r);
	if (s == TAMIS_OK && *removed)
		s = channels_take_out(r->groups, r->dead, &r->rewrite, err);
	rewrite_close(&r->rewrite);
	free(r->dead);
	free(r->read);
	free(r->deaf);
	return s;
}

enum tamis_status channels_remove(struct document *doc, const struct graph *g, const struct plan *plan,
                                  const struct layers *l, int64_t *removed, struct tamis_error *err)
{
	struct channel_groups groups;
	struct removal r = { .groups = &groups };
	enum tamis_status s = groups_find(g, plan, l, &groups, err);

	*removed = 0;
	if (s == TAMIS_OK)
		s = silent_remove(doc, &groups, removed, err);
	if (s == TAMIS_OK && !*removed)
		s = remove_dead(&r, doc, removed, err);
	groups_free(&groups);
	return s;
}
