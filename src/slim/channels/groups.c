/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/channels/groups.h"

#include <stdlib.h>
#include <string.h>

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "grouping channels");
}

int32_t groups_unit(const struct channel_groups *g, int64_t position)
{
	return g->unit_of[coupling_root(&g->coupling, position)];
}

/* ---- units ------------------------------------------------------------------------------------------------------ */

static const struct tensor **shapes_of(const struct graph *g, const struct plan *plan, struct arena *a)
{
	const struct tensor **shape = arena_array(a, (size_t)g->n_values + 1, sizeof *shape);

	for (int v = 0; shape && v < g->n_values; v++) {
		const struct planned *p = &plan->value[v];

		if (g->values[v].kind == VALUE_CONSTANT)
			shape[v] = &g->values[v].constant;
		else if (p->place != PLACE_DYNAMIC && p->place != PLACE_NONE && p->shape.type != DT_UNDEFINED)
			shape[v] = &p->shape;
	}
	return shape;
}

/* Marks the roots of an axis as units. */
static void mark(struct channel_groups *g, int node, int port, int axis, int64_t extent)
{
	int64_t first = coupling_first(&g->coupling, node, port, axis);

	for (int64_t i = 0; first >= 0 && i < extent; i++)
		g->unit_of[coupling_root(&g->coupling, first + i)] = 0;
}

static int64_t read_extent(const struct channel_groups *g, const struct coupled_read *r)
{
	return g->coupling.shape[g->graph->nodes[r->node].in[r->weight]]->dims[r->weight_axis];
}

static void mark_units(struct channel_groups *g)
{
	for (int i = 0; i < g->layers->n; i++)
		mark(g, g->layers->list[i].node, COUPLING_OUT(0), g->layers->list[i].view.out_axis,
		     g->layers->list[i].view.outs);
	for (size_t i = 0; i < g->coupling.n_reads; i++) {
		const struct coupled_read *r = &g->coupling.reads[i];

		mark(g, r->node, r->weight, r->weight_axis, read_extent(g, r));
	}
}

/* Units are numbered by position first; `at` lists their roots. */
static enum tamis_status number_units(struct channel_groups *g, int32_t **at, struct tamis_error *err)
{
	int64_t n = g->coupling.n_positions;

	g->unit_of = arena_array(&g->arena, (size_t)n + 1, sizeof *g->unit_of);
	if (!g->unit_of)
		return no_memory(err);
	for (int64_t p = 0; p < n; p++)
		g->unit_of[p] = -1;
	mark_units(g);
	for (int64_t p = 0; p < n; p++)
		if (g->unit_of[p] == 0)
			g->unit_of[p] = g->n_units++;
	*at = tm_array((size_t)g->n_units + 1, sizeof **at);
	for (int64_t p = 0; *at && p < n; p++)
		if (g->unit_of[p] >= 0)
			(*at)[g->unit_of[p]] = (int32_t)p;
	return *at ? TAMIS_OK : no_memory(err);
}

/* ---- groups ----------------------------------------------------------------------------------------------------- */

struct onward { int axis, to; };

/* A unit's signature, the axes that it lies on, as a state: from each state one step an axis leads on. */
struct states {
	int *of;                       /* by unit */
	int *seen;                     /* by unit: the last axis that held it, from 1 */
	struct onward *step; /* by state: the last step from it */
	size_t n, cap;
};

static bool advance(struct states *s, int32_t unit, int axis)
{
	void *step = s->step;

	if (s->step[s->of[unit]].axis != axis) {
		if (!tm_grow(&step, &s->cap, s->n + 1, sizeof *s->step))
			return false;
		s->step = step;
		s->step[s->n] = (struct onward){ 0 };
		s->step[s->of[unit]] = (struct onward){ axis, (int)s->n++ };
	}
	s->of[unit] = s->step[s->of[unit]].to;
	return true;
}

static enum tamis_status find_states(const struct channel_groups *g, struct states *s, struct tamis_error *err)
{
	void *step = NULL;
	bool memory;

	s->of = tm_array((size_t)g->n_units + 1, sizeof *s->of);
	s->seen = tm_array((size_t)g->n_units + 1, sizeof *s->seen);
	memory = s->of && s->seen && tm_grow(&step, &s->cap, 1, sizeof *s->step);
	s->step = step;
	if (memory)
		s->step[s->n++] = (struct onward){ 0 };
	for (int a = 0; memory && a < g->coupling.n_axes; a++)
		for (int64_t i = 0; memory && i < g->coupling.axes[a].extent; i++) {
			int32_t u = groups_unit(g, g->coupling.axes[a].first + i);

			if (u < 0 || s->seen[u] == a + 1)
				continue;
			s->seen[u] = a + 1;
			memory = advance(s, u, a + 1);
		}
	return memory ? TAMIS_OK : no_memory(err);
}

struct sorted { int state, unit; };

/* Groups in the order of their first units. */
static int by_state(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;

	if (x->state != y->state)
		return x->state < y->state ? -1 : 1;
	return (x->unit > y->unit) - (x->unit < y->unit);
}

static enum tamis_status list_groups(struct channel_groups *g, struct sorted *order, const int32_t *at,
                                     struct tamis_error *err)
{
	g->list = arena_array(&g->arena, (size_t)g->n_units + 1, sizeof *g->list);
	g->group_of = arena_array(&g->arena, (size_t)g->n_units + 1, sizeof *g->group_of);
	if (!g->list || !g->group_of)
		return no_memory(err);
	for (int u = 0; u < g->n_units; u++) {
		const struct coupled_reason *r = coupling_reason(&g->coupling, at[order[u].unit]);
		struct channel_group *x;

		if (!u || order[u].state != order[u - 1].state)
			g->list[g->n++] = (struct channel_group){ .first = u, .why_node = GRAPH_NONE, .each = 1 };
		x = &g->list[g->n - 1];
		x->width++;
		g->group_of[u] = g->n - 1;
		g->unit_of[at[order[u].unit]] = u;
		if (r && !x->why) {
			x->why = r->why;
			x->why_node = r->node;
		}
	}
	return TAMIS_OK;
}

/* Tells the units apart and numbers them anew, group by group. */
static enum tamis_status sort_units(struct channel_groups *g, const int32_t *at, struct tamis_error *err)
{
	struct states states = { 0 };
	struct sorted *order = tm_array((size_t)g->n_units + 1, sizeof *order);
	enum tamis_status s = order ? find_states(g, &states, err) : no_memory(err);

	for (int u = 0; s == TAMIS_OK && u < g->n_units; u++)
		order[u] = (struct sorted){ states.of[u], u };
	if (s == TAMIS_OK) {
		qsort(order, (size_t)g->n_units, sizeof *order, by_state);
		s = list_groups(g, order, at, err);
	}
	free(order);
	free(states.of);
	free(states.seen);
	free(states.step);
	return s;
}

/* ---- makers and readers ----------------------------------------------------------------------------------------- */

static void keep_group(struct channel_groups *g, int32_t unit, const char *why, int node)
{
	struct channel_group *x = &g->list[g->group_of[unit]];

	if (x->why)
		return;
	x->why = why;
	x->why_node = node;
}

/* The layer whose weight a read is of; -1 where there is none. */
static int layer_of(const struct channel_groups *g, const struct coupled_read *r)
{
	for (int i = 0; i < g->layers->n; i++)
		if (g->layers->list[i].node == r->node && g->layers->list[i].view.weight == r->weight)
			return i;
	return -1;
}

static bool is_recurrent(const struct channel_groups *g, const struct coupled_read *r)
{
	int weight = g->graph->nodes[r->node].in[r->weight];

	for (int i = 0; i < g->layers->n_recurrent; i++)
		if (g->layers->recurrent[i] == weight)
			return true;
	return false;
}

static enum tamis_status list_units(struct channel_groups *g, int node, int port, int axis, int64_t extent,
                                    int32_t **out, struct tamis_error *err)
{
	int64_t first = coupling_first(&g->coupling, node, port, axis);

	*out = arena_array(&g->arena, (size_t)extent + 1, sizeof **out);
	if (!*out)
		return no_memory(err);
	for (int64_t i = 0; i < extent; i++)
		(*out)[i] = first < 0 ? -1 : groups_unit(g, first + i);
	return TAMIS_OK;
}

/* Units are alike: what the first unit of a maker stands for, all do. */
static void count_each(struct channel_groups *g, int layer, struct channel_group *x)
{
	int64_t n = 0;

	for (int64_t o = 0; o < g->layers->list[layer].view.outs; o++)
		n += g->made[layer][o] == x->first;
	x->each = n ? n : 1;
}

static enum tamis_status find_made(struct channel_groups *g, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	g->made = arena_array(&g->arena, (size_t)g->layers->n + 1, sizeof *g->made);
	if (!g->made)
		return no_memory(err);
	for (int i = 0; s == TAMIS_OK && i < g->layers->n; i++) {
		const struct layer *l = &g->layers->list[i];
		int group = -1;

		s = list_units(g, l->node, COUPLING_OUT(0), l->view.out_axis, l->view.outs, &g->made[i], err);
		for (int64_t o = 0; s == TAMIS_OK && o < l->view.outs; o++) {
			int32_t u = g->made[i][o];

			if (u < 0)
				continue;
			if (l->note)
				keep_group(g, u, l->note, l->node);
			if (g->group_of[u] == group)
				continue;
			group = g->group_of[u];
			if (!g->list[group].makers++)
				count_each(g, i, &g->list[group]);
		}
	}
	return s;
}

static enum tamis_status find_readers(struct channel_groups *g, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	g->readers = arena_array(&g->arena, g->coupling.n_reads + 1, sizeof *g->readers);
	if (!g->readers)
		return no_memory(err);
	for (size_t i = 0; s == TAMIS_OK && i < g->coupling.n_reads; i++) {
		struct group_reader *r = &g->readers[g->n_readers++];
		const char *note;
		int group = -1;

		r->read = g->coupling.reads[i];
		r->layer = layer_of(g, &r->read);
		r->recurrent = is_recurrent(g, &r->read);
		r->extent = read_extent(g, &r->read);
		note = r->layer >= 0 ? g->layers->list[r->layer].note : NULL;
		s = list_units(g, r->read.node, r->read.weight, r->read.weight_axis, r->extent, &r->unit, err);
		for (int64_t c = 0; s == TAMIS_OK && c < r->extent; c++) {
			int32_t u = r->unit[c];

			if (u < 0)
				continue;
			if (note)
				keep_group(g, u, note, r->read.node);
			g->list[g->group_of[u]].readers += g->group_of[u] != group;
			group = g->group_of[u];
		}
	}
	return s;
}

enum tamis_status groups_find(const struct graph *g, const struct plan *plan, const struct layers *l,
                              struct channel_groups *out, struct tamis_error *err)
{
	const struct tensor **shape;
	int32_t *at = NULL;
	enum tamis_status s;

	*out = (struct channel_groups){ .graph = g, .plan = plan, .layers = l };
	shape = shapes_of(g, plan, &out->arena);
	s = shape ? coupling_create(g, shape, &out->coupling, err) : no_memory(err);
	if (s == TAMIS_OK)
		s = number_units(out, &at, err);
	if (s == TAMIS_OK)
		s = sort_units(out, at, err);
	if (s == TAMIS_OK)
		s = find_made(out, err);
	if (s == TAMIS_OK)
		s = find_readers(out, err);
	free(at);
	return s;
}

void groups_free(struct channel_groups *g)
{
	coupling_free(&g->coupling);
	arena_free(&g->arena);
	*g = (struct channel_groups){ 0 };
}

/* ---- widths ----------------------------------------------------------------------------------------------------- */

static int64_t alive(const int32_t *unit, int64_t n, const bool *dead)
{
	int64_t left = 0;

	for (int64_t i = 0; i < n; i++)
		left += unit[i] < 0 || !dead[unit[i]];
	return left;
}

/* Of a node with groups, whole groups go, so its input shrinks as its output does. */
void groups_widths(const struct channel_groups *g, const bool *dead, struct layer_width *width)
{
	for (int i = 0; i < g->layers->n; i++) {
		const struct linear_view *v = &g->layers->list[i].view;

		width[i].outs = alive(g->made[i], v->outs, dead);
		width[i].ins = v->groups * v->fan_in / v->inner * width[i].outs / v->outs;
		if (v->groups == 1)
			width[i].ins = v->fan_in / v->inner;
	}
	for (int i = 0; i < g->n_readers; i++)
		if (g->readers[i].layer >= 0)
			width[g->readers[i].layer].ins = alive(g->readers[i].unit, g->readers[i].extent, dead);
}

double groups_entries(const struct layer *l, struct layer_width w)
{
	const struct linear_view *v = &l->view;
	double ins = v->groups == 1 ? (double)w.ins : (double)(v->fan_in / v->inner);

	return (double)w.outs * ins * (double)v->inner;
}
