/* SPDX-License-Identifier: Apache-2.0 */
/* The passes gate, search and verify: the one that judges before, the one that cuts, the one that judges after. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "onnx/payload.h"
#include "slim/work.h"

static enum tamis_status open_gate(struct slim *s, struct item_source *source, bool labelled, struct gate *gate,
                                   bool *open, struct tamis_error *err)
{
	const struct tamis_slim_options *o = s->in->options;
	struct slim_told told = { s, 0, 1 };
	struct gate_job job = { .graph = s->original, .head = &s->head, .reader = source->reader,
		.select = item_selected, .select_ctx = source, .batching = source->batching, .chunk = source->chunk,
		.pool = s->pool, .labels = labelled ? s->in->labels : NULL, .n_labels = s->in->n_labels,
		.tolerance = o->tolerance, .max_disagree = o->max_disagree, .temperature = o->temperature, .seed = o->seed, .progress = slim_tell,
		.progress_ctx = &told };
	enum tamis_status status = gate_open(&job, gate, err);

	*open = status == TAMIS_OK;
	return status;
}

/* A search that no state of which can pass is not begun. */
static enum tamis_status check_enough(const struct slim *s, struct tamis_error *err)
{
	const struct tamis_slim_options *o = s->in->options;
	double least;
	int64_t needed;
	enum tamis_status status = gate_needs(&s->gate, 1 - o->confidence, &needed, &least, err);

	if (status != TAMIS_OK || needed <= s->gate.items)
		return status;
	return tm_fail(err, TAMIS_E_GATE, "%lld held-out items are too few to pass the gate, whatever is cut: if not one answer changed, "
	               "the %s would be at most %.4g with %.4g confidence, and %.4g is tolerated; %s%lld held-out items are needed",
	               (long long)s->gate.items, gate_kind(&s->gate), least, o->confidence, o->tolerance,
	               needed < GATE_MOST_ITEMS ? "" : "more than ", (long long)needed);
}

enum tamis_status pass_gate(struct slim *s, struct tamis_error *err)
{
	struct gate_figures *f = &s->figures->gate;
	enum tamis_status status = open_gate(s, &s->held, true, &s->gate, &s->gate_open, err);

	if (status != TAMIS_OK)
		return status;
	f->kind = gate_kind(&s->gate);
	f->fit_items = s->n_fit;
	f->calibration_error = s->gate.calibration_error;
	f->temperature = s->gate.temperature;
	f->held_out_items = s->gate.items;
	f->tolerance = s->in->options->tolerance;
	f->given_temperature = s->in->options->temperature;
	f->confidence = s->in->options->confidence;
	f->spending = "fixed sequence";
	status = check_enough(s, err);
	if (status == TAMIS_OK && !slim_depth_told(s->in->options))
		status = open_gate(s, &s->guess, s->in->holdout == NULL, &s->guess_gate, &s->guess_open, err);
	return status;
}

static enum tamis_status nothing_passed(const struct slim *s, struct tamis_error *err)
{
	const struct look_line *l = s->search.n_looks ? &s->search.looks[s->search.n_looks - 1] : NULL;
	const struct tamis_slim_options *o = s->in->options;

	if (!l)
		return tm_fail(err, TAMIS_E_GATE, "even the gentlest cut looks too costly on items kept for guessing");
	if (l->bound <= o->tolerance && o->max_disagree >= 0)
		return tm_fail(err, TAMIS_E_GATE, "no cut passed the gate: keeping %.3g of the connections, the class changes on %.4g of %lld "
		               "held-out items, and with %.4g confidence that may be more than the %.4g allowed", l->keep,
		               l->disagreement, (long long)s->gate.items, o->confidence, o->max_disagree);
	return tm_fail(err, TAMIS_E_GATE, "no cut passed the gate: keeping %.3g of the connections, the %s is at most %.4g "
	               "with %.4g confidence (%lld held-out items), but %.4g is tolerated", l->keep, gate_kind(&s->gate),
	               l->bound, o->confidence, (long long)s->gate.items, o->tolerance);
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

static enum tamis_status open_distil(struct slim *s, struct slim_told *told, struct distil *out, struct tamis_error *err)
{
	struct distil_job job = { .graph = s->graph, .parameters = &s->parameters, .fit = store_job(s, &s->fit),
		.check = store_job(s, &s->guess), .mixup = s->in->options->mixup, .seed = s->in->options->seed,
		.progress = slim_tell, .progress_ctx = told };

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

/* As counted: connections without a score go, however many are asked for. */
static double share_kept(const struct slim *s)
{
	double all = 0;

	for (int i = 0; i < s->layers.n; i++)
		all += s->layers.list[i].note ? 0 : (double)s->layers.list[i].entries;
	return s->search.passed && all > 0 ? (double)s->search.kept / all : s->search.keep;
}

static void note_search(struct slim *s)
{
	s->figures->looks = s->search.looks;
	s->figures->n_looks = s->search.n_looks;
	s->figures->gate.looks = (int)s->search.n_looks;
	s->figures->gate.passed = s->search.passed;
	s->figures->keep = share_kept(s);
}

static enum tamis_status open_refit(struct slim *s, struct slim_told *told, struct refit **out, struct tamis_error *err)
{
	struct refit_job job = slim_refit_shapes(s);

	job.reference = s->reference;
	job.reader = s->fit.reader;
	job.select = item_selected;
	job.select_ctx = &s->refitted;
	job.batching = s->fit.batching;
	job.pool = s->pool;
	job.progress = slim_tell;
	job.progress_ctx = told;
	return s->in->options->refit ? refit_open(&job, out, err) : TAMIS_OK;
}

/* MACs make a model slow; connections make a file large. */
static struct worth worth_of(const struct slim *s)
{
	return target_bytes(s) ? (struct worth){ .entries = 1 } : (struct worth){ .macs = 1 };
}

static struct narrow_job narrow_job(struct slim *s)
{
	const struct tamis_slim_options *o = s->in->options;

	return (struct narrow_job){ .graph = s->graph, .plan = s->plan, .layers = &s->layers,
		.parameters = &s->parameters, .scores = &s->scores,
		.guess = o->target_macs > 0 ? NULL : &s->guess_gate,
		.most = o->granularity == TAMIS_CHANNEL ? ROUNDS_GENEROUS : NARROW_SHARE,
		.gate = &s->gate, .alpha = 1 - o->confidence, .worth = worth_of(s), .target = fmax(o->target_macs, 0),
		.round_to = slim_round_to(o), .misses = o->distil ? NARROW_DEAR : NARROW_MISSES,
		.tries = slim_only_channels(o) ? NARROW_TRIES : 1, .pool = s->pool,
		.expect = slim_only_channels(o) ? slim_expect_narrowing : NULL, .expect_ctx = s };
}

enum tamis_status pass_search(struct slim *s, struct tamis_error *err)
{
	const struct tamis_slim_options *o = s->in->options;
	struct slim_told plain = { s, 0, 1 }, scoring = { s, 0, SCORE_COST }, refitting = { s, 0, REFIT_COST };
	struct slim_told training = { s, 0, 0 };
	struct distil distil = { 0 };
	struct refit *refit = NULL;
	struct narrow_job narrow = narrow_job(s);
	struct rounds_job job = { .original = s->reference, .graph = s->graph, .layers = &s->layers, .parameters = &s->parameters,
		.criterion = s->criterion, .distil = o->distil ? &distil : NULL, .epochs = o->distil,
		.rate = o->distil_rate, .regrow = o->regrow, .rounds = o->rounds,
		.score = slim_score_job(s, &s->again, &scoring), .guess = &s->guess_gate, .gate = &s->gate, .fdr = s->fdr,
		.alpha = o->alpha,
		.confidence = o->confidence, .seed = o->seed, .keep = o->keep, .bytes = predicted_bytes, .bytes_ctx = s,
		.target = target_bytes(s), .narrow = slim_narrows(o) ? &narrow : NULL,
		.connections = o->granularity != TAMIS_CHANNEL && o->target_macs < 0, .expect = slim_expect_rounds, .expect_ctx = s, .arena = s->arena };
	struct checkpoint checkpoint = { .path = o->checkpoint };
	enum tamis_status status = TAMIS_OK;

	if (checkpoint.path) {
		checkpoint.identity = describe_run(s);
		job.checkpoint = &checkpoint;
		status = checkpoint.identity ? TAMIS_OK : tm_no_memory(err, "searching the depth");
	}

	s->gate.job.progress_ctx = s->guess_gate.job.progress_ctx = &plain;
	if (status == TAMIS_OK)
		status = open_distil(s, &training, &distil, err);
	if (status == TAMIS_OK)
		status = open_refit(s, &refitting, &refit, err);
	job.refit = narrow.refit = refit;
	if (status == TAMIS_OK)
		status = rounds_run(&job, &s->scores, &s->search, err);
	refit_close(refit);
	distil_close(&distil);
	s->gate.job.progress = s->guess_gate.job.progress = NULL;
	note_search(s);
	if (status == TAMIS_OK && o->target_macs > 0 && s->search.narrowed.left > o->target_macs)
		return tm_fail(err, TAMIS_E_GATE, "no more channels can go: %.3g of the MACs are left, above the %.3g asked for",
		               s->search.narrowed.left, o->target_macs);
	if (status == TAMIS_OK && !s->search.passed)
		return nothing_passed(s, err);
	if (status == TAMIS_OK && job.target && predicted_bytes(s) > job.target)
		return tm_fail(err, TAMIS_E_GATE, "the deepest cut that passed the gate makes a file of %llu bytes, above the "
		               "%llu asked for", (unsigned long long)predicted_bytes(s), (unsigned long long)job.target);
	return status;
}

static void note_verdict(struct slim *s)
{
	struct gate_figures *f = &s->figures->gate;
	const struct gate_result *r = &s->verdict;

	f->value = r->value;
	f->bound = r->bound;
	f->expected = r->expected;
	f->tempered = r->tempered;
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
