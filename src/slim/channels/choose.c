/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/channels/choose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One group on offer: the first `taken` units of its curve are in the choice at hand; each saves `saved`. */
struct offer {
	struct effect_curve curve;
	double saved;
	int64_t each; /* channels a unit stands for */
	int taken;
	bool whole;   /* all of them may go */
};

struct choice {
	struct choose_job job;
	struct offer *offers; /* by group */
	bool *dead;           /* as in the job */
	struct worth all;     /* of the original */
	double left;          /* share of it, as the job weighs it */
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "choosing channels");
}

enum tamis_status choose_left(const struct channel_groups *g, const bool *dead, struct worth *out,
                              struct tamis_error *err)
{
	struct layer_width *w = tm_array((size_t)g->layers->n + 1, sizeof *w);
	bool *none = dead ? NULL : tm_array((size_t)g->n_units + 1, sizeof *none);

	*out = (struct worth){ 0 };
	if (w && (dead || none))
		groups_widths(g, dead ? dead : none, w);
	for (int i = 0; w && (dead || none) && i < g->layers->n; i++) {
		double entries = groups_entries(&g->layers->list[i], w[i]);

		out->entries += entries;
		out->macs += entries * (double)g->layers->list[i].positions;
	}
	free(w);
	free(none);
	return w && (dead || none) ? TAMIS_OK : no_memory(err);
}

static double weigh(const struct choice *c, struct worth x)
{
	const struct worth *by = &c->job.worth;

	return (by->macs * x.macs / c->all.macs + by->entries * x.entries / c->all.entries) / (by->macs + by->entries);
}

/* What the first unit that lives saves; those of a group are alike. */
static enum tamis_status find_saved(struct choice *c, int group, struct tamis_error *err)
{
	const struct channel_group *x = &c->job.effect.groups->list[group];
	struct worth left;
	enum tamis_status s;
	int u = x->first;

	while (c->dead[u])
		u++;
	c->dead[u] = true;
	s = choose_left(c->job.effect.groups, c->dead, &left, err);
	c->dead[u] = false;
	c->offers[group].each = x->each;
	c->offers[group].whole = c->job.effect.whole && c->job.effect.whole[group];
	c->offers[group].saved = c->left - weigh(c, left);
	return s;
}

static enum tamis_status find_curve(void *ctx, int64_t group, int worker, struct tamis_error *err)
{
	struct choice *c = ctx;
	const struct channel_groups *g = c->job.effect.groups;

	(void)worker;
	if (g->list[group].why || !g->list[group].readers || effect_unknown(g, (int)group)
	    || (c->job.closed && c->job.closed[group]))
		return TAMIS_OK;
	return effect_order(&c->job.effect, (int)group, &c->offers[group].curve, err);
}

/* Whether `taken` units may have gone: at least one stays, unless all may go, and widths are as round as asked. */
static bool allowed(const struct choice *c, const struct offer *o, int taken)
{
	int64_t left = o->curve.alive - taken;

	return (left ? taken <= o->curve.part : o->whole) && left * o->each % c->job.round_to == 0;
}

static double effect_of(const struct offer *o, int taken)
{
	return taken ? o->curve.effect[taken - 1] : 0;
}

/* The stop on the curve with the least effect for what it saves: the next one, or one further that saves no more than is
 * wanted. */
static int next_stop(const struct choice *c, const struct offer *o, double wanted, double *price)
{
	double before = effect_of(o, o->taken);
	int best = 0;

	*price = INFINITY;
	for (int k = o->taken + 1; k <= o->curve.n && o->saved > 0; k++) {
		double saved = (k - o->taken) * o->saved, p = (o->curve.effect[k - 1] - before) / saved;

		if (best && saved > wanted)
			break;
		if (allowed(c, o, k) && p < *price) {
			*price = p;
			best = k;
		}
	}
	return best;
}

static void take(struct offer *o, int stop, bool *dead, struct chosen *out)
{
	out->effect += effect_of(o, stop) - effect_of(o, o->taken);
	out->units += stop - o->taken;
	for (; o->taken < stop; o->taken++)
		dead[o->curve.unit[o->taken]] = true;
}

/* The cheapest stop of all groups; NULL = there is none. */
static struct offer *next_offer(const struct choice *c, const struct choose_ask *ask, double wanted, int *stop)
{
	struct offer *best = NULL;
	double least = INFINITY;

	for (int i = 0; i < c->job.effect.groups->n; i++) {
		double price;
		int k = ask->closed && ask->closed[i] ? 0 : next_stop(c, &c->offers[i], wanted, &price);

		if (!k || !((price *= ask->scale ? ask->scale[i] : 1) < least))
			continue;
		least = price;
		best = &c->offers[i];
		*stop = k;
	}
	return best;
}

struct chosen choose_units(struct choice *c, const struct choose_ask *ask, bool *dead)
{
	struct chosen out = { 0 };
	double wanted = ask->step * c->left;

	for (int i = 0; i < c->job.effect.groups->n; i++)
		c->offers[i].taken = 0;
	while (wanted > 0) {
		int stop;
		struct offer *o = next_offer(c, ask, wanted, &stop);

		if (!o)
			return out;
		wanted -= (stop - o->taken) * o->saved;
		take(o, stop, dead, &out);
	}
	return out;
}

static enum tamis_status find_offers(struct choice *c, struct tamis_error *err)
{
	const struct channel_groups *g = c->job.effect.groups;
	struct worth left;
	enum tamis_status s;

	c->offers = tm_array((size_t)g->n + 1, sizeof *c->offers);
	c->dead = tm_array((size_t)g->n_units + 1, sizeof *c->dead);
	if (!c->offers || !c->dead)
		return no_memory(err);
	memcpy(c->dead, c->job.effect.dead, (size_t)g->n_units * sizeof *c->dead);
	s = choose_left(g, NULL, &c->all, err);
	if (s == TAMIS_OK)
		s = choose_left(g, c->dead, &left, err);
	if (s == TAMIS_OK) {
		c->left = weigh(c, left);
		s = pool_for(c->job.pool, g->n, find_curve, c, err);
	}
	for (int i = 0; s == TAMIS_OK && i < g->n; i++)
		if (c->offers[i].curve.n)
			s = find_saved(c, i, err);
	return s;
}

enum tamis_status choose_open(const struct choose_job *job, struct choice **out, struct tamis_error *err)
{
	enum tamis_status s;

	*out = tm_array(1, sizeof **out);
	if (!*out)
		return no_memory(err);
	(*out)->job = *job;
	s = find_offers(*out, err);
	if (s != TAMIS_OK) {
		choose_close(*out);
		*out = NULL;
	}
	return s;
}

void choose_close(struct choice *c)
{
	for (int i = 0; c && c->offers && i < c->job.effect.groups->n; i++)
		effect_free(&c->offers[i].curve);
	if (c) {
		free(c->offers);
		free(c->dead);
	}
	free(c);
}
