/* SPDX-License-Identifier: Apache-2.0 */
/* Scores that a file holds take the place of the scoring pass, where they are of this model and these options. */
#include <string.h>

#include "slim/state.h"

static enum tamis_status check_model(const struct slim *s, const struct score_file *f, struct tamis_error *err)
{
	if (f->shards)
		return tm_fail(err, TAMIS_E_INVALID, "whole scores were expected, and shard %d of %d came: merge the set first",
		               f->shard, f->shards);
	if (strcmp(f->origin.source_sha256, s->in->doc->sha256_hex))
		return tm_fail(err, TAMIS_E_INVALID, "the scores are of another model, whose SHA-256 begins with %.12s and not "
		               "with %.12s", f->origin.source_sha256, s->in->doc->sha256_hex);
	return TAMIS_OK;
}

static enum tamis_status check_options(struct slim *s, const struct score_file *f, struct tamis_error *err)
{
	const struct tamis_slim_options *o = s->in->options;
	const char *options = slim_describe_scoring(s, s->arena);

	if (!options)
		return tm_no_memory(err, "taking scores from a file");
	if (strcmp(f->origin.options, options))
		return tm_fail(err, TAMIS_E_USAGE, "the scores were made with other options than were given: '%.120s', not '%.120s'",
		               f->origin.options, options);
	if (f->origin.alpha != o->alpha || f->origin.fdr != s->fdr)
		return tm_fail(err, TAMIS_E_USAGE, "the scores were tested with alpha %g and rule %s, not with alpha %g and rule %s",
		               f->origin.alpha, f->origin.fdr == FDR_BENJAMINI_YEKUTIELI ? "by" : "bh", o->alpha,
		               s->figures->fdr);
	return TAMIS_OK;
}

/* Items that come from no file have no hash, and are taken for the same where there are as many. */
static bool same_items(const struct slim *s, const struct score_file *f)
{
	const char *a = f->origin.calibration_sha256, *b = s->in->calibration_sha256;
	struct item_source scored = s->fit;
	int64_t n;

	if (a || b)
		return a && b && !strcmp(a, b);
	scored.seed = f->origin.seed;
	scored.from = f->origin.from;
	scored.to = f->origin.to;
	n = item_source_count(&scored);
	return f->origin.random == s->in->random_items && (n < 0 || n == f->items);
}

/* Of the same items only those may have been scored that are fitted on. */
static enum tamis_status check_items(struct slim *s, const struct score_file *f, struct tamis_error *err)
{
	const struct tamis_observer *o = &s->in->options->observer;

	if (!same_items(s, f)) {
		if (o->warn)
			o->warn(o->ctx, "the scores come from other items than were given; see that none of those held out was "
			        "among them");
		return TAMIS_OK;
	}
	if (f->origin.seed != s->in->options->seed)
		return tm_fail(err, TAMIS_E_USAGE, "the scores were made with seed %llu, not %llu: other items would be held out",
		               (unsigned long long)f->origin.seed, (unsigned long long)s->in->options->seed);
	if (f->origin.from < s->fit.from || f->origin.to > s->fit.to)
		return tm_fail(err, TAMIS_E_USAGE, "the scores have seen the share %g of the items, and only %g are to be fitted "
		               "on: give the share held out that they were made with", f->origin.to - f->origin.from,
		               s->fit.to - s->fit.from);
	return TAMIS_OK;
}

static bool fits(const struct slim *s, const struct score_file *f, int i)
{
	const struct layer *a = &s->layers.list[i], *b = &f->layers.list[i];
	const struct layer_score *x = &f->scores.layer[i];

	if (strcmp(s->graph->values[a->weight].name, f->layer[i].weight) || !a->note != !b->note)
		return false;
	return a->note || (a->entries == b->entries && a->features == b->features && a->view.outs == b->view.outs
	                   && a->view.fan_in == b->view.fan_in && a->view.groups == b->view.groups
	                   && (x->gradient2 || !(s->criterion->needs & SCORE_NEEDS_GRADIENT))
	                   && (x->energy || !(s->criterion->needs & SCORE_NEEDS_ENERGY))
	                   && (x->covariance || !(s->criterion->needs & SCORE_NEEDS_COVARIANCE)
	                       || a->view.fan_in > SCORE_MAX_COVARIANCE));
}

static bool head_fits(const struct slim *s, const struct head *h)
{
	const struct planned *y;

	if (h->kind == HEAD_GENERAL)
		return true;
	if (h->output < 0 || h->output >= s->graph->n_outputs)
		return false;
	y = &s->plan->value[s->graph->outputs[h->output]];
	if (y->place == PLACE_DYNAMIC)
		return true;
	return dtype_is_float((int)y->shape.type) && y->shape.rank >= 1 && y->shape.dims[y->shape.rank - 1] == h->classes;
}

static enum tamis_status check_layers(const struct slim *s, const struct score_file *f, struct tamis_error *err)
{
	bool good = f->layers.n == s->layers.n && head_fits(s, &f->origin.head);

	for (int i = 0; good && i < s->layers.n; i++)
		good = fits(s, f, i);
	return good ? TAMIS_OK : tm_fail(err, TAMIS_E_INVALID, "the scores do not have the layers and outputs of the model");
}

static enum tamis_status check(struct slim *s, const struct score_file *f, struct tamis_error *err)
{
	enum tamis_status status = check_model(s, f, err);

	if (status == TAMIS_OK)
		status = check_options(s, f, err);
	if (status == TAMIS_OK)
		status = check_layers(s, f, err);
	return status == TAMIS_OK ? check_items(s, f, err) : status;
}

enum tamis_status scores_take(struct slim *s, struct tamis_error *err)
{
	const struct tamis_slim_options *o = s->in->options;
	struct score_file *f = &s->given;
	enum tamis_status status = score_file_read(o->scores, o->max_memory, f, err);

	if (status != TAMIS_OK)
		return status;
	status = check(s, f, err);
	if (status != TAMIS_OK)
		return tm_in_file(err, o->scores);
	s->scores = f->scores;
	f->scores = (struct scores){ 0 };
	s->head = f->origin.head;
	s->n_fit = item_source_count(&s->fit);
	if (s->n_fit < 0)
		s->n_fit = s->scores.items;
	return TAMIS_OK;
}
