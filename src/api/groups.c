/* SPDX-License-Identifier: Apache-2.0 */
/* The groups of channels that can only go together, described for a report. */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/memory.h"
#include "slim/channels/choose.h"

struct listing {
	const struct channel_groups *groups;
	struct arena *arena;      /* the report's */
	struct info_group *out;   /* the group in hand, */
	int group;                /* and its index */
	bool *seen;               /* by value: among the tensors already */
	bool *passed;             /* by node: makes, reads or passes it already */
	size_t cap;
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "describing groups of channels");
}

static bool is_member(const struct listing *l, int32_t unit)
{
	return unit >= 0 && l->groups->group_of[unit] == l->group;
}

static bool any_member(const struct listing *l, const int32_t *unit, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		if (is_member(l, unit[i]))
			return true;
	return false;
}

static bool add(struct listing *l, const char *role, const char *name, const char *op)
{
	void *members = l->out->members;
	struct info_member *m;

	if (!tm_grow(&members, &l->cap, l->out->n_members + 1, sizeof *m))
		return false;
	l->out->members = members;
	m = &l->out->members[l->out->n_members++];
	*m = (struct info_member){ role, arena_strdup(l->arena, name), op };
	return m->name != NULL;
}

static bool add_node(struct listing *l, const char *role, int node)
{
	const struct node *n = &l->groups->graph->nodes[node];

	l->passed[node] = true;
	return add(l, role, n->name, n->op->name);
}

static bool add_makers(struct listing *l)
{
	const struct channel_groups *g = l->groups;
	bool ok = true;

	for (int i = 0; ok && i < g->layers->n; i++)
		if (any_member(l, g->made[i], g->layers->list[i].view.outs))
			ok = add_node(l, "makes", g->layers->list[i].node);
	return ok;
}

static bool add_readers(struct listing *l)
{
	const struct channel_groups *g = l->groups;
	bool ok = true;

	for (int i = 0; ok && i < g->n_readers; i++)
		if (any_member(l, g->readers[i].unit, g->readers[i].extent))
			ok = add_node(l, "reads", g->readers[i].read.node);
	return ok;
}

/* How many positions of an axis are of the group, of its first unit alone where `first`. */
static int64_t positions_on(const struct listing *l, const struct coupled_axis *a, bool first)
{
	int64_t n = 0;

	for (int64_t i = 0; i < a->extent; i++) {
		int32_t u = groups_unit(l->groups, a->first + i);

		n += first ? u == l->groups->list[l->group].first : is_member(l, u);
	}
	return n;
}

/* Nodes along whose outputs the group lies without being made or read there. */
static bool add_passed(struct listing *l)
{
	const struct coupling *c = &l->groups->coupling;
	bool ok = true;

	for (int i = 0; ok && i < c->n_axes; i++) {
		int producer = c->graph->values[c->axes[i].value].producer;

		if (c->axes[i].node == GRAPH_NONE && producer != GRAPH_NONE && !l->passed[producer]
		    && positions_on(l, &c->axes[i], false))
			ok = add_node(l, "passes", producer);
	}
	return ok;
}

/* Constants along whose axes it lies; a unit takes its share of each. */
static bool add_tensors(struct listing *l)
{
	const struct coupling *c = &l->groups->coupling;
	bool ok = true;

	for (int i = 0; ok && i < c->n_axes; i++) {
		const struct coupled_axis *a = &c->axes[i];
		const struct value *v = &c->graph->values[a->value];

		if (a->node == GRAPH_NONE || l->seen[a->value] || !positions_on(l, a, false))
			continue;
		l->seen[a->value] = true;
		l->out->bytes += (double)tensor_bytes(&v->constant) / (double)a->extent * (double)positions_on(l, a, true);
		ok = add(l, "holds", v->name, NULL);
	}
	return ok;
}

static enum tamis_status list_members(struct listing *l, struct tamis_error *err)
{
	const struct graph *g = l->groups->graph;
	struct info_member *owned;
	bool ok;

	l->cap = 0;
	memset(l->seen, 0, (size_t)g->n_values * sizeof *l->seen);
	memset(l->passed, 0, (size_t)g->n_nodes * sizeof *l->passed);
	ok = add_makers(l) && add_readers(l) && add_passed(l) && add_tensors(l);
	owned = arena_array(l->arena, l->out->n_members + 1, sizeof *owned);
	ok = ok && owned;
	if (ok && l->out->n_members)
		memcpy(owned, l->out->members, l->out->n_members * sizeof *owned);
	free(l->out->members);
	l->out->members = owned;
	return ok ? TAMIS_OK : no_memory(err);
}

static enum tamis_status note_reason(struct listing *l, struct tamis_error *err)
{
	const struct channel_group *x = &l->groups->list[l->group];
	const char *why = x->why;

	if (!why && !x->readers)
		why = "no weights read it";
	if (!why)
		why = effect_unknown(l->groups, l->group);
	if (!why)
		return TAMIS_OK;
	l->out->why = arena_strdup(l->arena, why);
	if (x->why && x->why_node != GRAPH_NONE) {
		l->out->why_node = arena_strdup(l->arena, l->groups->graph->nodes[x->why_node].name);
		l->out->why_op = l->groups->graph->nodes[x->why_node].op->name;
	}
	return l->out->why && !l->out->why_op == !l->out->why_node ? TAMIS_OK : no_memory(err);
}

/* What is left when the first unit goes tells what one takes; those of a group are alike. */
static enum tamis_status weigh(struct listing *l, bool *dead, double all, struct tamis_error *err)
{
	struct worth left;
	enum tamis_status s;

	dead[l->groups->list[l->group].first] = true;
	s = choose_left(l->groups, dead, &left, err);
	dead[l->groups->list[l->group].first] = false;
	l->out->macs = all - left.macs;
	return s;
}

static enum tamis_status list_groups(struct listing *l, struct tamis_report *r, bool *dead, struct tamis_error *err)
{
	struct worth all;
	enum tamis_status s = choose_left(l->groups, NULL, &all, err);

	for (l->group = 0; s == TAMIS_OK && l->group < l->groups->n; l->group++) {
		l->out = &r->info.groups[r->info.n_groups++];
		l->out->units = l->groups->list[l->group].width;
		s = list_members(l, err);
		if (s == TAMIS_OK)
			s = note_reason(l, err);
		if (s == TAMIS_OK)
			s = weigh(l, dead, all.macs, err);
	}
	return s;
}

enum tamis_status api_groups(struct tamis_report *r, const struct graph *g, const struct plan *plan,
                             const struct layers *l, struct tamis_error *err)
{
	struct channel_groups groups;
	struct listing listing = { .groups = &groups, .arena = &r->arena };
	enum tamis_status s = groups_find(g, plan, l, &groups, err);
	bool *dead = tm_array((size_t)groups.n_units + 1, sizeof *dead);

	listing.seen = tm_array((size_t)g->n_values + 1, sizeof *listing.seen);
	listing.passed = tm_array((size_t)g->n_nodes + 1, sizeof *listing.passed);
	r->info.groups = arena_array(&r->arena, (size_t)groups.n + 1, sizeof *r->info.groups);
	if (s == TAMIS_OK && (!dead || !listing.seen || !listing.passed || !r->info.groups))
		s = no_memory(err);
	if (s == TAMIS_OK)
		s = list_groups(&listing, r, dead, err);
	free(dead);
	free(listing.seen);
	free(listing.passed);
	groups_free(&groups);
	return s;
}
