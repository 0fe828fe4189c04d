/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/search/rounds.h"

#include <math.h>
#include <string.h>

struct search {
	const struct rounds_job *job;
	const struct scores *first;
	struct walk walk;
	int64_t alive; /* non-zero connections of the original */
	double spent;  /* by the state in hand, of what the gate allows; negative: not guessed yet */
};

/* ---- states ---------------------------------------------------------------------------------------------------- */

static int64_t alive_in(const struct rounds_job *j, const struct graph *g)
{
	int64_t n = 0;

	for (int i = 0; i < j->layers->n; i++) {
		const struct tensor *t = &g->values[j->layers->list[i].weight].constant;

		for (int64_t k = 0; !j->layers->list[i].note && k < t->count; k++)
			n += tensor_get(t, k) != 0;
	}
	return n;
}

static int64_t connections_in(const struct layers *l)
{
	int64_t n = 0;

	for (int i = 0; i < l->n; i++)
		n += l->list[i].note ? 0 : l->list[i].entries;
	return n;
}

static void restore_original(const struct rounds_job *j)
{
	for (int i = 0; i < j->parameters->n; i++) {
		int v = j->parameters->list[i].value;
		const struct tensor *from = &j->original->values[v].constant;

		if (from->count)
			memcpy(j->graph->values[v].constant.data, from->data, tensor_bytes(from));
	}
}

static enum tamis_status restore_last_good(const struct search *w, struct tamis_error *err)
{
	if (w->walk.n_path)
		return snapshot_restore(&w->walk.path[w->walk.n_path - 1], w->job->graph, w->job->parameters, err);
	restore_original(w->job);
	return TAMIS_OK;
}

/* ---- one round ------------------------------------------------------------------------------------------------ */

static enum tamis_status cut_with(const struct search *w, const struct scores *scores, double keep,
                                  struct tamis_error *err)
{
	const struct rounds_job *j = w->job;
	struct significance sig = { 0 };
	struct cut_job job = { .graph = j->graph, .layers = j->layers, .scores = scores, .criterion = j->criterion,
		.significance = &sig, .seed = j->seed, .moments = j->refit ? refit_moments(j->refit) : NULL, .pool = j->score.pool };
	struct cut cut = { 0 };
	enum tamis_status s = significance_find(j->layers, scores, j->fdr, j->alpha, &sig, err);

	if (s == TAMIS_OK)
		s = cut_create(&job, &cut, err);
	if (s == TAMIS_OK)
		cut_apply(&cut, keep);
	cut_free(&cut);
	significance_free(&sig);
	return s;
}

static bool is_given(const struct search *w)
{
	return w->job->keep > 0;
}

int rounds_to_share(int rounds, bool refit, int epochs)
{
	if (epochs)
		return epochs > 2 ? (int)lround(ROUNDS_CUTTING * epochs) : 1;
	return refit ? rounds : 1;
}

int rounds_settling(int epochs)
{
	return epochs ? epochs - rounds_to_share(0, false, epochs) : 0;
}

/* On the way to a given share. */
static int cutting_rounds(const struct rounds_job *j)
{
	return rounds_to_share(j->rounds, j->refit != NULL, j->distil ? j->epochs : 0);
}

static int settling_rounds(const struct rounds_job *j)
{
	return j->distil ? rounds_settling(j->epochs) : 0;
}

static bool is_last(const struct search *w)
{
	return is_given(w) && w->walk.rounds + 1 == cutting_rounds(w->job);
}

/* One look at a state: w->spent. */
static enum tamis_status guess(struct search *w, struct tamis_error *err)
{
	struct gate_result r = { 0 };
	enum tamis_status s;

	if (w->spent >= 0)
		return TAMIS_OK;
	s = gate_guess(w->job->guess, w->job->gate, w->job->graph, 1 - w->job->confidence, &r, err);
	w->spent = gate_spent(w->job->guess, &r);
	return s;
}

static bool reached_target(const struct search *w)
{
	return w->job->target && w->job->bytes(w->job->bytes_ctx) <= w->job->target;
}

/* One epoch on the way to a given share. While the cut deepens the step stays; from the last cut on it falls over what is
 * left, and the best state between these epochs will be taken. */
static enum tamis_status distil_once(struct search *w, struct tamis_error *err)
{
	const struct rounds_job *j = w->job;
	int settled = (int)w->walk.rounds + 1 - cutting_rounds(j), of = settling_rounds(j) + 1;
	struct distil_leg leg = { .epochs = 1, .rate = j->rate, .stream = (uint64_t)w->walk.rounds, .judge = settled >= 0 };
	struct distil_leg before = { .judge = true };
	struct distil_result r;
	enum tamis_status s = TAMIS_OK;

	if (settled >= 0) {
		leg.from = (double)settled / of;
		leg.to = (double)(settled + 1) / of;
	}
	if (settled == 0)
		s = distil_run(j->distil, &before, &r, err);
	if (s == TAMIS_OK && settled == 0)
		s = walk_note_best(&w->walk, j->graph, j->parameters, r.after, err);
	if (s == TAMIS_OK)
		s = distil_run(j->distil, &leg, &r, err);
	return s == TAMIS_OK && settled >= 0 ? walk_note_best(&w->walk, j->graph, j->parameters, r.after, err) : s;
}

/* The last guesses are generous: what is a little too deep will be told by the gate, what was never tried is lost. The first
 * approach stops short of that, so that the second leaves no wide gap where the gate will stop. */
static double limit_of(const struct search *w)
{
	return w->walk.fine ? ROUNDS_GENEROUS : ROUNDS_SAFE;
}

/* On the way to a deeper state refitting alone may be enough. */
static bool is_mended(const struct search *w)
{
	return w->spent <= REFIT_MENDED && !reached_target(w);
}

static enum tamis_status refit(struct search *w, struct tamis_error *err)
{
	const struct rounds_job *j = w->job;
	enum tamis_status s = j->refit ? refit_run(j->refit, err) : TAMIS_OK;

	if (s != TAMIS_OK || !j->refit)
		return s;
	if (is_given(w))
		return is_last(w) ? refit_tune(j->refit, err) : TAMIS_OK;
	s = guess(w, err);
	if (s != TAMIS_OK || !(reached_target(w) || refit_wants_tuning(w->spent, limit_of(w))))
		return s;
	w->spent = -1;
	return refit_tune(j->refit, err);
}

static enum tamis_status distil(struct search *w, struct tamis_error *err)
{
	const struct rounds_job *j = w->job;
	struct distil_leg leg = { .epochs = j->epochs, .rate = j->rate, .to = 1, .settle = true,
		.stream = (uint64_t)w->walk.rounds };
	struct distil_result r;
	enum tamis_status s;

	if (!j->distil)
		return TAMIS_OK;
	if (is_given(w))
		return distil_once(w, err);
	s = guess(w, err);
	if (s != TAMIS_OK || is_mended(w))
		return s;
	w->spent = -1;
	return distil_run(j->distil, &leg, &r, err);
}

static enum tamis_status look_good(struct search *w, bool *good, struct tamis_error *err)
{
	enum tamis_status s = guess(w, err);

	*good = w->spent <= limit_of(w);
	return s;
}

static enum tamis_status note_guess(struct search *w, struct tamis_error *err)
{
	bool good = true;
	enum tamis_status s = look_good(w, &good, err);

	if (s != TAMIS_OK)
		return s;
	w->walk.bad = good ? 0 : w->walk.bad + 1;
	if (good || reached_target(w))
		return walk_join(&w->walk, w->job->graph, w->job->parameters, w->spent, err);
	return w->walk.n_path ? TAMIS_OK : walk_note_gentlest(&w->walk, w->job->graph, w->job->parameters, err);
}

/* Exact on the way to a given share, else a guess that never goes below what is certain. */
static void tell_what_is_left(const struct search *w)
{
	const struct rounds_job *j = w->job;
	int done = (int)w->walk.rounds, cutting = cutting_rounds(j), settling = settling_rounds(j);
	int certain = w->walk.fine ? 2 - (int)w->walk.bad : 4 - (int)w->walk.bad, usual = ROUNDS_USUAL - done;

	if (!j->expect)
		return;
	if (is_given(w))
		j->expect(j->expect_ctx, done < cutting ? cutting - done : 0,
		          done < cutting ? settling : cutting + settling - done);
	else
		j->expect(j->expect_ctx, reached_target(w) ? 0 : certain > usual ? certain : usual, 0);
}

static enum tamis_status finish_round(struct search *w, struct tamis_error *err)
{
	const struct rounds_job *j = w->job;
	enum tamis_status s = is_given(w) ? TAMIS_OK : note_guess(w, err);

	if (s == TAMIS_OK && j->checkpoint)
		s = walk_save(&w->walk, j->graph, j->parameters, j->checkpoint, err);
	if (s == TAMIS_OK)
		tell_what_is_left(w);
	return s;
}

/* Cuts a little deeper than `keep`, so that what regrows makes up for it; the last cut on the way to a given share is
 * final. */
static enum tamis_status cut_and_repair(struct search *w, const struct scores *scores, double keep,
                                        struct tamis_error *err)
{
	const struct rounds_job *j = w->job;
	double share = j->distil && !j->narrow && !is_last(w) ? j->regrow : 0; /* channels that went stay gone */
	struct regrow_job regrow = { .distil = j->distil, .layers = j->layers, .scores = scores,
		.original = j->original, .start = j->rate };
	enum tamis_status s = cut_with(w, scores, keep * (1 - share), err);

	if (s == TAMIS_OK)
		s = refit(w, err);
	if (s == TAMIS_OK && share > 0)
		s = regrow_run(&regrow, llround(keep * share * (double)connections_in(j->layers)), err);
	return s == TAMIS_OK ? distil(w, err) : s;
}

/* What the network has become is scored anew; where nothing was fitted the first scores stay true enough. */
static enum tamis_status score_and_go(struct search *w, double keep, struct tamis_error *err)
{
	struct scores scores = { 0 };
	struct head head;
	enum tamis_status s;

	if ((w->walk.rounds == 0 && w->walk.n_path == 0) || (!w->job->refit && !w->job->distil))
		return cut_and_repair(w, w->first, keep, err);
	s = score_run(&w->job->score, &head, &scores, err);
	if (s == TAMIS_OK)
		s = cut_and_repair(w, &scores, keep, err);
	scores_free(&scores);
	return s;
}

static enum tamis_status go_to(struct search *w, double keep, struct tamis_error *err)
{
	bool cuts = !is_given(w) || w->walk.rounds < cutting_rounds(w->job);
	enum tamis_status s;

	w->walk.keep = keep;
	w->spent = -1;
	s = cuts ? score_and_go(w, keep, err) : distil(w, err);
	w->walk.rounds++;
	return s == TAMIS_OK ? finish_round(w, err) : s;
}

/* ---- the schedule --------------------------------------------------------------------------------------------- */

static bool can_descend(const struct search *w)
{
	return w->walk.bad < 2 && w->walk.rounds < ROUNDS_MAX && w->walk.keep > 1e-4;
}

/* Two approaches, each until two rounds in a row do not look good; the second from the last state that did. */
static enum tamis_status next_depth(struct search *w, double *keep, bool *more, struct tamis_error *err)
{
	int cutting = cutting_rounds(w->job);
	enum tamis_status s = TAMIS_OK;

	*more = is_given(w) ? w->walk.rounds < cutting + settling_rounds(w->job) : !w->walk.rounds || !reached_target(w);
	if (is_given(w))
		*keep = pow(w->job->keep, fmin(1, (double)(w->walk.rounds + 1) / cutting));
	if (!*more || is_given(w))
		return TAMIS_OK;
	if (!can_descend(w) && !w->walk.fine) {
		s = restore_last_good(w, err);
		w->walk.keep = w->walk.n_path ? w->walk.path[w->walk.n_path - 1].keep : 1;
		w->walk.fine = true;
		w->walk.bad = 0;
	}
	*more = can_descend(w);
	*keep = w->walk.keep * (w->walk.fine ? ROUNDS_FINE : ROUNDS_STEP);
	return s;
}

static enum tamis_status make_states(struct search *w, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;
	bool more = true;

	while (s == TAMIS_OK && more) {
		double keep = 1;

		s = next_depth(w, &keep, &more, err);
		if (s == TAMIS_OK && more)
			s = go_to(w, keep, err);
	}
	if (s != TAMIS_OK)
		return s;
	if (w->walk.best.bytes)
		s = snapshot_restore(&w->walk.best, w->job->graph, w->job->parameters, err);
	if (s == TAMIS_OK && is_given(w))
		return walk_join(&w->walk, w->job->graph, w->job->parameters, 0, err);
	if (s == TAMIS_OK && !w->walk.n_path && w->walk.gentlest.bytes) {
		/* Judged all the same, so that the caller hears by how much it fails. */
		w->walk.path[w->walk.n_path++] = w->walk.gentlest;
		w->walk.gentlest = (struct snapshot){ 0 };
	}
	return s;
}

/* ---- channels ------------------------------------------------------------------------------------------------- */

static enum tamis_status repair_narrowed(void *ctx, int round, bool full, struct tamis_error *err)
{
	const struct search *w = ctx;
	int epochs = full ? w->job->epochs : (w->job->epochs + ROUNDS_WHILE - 1) / ROUNDS_WHILE;
	struct distil_leg leg = { .epochs = epochs, .rate = w->job->rate, .to = 1, .settle = true,
		.stream = (uint64_t)ROUNDS_MAX + (uint64_t)round + (full ? 0 : NARROW_ROUNDS) };
	struct distil_result r;

	return distil_run(w->job->distil, &leg, &r, err);
}

/* A state without some channels joins the path. Its share of connections is counted among all there were. */
static enum tamis_status take_narrowed(void *ctx, double spent, struct tamis_error *err)
{
	struct search *w = ctx;
	const struct rounds_job *j = w->job;
	double all = 0;

	for (int i = 0; i < j->layers->n; i++)
		all += j->layers->list[i].note ? 0 : (double)j->layers->list[i].entries;
	w->walk.keep = (double)alive_in(j, j->graph) / all;
	return walk_join(&w->walk, j->graph, j->parameters, spent, err);
}

static enum tamis_status narrow(struct search *w, struct narrow_result *out, struct tamis_error *err)
{
	struct narrow_job job = *w->job->narrow;

	job.repair = w->job->distil ? repair_narrowed : NULL;
	job.good = take_narrowed;
	job.ctx = w;
	return narrow_run(&job, out, err);
}

/* ---- judging -------------------------------------------------------------------------------------------------- */

static enum tamis_status look(struct search *w, const struct snapshot *s, struct rounds_result *out, bool *passed,
                              struct tamis_error *err)
{
	struct gate_result r = { 0 };
	enum tamis_status status = snapshot_restore(s, w->job->graph, w->job->parameters, err);

	if (status == TAMIS_OK)
		status = gate_judge(w->job->gate, w->job->graph, 1 - w->job->confidence, &r, err);
	if (status != TAMIS_OK)
		return status;
	out->looks[out->n_looks++] = (struct look_line){ .keep = s->keep, .value = r.value, .bound = r.bound,
		.disagreement = r.disagree, .passed = r.passed,
		.ratio = s->kept ? (double)w->alive / (double)s->kept : INFINITY };
	*passed = r.passed;
	if (r.passed) {
		out->passed = true;
		out->keep = s->keep;
		out->kept = s->kept;
	}
	return TAMIS_OK;
}

/* Where a size or a number of MACs is wanted, only the last state is judged. */
static int64_t first_look(const struct search *w)
{
	return w->job->target || (w->job->narrow && w->job->narrow->target > 0) ? w->walk.n_path - 1 : 0;
}

static enum tamis_status judge(struct search *w, struct rounds_result *out, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;
	const struct snapshot *chosen = NULL;
	bool passed = true;

	for (int64_t i = first_look(w); s == TAMIS_OK && passed && i >= 0 && i < w->walk.n_path; i++) {
		s = look(w, &w->walk.path[i], out, &passed, err);
		chosen = passed ? &w->walk.path[i] : chosen;
	}
	if (s == TAMIS_OK && chosen)
		return snapshot_restore(chosen, w->job->graph, w->job->parameters, err);
	restore_original(w->job);
	return s;
}

static enum tamis_status resume(struct search *w, struct tamis_error *err)
{
	const struct rounds_job *j = w->job;
	enum tamis_status s = TAMIS_OK;

	if (j->checkpoint)
		s = walk_resume(&w->walk, j->graph, j->parameters, j->checkpoint, err);
	if (s == TAMIS_OK)
		tell_what_is_left(w);
	return s;
}

enum tamis_status rounds_run(const struct rounds_job *job, const struct scores *first, struct rounds_result *out,
                             struct tamis_error *err)
{
	struct search w = { .job = job, .first = first, .walk.keep = 1, .alive = alive_in(job, job->original) };
	enum tamis_status s;

	*out = (struct rounds_result){ .keep = 1 };
	out->looks = arena_array(job->arena, WALK_PATH, sizeof *out->looks);
	if (!out->looks)
		return tm_no_memory(err, "searching the depth");
	s = resume(&w, err);
	if (s == TAMIS_OK && job->narrow && !w.walk.rounds)
		s = narrow(&w, &out->narrowed, err);
	if (s == TAMIS_OK && job->connections)
		s = make_states(&w, err);
	out->n_rounds = (int)w.walk.rounds;
	if (s == TAMIS_OK)
		s = judge(&w, out, err);
	walk_free(&w.walk);
	return s;
}
