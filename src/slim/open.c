/* SPDX-License-Identifier: Apache-2.0 */
/* Options, workers, progress: what the passes stand on. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/table.h"
#include "slim/state.h"

static enum tamis_status usage(struct tamis_error *err, const char *option, const char *want, double got)
{
	return tm_fail(err, TAMIS_E_USAGE, "%s wants %s, not %g", option, want, got);
}

static bool known_head(const char *name)
{
	static const char *const names[] = { "auto", "logits", "probabilities", "general" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static enum tamis_status check_options(struct slim *s, struct tamis_error *err)
{
	const struct tamis_slim_options *o = s->in->options;

	s->criterion = criterion_find(o->criterion ? o->criterion : "pii");
	if (!s->criterion)
		return tm_fail(err, TAMIS_E_USAGE, "there is no criterion '%.40s'", o->criterion);
	if (!(o->alpha >= 0 && o->alpha <= 1))
		return usage(err, "alpha", "a number from 0 to 1", o->alpha);
	if (!(o->tolerance >= 0 && o->tolerance <= 1))
		return usage(err, "tolerance", "a number from 0 to 1", o->tolerance);
	if (!(o->confidence > 0 && o->confidence < 1))
		return usage(err, "confidence", "a number between 0 and 1", o->confidence);
	if (!(o->keep > 0 && o->keep <= 1) && o->keep != -1)
		return usage(err, "keep", "a share above 0, at most 1", o->keep);
	if (o->temperature != -1 && !(o->temperature >= 0.05 && o->temperature <= 20))
		return usage(err, "the temperature", "a number from 0.05 to 20", o->temperature);
	if (!(o->holdout_share > 0 && o->holdout_share < 1) && o->holdout_share != -1)
		return usage(err, "the share held out", "a number between 0 and 1", o->holdout_share);
	if (!(o->max_disagree <= 1))
		return usage(err, "the share that may disagree", "a number of at most 1", o->max_disagree);
	if (!(o->target_size <= 1))
		return usage(err, "the target size", "a share of at most 1", o->target_size);
	if (o->rounds < 1)
		return usage(err, "the rounds", "a number from 1 on", o->rounds);
	if (o->distil < 0)
		return usage(err, "distilling", "a number of epochs", o->distil);
	if (!(o->regrow >= 0 && o->regrow < 1))
		return usage(err, "regrowing", "a share of at least 0, below 1", o->regrow);
	if (!(o->distil_rate > 0 && o->distil_rate <= 1))
		return usage(err, "the rate of distilling", "a number above 0, at most 1", o->distil_rate);
	if (!(o->target_macs > 0 && o->target_macs < 1) && o->target_macs != -1)
		return usage(err, "the target for MACs", "a share between 0 and 1", o->target_macs);
	if (o->target_macs > 0 && (o->granularity == TAMIS_WEIGHT || !o->refit || o->keep > 0))
		return tm_fail(err, TAMIS_E_USAGE, "a target for MACs takes out channels: it needs refitting, a granularity of "
		               "channel or both, and no share to keep");
	if (o->round_to < 0)
		return usage(err, "what widths are rounded to", "a number of channels", (double)o->round_to);
	if (o->chunk < 0)
		return usage(err, "the chunk", "a number of items", o->chunk);
	if (o->granularity != TAMIS_WEIGHT && o->granularity != TAMIS_CHANNEL && o->granularity != TAMIS_BOTH)
		return usage(err, "the granularity", "one of enum tamis_granularity", o->granularity);
	if ((unsigned)o->features > TAMIS_FEATURES_RICH)
		return usage(err, "the features", "one of enum tamis_features", o->features);
	if ((unsigned)o->fdr > TAMIS_FDR_BY)
		return usage(err, "the rule of false discoveries", "one of enum tamis_fdr", o->fdr);
	if ((unsigned)o->storage > TAMIS_STORAGE_SPARSE)
		return usage(err, "the storage", "one of enum tamis_storage", o->storage);
	if (o->head && !known_head(o->head))
		return tm_fail(err, TAMIS_E_USAGE, "there is no head '%.40s'", o->head);
	if (o->dump && !slim_has_pass(o->dump))
		return tm_fail(err, TAMIS_E_USAGE, "there is no pass '%.40s' to dump", o->dump);
	return TAMIS_OK;
}

static enum tamis_status compile(const char *text, regex_t *re, bool *has, struct tamis_error *err)
{
	char why[128];
	int code;

	if (!text)
		return TAMIS_OK;
	code = regcomp(re, text, REG_EXTENDED | REG_NOSUB);
	if (code) {
		regerror(code, re, why, sizeof why);
		return tm_fail(err, TAMIS_E_USAGE, "the pattern '%.80s' is no regular expression: %s", text, why);
	}
	*has = true;
	return TAMIS_OK;
}

enum tamis_status slim_open(struct slim *s, struct tamis_error *err)
{
	const struct tamis_slim_options *o = s->in->options;
	enum tamis_status status = check_options(s, err);

	if (status == TAMIS_OK)
		status = compile(o->only, &s->only, &s->has_only, err);
	if (status == TAMIS_OK)
		status = compile(o->skip, &s->skip, &s->has_skip, err);
	if (status == TAMIS_OK)
		status = pool_create(o->threads, &s->pool, err);
	s->figures->model = arena_strdup(s->arena, s->in->doc->path);
	if (status == TAMIS_OK && !s->figures->model)
		status = tm_no_memory(err, "slimming the model");
	s->figures->criterion = s->criterion ? s->criterion->name : "";
	s->fdr = o->fdr == TAMIS_FDR_BY ? FDR_BENJAMINI_YEKUTIELI : FDR_BENJAMINI_HOCHBERG;
	s->figures->features = o->features == TAMIS_FEATURES_RICH ? "rich" : "linear";
	s->figures->fdr = o->fdr == TAMIS_FDR_BY ? "by" : "bh";
	s->figures->alpha = o->alpha;
	s->figures->seed = o->seed;
	s->figures->random_items = s->in->random_items;
	s->figures->seconds_score = s->figures->seconds_search = 0;
	return status;
}

static void drop_index(struct slim *s)
{
	layers_free(&s->layers);
	plan_free(s->plan);
	program_free(s->program);
	graph_free(s->graph);
	s->plan = NULL;
	s->program = NULL;
	s->graph = NULL;
}

void slim_close(struct slim *s)
{
	if (s->gate_open)
		gate_close(&s->gate);
	if (s->guess_open)
		gate_close(&s->guess_gate);
	significance_free(&s->significance);
	scores_free(&s->scores);
	score_file_free(&s->given);
	parameters_free(&s->parameters);
	drop_index(s);
	graph_free(s->original);
	graph_free(s->reference);
	doc_free(s->doc);
	pool_destroy(s->pool);
	if (s->has_only)
		regfree(&s->only);
	if (s->has_skip)
		regfree(&s->skip);
}

void slim_note_time(struct slim *s, double seconds)
{
	if (!strcmp(s->pass, "score"))
		s->figures->seconds_score += seconds;
	else if (!strcmp(s->pass, "search") || !strcmp(s->pass, "gate"))
		s->figures->seconds_search += seconds;
}

bool item_selected(void *source, int64_t item)
{
	const struct item_source *s = source;
	double u = (double)(rng_hash(s->seed, (uint64_t)item) >> 11) * 0x1p-53;

	return u >= s->from && u < s->to;
}

int64_t item_source_count(struct item_source *source)
{
	int64_t n = source->reader->count(source->reader->self), k = 0;

	for (int64_t i = 0; i < n; i++)
		k += item_selected(source, i);
	return n < 0 ? -1 : k;
}

/* ---- the graph and what hangs on it ------------------------------------------------------------------------- */

/* Shapes of one item, from the first of the source. */
static enum tamis_status first_shapes(struct slim *s, struct tensor **in, struct tamis_error *err)
{
	struct feed_reader *r = s->in->items;
	struct batch b = { 0 };
	enum tamis_status status = r->rewind(r->self, err);

	if (status == TAMIS_OK)
		status = r->next(r->self, 1, &b, err);
	if (status == TAMIS_OK && !b.items)
		status = tm_fail(err, TAMIS_E_INVALID, "the calibration data hold no item");
	if (status != TAMIS_OK)
		return status;
	*in = tm_array((size_t)b.n + 1, sizeof **in);
	if (!*in)
		return tm_no_memory(err, "reading items");
	memcpy(*in, b.in, (size_t)b.n * sizeof **in);
	return r->rewind(r->self, err);
}

static enum tamis_status make_plan(struct slim *s, struct tamis_error *err)
{
	struct program_options options = { .training = true };
	struct tensor *in = NULL;
	enum tamis_status status = program_create(s->graph, &options, &s->program, err);

	if (status == TAMIS_OK)
		status = first_shapes(s, &in, err);
	if (status == TAMIS_OK)
		status = plan_create(s->program, in, &s->plan, err);
	free(in);
	return status;
}

struct layer_filter slim_filter(const struct slim *s)
{
	return (struct layer_filter){ .only = s->has_only ? &s->only : NULL, .skip = s->has_skip ? &s->skip : NULL,
		.mutable_initializers = s->in->options->mutable_initializers };
}

enum tamis_status slim_index(struct slim *s, struct tamis_error *err)
{
	struct layer_filter filter = slim_filter(s);
	enum tamis_status status;

	drop_index(s);
	status = graph_build(s->doc, &op_table, &s->graph, err);
	if (status == TAMIS_OK)
		status = make_plan(s, err);
	if (status == TAMIS_OK)
		status = layers_find(s->graph, s->plan, &filter, &s->layers, err);
	return status;
}
