/* SPDX-License-Identifier: Apache-2.0 */
/* A forecast says what the run then does, and leaves everything as it was. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "slim/forecast/forecast.h"
#include "slimming.h"

static void forecast(struct slimming *s, bool scores_only, int shard, int shards, struct forecast_figures *f)
{
	slimming_forget(s);
	cr_assert_eq(slim_forecast(&s->in, scores_only, shard, shards, f, &s->arena, &s->err), TAMIS_OK, "%s", s->err.message);
}

static double runs_of(const struct forecast_figures *f, const char *stage)
{
	for (size_t i = 0; i < f->n_stages; i++)
		if (!strcmp(f->stages[i].what, stage))
			return f->stages[i].items * f->stages[i].passes * f->stages[i].cost;
	return 0;
}

static void check_sums(const struct forecast_figures *f)
{
	double phase[FORECAST_PHASES] = { 0 }, all = 0, runs = 0;

	for (size_t i = 0; i < f->n_parts; i++) {
		phase[f->parts[i].phase] += f->parts[i].bytes;
		cr_assert_gt(strlen(f->parts[i].formula), 0);
	}
	for (int k = 0; k < FORECAST_PHASES; k++) {
		cr_assert_float_eq(f->phase_bytes[k], phase[k], 1);
		all += phase[k];
	}
	cr_assert_float_eq(f->bytes, all, 1);
	for (size_t i = 0; i < f->n_stages; i++)
		runs += f->stages[i].items * f->stages[i].passes * f->stages[i].cost;
	cr_assert_float_eq(f->forward_runs, runs, 1e-6);
	cr_assert(f->seconds_least <= f->seconds && f->seconds <= f->seconds_most);
	cr_assert_float_eq(f->seconds, runs * f->seconds_forward, 1e-9 + 1e-6 * f->seconds);
}

Test(forecast, layers_and_items_are_those_of_the_run)
{
	struct forecast_figures f;
	struct slimming s;
	int64_t tests = 0;

	slimming_open(&s, net_deep(3), 600, 53);
	s.o.tolerance = 1;
	forecast(&s, false, 0, 0, &f);
	check_sums(&f);
	cr_assert_eq(f.fitting + f.guessing + f.held_out, f.items);
	cr_assert_eq(f.items, 600);
	cr_assert_eq(slimming_run(&s), TAMIS_OK, "%s", s.err.message);
	slimming_forget(&s);
	forecast(&s, false, 0, 0, &f);
	for (size_t i = 0; i < f.n_layers; i++)
		tests += f.layers[i].note ? 0 : f.layers[i].features;
	cr_assert_eq(f.tests, tests);
	cr_assert_eq(f.connections, 1152);
	slimming_close(&s);
}

/* What is said before is what the figures say afterwards. */
Test(forecast, a_run_does_what_was_foretold)
{
	struct forecast_figures f;
	struct arena kept;
	struct slimming s;

	slimming_open(&s, net_logits(3), 500, 11);
	s.o.tolerance = 1;
	s.o.keep = 0.5;
	s.o.rounds = 3;
	forecast(&s, false, 0, 0, &f);
	kept = s.arena;
	s.arena = (struct arena){ 0 };
	cr_assert_eq(slimming_run(&s), TAMIS_OK, "%s", s.err.message);
	cr_assert_eq(s.figures.gate.fit_items, f.fitting);
	cr_assert_eq(s.figures.gate.held_out_items, f.held_out);
	cr_assert_eq(s.figures.tests, f.tests);
	cr_assert_eq(s.figures.n_layers, f.n_layers);
	for (size_t i = 0; i < f.n_layers; i++)
		cr_assert_str_eq(s.figures.layers[i].weight, f.layers[i].weight);
	cr_assert(f.rounds_least == 3 && f.rounds == 3 && f.rounds_most == 3);
	cr_assert_eq(runs_of(&f, "guessing the depth"), 0);
	arena_free(&kept);
	slimming_close(&s);
}

Test(forecast, options_change_it)
{
	struct forecast_figures whole, part;
	struct slimming s;

	slimming_open(&s, net_deep(3), 600, 53);
	forecast(&s, true, 0, 0, &whole);
	cr_assert_eq(whole.n_stages, 1);
	cr_assert_eq(whole.rounds, 0);
	check_sums(&whole);
	forecast(&s, true, 2, 4, &part);
	cr_assert_float_eq(part.forward_runs, whole.forward_runs / 4, 1e-6);
	s.o.granularity = TAMIS_WEIGHT;
	forecast(&s, false, 0, 0, &part);
	cr_assert_eq(part.rounds_least, 4);
	cr_assert_gt(part.forward_runs, whole.forward_runs);
	s.o.refit = false;
	forecast(&s, false, 0, 0, &whole);
	cr_assert_eq(runs_of(&whole, "refitting"), 0);
	cr_assert_lt(whole.bytes, part.bytes);
	s.o.distil = 2;
	forecast(&s, false, 0, 0, &part);
	cr_assert_gt(runs_of(&part, "distilling"), 0);
	check_sums(&part);
	s.o.threads = 4;
	forecast(&s, false, 0, 0, &whole);
	cr_assert_gt(whole.bytes, part.bytes);
	s.o.keep = 1;
	forecast(&s, false, 0, 0, &part);
	cr_assert_eq(part.n_stages, 0);
	cr_assert_eq(part.seconds, 0);
	slimming_close(&s);
}

Test(forecast, what_the_run_refuses_is_refused)
{
	struct forecast_figures f;
	struct slimming s;

	slimming_open(&s, net_deep(3), 100, 53);
	s.o.only = "nothing is called so";
	cr_assert_eq(slim_forecast(&s.in, false, 0, 0, &f, &s.arena, &s.err), TAMIS_E_UNSUPPORTED);
	slimming_forget(&s);
	s.o.only = NULL;
	s.o.alpha = 7;
	cr_assert_eq(slim_forecast(&s.in, false, 0, 0, &f, &s.arena, &s.err), TAMIS_E_USAGE);
	slimming_close(&s);
}
