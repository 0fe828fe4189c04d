/* SPDX-License-Identifier: Apache-2.0 */
/* How much a run will take, in forward runs of one item, and how far it is. */
#include "slim/work.h"

#include <math.h>
#include <time.h>

#include "base/cpu.h"
#include "ops/sparse.h"
#include "slim/repair/tune.h"

#define TELL_EVERY 0.2 /* seconds between two calls of the observer */

double slim_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double slim_items_in(const struct item_source *s)
{
	int64_t n = s->reader->count(s->reader->self);

	return (n < 0 ? 1000 : (double)n) * (s->to - s->from);
}

/* Products by weights that are mostly zero go entry by entry while a network is distilled; not so in the original. */
double slim_distil_cost(const struct slim *s, double keep)
{
	double mixtures = s->in->options->mixup && mixup_fits(s->graph) ? MIXUP_COST : 0;

	return mixtures + (keep * SPARSE_SHARE > 1 ? DISTIL_COST : DISTIL_SPARSE_COST);
}

/* In forward runs of one item: what an epoch of distilling takes at a depth. */
static double epoch_work(const struct slim *s, double keep)
{
	return slim_items_in(&s->fit) * slim_distil_cost(s, keep) + slim_items_in(&s->guess);
}

/* Of the epochs that belong to rounds `from` on, of `rounds` that cut on the way to a given share. */
static double epochs_work(const struct slim *s, int from, int rounds)
{
	double work = 0;

	for (int i = from; i < rounds; i++)
		work += epoch_work(s, pow(s->in->options->keep, (i + 1.0) / rounds));
	return work;
}

/* A chunk's moments cost its fan-in squared to add up, however few its rows are: small items come in larger chunks, but in
 * enough of them to keep some apart. */
static int64_t refit_chunk(const struct slim *s)
{
	uint64_t limit = s->in->options->max_memory / (uint64_t)pool_size(s->pool), each = s->plan->block_bytes + 1;
	uint64_t most = limit && limit < REFIT_CHUNK_BYTES ? limit : REFIT_CHUNK_BYTES;
	int64_t n = s->fit.chunk;

	while (!s->in->options->chunk && 2 * n <= REFIT_CHUNK && 2 * (uint64_t)n * each <= most
	       && 2.0 * (double)n * REFIT_CHUNKS <= slim_items_in(&s->refitted))
		n *= 2;
	return n;
}

/* An eighth of the limit, or what is usual. */
static uint64_t share_of_limit(const struct slim *s, uint64_t usual)
{
	uint64_t most = s->in->options->max_memory / 8;

	return most && most < usual ? most : usual;
}

struct refit_job slim_refit_shapes(const struct slim *s)
{
	return (struct refit_job){ .graph = s->graph, .layers = &s->layers, .head = &s->head, .plan = s->plan,
		.chunk = refit_chunk(s), .items = (int64_t)slim_items_in(&s->refitted), .passes = ROUNDS_PASSES,
		.keep = (size_t)share_of_limit(s, ROUNDS_KEPT) / sizeof(float),
		.tune = (size_t)share_of_limit(s, ROUNDS_TUNED) / sizeof(float), .hold = (size_t)share_of_limit(s, ROUNDS_HELD) };
}

double slim_refit_passes(const struct slim *s)
{
	struct refit_job job = slim_refit_shapes(s);
	struct refit_effort e;
	struct tamis_error ignored = { 0 };

	return refit_effort(&job, 0, &e, &ignored) == TAMIS_OK ? e.passes + REFIT_COMPARED : 0;
}

double slim_tune_passes(const struct slim *s)
{
	struct refit_job job = slim_refit_shapes(s);

	return tune_passes(&job);
}

double slim_rate_trials(const struct slim *s)
{
	double items = fmin(DISTIL_TRIAL, slim_items_in(&s->fit));

	return DISTIL_USUAL_TRIALS * (items * slim_distil_cost(s, 1) + slim_items_in(&s->guess));
}

double slim_epochs(const struct slim *s)
{
	const struct tamis_slim_options *o = s->in->options;

	return o->distil * (slim_only_channels(o) ? SLIM_TRAINED : 1);
}

double slim_refits(const struct slim *s)
{
	return slim_narrows(s->in->options) && slim_only_channels(s->in->options) ? SLIM_TRIES : 1;
}

/* What a round of the search that cuts takes, but for its epoch on the way to a given share. */
static double round_work(const struct slim *s, double refits)
{
	const struct tamis_slim_options *o = s->in->options;
	double work = slim_depth_told(o) ? 0 : slim_items_in(&s->guess);

	if (o->refit || o->distil)
		work += slim_items_in(&s->again) * SCORE_COST;
	if (o->refit)
		work += slim_items_in(&s->refitted) * REFIT_COST * slim_refit_passes(s) * refits;
	if (o->refit && !slim_depth_told(o))
		work += slim_items_in(&s->refitted) * REFIT_COST * slim_tune_passes(s) * SLIM_TUNED;
	if (o->distil && o->regrow > 0)
		work += REGROW_ITEMS * DISTIL_COST;
	if (o->distil && !slim_depth_told(o))
		work += slim_epochs(s) * epoch_work(s, 1) + slim_rate_trials(s);
	return work;
}

/* Nine looks and the verification follow the rounds. */
static void expect(struct slim *s, int cutting, int settling, double refits)
{
	const struct tamis_slim_options *o = s->in->options;
	int rounds = o->keep > 0 ? rounds_to_share(o->rounds, o->refit, o->distil) : 0;

	s->work_total = s->work_done + cutting * round_work(s, refits) + slim_items_in(&s->held) * (SLIM_LOOKS + 1);
	s->distil_cost = slim_distil_cost(s, 1);
	if (slim_depth_told(o) && o->refit && cutting)
		s->work_total += slim_items_in(&s->refitted) * REFIT_COST * slim_tune_passes(s);
	if (o->target_macs > 0 && o->distil)
		s->work_total += o->distil * epoch_work(s, 1) + slim_rate_trials(s);
	if (o->keep > 0 && o->distil) {
		s->work_total += epochs_work(s, rounds - cutting, rounds) + settling * epoch_work(s, o->keep);
		s->distil_cost = slim_distil_cost(s, cutting ? pow(o->keep, (rounds - cutting + 1.0) / rounds) : o->keep);
	}
}

/* The search says after each round that cuts connections how many it expects. */
void slim_expect_rounds(void *ctx, int cutting, int settling)
{
	expect(ctx, cutting, settling, 1);
}

bool slim_depth_told(const struct tamis_slim_options *o)
{
	return o->keep > 0 || o->target_macs > 0;
}

bool slim_narrows(const struct tamis_slim_options *o)
{
	return o->granularity != TAMIS_WEIGHT && o->refit && o->keep < 0;
}

bool slim_only_channels(const struct tamis_slim_options *o)
{
	return o->granularity == TAMIS_CHANNEL || o->target_macs > 0;
}

int64_t slim_round_to(const struct tamis_slim_options *o)
{
	return o->round_to ? o->round_to : slim_only_channels(o) ? cpu_vector_floats() : 8;
}

/* Nobody knows how many more: as many as is usual, and one that is good and one that is not at least. */
void slim_expect_narrowing(void *ctx, int done)
{
	expect(ctx, done + 2 < ROUNDS_USUAL ? ROUNDS_USUAL - done : 2, 0, slim_refits(ctx));
}

/* Each approach ends with the first round of channels, or the second in a row of connections, that does not look good. */
void slim_rounds(const struct slim *s, int *least, int *usual, int *most)
{
	const struct tamis_slim_options *o = s->in->options;
	bool channels = slim_narrows(o);
	bool connections = o->granularity != TAMIS_CHANNEL && o->target_macs < 0;

	if (o->keep > 0) {
		*least = *usual = *most = rounds_to_share(o->rounds, o->refit, o->distil);
		return;
	}
	*least = (channels ? 2 : 0) + (connections ? 4 : 0);
	*usual = ROUNDS_USUAL;
	*most = (channels ? NARROW_ROUNDS : 0) + (connections ? ROUNDS_MAX : 0);
}

void slim_estimate_work(struct slim *s)
{
	const struct tamis_slim_options *o = s->in->options;
	int least, rounds, most;

	slim_rounds(s, &least, &rounds, &most);
	expect(s, rounds, o->keep > 0 ? rounds_settling(o->distil) : 0, slim_refits(s));
	s->work_total += slim_items_in(&s->guess) + slim_items_in(&s->held);
	if (o->refit)
		s->work_total += slim_items_in(&s->refitted) * REFIT_COST * REFIT_FIRST;
	if (!o->scores)
		s->work_total += slim_items_in(&s->fit) * SCORE_COST;
}

/* What is left is told from the work that is left, at the speed so far; how much work that is, the search finds out. */
enum tamis_status slim_progress(struct slim *s, double items, struct tamis_error *err)
{
	const struct tamis_observer *o = &s->in->options->observer;
	struct tamis_progress p = { .phase = s->pass, .remaining = -1 };
	double t = slim_now(), share;

	s->work_done += items;
	if (!o->progress || t - s->told < TELL_EVERY)
		return TAMIS_OK;
	s->told = t;
	share = s->work_total > 0 ? fmin(1, s->work_done / s->work_total) : 0;
	if (share > 0.02)
		p.remaining = (t - s->started) * (1 - share) / share;
	p.fraction = s->fraction = fmax(s->fraction, share);
	if (o->progress(o->ctx, &p))
		return tm_fail(err, TAMIS_E_CANCELLED, "stopped by the caller during '%s'", s->pass);
	return TAMIS_OK;
}

enum tamis_status slim_tell(void *ctx, int64_t done, struct tamis_error *err)
{
	struct slim_told *t = ctx;
	double cost = t->cost > 0 ? t->cost : t->slim->distil_cost, items = (double)(done - t->before) * cost;

	if (done < t->before)
		items = (double)done * cost;
	t->before = done;
	return slim_progress(t->slim, items, err);
}
