/* SPDX-License-Identifier: Apache-2.0 */
/* The passes of slim.c: each hands the shared state to the file that does the work. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/payload.h"
#include "ops/table.h"
#include "slim/biases.h"
#include "slim/channels/dead.h"
#include "slim/provenance.h"
#include "slim/state.h"
#include "slim/storage.h"

#define SCORE_COST 6                    /* forward, reverse and moments, in forward runs */
#define REFIT_COST 5                    /* a sweep: two forward runs and moments */
#define DISTIL_COST 4                   /* an item and epoch: forward and reverse */
#define LOOKS 9                         /* of a search at the held-out items */
#define AGAIN_ITEMS 1500                /* that later rounds score on */
#define AGAIN_DISTILLED 6000            /* the same where they are distilled: confident networks have noisy path gains */
#define REFIT_DISTILLED 10000           /* fitted on before distilling, which sees all */
#define CHECK_SHARE 0.25                /* of the share for guesses, where only a distilled state is to be chosen by it */

/* ---- copy ---------------------------------------------------------------------------------------------------- */

/* External data of a model behind a symbolic link may lie beside what the link points to. */
static enum tamis_status same_place(const struct document *from, struct document *to, struct tamis_error *err)
{
	char *real = tm_strdup(from->real_dir);

	if (!real)
		return tm_no_memory(err, "copying the model");
	free(to->real_dir);
	to->real_dir = real;
	return TAMIS_OK;
}

enum tamis_status pass_copy(struct slim *s, struct tamis_error *err)
{
	struct document *from = s->in->doc;
	struct doc_limits limits = { .max_memory = from->max_memory };
	uint8_t *bytes = NULL;
	size_t size = 0;
	enum tamis_status status = doc_pack(from, &bytes, &size, err);

	if (status == TAMIS_OK)
		status = doc_load_memory(bytes, size, from->dir, &limits, &s->doc, err);
	free(bytes);
	if (status == TAMIS_OK)
		status = same_place(from, s->doc, err);
	if (status == TAMIS_OK)
		status = graph_build(from, &op_table, &s->original, err);
	return status;
}

/* ---- layers --------------------------------------------------------------------------------------------------- */

static int slimmable(const struct layers *l)
{
	int n = 0;

	for (int i = 0; i < l->n; i++)
		n += l->list[i].note == NULL;
	return n;
}

static enum tamis_status choose_chunk(const struct slim *s, int64_t *chunk, struct tamis_error *err)
{
	uint64_t limit = s->in->options->max_memory / (uint64_t)pool_size(s->pool);
	size_t each = s->plan->block_bytes + 1;

	*chunk = s->in->options->chunk > 0 ? s->in->options->chunk : items_chunk(s->plan, limit);
	if (limit && (uint64_t)*chunk * each > limit)
		return tm_fail(err, TAMIS_E_MEMORY, "one item needs %zu bytes in each of %d workers; the limit is %llu in all",
		               each, pool_size(s->pool), (unsigned long long)s->in->options->max_memory);
	return TAMIS_OK;
}

static enum tamis_status open_source(struct slim *s, struct feed_reader *reader, struct item_source *out,
                                     struct tamis_error *err)
{
	struct program_options options = { .merge_norms = true };
	struct program *p = NULL;
	enum tamis_status status = program_create(s->original, &options, &p, err);

	*out = (struct item_source){ .reader = reader, .seed = s->in->options->seed, .from = 0, .to = 1 };
	if (status == TAMIS_OK)
		status = items_batching(p, reader, &out->batching, err);
	if (status == TAMIS_OK)
		status = choose_chunk(s, &out->chunk, err);
	program_free(p);
	return status;
}

/* Where hashes end of `most` of the fitting items, or of all. */
static double share_of(const struct slim *s, int64_t most)
{
	int64_t items = s->in->items->count(s->in->items->self);

	return items > most ? fmin(s->fit.to, (double)most / (double)items) : s->fit.to;
}

/* By the item's hash: fitting items at the bottom, then those that depths are guessed on and distilled states are chosen
 * by, then the held-out ones. */
static enum tamis_status split_items(struct slim *s, struct tamis_error *err)
{
	const struct tamis_slim_options *o = s->in->options;
	double share = o->holdout_share, top = s->in->holdout ? 1 : 1 - share;
	enum tamis_status status = open_source(s, s->in->items, &s->fit, err);

	if (status == TAMIS_OK && s->in->holdout)
		status = open_source(s, s->in->holdout, &s->held, err);
	if (status != TAMIS_OK)
		return status;
	s->guess = s->again = s->fit;
	if (!s->in->holdout) {
		s->held = s->fit;
		s->held.from = top;
	}
	s->guess.to = top;
	s->guess.from = fmax(top - (o->keep > 0 ? share * CHECK_SHARE : share), top / 2);
	s->fit.to = o->keep > 0 && !o->distil ? top : s->guess.from;
	s->again.to = share_of(s, o->distil ? AGAIN_DISTILLED : AGAIN_ITEMS);
	s->refitted = s->fit;
	s->refitted.to = o->distil ? share_of(s, REFIT_DISTILLED) : s->fit.to;
	return TAMIS_OK;
}

static double items_in(const struct item_source *s)
{
	int64_t n = s->reader->count(s->reader->self);

	return (n < 0 ? 1000 : (double)n) * (s->to - s->from);
}

/* In forward runs of one item: what a round of the search takes. */
static double round_work(const struct slim *s)
{
	const struct tamis_slim_options *o = s->in->options;
	double work = o->keep > 0 ? 0 : items_in(&s->guess), epochs = o->distil;

	if (o->refit || o->distil)
		work += items_in(&s->again) * SCORE_COST;
	if (o->refit)
		work += items_in(&s->refitted) * REFIT_COST * ROUNDS_SWEEPS;
	if (o->keep > 0)
		epochs /= rounds_to_share(o->rounds, o->refit, o->distil);
	return work + epochs * (items_in(&s->fit) * DISTIL_COST + items_in(&s->guess));
}

/* The search says after each round how many it expects; nine looks and the verification follow it. */
static void expect_rounds(void *ctx, int rounds)
{
	struct slim *s = ctx;

	s->work_total = s->work_done + rounds * round_work(s) + items_in(&s->held) * (LOOKS + 1);
}

static void estimate_work(struct slim *s)
{
	const struct tamis_slim_options *o = s->in->options;
	int rounds = o->keep > 0 ? rounds_to_share(o->rounds, o->refit, o->distil) : ROUNDS_USUAL;

	expect_rounds(s, rounds);
	s->work_total += items_in(&s->guess) + items_in(&s->held);
	if (!o->scores)
		s->work_total += items_in(&s->fit) * SCORE_COST;
}

static enum tamis_status find_parameters(struct slim *s, struct tamis_error *err)
{
	struct layer_filter filter = slim_filter(s);

	return parameters_find(s->graph, &s->layers, &filter, s->in->options->distil > 0, &s->parameters, err);
}

enum tamis_status pass_layers(struct slim *s, struct tamis_error *err)
{
	int added = 0;
	enum tamis_status status = slim_index(s, err);

	if (status == TAMIS_OK)
		status = figures_before(s, err);
	if (status == TAMIS_OK && s->in->options->keep < 1)
		status = biases_add(s->doc, s->graph, &s->layers, &added, err);
	if (status == TAMIS_OK && added)
		status = slim_index(s, err);
	if (status == TAMIS_OK)
		status = graph_build(s->doc, &op_table, &s->reference, err);
	if (status == TAMIS_OK)
		status = find_parameters(s, err);
	if (status == TAMIS_OK && !slimmable(&s->layers))
		status = tm_fail(err, TAMIS_E_UNSUPPORTED, "no node has weights that can be slimmed");
	if (status == TAMIS_OK)
		status = split_items(s, err);
	if (status == TAMIS_OK)
		estimate_work(s);
	return status;
}

/* ---- score, significance, rank -------------------------------------------------------------------------------- */

struct told { struct slim *slim; int64_t before; double cost; };

static enum tamis_status tell(void *ctx, int64_t done, struct tamis_error *err)
{
	struct told *t = ctx;
	double items = (double)(done - t->before) * t->cost;

	if (done < t->before)
		items = (double)done * t->cost;
	t->before = done;
	return slim_progress(t->slim, items, err);
}

static void warn_blind(const struct slim *s)
{
	const struct tamis_observer *o = &s->in->options->observer;
	char text[256];

	for (int i = 0; o->warn && i < s->layers.n; i++)
		if (!s->layers.list[i].note && s->scores.layer[i].blind) {
			snprintf(text, sizeof text, "no gradient reaches node '%.120s': its path gain is taken as 1",
			         s->graph->nodes[s->layers.list[i].node].name);
			o->warn(o->ctx, text);
		}
}

/* Rows are fitted on items * positions; the narrowest margin of all layers is told. */
static void warn_few_items(const struct slim *s)
{
	const struct tamis_observer *o = &s->in->options->observer;
	const struct layer *worst = NULL;
	double least = 2;
	char text[320];

	for (int i = 0; i < s->layers.n; i++) {
		const struct layer *l = &s->layers.list[i];
		double rows = (double)s->n_fit * (double)(l->positions < REFIT_POSITIONS ? l->positions : REFIT_POSITIONS);

		if (l->note || !(rows < least * (double)l->view.fan_in))
			continue;
		least = rows / (double)l->view.fan_in;
		worst = l;
	}
	if (!o->warn || !worst || !s->in->options->refit)
		return;
	snprintf(text, sizeof text, "node '%.120s' has %.1f fitted rows for each of its %lld inputs, and 2 or more are wanted: "
	         "more items would allow deeper cuts", s->graph->nodes[worst->node].name, least,
	         (long long)worst->view.fan_in);
	o->warn(o->ctx, text);
}

static struct score_job score_job(struct slim *s, struct item_source *source, struct told *told)
{
	return (struct score_job){ .graph = s->graph, .layers = &s->layers, .reader = source->reader,
		.select = item_selected, .select_ctx = source, .batching = source->batching, .chunk = source->chunk,
		.pool = s->pool, .seed = s->in->options->seed, .head = s->in->options->head,
		.rich = s->in->options->features == TAMIS_FEATURES_RICH, .needs = s->criterion->needs,
		.parameters = s->in->options->dump_file != NULL, .progress = tell, .progress_ctx = told };
}

enum tamis_status pass_score(struct slim *s, struct tamis_error *err)
{
	struct told told = { s, 0, SCORE_COST };
	struct score_job job = score_job(s, &s->fit, &told);
	enum tamis_status status;

	if (s->in->options->scores) {
		status = scores_take(s, err);
	} else {
		status = score_run(&job, &s->head, &s->scores, err);
		s->n_fit = s->scores.items;
	}
	s->head.graph = s->original;
	if (status == TAMIS_OK) {
		warn_blind(s);
		warn_few_items(s);
	}
	return status;
}

enum tamis_status pass_sum(struct slim *s, int shard, int shards, struct score_sums *out, struct tamis_error *err)
{
	struct told told = { s, 0, SCORE_COST };
	struct score_job job = score_job(s, &s->fit, &told);

	job.parameters = true;
	job.shard = shard - 1;
	job.shards = shards;
	s->work_total = items_in(&s->fit) * SCORE_COST / (shards ? shards : 1);
	return score_sum(&job, &s->head, out, err);
}

enum tamis_status pass_significance(struct slim *s, struct tamis_error *err)
{
	enum tamis_status status = significance_find(&s->layers, &s->scores, s->fdr, s->in->options->alpha,
	                                             &s->significance, err);

	s->figures->tests = s->significance.tests;
	s->figures->significant = s->significance.significant;
	s->figures->inverted = s->significance.inverted;
	return status;
}

const char *slim_describe_options(struct slim *s)
{
	static const char *const granularities[] = { [TAMIS_WEIGHT] = "weight", [TAMIS_CHANNEL] = "channel",
		[TAMIS_BOTH] = "both" };
	const struct tamis_slim_options *o = s->in->options;

	return arena_printf(s->arena, "criterion=%s features=%s fdr=%s alpha=%g tolerance=%g confidence=%g keep=%g holdout=%g "
	                    "seed=%llu refit=%d distill=%d rate=%g regrow=%g rounds=%d granularity=%s macs=%g round-to=%lld",
	                    s->criterion->name,
	                    s->figures->features, s->figures->fdr, o->alpha, o->tolerance, o->confidence, o->keep, o->holdout_share,
	                    (unsigned long long)o->seed, o->refit, o->distil, o->distil_rate, o->regrow, o->rounds,
	                    granularities[o->granularity], o->target_macs, (long long)o->round_to);
}

/* ---- gate, search --------------------------------------------------------------------------------------------- */

static enum tamis_status open_gate(struct slim *s, struct item_source *source, bool labelled, struct gate *gate,
                                   bool *open, struct tamis_error *err)
{
	const struct tamis_slim_options *o = s->in->options;
	struct told told = { s, 0, 1 };
	struct gate_job job = { .graph = s->original, .head = &s->head, .reader = source->reader,
		.select = item_selected, .select_ctx = source, .batching = source->batching, .chunk = source->chunk,
		.pool = s->pool, .labels = labelled ? s->in->labels : NULL, .n_labels = s->in->n_labels,
		.tolerance = o->tolerance, .max_disagree = o->max_disagree, .seed = o->seed, .progress = tell,
		.progress_ctx = &told };
	enum tamis_status status = gate_open(&job, gate, err);

	*open = status == TAMIS_OK;
	return status;
}

enum tamis_status pass_gate(struct slim *s, struct tamis_error *err)
{
	struct gate_figures *f = &s->figures->gate;
	bool same = s->in->holdout == NULL;
	enum tamis_status status = open_gate(s, &s->held, true, &s->gate, &s->gate_open, err);

	if (status == TAMIS_OK && s->in->options->keep < 0)
		status = open_gate(s, &s->guess, same, &s->guess_gate, &s->guess_open, err);
	if (status != TAMIS_OK)
		return status;
	f->kind = gate_kind(&s->gate);
	f->fit_items = s->n_fit;
	f->calibration_error = s->gate.calibration_error;
	f->temperature = s->gate.temperature;
	f->held_out_items = s->gate.items;
	f->tolerance = s->in->options->tolerance;
	f->confidence = s->in->options->confidence;
	f->spending = "fixed sequence";
	return TAMIS_OK;
}

static enum tamis_status nothing_passed(const struct slim *s, struct tamis_error *err)
{
	const struct look_line *l = s->search.n_looks ? &s->search.looks[s->search.n_looks - 1] : NULL;

	if (!l)
		return tm_fail(err, TAMIS_E_GATE, "even the gentlest cut looks too costly on items kept for guessing");
	return tm_fail(err, TAMIS_E_GATE, "no cut passed the gate: keeping %.3g of the connections, the %s is at most %.4g "
	               "with %.4g confidence (%lld held-out items), but %.4g is tolerated", l->keep, gate_kind(&s->gate),
	               l->bound, s->in->options->confidence, (long long)s->gate.items, s->in->options->tolerance);
}

/* Bytes of the file if every weight took the smaller storage; channels that will go are not foreseen. */
static uint64_t predicted_bytes(void *ctx)
{
	const struct slim *s = ctx;
	uint64_t now = (uint64_t)s->figures->before.file_bytes;

	for (int i = 0; i < s->layers.n; i++) {
		const struct value *v = &s->graph->values[s->layers.list[i].weight];
		uint64_t dense, sparse;

		if (s->layers.list[i].note || !v->tensor_proto)
			continue;
		dense = payload_dense_bytes(v->tensor_proto, &v->constant);
		sparse = payload_sparse_bytes(v->tensor_proto, &v->constant);
		now -= sparse < dense && s->in->options->storage != TAMIS_STORAGE_DENSE ? dense - sparse : 0;
	}
	return now;
}

static uint64_t target_bytes(const struct slim *s)
{
	const struct tamis_slim_options *o = s->in->options;

	if (o->target_bytes)
		return o->target_bytes;
	return o->target_size > 0 ? (uint64_t)(o->target_size * (double)s->figures->before.file_bytes) : 0;
}

static struct store_job store_job(struct slim *s, struct item_source *source)
{
	return (struct store_job){ .original = s->original, .head = &s->head, .reader = source->reader,
		.select = item_selected, .select_ctx = source, .batching = source->batching, .chunk = source->chunk,
		.pool = s->pool, .bytes = s->in->options->max_memory / 2 };
}

static enum tamis_status open_distil(struct slim *s, struct told *told, struct distil *out, struct tamis_error *err)
{
	struct distil_job job = { .graph = s->graph, .parameters = &s->parameters, .fit = store_job(s, &s->fit),
		.check = store_job(s, &s->guess), .seed = s->in->options->seed, .progress = tell, .progress_ctx = told };

	if (s->in->labels && !s->in->holdout) {
		job.labels = s->in->labels;
		job.n_labels = s->in->n_labels;
	}
	return s->in->options->distil ? distil_open(&job, out, err) : TAMIS_OK;
}

/* The same for runs that may go on from each other's rounds. Items of a callback are known by their number alone. */
static const char *describe_run(struct slim *s)
{
	const struct score_origin *scored = &s->given.origin; /* all zero without */
	const struct tamis_slim_options *o = s->in->options;
	const char *items = s->in->calibration_sha256, *options = slim_describe_options(s);
	uint64_t labels = 0;

	for (int64_t i = 0; s->in->labels && i < s->in->n_labels; i++)
		labels = rng_hash(labels, (uint64_t)s->in->labels[i]);
	return options ? arena_printf(s->arena, "%s %s %s %lld %d %llu %s only=%s skip=%s head=%s chunk=%lld disagree=%g "
	                              "target=%llu mutable=%d scores=%s %g %lld", TAMIS_VERSION, s->in->doc->sha256_hex, items ? items : "",
	                              (long long)s->n_fit, s->in->holdout != NULL, (unsigned long long)labels, options,
	                              o->only ? o->only : "", o->skip ? o->skip : "", o->head ? o->head : "",
	                              (long long)s->fit.chunk, o->max_disagree, (unsigned long long)target_bytes(s),
	                              o->mutable_initializers, scored->calibration_sha256 ? scored->calibration_sha256 : "",
	                              scored->to, (long long)scored->chunk) : NULL;
}

static void note_search(struct slim *s)
{
	s->figures->looks = s->search.looks;
	s->figures->n_looks = s->search.n_looks;
	s->figures->gate.looks = (int)s->search.n_looks;
	s->figures->gate.passed = s->search.passed;
	s->figures->keep = s->search.keep;
}

static struct refit_job refit_job(struct slim *s, struct told *told)
{
	return (struct refit_job){ .reference = s->reference, .graph = s->graph, .layers = &s->layers,
		.reader = s->fit.reader, .select = item_selected, .select_ctx = &s->refitted, .batching = s->fit.batching,
		.chunk = s->fit.chunk, .items = (int64_t)items_in(&s->refitted), .sweeps = s->in->options->refit ? ROUNDS_SWEEPS : 0, .pool = s->pool, .progress = tell,
		.progress_ctx = told };
}

/* MACs make a model slow; connections make a file large. */
static struct worth worth_of(const struct slim *s)
{
	return target_bytes(s) ? (struct worth){ .entries = 1 } : (struct worth){ .macs = 1 };
}

/* Channels are chosen by what refitting measures, and where nobody says how many connections are to be kept. */
static bool narrows(const struct tamis_slim_options *o)
{
	return o->granularity != TAMIS_WEIGHT && o->refit && o->keep < 0;
}

static struct narrow_job narrow_job(struct slim *s, struct told *told)
{
	const struct tamis_slim_options *o = s->in->options;

	return (struct narrow_job){ .graph = s->graph, .plan = s->plan, .layers = &s->layers,
		.parameters = &s->parameters, .scores = &s->scores,
		.refit = refit_job(s, told), .guess = o->target_macs > 0 ? NULL : &s->guess_gate,
		.bound = (o->granularity == TAMIS_CHANNEL ? ROUNDS_GENEROUS : NARROW_SHARE) * o->tolerance,
		.confidence = o->confidence, .worth = worth_of(s), .target = fmax(o->target_macs, 0),
		.round_to = o->round_to, .pool = s->pool };
}

enum tamis_status pass_search(struct slim *s, struct tamis_error *err)
{
	const struct tamis_slim_options *o = s->in->options;
	struct told plain = { s, 0, 1 }, scoring = { s, 0, SCORE_COST }, refitting = { s, 0, REFIT_COST };
	struct told training = { s, 0, DISTIL_COST };
	struct distil distil = { 0 };
	struct narrow_job narrow = narrow_job(s, &refitting);
	struct rounds_job job = { .graph = s->graph, .layers = &s->layers, .parameters = &s->parameters,
		.criterion = s->criterion, .distil = o->distil ? &distil : NULL, .epochs = o->distil,
		.rate = o->distil_rate, .regrow = o->regrow, .rounds = o->rounds,
		.score = score_job(s, &s->again, &scoring), .guess = &s->guess_gate, .gate = &s->gate, .fdr = s->fdr,
		.alpha = o->alpha,
		.confidence = o->confidence, .seed = o->seed, .keep = o->keep, .bytes = predicted_bytes, .bytes_ctx = s,
		.target = target_bytes(s), .narrow = narrows(o) ? &narrow : NULL,
		.connections = o->granularity != TAMIS_CHANNEL && o->target_macs < 0, .expect = expect_rounds, .expect_ctx = s, .arena = s->arena };
	struct checkpoint checkpoint = { .path = o->checkpoint };
	enum tamis_status status = TAMIS_OK;

	if (checkpoint.path) {
		checkpoint.identity = describe_run(s);
		job.checkpoint = &checkpoint;
		status = checkpoint.identity ? TAMIS_OK : tm_no_memory(err, "searching the depth");
	}

	job.refit = refit_job(s, &refitting);
	s->gate.job.progress_ctx = s->guess_gate.job.progress_ctx = &plain;
	if (status == TAMIS_OK)
		status = open_distil(s, &training, &distil, err);
	if (status == TAMIS_OK)
		status = rounds_run(&job, &s->scores, &s->search, err);
	distil_close(&distil);
	s->gate.job.progress = s->guess_gate.job.progress = NULL;
	note_search(s);
	if (status == TAMIS_OK && !s->search.passed)
		return nothing_passed(s, err);
	if (status == TAMIS_OK && o->target_macs > 0 && s->search.narrowed.left > o->target_macs)
		return tm_fail(err, TAMIS_E_GATE, "no more channels can go: %.3g of the MACs are left, above the %.3g asked for",
		               s->search.narrowed.left, o->target_macs);
	if (status == TAMIS_OK && job.target && predicted_bytes(s) > job.target)
		return tm_fail(err, TAMIS_E_GATE, "the deepest cut that passed the gate makes a file of %llu bytes, above the "
		               "%llu asked for", (unsigned long long)predicted_bytes(s), (unsigned long long)job.target);
	return status;
}

/* ---- cut, channels, storage ----------------------------------------------------------------------------------- */

enum tamis_status pass_cut(struct slim *s, struct tamis_error *err)
{
	enum tamis_status status = figures_layers(s, err);

	if (status == TAMIS_OK)
		status = parameters_write(s->graph, &s->parameters, s->doc, err);
	if (status == TAMIS_OK)
		status = biases_drop(s->doc, err);
	return status == TAMIS_OK ? slim_index(s, err) : status;
}

enum tamis_status pass_channels(struct slim *s, struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;
	int64_t removed = s->in->options->granularity == TAMIS_WEIGHT ? 0 : 1;

	s->figures->channels_removed = 0;
	while (status == TAMIS_OK && removed) {
		status = channels_remove(s->doc, s->graph, s->plan, &s->layers, &removed, err);
		s->figures->channels_removed += status == TAMIS_OK ? removed : 0;
		if (status == TAMIS_OK && removed)
			status = slim_index(s, err);
	}
	return status;
}

enum tamis_status pass_storage(struct slim *s, struct tamis_error *err)
{
	static const enum storage_rule rules[] = { STORAGE_AUTO, STORAGE_DENSE, STORAGE_SPARSE };
	const char **names = tm_array((size_t)s->layers.n + 1, sizeof *names);
	size_t n = 0;
	enum tamis_status status;

	if (!names)
		return tm_no_memory(err, "choosing the storage");
	for (int i = 0; i < s->layers.n; i++)
		if (!s->layers.list[i].note)
			names[n++] = s->graph->values[s->layers.list[i].weight].name;
	status = storage_choose(s->doc, names, n, rules[s->in->options->storage], &s->figures->ir_raised, NULL, err);
	free(names);
	return status == TAMIS_OK ? slim_index(s, err) : status;
}

/* ---- verify, provenance --------------------------------------------------------------------------------------- */

static void note_verdict(struct slim *s)
{
	struct gate_figures *f = &s->figures->gate;
	const struct gate_result *r = &s->verdict;

	f->value = r->value;
	f->bound = r->bound;
	f->disagreement = r->disagree;
	f->disagreement_upper = r->disagree_upper;
	f->worst = r->worst;
	f->label_p = r->label_p;
	f->accuracy_before = r->accuracy_before;
	f->accuracy_after = r->accuracy_after;
	f->label_loss = r->accuracy_before - r->accuracy_after;
}

/* What will be written computes what was judged, up to rounding; if it does not, a rewrite was wrong. */
enum tamis_status pass_verify(struct slim *s, struct tamis_error *err)
{
	enum tamis_status status;

	if (s->in->options->keep >= 1) {
		s->figures->gate.passed = true;
		s->figures->gate.value = s->figures->gate.bound = 0;
		return TAMIS_OK;
	}
	status = gate_judge(&s->gate, s->graph, 1 - s->in->options->confidence, &s->verdict, err);
	if (status != TAMIS_OK)
		return status;
	note_verdict(s);
	if (!s->verdict.passed)
		return tm_fail(err, TAMIS_E_INTERNAL, "removing channels moved the held-out loss bound to %.5g",
		               s->verdict.bound);
	return TAMIS_OK;
}

static const char *describe_gate(struct slim *s)
{
	const struct gate_figures *f = &s->figures->gate;

	if (s->in->options->keep >= 1)
		return "nothing cut";
	return arena_printf(s->arena, "%s %.5f, at most %.5f with confidence %g on %lld items; tolerance %g", f->kind,
	                    f->value, f->bound, f->confidence, (long long)f->held_out_items, f->tolerance);
}

enum tamis_status pass_provenance(struct slim *s, struct tamis_error *err)
{
	struct provenance p = { .version = TAMIS_VERSION, .source_sha256 = s->in->doc->sha256_hex,
		.calibration_sha256 = s->in->calibration_sha256 };

	if (!s->in->options->provenance)
		return TAMIS_OK;
	p.gate = describe_gate(s);
	p.options = slim_describe_options(s);
	if (!p.gate || !p.options)
		return tm_no_memory(err, "recording the provenance");
	return provenance_write(s->doc, &p, err);
}

enum tamis_status pass_figures(struct slim *s, struct tamis_error *err)
{
	return figures_after(s, err);
}
