/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/rounds.h"

#include <math.h>
#include <string.h>

/* Where the search is: all that the next round depends on besides the graph's constants. */
struct walk {
	const struct rounds_job *job;
	const struct scores *first;
	int n_rounds;
	double keep;        /* of the last round */
	bool fine;          /* on the second approach */
	int bad;            /* rounds in a row that did not look good */
	struct snapshot path[ROUNDS_PATH]; /* states worth judging, from gentle to deep */
	int n_path;
	struct snapshot gentlest;          /* of all rounds, while none is worth judging */
	int64_t alive;      /* non-zero connections of the original */
};

/* ---- states ---------------------------------------------------------------------------------------------------- */

static int64_t alive_in(const struct rounds_job *j)
{
	int64_t n = 0;

	for (int i = 0; i < j->layers->n; i++) {
		const struct tensor *t = &j->refit.reference->values[j->layers->list[i].weight].constant;

		for (int64_t k = 0; !j->layers->list[i].note && k < t->count; k++)
			n += tensor_get(t, k) != 0;
	}
	return n;
}

static void restore_original(const struct rounds_job *j)
{
	for (int i = 0; i < j->parameters->n; i++) {
		int v = j->parameters->list[i].value;
		const struct tensor *from = &j->refit.reference->values[v].constant;

		if (from->count)
			memcpy(j->graph->values[v].constant.data, from->data, tensor_bytes(from));
	}
}

/* Of the states between the first and the last six, the one whose neighbours are closest goes. */
static int dispensable(const struct walk *w)
{
	int best = 1;
	double least = INFINITY;

	for (int i = 1; i < w->n_path - 6; i++) {
		double gap = w->path[i - 1].keep / w->path[i + 1].keep;

		if (gap < least) {
			least = gap;
			best = i;
		}
	}
	return best;
}

static enum tamis_status join_path(struct walk *w, struct tamis_error *err)
{
	if (w->n_path == ROUNDS_PATH) {
		int i = dispensable(w);

		snapshot_free(&w->path[i]);
		memmove(&w->path[i], &w->path[i + 1], (size_t)(w->n_path - i - 1) * sizeof *w->path);
		w->n_path--;
	}
	return snapshot_take(w->job->graph, w->job->parameters, w->keep, &w->path[w->n_path++], err);
}

static enum tamis_status note_gentlest(struct walk *w, struct tamis_error *err)
{
	if (w->gentlest.bytes && w->gentlest.keep >= w->keep)
		return TAMIS_OK;
	snapshot_free(&w->gentlest);
	return snapshot_take(w->job->graph, w->job->parameters, w->keep, &w->gentlest, err);
}

static enum tamis_status restore_last_good(const struct walk *w, struct tamis_error *err)
{
	if (w->n_path)
		return snapshot_restore(&w->path[w->n_path - 1], w->job->graph, w->job->parameters, err);
	restore_original(w->job);
	return TAMIS_OK;
}

/* ---- one round ------------------------------------------------------------------------------------------------ */

static enum tamis_status cut_with(const struct walk *w, const struct scores *scores, double keep,
                                  struct tamis_error *err)
{
	const struct rounds_job *j = w->job;
	struct significance sig = { 0 };
	struct cut cut = { 0 };
	enum tamis_status s = significance_find(j->layers, scores, j->fdr, j->alpha, &sig, err);

	if (s == TAMIS_OK)
		s = cut_create(j->graph, j->layers, scores, j->criterion, &sig, j->seed, &cut, err);
	if (s == TAMIS_OK)
		cut_apply(&cut, keep);
	cut_free(&cut);
	significance_free(&sig);
	return s;
}

/* What the network has become is scored anew; where nothing was fitted the first scores stay true enough. */
static enum tamis_status score_and_cut(const struct walk *w, double keep, struct tamis_error *err)
{
	struct scores scores = { 0 };
	struct head head;
	enum tamis_status s;

	if (w->n_rounds == 0 || (!w->job->refit.sweeps && !w->job->distil))
		return cut_with(w, w->first, keep, err);
	s = score_run(&w->job->score, &head, &scores, err);
	if (s == TAMIS_OK)
		s = cut_with(w, &scores, keep, err);
	scores_free(&scores);
	return s;
}

static bool is_given(const struct walk *w)
{
	return w->job->keep > 0;
}

/* Rounds on the way to a given share: an epoch of distilling each, the rest of them after the last cut. */
static int given_rounds(const struct rounds_job *j)
{
	if (j->distil)
		return j->epochs > 2 ? (int)lround(ROUNDS_CUTTING * j->epochs) : 1;
	return j->refit.sweeps ? ROUNDS_KEEP : 1;
}

static enum tamis_status distil(const struct walk *w, struct tamis_error *err)
{
	const struct rounds_job *j = w->job;
	int rounds = given_rounds(j), left = rounds - w->n_rounds - 1;
	struct distil_leg leg = { .epochs = j->epochs, .rate_from = DISTIL_RATE, .settle = true,
		.stream = (uint64_t)w->n_rounds };
	struct distil_result r;

	if (!j->distil)
		return TAMIS_OK;
	if (is_given(w) && left)
		leg = (struct distil_leg){ .epochs = 1, .rate_from = DISTIL_RATE, .rate_to = DISTIL_RATE,
			.stream = (uint64_t)w->n_rounds };
	else if (is_given(w))
		leg.epochs = j->epochs - rounds + 1;
	return distil_run(j->distil, &leg, &r, err);
}

/* A guess is generous: what is a little too deep will be told by the gate, what was never tried is lost. */
static enum tamis_status look_good(const struct walk *w, bool *good, struct tamis_error *err)
{
	struct gate_result r = { 0 };
	enum tamis_status s = gate_judge(w->job->guess, w->job->graph, 1 - w->job->confidence, &r, err);

	*good = r.passed || r.bound <= ROUNDS_GENEROUS * w->job->gate->job.tolerance;
	return s;
}

static bool reached_target(const struct walk *w)
{
	return w->job->target && w->job->bytes(w->job->bytes_ctx) <= w->job->target;
}

static enum tamis_status note_guess(struct walk *w, struct tamis_error *err)
{
	bool good = true;
	enum tamis_status s = look_good(w, &good, err);

	if (s != TAMIS_OK)
		return s;
	w->bad = good ? 0 : w->bad + 1;
	if (good || reached_target(w))
		return join_path(w, err);
	return w->n_path ? TAMIS_OK : note_gentlest(w, err);
}

static enum tamis_status go_to(struct walk *w, double keep, struct tamis_error *err)
{
	enum tamis_status s = score_and_cut(w, keep, err);

	if (s == TAMIS_OK)
		s = refit_run(&w->job->refit, err);
	if (s == TAMIS_OK)
		s = distil(w, err);
	w->keep = keep;
	w->n_rounds++;
	if (s == TAMIS_OK && !is_given(w))
		s = note_guess(w, err);
	return s;
}

/* ---- the schedule --------------------------------------------------------------------------------------------- */

static bool can_descend(const struct walk *w)
{
	return w->bad < 2 && w->n_rounds < ROUNDS_MAX && w->keep > 1e-4;
}

/* Two approaches, each until two rounds in a row do not look good; the second from the last state that did. */
static enum tamis_status next_depth(struct walk *w, double *keep, bool *more, struct tamis_error *err)
{
	int rounds = given_rounds(w->job);
	enum tamis_status s = TAMIS_OK;

	*more = is_given(w) ? w->n_rounds < rounds : !w->n_rounds || !reached_target(w);
	if (is_given(w))
		*keep = pow(w->job->keep, (double)(w->n_rounds + 1) / rounds);
	if (!*more || is_given(w))
		return TAMIS_OK;
	if (!can_descend(w) && !w->fine) {
		s = restore_last_good(w, err);
		w->keep = w->n_path ? w->path[w->n_path - 1].keep : 1;
		w->fine = true;
		w->bad = 0;
	}
	*more = can_descend(w);
	*keep = w->keep * (w->fine ? ROUNDS_FINE : ROUNDS_STEP);
	return s;
}

static enum tamis_status make_states(struct walk *w, struct tamis_error *err)
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
	if (is_given(w))
		return join_path(w, err);
	if (!w->n_path && w->gentlest.bytes) {
		w->path[w->n_path++] = w->gentlest; /* judged all the same, so that the caller hears by how much it fails */
		w->gentlest = (struct snapshot){ 0 };
	}
	return TAMIS_OK;
}

/* ---- judging -------------------------------------------------------------------------------------------------- */

static enum tamis_status look(struct walk *w, const struct snapshot *s, struct rounds_result *out, bool *passed,
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

/* Where a size is wanted only the last state is judged. */
static enum tamis_status judge(struct walk *w, struct rounds_result *out, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;
	const struct snapshot *chosen = NULL;
	bool passed = true;

	for (int i = w->job->target ? w->n_path - 1 : 0; s == TAMIS_OK && passed && i >= 0 && i < w->n_path; i++) {
		s = look(w, &w->path[i], out, &passed, err);
		chosen = passed ? &w->path[i] : chosen;
	}
	if (s == TAMIS_OK && chosen)
		return snapshot_restore(chosen, w->job->graph, w->job->parameters, err);
	restore_original(w->job);
	return s;
}

enum tamis_status rounds_run(const struct rounds_job *job, const struct scores *first, struct rounds_result *out,
                             struct tamis_error *err)
{
	struct walk w = { .job = job, .first = first, .keep = 1 };
	enum tamis_status s = TAMIS_OK;

	*out = (struct rounds_result){ .keep = 1 };
	w.alive = alive_in(job);
	out->looks = arena_array(job->arena, ROUNDS_PATH, sizeof *out->looks);
	if (!out->looks)
		return tm_no_memory(err, "searching the depth");
	s = make_states(&w, err);
	out->n_rounds = w.n_rounds;
	if (s == TAMIS_OK)
		s = judge(&w, out, err);
	for (int i = 0; i < w.n_path; i++)
		snapshot_free(&w.path[i]);
	snapshot_free(&w.gentlest);
	return s;
}
