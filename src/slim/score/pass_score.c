/* SPDX-License-Identifier: Apache-2.0 */
/* The passes score and significance, and the sums of a shard. */
#include <stdio.h>

#include "slim/work.h"

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

struct score_job slim_score_job(struct slim *s, struct item_source *source, struct slim_told *told)
{
	return (struct score_job){ .graph = s->graph, .layers = &s->layers, .reader = source->reader,
		.select = item_selected, .select_ctx = source, .batching = source->batching, .chunk = source->chunk,
		.pool = s->pool, .seed = s->in->options->seed, .head = s->in->options->head,
		.rich = s->in->options->features == TAMIS_FEATURES_RICH, .needs = s->criterion->needs,
		.parameters = s->in->options->dump_file != NULL, .progress = slim_tell, .progress_ctx = told };
}

enum tamis_status pass_score(struct slim *s, struct tamis_error *err)
{
	struct slim_told told = { s, 0, SCORE_COST };
	struct score_job job = slim_score_job(s, &s->fit, &told);
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
	struct slim_told told = { s, 0, SCORE_COST };
	struct score_job job = slim_score_job(s, &s->fit, &told);

	job.parameters = true;
	job.shard = shard - 1;
	job.shards = shards;
	s->work_total = slim_items_in(&s->fit) * SCORE_COST / (shards ? shards : 1);
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
