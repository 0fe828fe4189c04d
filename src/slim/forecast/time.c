/* SPDX-License-Identifier: Apache-2.0 */
/* How long: the units of slim/work.h, at the speed of a few forward runs. */
#include <math.h>

#include "slim/forecast/parts.h"
#include "slim/work.h"

#define TRIALS 3  /* of which the fastest counts */
#define SPREAD 2  /* the range: by what the real time may be larger or smaller, at the expected number of rounds */

static enum tamis_status run_chunk(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	(void)ctx;
	(void)slot;
	return runner_run(r, c->in, NULL, err);
}

static enum tamis_status count_chunk(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	(void)slot;
	(void)err;
	*(int64_t *)ctx += c->items;
	return TAMIS_OK;
}

/* Seconds of `chunks` chunks, and how many items they were. The first run of a runner lays its memory out and makes kernels,
 * so the difference of two calls tells the speed. */
static enum tamis_status time_chunks(const struct slim *s, const struct program *p, int64_t chunks, double *seconds,
                                     int64_t *items, struct tamis_error *err)
{
	struct items_job job = { .ctx = items, .work = run_chunk, .merge = count_chunk, .max_chunks = chunks };
	enum tamis_status status = TAMIS_OK;

	*seconds = INFINITY;
	for (int k = 0; status == TAMIS_OK && k < TRIALS; k++) {
		double start = slim_now();

		*items = 0;
		status = items_run(p, s->fit.reader, s->fit.batching, s->fit.chunk, s->pool, &job, err);
		*seconds = fmin(*seconds, slim_now() - start);
	}
	return status;
}

static enum tamis_status measure(const struct slim *s, struct forecast_figures *out, struct tamis_error *err)
{
	struct program_options options = { .merge_norms = true };
	struct program *p = NULL;
	int64_t few = 0, many = 0, wave = pool_size(s->pool);
	double short_run = 0, long_run = 0;
	enum tamis_status status = program_create(s->original, &options, &p, err);

	if (status == TAMIS_OK)
		status = time_chunks(s, p, wave, &short_run, &few, err);
	if (status == TAMIS_OK)
		status = time_chunks(s, p, 5 * wave, &long_run, &many, err);
	program_free(p);
	if (status != TAMIS_OK)
		return status;
	out->seconds_forward = many > few && long_run > short_run ? (long_run - short_run) / (double)(many - few)
	                                                           : long_run / (double)(many ? many : 1);
	return TAMIS_OK;
}

static void add_stage(struct forecast_figures *out, const char *what, double items, double passes, double cost)
{
	if (!(items * passes * cost > 0))
		return;
	out->stages[out->n_stages++] = (struct forecast_stage){ .what = what, .items = items, .passes = passes, .cost = cost };
	out->forward_runs += items * passes * cost;
}

/* As counted, or as far as it can be guessed. */
static double items_of(int64_t counted, const struct item_source *source)
{
	return counted < 0 ? slim_items_in(source) : (double)counted;
}

/* Of one refit, in forward runs: both are products of matrices, for the most part. */
static double solving(const struct slim *s, const struct forecast_figures *out)
{
	struct refit_job job = { .layers = &s->layers, .items = out->refitted < 0 ? 0 : out->refitted };
	double flops = 0;

	for (int i = 0; i < s->layers.n; i++)
		flops += 2 * refit_solve_flops(&job, &s->layers.list[i]) + refit_choose_flops(&job, &s->layers.list[i]);
	return out->macs > 0 ? flops / (2 * out->macs) : 0;
}

static void add_search(const struct slim *s, struct forecast_figures *out)
{
	const struct tamis_slim_options *o = s->in->options;
	double rounds = out->rounds, refits = rounds * slim_refits(s), trained = slim_depth_told(o) ? 1 : rounds;
	double guess = items_of(out->guessing, &s->guess), held = items_of(out->held_out, &s->held);
	double fit = items_of(out->fitting, &s->fit);

	add_stage(out, "the original's outputs", held + (slim_depth_told(o) ? 0 : guess), 1, 1);
	if (o->refit || o->distil)
		add_stage(out, "scoring again", items_of(out->scored_again, &s->again), rounds - 1, SCORE_COST);
	if (o->refit)
		add_stage(out, "refitting", items_of(out->refitted, &s->refitted), REFIT_FIRST + refits * slim_refit_passes(s), REFIT_COST);
	if (o->refit)
		add_stage(out, "tuning", items_of(out->refitted, &s->refitted), (slim_depth_told(o) ? 1 : SLIM_TUNED * rounds) * slim_tune_passes(s),
		          REFIT_COST);
	if (o->refit)
		add_stage(out, "solving", 1, refits, solving(s, out));
	add_stage(out, "distilling", fit * slim_distil_cost(s, 1) + guess, slim_depth_told(o) ? o->distil : slim_epochs(s) * rounds, 1);
	if (o->keep < 0 && o->distil)
		add_stage(out, "finding its rate", slim_rate_trials(s), trained, 1);
	if (!slim_depth_told(o))
		add_stage(out, "guessing the depth", guess, rounds, 1);
	add_stage(out, "judging", held, slim_depth_told(o) ? 2 : SLIM_LOOKS + 1, 1);
}

enum tamis_status forecast_time(struct slim *s, struct forecast_figures *out, struct tamis_error *err)
{
	const struct tamis_slim_options *o = s->in->options;
	double share = out->shards ? 1.0 / out->shards : 1;
	enum tamis_status status = measure(s, out, err);

	out->stages = arena_array(s->arena, 10, sizeof *out->stages);
	if (status == TAMIS_OK && !out->stages)
		return tm_no_memory(err, "forecasting a run");
	if (status != TAMIS_OK)
		return status;
	if (!out->scores_only && o->keep < 1)
		slim_rounds(s, &out->rounds_least, &out->rounds, &out->rounds_most);
	if (o->keep < 1 && !o->scores)
		add_stage(out, "scoring", items_of(out->fitting, &s->fit) * share, 1, SCORE_COST);
	if (!out->scores_only && o->keep < 1)
		add_search(s, out);
	out->seconds = out->items < 0 ? NAN : out->forward_runs * out->seconds_forward;
	out->seconds_least = out->seconds / SPREAD;
	out->seconds_most = out->seconds * SPREAD;
	return TAMIS_OK;
}
