/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/search/narrow.h"

#include <math.h>
#include <string.h>

#include "slim/channels/silent.h"
#include "slim/channels/zero.h"
#include "slim/repair/distil.h"
#include "slim/search/snapshot.h"
#include "slim/search/walk.h"

/* A choice of a round, and the network refitted without it. */
struct trial {
	struct snapshot state;
	bool *dead;
	double share, macs;         /* that are left */
	double error, price;        /* of the outputs; how much more it is, for what is saved of what is wanted */
};

struct narrowing {
	const struct narrow_job *job;
	struct channel_groups groups;
	struct snapshot good;       /* the deepest state so far, */
	bool *good_dead;            /* and its units that are gone, */
	double share, error;        /* what it leaves, and how far its outputs are from the original's */
	bool *bad;                  /* its successor in vain, where there was one */
	bool *dead;                 /* in hand */
	double step, most;          /* now and at most */
	int luck;                   /* good looks in a row */
	double limit;               /* of what the gate allows, that a guess may use up now */
	double until;               /* the share that is left where this approach ends; 0 = it does not */
	bool *whole;                /* by group: all of it may go */
	bool *closed;               /* by group: tried in vain */
	bool *shut;                 /* by group: closed, or in a choice of this round */
	double *scale;              /* by group: what its effect was when it was tried, over what was foreseen; 0 = not known */
	double *scale_now;          /* the same, with guesses */
	struct choice *choice;      /* what the good state offers */
	double foreseen;            /* effect of the last choice */
	double spent;               /* of what the gate allows, by the state in hand */
	bool dear;                  /* the last choice was trained, be that taken back or not */
	struct trial *trial;        /* NARROW_TRIES */
	int tries, n_trials;        /* at most, and in this round, */
	int round;                  /* the how many-th */
	bool trained;
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

static bool *make_flags(struct narrowing *n, int count)
{
	return arena_array(&n->arena, (size_t)count + 1, sizeof(bool));
}

static enum tamis_status start(struct narrowing *n, struct tamis_error *err)
{
	int units = n->groups.n_units, groups = n->groups.n;
	enum tamis_status s;
	bool whole = true;

	n->dead = make_flags(n, units);
	n->bad = make_flags(n, units);
	n->good_dead = make_flags(n, units);
	n->whole = make_flags(n, groups);
	n->closed = make_flags(n, groups);
	n->shut = make_flags(n, groups);
	n->scale = arena_array(&n->arena, (size_t)groups + 1, sizeof *n->scale);
	n->scale_now = arena_array(&n->arena, (size_t)groups + 1, sizeof *n->scale_now);
	n->trial = arena_array(&n->arena, NARROW_TRIES, sizeof *n->trial);
	for (int i = 0; n->trial && i < NARROW_TRIES; i++)
		whole &= (n->trial[i].dead = make_flags(n, units)) != NULL;
	n->share = 1;
	if (!n->dead || !n->bad || !n->good_dead || !n->whole || !n->closed || !n->shut || !n->scale || !n->scale_now || !n->trial
	    || !whole)
		return tm_no_memory(err, "choosing channels");
	s = silent_groups(&n->groups, n->whole, err);
	return s == TAMIS_OK ? keep(n, err) : s;
}

/* ---- choices ---------------------------------------------------------------------------------------------------- */

/* Groups that were not tried yet are taken to be like the others. */
static void guess_scales(struct narrowing *n)
{
	double sum = 0;
	int known = 0;

	for (int i = 0; i < n->groups.n; i++)
		if (n->scale[i] > 0) {
			sum += log(n->scale[i]);
			known++;
		}
	for (int i = 0; i < n->groups.n; i++)
		n->scale_now[i] = n->scale[i] > 0 ? n->scale[i] : known ? exp(sum / known) : 1;
}

static enum tamis_status open_choice(struct narrowing *n, struct tamis_error *err)
{
	struct choose_job job = { .effect = { .groups = &n->groups, .moments = refit_moments(n->job->refit), .scores = n->job->scores->layer,
		.dead = n->good_dead, .share = NARROW_MOST, .whole = n->whole }, .worth = n->job->worth, .closed = n->closed,
		.round_to = n->job->round_to, .pool = n->job->pool };

	guess_scales(n);
	return choose_open(&job, &n->choice, err);
}

/* From the good state on; how many units. */
static int choose(struct narrowing *n)
{
	const struct choose_ask ask = { .step = n->step, .closed = n->shut, .scale = n->scale_now };
	struct chosen chosen;

	memcpy(n->dead, n->good_dead, (size_t)n->groups.n_units * sizeof *n->dead);
	chosen = choose_units(n->choice, &ask, n->dead);
	n->foreseen = chosen.effect;
	return chosen.units;
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
static int choose_anew(struct narrowing *n)
{
	int chosen = choose(n);

	while (chosen && !memcmp(n->dead, n->bad, (size_t)n->groups.n_units * sizeof *n->dead)) {
		be_careful(n);
		memcpy(n->shut, n->closed, (size_t)n->groups.n * sizeof *n->shut);
		chosen = choose(n);
	}
	return chosen;
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

/* ---- trials ----------------------------------------------------------------------------------------------------- */

/* What the units did to the outputs is noted for all groups that they are of; from noise no group gains more than so much. An
 * error of 0 was not measured. */
static void learn(struct narrowing *n, double error)
{
	double rise = error - n->error;

	for (int u = 0; u < n->groups.n_units; u++)
		if (n->dead[u] && !n->good_dead[u]) {
			int group = n->groups.group_of[u];

			n->shut[group] = true;
			if (error > 0 && n->foreseen > 0 && n->job->tries > 1)
				n->scale[group] = fmax(rise / n->foreseen, n->scale_now[group] / NARROW_LEARN);
		}
}

/* The cheapest are the first; where nothing is known of the outputs, those that were chosen first. */
static void sort_in(struct narrowing *n)
{
	for (int i = n->n_trials++; i > 0 && n->trial[i].price < n->trial[i - 1].price; i--) {
		struct trial t = n->trial[i];

		n->trial[i] = n->trial[i - 1];
		n->trial[i - 1] = t;
	}
}

static enum tamis_status try_choice(struct narrowing *n, struct tamis_error *err)
{
	struct trial *t = &n->trial[n->n_trials];
	enum tamis_status s;

	channels_zero(&n->groups, n->job->graph, n->dead);
	s = refit_run(n->job->refit, err);
	if (s == TAMIS_OK)
		s = share_left(n, &t->share, &t->macs, err);
	if (s != TAMIS_OK)
		return s;
	t->error = refit_error(n->job->refit);
	t->price = (t->error - n->error) / log(n->share / fmax(t->share, n->job->target));
	learn(n, t->error);
	memcpy(t->dead, n->dead, (size_t)n->groups.n_units * sizeof *t->dead);
	snapshot_free(&t->state);
	s = snapshot_take(n->job->graph, n->job->parameters, 1, &t->state, err);
	if (s == TAMIS_OK)
		sort_in(n);
	return s;
}

/* Choices of which no two share a group, each from the good state. */
static enum tamis_status try_choices(struct narrowing *n, struct tamis_error *err)
{
	enum tamis_status s = open_choice(n, err);

	n->n_trials = 0;
	memcpy(n->shut, n->closed, (size_t)n->groups.n * sizeof *n->shut);
	while (s == TAMIS_OK && n->n_trials < n->tries) {
		int before = n->n_trials;

		if (!(before ? choose(n) : choose_anew(n)))
			break;
		if (before)
			s = snapshot_restore(&n->good, n->job->graph, n->job->parameters, err);
		if (s == TAMIS_OK)
			s = try_choice(n, err);
	}
	choose_close(n->choice);
	n->choice = NULL;
	return s;
}

static enum tamis_status tune(struct narrowing *n, struct tamis_error *err)
{
	return refit_tune(n->job->refit, err);
}

static enum tamis_status train_a_while(struct narrowing *n, struct tamis_error *err)
{
	n->trained = n->dear = true;
	return n->job->repair(n->job->ctx, n->round, false, err);
}

static enum tamis_status train(struct narrowing *n, struct tamis_error *err)
{
	n->trained = n->dear = true;
	return n->job->repair(n->job->ctx, n->round, true, err);
}

/* Does so, and takes it back where it makes matters worse: what it lowers is not what the gate looks at. */
static enum tamis_status mend(struct narrowing *n, enum tamis_status (*how)(struct narrowing *n, struct tamis_error *err),
                              struct tamis_error *err)
{
	struct snapshot before = { 0 };
	double spent = n->spent;
	bool trained = n->trained;
	enum tamis_status s = snapshot_take(n->job->graph, n->job->parameters, 1, &before, err);

	if (s == TAMIS_OK)
		s = how(n, err);
	if (s == TAMIS_OK)
		s = look(n, &n->spent, err);
	if (s == TAMIS_OK && n->spent > spent) {
		n->trained = trained;
		n->spent = spent;
		s = snapshot_restore(&before, n->job->graph, n->job->parameters, err);
	}
	snapshot_free(&before);
	return s;
}

/* Refitting alone may be enough on the way to a deeper state. */
static bool is_mended(const struct narrowing *n, const struct trial *t)
{
	return t->share > n->job->target && n->spent <= REFIT_MENDED;
}

/* A state on the way, from which others will be trained on, is trained for a while first: in full only where it may not pass
 * then. */
static enum tamis_status train_as_needed(struct narrowing *n, const struct trial *t, struct tamis_error *err)
{
	enum tamis_status s;

	if (t->share <= n->job->target)
		return mend(n, train, err);
	s = mend(n, train_a_while, err);
	if (s != TAMIS_OK || n->spent <= WALK_SURE || n->spent > NARROW_HOPE * n->limit)
		return s;
	return mend(n, train, err);
}

static enum tamis_status judge(struct narrowing *n, const struct trial *t, bool *good, struct tamis_error *err)
{
	enum tamis_status s = snapshot_restore(&t->state, n->job->graph, n->job->parameters, err);

	n->trained = n->dear = false;
	memcpy(n->dead, t->dead, (size_t)n->groups.n_units * sizeof *n->dead);
	if (s == TAMIS_OK)
		s = look(n, &n->spent, err);
	if (s == TAMIS_OK && (t->share <= n->job->target || refit_wants_tuning(n->spent, n->limit)))
		s = mend(n, tune, err);
	if (s == TAMIS_OK && n->job->repair && !is_mended(n, t))
		s = train_as_needed(n, t, err);
	*good = n->spent <= n->limit;
	return s;
}

/* ---- rounds ----------------------------------------------------------------------------------------------------- */

static enum tamis_status accept(struct narrowing *n, const struct trial *t, struct narrow_result *out,
                                struct tamis_error *err)
{
	enum tamis_status s = n->trained ? refit_measure(n->job->refit, err) : TAMIS_OK;

	n->share = t->share;
	n->error = n->trained ? refit_error(n->job->refit) : t->error;
	out->left = t->macs;
	if (s == TAMIS_OK)
		s = keep(n, err);
	return s == TAMIS_OK ? n->job->good(n->job->ctx, n->spent, err) : s;
}

/* Steps become larger again once the way is clear. */
static enum tamis_status go_on(struct narrowing *n, const struct trial *t, struct narrow_result *out, struct tamis_error *err)
{
	if (++n->luck > 1)
		n->step = fmin(2 * n->step, n->most);
	return accept(n, t, out, err);
}

/* However many trials of a round are in vain, its step is halved once. */
static void step_back(struct narrowing *n, double step, bool last)
{
	n->luck = 0;
	memcpy(n->bad, n->dead, (size_t)n->groups.n_units * sizeof *n->dead);
	if (!last)
		be_careful(n);
	n->step = fmax(n->step, step / 2);
}

/* The first trial that looks good, or back to the good state. Once training one was in vain the others, which refitting leaves
 * worse, are not trained as well. */
static enum tamis_status round_of(struct narrowing *n, int *misses, struct narrow_result *out, struct tamis_error *err)
{
	enum tamis_status s = try_choices(n, err);
	double step = n->step;
	bool good = false;

	n->round = out->rounds++;
	for (int i = 0; s == TAMIS_OK && !good && *misses && !(i && n->dear) && i < n->n_trials; i++) {
		s = judge(n, &n->trial[i], &good, err);
		if (s == TAMIS_OK && good)
			s = go_on(n, &n->trial[i], out, err);
		else if (s == TAMIS_OK)
			step_back(n, step, !--*misses);
	}
	return s == TAMIS_OK && !good ? restore(n, err) : s;
}

/* Rounds until nothing is left to choose, the share is reached, or so many looks were in vain. */
static enum tamis_status descend(struct narrowing *n, double step, double limit, int misses, struct narrow_result *out,
                                 struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	n->step = n->most = step;
	n->limit = limit;
	n->luck = 0;
	n->n_trials = 1;
	memset(n->bad, 0, (size_t)n->groups.n_units * sizeof *n->bad);
	while (s == TAMIS_OK && n->n_trials && n->share > n->until && misses && out->rounds < NARROW_ROUNDS) {
		s = round_of(n, &misses, out, err);
		if (n->job->expect)
			n->job->expect(n->job->expect_ctx, out->rounds);
	}
	return s;
}

/* In large steps to where it matters more what is chosen, and then with care. */
static enum tamis_status approach_twice(struct narrowing *n, struct narrow_result *out, struct tamis_error *err)
{
	const struct narrow_job *job = n->job;
	enum tamis_status s;

	n->tries = 1;
	n->until = sqrt(job->target);
	s = descend(n, fmin(NARROW_STEP, 1 - n->until), fmin(NARROW_SAFE, job->most), 1, out, err);
	n->tries = job->tries;
	n->until = job->target;
	if (s == TAMIS_OK && n->n_trials)
		s = descend(n, job->tries > 1 ? NARROW_FINER : NARROW_FINE, job->most, job->misses, out, err);
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

static void close_all(struct narrowing *n)
{
	for (int i = 0; n->trial && i < NARROW_TRIES; i++)
		snapshot_free(&n->trial[i].state);
	snapshot_free(&n->good);
	groups_free(&n->groups);
	arena_free(&n->arena);
}

enum tamis_status narrow_run(const struct narrow_job *job, struct narrow_result *out, struct tamis_error *err)
{
	struct narrowing n = { .job = job };
	enum tamis_status s = groups_find(job->graph, job->plan, job->layers, &n.groups, err);

	*out = (struct narrow_result){ .left = 1 };
	if (s == TAMIS_OK)
		s = start(&n, err);
	if (s == TAMIS_OK)
		s = approach_twice(&n, out, err);
	if (s == TAMIS_OK)
		count(&n, out);
	close_all(&n);
	return s;
}
