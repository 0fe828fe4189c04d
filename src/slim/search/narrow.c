/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/search/narrow.h"

#include <math.h>
#include <string.h>

#include "slim/channels/zero.h"
#include "slim/repair/distil.h"
#include "slim/search/snapshot.h"

struct narrowing {
	const struct narrow_job *job;
	struct channel_groups groups;
	struct snapshot good;       /* the deepest state so far, */
	bool *good_dead;            /* and its units that are gone */
	bool *bad;                  /* its successor in vain, where there was one */
	bool *dead;                 /* in hand */
	double step, most;          /* now and at most */
	int luck;                   /* good looks in a row */
	double limit;               /* of what the gate allows, that a guess may use up now */
	bool *closed;               /* by group: tried in vain */
	int chosen;                 /* in the last round */
	struct arena arena;
};

/* ---- states ----------------------------------------------------------------------------------------------------- */

static enum tamis_status keep(struct narrowing *n, struct tamis_error *err)
{
	memcpy(n->good_dead, n->dead, (size_t)n->groups.n_units * sizeof *n->dead);
	snapshot_free(&n->good);
	return snapshot_take(n->job->graph, n->job->parameters, 1, &n->good, err);
}

static enum tamis_status restore(struct narrowing *n, struct tamis_error *err)
{
	memcpy(n->dead, n->good_dead, (size_t)n->groups.n_units * sizeof *n->dead);
	return snapshot_restore(&n->good, n->job->graph, n->job->parameters, err);
}

static enum tamis_status start(struct narrowing *n, struct tamis_error *err)
{
	n->dead = arena_array(&n->arena, (size_t)n->groups.n_units + 1, sizeof *n->dead);
	n->bad = arena_array(&n->arena, (size_t)n->groups.n_units + 1, sizeof *n->bad);
	n->good_dead = arena_array(&n->arena, (size_t)n->groups.n_units + 1, sizeof *n->dead);
	n->closed = arena_array(&n->arena, (size_t)n->groups.n + 1, sizeof *n->closed);
	return n->dead && n->bad && n->good_dead && n->closed ? keep(n, err) : tm_no_memory(err, "choosing channels");
}

/* ---- rounds ----------------------------------------------------------------------------------------------------- */

static enum tamis_status choose(struct narrowing *n, struct tamis_error *err)
{
	struct choose_job job = { .effect = { .groups = &n->groups, .moments = refit_moments(n->job->refit), .scores = n->job->scores->layer,
		.dead = n->dead, .share = NARROW_MOST }, .worth = n->job->worth, .step = n->step,
		.closed = n->closed, .round_to = n->job->round_to, .pool = n->job->pool };
	enum tamis_status s = choose_units(&job, n->dead, &n->chosen, err);

	if (s == TAMIS_OK)
		channels_zero(&n->groups, n->job->graph, n->dead);
	return s;
}

/* What was chosen since the last good state is in vain: the group is closed; where there are several, the next steps are
 * smaller. */
static void be_careful(struct narrowing *n)
{
	int group = -1, groups = 0;

	for (int u = 0; u < n->groups.n_units; u++)
		if (n->dead[u] && !n->good_dead[u] && n->groups.group_of[u] != group) {
			group = n->groups.group_of[u];
			groups++;
		}
	if (groups > 1)
		n->step /= 2;
	else if (groups)
		n->closed[group] = true;
}

/* The same again would be in vain again. */
static enum tamis_status choose_anew(struct narrowing *n, struct tamis_error *err)
{
	enum tamis_status s = choose(n, err);

	while (s == TAMIS_OK && n->chosen && !memcmp(n->dead, n->bad, (size_t)n->groups.n_units * sizeof *n->dead)) {
		be_careful(n);
		s = restore(n, err);
		if (s == TAMIS_OK)
			s = choose(n, err);
	}
	return s;
}

static enum tamis_status share_left(const struct narrowing *n, double *share, double *macs, struct tamis_error *err)
{
	const struct worth *by = &n->job->worth;
	struct worth all, left;
	enum tamis_status s = choose_left(&n->groups, NULL, &all, err);

	if (s == TAMIS_OK)
		s = choose_left(&n->groups, n->dead, &left, err);
	if (s != TAMIS_OK)
		return s;
	*macs = left.macs / all.macs;
	*share = (by->macs * *macs + by->entries * left.entries / all.entries) / (by->macs + by->entries);
	return TAMIS_OK;
}

/* Of what the gate allows; 0 where only the target ends it. */
static enum tamis_status look(const struct narrowing *n, double *spent, struct tamis_error *err)
{
	struct gate_result r = { 0 };
	enum tamis_status s = TAMIS_OK;

	*spent = 0;
	if (n->job->guess)
		s = gate_guess(n->job->guess, n->job->gate, n->job->graph, n->job->alpha, &r, err);
	if (s == TAMIS_OK && n->job->guess)
		*spent = gate_spent(n->job->guess, &r);
	return s;
}

static enum tamis_status is_there(const struct narrowing *n, bool *there, double *macs, struct tamis_error *err)
{
	double share = 1;
	enum tamis_status s = share_left(n, &share, macs, err);

	*there = n->job->target > 0 && share <= n->job->target;
	return s;
}

static enum tamis_status train(const struct narrowing *n, int round, double *spent, struct tamis_error *err)
{
	enum tamis_status s;

	if (!n->job->repair)
		return TAMIS_OK;
	s = n->job->repair(n->job->ctx, round, err);
	return s == TAMIS_OK ? look(n, spent, err) : s;
}

/* What refitting alone has mended well enough is not trained as well: a deeper state will be. */
static enum tamis_status round_of(struct narrowing *n, int round, bool *good, struct tamis_error *err)
{
	double spent = 0, macs;
	bool there = false;
	enum tamis_status s = choose_anew(n, err);

	*good = n->chosen > 0;
	if (s != TAMIS_OK || !n->chosen)
		return s;
	s = refit_run(n->job->refit, err);
	if (s == TAMIS_OK)
		s = look(n, &spent, err);
	if (s == TAMIS_OK)
		s = is_there(n, &there, &macs, err);
	if (s == TAMIS_OK && (there || spent > DISTIL_MENDED))
		s = train(n, round, &spent, err);
	*good = spent <= n->limit;
	return s;
}

static enum tamis_status accept(struct narrowing *n, struct narrow_result *out, bool *there, struct tamis_error *err)
{
	enum tamis_status s = is_there(n, there, &out->left, err);

	if (s == TAMIS_OK)
		s = keep(n, err);
	return s == TAMIS_OK ? n->job->good(n->job->ctx, err) : s;
}

/* Steps become larger again once the way is clear. */
static enum tamis_status go_on(struct narrowing *n, struct narrow_result *out, bool *there, struct tamis_error *err)
{
	if (++n->luck > 1)
		n->step = fmin(2 * n->step, n->most);
	return accept(n, out, there, err);
}

static enum tamis_status step_back(struct narrowing *n, bool last, struct tamis_error *err)
{
	n->luck = 0;
	memcpy(n->bad, n->dead, (size_t)n->groups.n_units * sizeof *n->dead);
	if (!last)
		be_careful(n);
	return restore(n, err);
}

/* Rounds until nothing is left to choose, the target is reached, or so many looks were in vain. */
static enum tamis_status descend(struct narrowing *n, double step, double limit, int misses, struct narrow_result *out,
                                 bool *there, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;
	bool good;

	n->step = n->most = step;
	n->limit = limit;
	n->chosen = 1;
	n->luck = 0;
	memset(n->bad, 0, (size_t)n->groups.n_units * sizeof *n->bad);
	while (s == TAMIS_OK && n->chosen && !*there && misses && out->rounds < NARROW_ROUNDS) {
		s = round_of(n, out->rounds++, &good, err);
		if (s == TAMIS_OK && good) {
			s = go_on(n, out, there, err);
		} else if (s == TAMIS_OK) {
			misses--;
			s = step_back(n, !misses, err);
		}
	}
	return s;
}

static void count(const struct narrowing *n, struct narrow_result *out)
{
	for (int i = 0; i < n->groups.n; i++)
		for (int u = 0; !n->groups.list[i].why && u < n->groups.list[i].width; u++) {
			out->of++;
			out->units += n->good_dead[n->groups.list[i].first + u];
		}
}

enum tamis_status narrow_run(const struct narrow_job *job, struct narrow_result *out, struct tamis_error *err)
{
	struct narrowing n = { .job = job };
	enum tamis_status s = groups_find(job->graph, job->plan, job->layers, &n.groups, err);
	bool there = false;

	*out = (struct narrow_result){ .left = 1 };
	if (s == TAMIS_OK)
		s = start(&n, err);
	if (s == TAMIS_OK)
		s = descend(&n, NARROW_STEP, fmin(NARROW_SAFE, job->most), 1, out, &there, err);
	if (s == TAMIS_OK && n.chosen && !there)
		s = descend(&n, NARROW_FINE, job->most, job->misses, out, &there, err);
	if (s == TAMIS_OK)
		count(&n, out);
	snapshot_free(&n.good);
	groups_free(&n.groups);
	arena_free(&n.arena);
	return s;
}
