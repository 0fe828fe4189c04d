/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/rounds.h"

#include <math.h>
#include <string.h>

/* States in the order they were made; `path` lists those worth judging, from gentle to deep. */
struct walk {
	const struct rounds_job *job;
	const struct scores *first;
	struct arena arena; /* of the snapshots */
	struct snapshot state[ROUNDS_MAX + 1]; /* state[0] is the original */
	int n;
	int path[ROUNDS_MAX + 1], n_path;
	int64_t alive; /* non-zero connections of the original */
};

/* ---- snapshots ------------------------------------------------------------------------------------------------ */

static void *copy_of(struct arena *a, const struct tensor *t)
{
	void *p = arena_alloc(a, tensor_bytes(t) + 1);

	if (p && t->count)
		memcpy(p, t->data, tensor_bytes(t));
	return p;
}

static int64_t count_nonzero(const struct tensor *t)
{
	int64_t n = 0;

	for (int64_t i = 0; i < t->count; i++)
		n += tensor_get(t, i) != 0;
	return n;
}

static enum tamis_status take(struct walk *w, double keep, struct tamis_error *err)
{
	const struct layers *l = w->job->layers;
	struct arena *a = &w->arena;
	struct snapshot *s = &w->state[w->n];

	*s = (struct snapshot){ .keep = keep };
	s->weight = arena_array(a, (size_t)l->n + 1, sizeof *s->weight);
	s->bias = arena_array(a, (size_t)l->n + 1, sizeof *s->bias);
	for (int i = 0; s->weight && s->bias && i < l->n; i++) {
		const struct layer *x = &l->list[i];

		if (x->note)
			continue;
		s->weight[i] = copy_of(a, &w->job->graph->values[x->weight].constant);
		s->bias[i] = x->bias == GRAPH_NONE ? NULL : copy_of(a, &w->job->graph->values[x->bias].constant);
		if (!s->weight[i] || (x->bias != GRAPH_NONE && !s->bias[i]))
			return tm_no_memory(err, "keeping a round");
		s->kept += count_nonzero(&w->job->graph->values[x->weight].constant);
	}
	if (!s->weight || !s->bias)
		return tm_no_memory(err, "keeping a round");
	w->n++;
	return TAMIS_OK;
}

static void restore(const struct walk *w, const struct snapshot *s)
{
	const struct layers *l = w->job->layers;

	for (int i = 0; i < l->n; i++) {
		struct tensor *t;

		if (!s->weight[i])
			continue;
		t = &w->job->graph->values[l->list[i].weight].constant;
		memcpy(t->data, s->weight[i], tensor_bytes(t));
		if (!s->bias[i])
			continue;
		t = &w->job->graph->values[l->list[i].bias].constant;
		memcpy(t->data, s->bias[i], tensor_bytes(t));
	}
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

/* What the network has become is scored anew; without refitting the first scores stay true enough. */
static enum tamis_status score_and_cut(const struct walk *w, double keep, struct tamis_error *err)
{
	struct scores scores = { 0 };
	struct head head;
	enum tamis_status s;

	if (w->n == 1 || !w->job->refit.sweeps)
		return cut_with(w, w->first, keep, err);
	s = score_run(&w->job->score, &head, &scores, err);
	if (s == TAMIS_OK)
		s = cut_with(w, &scores, keep, err);
	scores_free(&scores);
	return s;
}

/* A guess is generous: what is a little too deep will be told by the gate, what was never tried is lost. */
static enum tamis_status look_good(const struct walk *w, bool *good, struct tamis_error *err)
{
	struct gate_result r = { 0 };
	enum tamis_status s = gate_judge(w->job->guess, w->job->graph, 1 - w->job->confidence, &r, err);

	*good = r.passed || r.bound <= ROUNDS_GENEROUS * w->job->gate->job.tolerance;
	return s;
}

static enum tamis_status go_to(struct walk *w, double keep, bool guess, struct tamis_error *err)
{
	enum tamis_status s = score_and_cut(w, keep, err);
	bool good = true;

	if (s == TAMIS_OK)
		s = refit_run(&w->job->refit, err);
	if (s == TAMIS_OK && guess)
		s = look_good(w, &good, err);
	if (s == TAMIS_OK)
		s = take(w, keep, err);
	if (s == TAMIS_OK)
		w->state[w->n - 1].good = good;
	return s;
}

/* ---- the schedule --------------------------------------------------------------------------------------------- */

static bool reached_target(const struct walk *w)
{
	return w->job->target && w->job->bytes(w->job->bytes_ctx) <= w->job->target;
}

/* Deeper by `step` a round from the state in hand, until two in a row do not look good; good ones join the path. */
static enum tamis_status descend(struct walk *w, double keep, double step, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;
	int bad = 0;

	while (s == TAMIS_OK && bad < 2 && w->n <= ROUNDS_MAX && keep > 1e-4) {
		keep *= step;
		s = go_to(w, keep, true, err);
		if (s != TAMIS_OK)
			return s;
		bad = w->state[w->n - 1].good ? 0 : bad + 1;
		if (!bad || reached_target(w))
			w->path[w->n_path++] = w->n - 1;
		if (reached_target(w))
			return TAMIS_OK;
	}
	return s;
}

static const struct snapshot *last_good(const struct walk *w)
{
	return &w->state[w->n_path ? w->path[w->n_path - 1] : 0];
}

static int gentlest(const struct walk *w)
{
	int best = 1;

	for (int i = 2; i < w->n; i++)
		best = w->state[i].keep > w->state[best].keep ? i : best;
	return best;
}

static enum tamis_status approach(struct walk *w, struct tamis_error *err)
{
	enum tamis_status s = descend(w, 1, ROUNDS_STEP, err);

	if (s != TAMIS_OK || reached_target(w))
		return s;
	restore(w, last_good(w));
	s = descend(w, last_good(w)->keep, ROUNDS_FINE, err);
	if (!w->n_path && w->n > 1)
		w->path[w->n_path++] = gentlest(w); /* judged all the same, so that the caller hears by how much it fails */
	return s;
}

static enum tamis_status straight_to(struct walk *w, double keep, struct tamis_error *err)
{
	int rounds = w->job->refit.sweeps ? ROUNDS_KEEP : 1;
	enum tamis_status s = TAMIS_OK;

	for (int i = 1; s == TAMIS_OK && i <= rounds; i++)
		s = go_to(w, pow(keep, (double)i / rounds), false, err);
	if (s == TAMIS_OK)
		w->path[w->n_path++] = w->n - 1;
	return s;
}

/* ---- judging -------------------------------------------------------------------------------------------------- */

static enum tamis_status look(struct walk *w, int state, struct rounds_result *out, bool *passed,
                              struct tamis_error *err)
{
	const struct snapshot *s = &w->state[state];
	struct gate_result r = { 0 };
	enum tamis_status status;

	restore(w, s);
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

/* The gentlest state, for something to fall back on; one at a third of the path, one at two thirds, then every one of
 * the last states. */
static bool worth_a_look(const struct walk *w, int i)
{
	return i == 0 || i >= w->n_path - 6 || i == w->n_path / 3 || i == 2 * w->n_path / 3;
}

static enum tamis_status judge(struct walk *w, struct rounds_result *out, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;
	bool passed = true;
	int chosen = 0;

	for (int i = 0; s == TAMIS_OK && passed && i < w->n_path; i++) {
		if (!worth_a_look(w, i) && !w->job->target)
			continue;
		if (w->job->target && i < w->n_path - 1)
			continue;
		s = look(w, w->path[i], out, &passed, err);
		chosen = passed ? w->path[i] : chosen;
	}
	restore(w, &w->state[chosen]);
	return s;
}

static enum tamis_status search(struct walk *w, struct rounds_result *out, struct tamis_error *err)
{
	enum tamis_status s = take(w, 1, err);

	if (s != TAMIS_OK)
		return s;
	w->alive = w->state[0].kept;
	s = w->job->keep > 0 ? straight_to(w, w->job->keep, err) : approach(w, err);
	out->n_rounds = w->n - 1;
	return s == TAMIS_OK ? judge(w, out, err) : s;
}

enum tamis_status rounds_run(const struct rounds_job *job, const struct scores *first, struct rounds_result *out,
                             struct tamis_error *err)
{
	struct walk w = { .job = job, .first = first };
	enum tamis_status s;

	*out = (struct rounds_result){ .keep = 1 };
	out->looks = arena_array(job->arena, ROUNDS_MAX + 1, sizeof *out->looks);
	s = out->looks ? search(&w, out, err) : tm_no_memory(err, "searching the depth");
	arena_free(&w.arena);
	return s;
}
