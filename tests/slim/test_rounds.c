/* SPDX-License-Identifier: Apache-2.0 */
/* The search: which depths it makes, which of them it judges, and what it leaves behind. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "nets.h"
#include "slim/search/rounds.h"
#include "slim/search/walk.h"

#define ITEMS 1000
#define ALL (480 + 576 + 96)

/* Six of ten fitted on, two guessed on, two held out. */
static bool fitted(void *ctx, int64_t item)
{
	(void)ctx;
	return item % 10 < 6;
}

static bool guessed(void *ctx, int64_t item)
{
	(void)ctx;
	return item % 10 == 6 || item % 10 == 7;
}

static bool held_out(void *ctx, int64_t item)
{
	(void)ctx;
	return item % 10 > 7;
}

struct search {
	struct lab lab;
	struct head head;
	struct scores first;
	struct gate gate, guess;
	struct arena arena;
	struct parameters parameters;
	struct rounds_job job;
	struct rounds_result result;
	struct refit *refit;
	int left; /* calls of stop until it does */
};

static void open_gate(struct search *s, struct gate *g, bool (*select)(void *, int64_t), double tolerance)
{
	struct gate_job job = { .graph = s->lab.original, .head = &s->head, .reader = &s->lab.reader, .select = select,
		.batching = BATCH_STACKED, .chunk = 32, .tolerance = tolerance, .max_disagree = -1 };
	struct tamis_error err = { 0 };

	must(gate_open(&job, g, &err), &err, "gate");
}

/* Never where it starts at zero. */
static enum tamis_status stop(void *ctx, int64_t items, struct tamis_error *err)
{
	(void)items;
	return --*(int *)ctx == 0 ? tm_fail(err, TAMIS_E_CANCELLED, "enough") : TAMIS_OK;
}

static void search_open(struct search *s, double tolerance, double guess_tolerance)
{
	struct tamis_error err = { 0 };
	struct score_job score;
	struct refit_job refit;

	*s = (struct search){ .first = { 0 } };
	lab_open(&s->lab, net_deep(1), ITEMS, 41);
	score = (struct score_job){ .graph = s->lab.graph, .layers = &s->lab.layers, .reader = &s->lab.reader,
		.select = fitted, .batching = BATCH_STACKED, .chunk = 32, .seed = 1, .head = "auto" };
	refit = (struct refit_job){ .reference = s->lab.original, .graph = s->lab.graph, .layers = &s->lab.layers,
		.reader = &s->lab.reader, .select = fitted, .batching = BATCH_STACKED, .chunk = 32, .passes = 1, .progress = stop,
		.progress_ctx = &s->left };
	must(refit_open(&refit, &s->refit, &err), &err, "refit");
	must(score_run(&score, &s->head, &s->first, &err), &err, "score");
	s->head.graph = s->lab.original;
	open_gate(s, &s->gate, held_out, tolerance);
	open_gate(s, &s->guess, guessed, guess_tolerance);
	must(parameters_find(s->lab.graph, &s->lab.layers, &(struct layer_filter){ 0 },
	                     (struct parameters_kinds){ .norms = true }, &s->parameters, &err), &err,
	     "parameters");
	s->job = (struct rounds_job){ .original = s->lab.original, .graph = s->lab.graph, .layers = &s->lab.layers, .parameters = &s->parameters,
		.criterion = criterion_find("pii"), .score = score, .refit = s->refit, .guess = &s->guess, .gate = &s->gate,
		.alpha = 0.05, .confidence = 0.95, .seed = 1, .keep = -1, .connections = true, .rounds = 8, .arena = &s->arena };
}

static void search_run(struct search *s)
{
	struct tamis_error err = { 0 };

	must(rounds_run(&s->job, &s->first, &s->result, &err), &err, "rounds");
}

static void search_close(struct search *s)
{
	refit_close(s->refit);
	gate_close(&s->gate);
	gate_close(&s->guess);
	scores_free(&s->first);
	arena_free(&s->arena);
	parameters_free(&s->parameters);
	lab_close(&s->lab);
}

static int64_t nonzeros(const struct search *s)
{
	int64_t n = 0;

	for (int i = 0; i < s->lab.layers.n; i++) {
		const struct tensor *w = &s->lab.graph->values[s->lab.layers.list[i].weight].constant;

		for (int64_t k = 0; k < w->count; k++)
			n += tensor_get(w, k) != 0;
	}
	return n;
}

static bool untouched(const struct search *s)
{
	for (int i = 0; i < s->lab.graph->n_values; i++) {
		const struct tensor *a = &s->lab.graph->values[i].constant, *b = &s->lab.original->values[i].constant;

		if (s->lab.graph->values[i].kind == VALUE_CONSTANT && memcmp(a->data, b->data, tensor_bytes(b)))
			return false;
	}
	return true;
}

/* What is left in the graph is what the last passing look saw. */
static void check_chosen(struct search *s)
{
	const struct look_line *l = &s->result.looks[s->result.n_looks - 1];
	struct gate_result r;

	if (!l->passed)
		l--;
	cr_assert_eq(nonzeros(s), s->result.kept);
	cr_assert_eq(s->result.keep, l->keep);
	cr_assert_float_eq(l->ratio, (double)ALL / (double)s->result.kept, 1e-9);
	cr_assert_eq(gate_judge(&s->gate, s->lab.graph, 0.05, &r, NULL), TAMIS_OK);
	cr_assert(r.value == l->value && r.bound == l->bound && r.passed);
}

/* ---- a share that the caller gave --------------------------------------------------------------------------- */

Test(rounds, a_given_share_is_judged_once)
{
	static const double keeps[] = { 0.5, 0.2 };

	for (int refit = 0; refit < 2; refit++)
		for (int k = 0; k < 2; k++) {
			struct search s;

			search_open(&s, 1, 0);
			s.job.keep = keeps[k];
			s.job.guess = NULL;
			s.job.refit = refit ? s.refit : NULL;
			search_run(&s);
			cr_assert(s.result.passed);
			cr_assert_eq(s.result.n_looks, 1);
			cr_assert_eq(s.result.n_rounds, refit ? 8 : 1);
			cr_assert_float_eq(s.result.keep, keeps[k], 1e-12);
			cr_assert_eq(s.result.kept, llround(keeps[k] * ALL));
			check_chosen(&s);
			search_close(&s);
		}
}

Test(rounds, a_given_share_that_fails_leaves_the_original)
{
	struct search s;

	search_open(&s, 1e-9, 0);
	s.job.keep = 0.02;
	s.job.guess = NULL;
	search_run(&s);
	cr_assert(!s.result.passed);
	cr_assert_eq(s.result.n_looks, 1);
	cr_assert(!s.result.looks[0].passed);
	cr_assert(untouched(&s));
	search_close(&s);
}

/* ---- the gate decides --------------------------------------------------------------------------------------- */

Test(rounds, looks_go_deeper_until_one_fails)
{
	static const double tolerances[] = { 0.02, 0.05, 0.2 };
	double last = 1;

	for (int k = 0; k < 3; k++)
		for (int refit = 0; refit < 2; refit++) {
			struct search s;

			search_open(&s, tolerances[k], tolerances[k]);
			s.job.refit = refit ? s.refit : NULL;
			search_run(&s);
			for (size_t i = 0; i < s.result.n_looks; i++) {
				const struct look_line *l = &s.result.looks[i];

				cr_assert(i == 0 || l->keep < l[-1].keep, "look %zu is no deeper than the one before", i);
				cr_assert(l->passed || i == s.result.n_looks - 1, "the search went on after a failure");
				cr_assert_eq(l->passed, l->bound <= tolerances[k]);
			}
			cr_assert_eq(s.result.passed, s.result.n_looks && s.result.looks[0].passed);
			if (s.result.passed)
				check_chosen(&s);
			else
				cr_assert(untouched(&s));
			if (refit) {
				cr_assert_leq(s.result.keep, last, "more tolerance, more kept: %g after %g", s.result.keep, last);
				last = s.result.keep;
			}
			search_close(&s);
		}
	cr_assert_lt(last, 0.9, "nothing was cut");
}

/* Guesses are not what is promised: a held-out set that no cut satisfies keeps the original, whatever they say. */
Test(rounds, good_guesses_do_not_pass_the_gate)
{
	struct search s;

	search_open(&s, 1e-9, 0.1);
	search_run(&s);
	cr_assert(!s.result.passed && s.result.n_looks == 1);
	cr_assert(untouched(&s));
	search_close(&s);
}

Test(rounds, bad_guesses_end_it_without_much_ado)
{
	struct search s;

	search_open(&s, 1e-9, 1e-9);
	search_run(&s);
	cr_assert_leq(s.result.n_rounds, 4, "two depths looked bad from both steps");
	cr_assert_eq(s.result.n_looks, 1, "the gentlest is judged all the same");
	cr_assert(!s.result.passed && untouched(&s));
	search_close(&s);
}

/* ---- a size ------------------------------------------------------------------------------------------------- */

static uint64_t bytes(void *ctx)
{
	return 4 * (uint64_t)nonzeros(ctx);
}

Test(rounds, a_target_ends_the_descent)
{
	struct search s;

	search_open(&s, 0.9, 0.2);
	s.job.bytes = bytes;
	s.job.bytes_ctx = &s;
	s.job.target = 4 * ALL / 2;
	search_run(&s);
	cr_assert(s.result.passed);
	cr_assert_eq(s.result.n_looks, 1, "only the state that is small enough is judged");
	cr_assert_leq(4 * s.result.kept, 4 * ALL / 2);
	cr_assert_gt(s.result.keep, 0.5 * ROUNDS_STEP, "no deeper than one step beyond the target");
	check_chosen(&s);
	search_close(&s);
}

/* ---- the path ------------------------------------------------------------------------------------------------ */

static void join(struct search *s, struct walk *w, double keep, double spent)
{
	struct tamis_error err = { 0 };

	w->keep = keep;
	must(walk_join(w, s->lab.graph, &s->parameters, spent, &err), &err, "joining the path");
}

static void check_path(const struct walk *w, const double *spent, int64_t n)
{
	cr_assert_eq(w->n_path, n);
	for (int64_t i = 0; i < n; i++) {
		cr_assert_eq(w->path[i].spent, spent[i], "state %d", (int)i);
		cr_assert(!i || w->path[i].keep < w->path[i - 1].keep);
	}
}

/* A state that is gentler than another, and yet guessed to be no better, would only end the judging before it. */
Test(rounds, what_a_deeper_state_outdoes_leaves_the_path)
{
	struct search s;
	struct walk w = { 0 };

	search_open(&s, 0.3, 0.3);
	join(&s, &w, 0.9, 0.1);
	join(&s, &w, 0.8, 0.4);
	join(&s, &w, 0.7, 0.9);
	join(&s, &w, 0.6, 0.8);
	check_path(&w, (const double[]){ 0.1, 0.4, 0.8 }, 3);
	join(&s, &w, 0.55, 0.8);
	cr_assert_eq(w.path[2].keep, 0.55, "of equals the deepest stays");
	check_path(&w, (const double[]){ 0.1, 0.4, 0.8 }, 3);
	join(&s, &w, 0.5, 0.3);
	join(&s, &w, 0.4, 0.2);
	check_path(&w, (const double[]){ 0.1, 0.4, 0.3, 0.2 }, 4); /* those will pass, and stand in nobody's way */
	for (int i = 0; i < 2 * WALK_PATH; i++)
		join(&s, &w, 0.4 / (i + 2), 0.4 + i);
	cr_assert_eq(w.n_path, WALK_PATH);
	cr_assert_eq(w.path[0].spent, 0.1, "the first stays");
	cr_assert_eq(w.path[WALK_PATH - 1].spent, 0.4 + 2 * WALK_PATH - 1, "and the last");
	walk_free(&w);
	search_close(&s);
}

/* ---- every float type --------------------------------------------------------------------------------------- */

Test(rounds, cancelled_anywhere)
{
	for (int at = 1; at < 200; at += 13) {
		struct search s;
		struct tamis_error err = { 0 };

		search_open(&s, 0.3, 0.3);
		s.job.keep = 0.5;
		s.left = at;
		s.job.score.progress = s.gate.job.progress = stop;
		s.job.score.progress_ctx = s.gate.job.progress_ctx = &s.left;
		cr_assert_eq(rounds_run(&s.job, &s.first, &s.result, &err), TAMIS_E_CANCELLED, "at %d: %s", at, err.message);
		search_close(&s);
	}
}
