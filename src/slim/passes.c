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
#include "slim/fold/fold.h"
#include "slim/provenance.h"
#include "slim/settle.h"
#include "slim/state.h"
#include "slim/storage.h"
#include "slim/work.h"

#define HELD_SHARE 0.2                  /* of the items, for the gate; as many for guesses */
#define HELD_ITEMS 640                  /* wanted there: twice what shows that nothing was lost, by the default tolerance; */
#define HELD_MOST 0.4                   /* a share of up to this is taken for them */
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
		status = graph_view(from, &op_table, &s->original, err);
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

/* Items of a source, or at least `enough`: one that cannot tell is read. */
static enum tamis_status count_items(struct feed_reader *r, int64_t enough, int64_t *out, struct tamis_error *err)
{
	struct batch b = { .items = 1 };
	enum tamis_status status = TAMIS_OK;

	*out = r->count(r->self);
	if (*out >= 0)
		return TAMIS_OK;
	*out = 0;
	status = r->rewind(r->self, err);
	while (status == TAMIS_OK && b.items > 0 && *out < enough) {
		b = (struct batch){ 0 };
		status = r->next(r->self, enough - *out, &b, err);
		if (status == TAMIS_OK)
			*out = b.items < enough - *out ? *out + b.items : enough; /* a reader of callers may say anything */
	}
	return status == TAMIS_OK ? r->rewind(r->self, err) : status;
}

/* A bound on what a cut costs needs hundreds of items whatever the model is: with few in all, more of them are held out. */
static enum tamis_status find_share_held(const struct slim *s, double *share, struct tamis_error *err)
{
	int64_t items;
	enum tamis_status status = TAMIS_OK;

	*share = s->in->options->holdout_share;
	if (*share > 0)
		return TAMIS_OK;
	status = count_items(s->in->items, (int64_t)(HELD_ITEMS / HELD_SHARE), &items, err);
	if (status == TAMIS_OK)
		*share = fmin(fmax(HELD_SHARE, (double)HELD_ITEMS / (double)(items + !items)), HELD_MOST);
	return status;
}

/* By the item's hash: fitting items at the bottom, then those that depths are guessed on and distilled states are chosen
 * by, then the held-out ones. */
static enum tamis_status split_items(struct slim *s, struct tamis_error *err)
{
	const struct tamis_slim_options *o = s->in->options;
	double share, guess, top;
	enum tamis_status status = find_share_held(s, &s->share_held, err);

	if (status == TAMIS_OK)
		status = open_source(s, s->in->items, &s->fit, err);
	if (status == TAMIS_OK && s->in->holdout)
		status = open_source(s, s->in->holdout, &s->held, err);
	if (status != TAMIS_OK)
		return status;
	share = s->share_held;
	guess = o->holdout_share > 0 ? share : HELD_SHARE;
	top = s->in->holdout ? 1 : 1 - share;
	s->guess = s->again = s->fit;
	if (!s->in->holdout) {
		s->held = s->fit;
		s->held.from = top;
	}
	s->guess.to = top;
	s->guess.from = fmax(top - (slim_depth_told(o) ? guess * CHECK_SHARE : guess), top / 2);
	s->fit.to = slim_depth_told(o) && !o->distil ? top : s->guess.from;
	s->again.to = share_of(s, o->distil ? AGAIN_DISTILLED : AGAIN_ITEMS);
	s->refitted = s->fit;
	s->refitted.to = o->distil ? share_of(s, REFIT_DISTILLED) : s->fit.to;
	return TAMIS_OK;
}

static enum tamis_status find_parameters(struct slim *s, struct tamis_error *err)
{
	struct layer_filter filter = slim_filter(s);
	struct parameters_kinds also = { .norms = s->in->options->distil > 0,
		.recurrent = s->in->options->granularity != TAMIS_WEIGHT };

	return parameters_find(s->graph, &s->layers, &filter, also, &s->parameters, err);
}

static enum tamis_status settle_weights(struct slim *s, struct tamis_error *err)
{
	int settled;
	enum tamis_status status = weights_settle(s->doc, s->graph, &settled, err);

	return status == TAMIS_OK && settled ? slim_index(s, err) : status;
}

enum tamis_status pass_layers(struct slim *s, struct tamis_error *err)
{
	int added = 0;
	enum tamis_status status = slim_index(s, err);

	if (status == TAMIS_OK && s->in->options->keep < 1)
		status = settle_weights(s, err);
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
		slim_estimate_work(s);
	return status;
}

/* ---- cut, channels, storage ----------------------------------------------------------------------------------- */

enum tamis_status pass_cut(struct slim *s, struct tamis_error *err)
{
	enum tamis_status status = figures_layers(s, err);

	if (status == TAMIS_OK)
		status = parameters_write(s->graph, &s->parameters, s->doc, err);
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

static enum tamis_status note_folded(struct slim *s, int gone, struct tamis_error *err)
{
	s->figures->nodes_folded += gone;
	return gone ? slim_index(s, err) : TAMIS_OK;
}

/* Until nothing is left to fold: what goes brings others together. */
static enum tamis_status fold(struct slim *s, struct tamis_error *err)
{
	const struct layer_filter filter = slim_filter(s);
	int gone;
	enum tamis_status status = fold_hard_sigmoids(s->doc, s->graph, s->plan, &filter, &gone, err);

	if (status == TAMIS_OK)
		status = note_folded(s, gone, err);
	do {
		gone = 0;
		if (status == TAMIS_OK)
			status = fold_numbers(s->doc, s->graph, s->plan, &s->layers, &filter, &gone, err);
		if (status == TAMIS_OK && !gone)
			status = fold_vectors(s->doc, s->graph, s->plan, &s->layers, &filter, &gone, err);
		if (status == TAMIS_OK)
			status = note_folded(s, gone, err);
	} while (status == TAMIS_OK && gone);
	return status;
}

/* Biases that stayed zero go, too. */
enum tamis_status pass_fold(struct slim *s, struct tamis_error *err)
{
	enum tamis_status status = s->in->options->granularity == TAMIS_WEIGHT ? TAMIS_OK : fold(s, err);

	if (status == TAMIS_OK)
		status = biases_drop(s->doc, err);
	return status == TAMIS_OK ? slim_index(s, err) : status;
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

/* ---- provenance, figures -------------------------------------------------------------------------------------- */

const char *slim_describe_options(struct slim *s)
{
	static const char *const granularities[] = { [TAMIS_WEIGHT] = "weight", [TAMIS_CHANNEL] = "channel",
		[TAMIS_BOTH] = "both" };
	const struct tamis_slim_options *o = s->in->options;
	const char *mixup = o->distil && !o->mixup ? " mixup=0" : "";
	const char *temperature = o->temperature > 0 ? arena_printf(s->arena, " temperature=%g", o->temperature) : "";

	if (!temperature)
		return NULL;
	return arena_printf(s->arena, "criterion=%s features=%s fdr=%s alpha=%g tolerance=%g confidence=%g keep=%g holdout=%g "
	                    "seed=%llu refit=%d distill=%d rate=%g regrow=%g rounds=%d granularity=%s macs=%g round-to=%lld%s%s",
	                    s->criterion->name,
	                    s->figures->features, s->figures->fdr, o->alpha, o->tolerance, o->confidence, o->keep, s->share_held,
	                    (unsigned long long)o->seed, o->refit, o->distil, o->distil_rate, o->regrow, o->rounds,
	                    granularities[o->granularity], o->target_macs, (long long)slim_round_to(o), mixup, temperature);
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
