/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/forecast/forecast.h"

#include "slim/forecast/parts.h"
#include "slim/score/score_state.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "forecasting a run");
}

const char *forecast_phase_name(enum forecast_phase phase)
{
	static const char *const names[] = { [FORECAST_THROUGHOUT] = "throughout", [FORECAST_SCORING] = "scoring",
		[FORECAST_JUDGING] = "judging", [FORECAST_REFITTING] = "refitting", [FORECAST_DISTILLING] = "distilling",
		[FORECAST_WRITING] = "writing" };

	return names[phase];
}

static enum tamis_status fill_layer(const struct slim *s, int i, struct forecast_figures *out, struct tamis_error *err)
{
	const struct layer *l = &s->layers.list[i];
	const struct value *w = &s->graph->values[l->weight];
	struct forecast_layer *to = &out->layers[i];

	*to = (struct forecast_layer){ .node = arena_strdup(s->arena, s->graph->nodes[l->node].name),
		.op = s->graph->nodes[l->node].op->name, .weight = arena_strdup(s->arena, w->name),
		.shape = figures_shape(s->arena, &w->constant), .entries = l->entries, .features = l->features,
		.channels = l->view.outs, .positions = l->positions, .macs = l->macs,
		.note = l->note ? arena_strdup(s->arena, l->note) : NULL };
	if (!to->node || !to->weight || !to->shape || (l->note && !to->note))
		return no_memory(err);
	out->macs += l->macs;
	if (l->note)
		return TAMIS_OK;
	to->tested = signals_positions(l);
	out->tests += l->features;
	out->connections += l->entries;
	return TAMIS_OK;
}

static enum tamis_status fill_layers(const struct slim *s, struct forecast_figures *out, struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	out->layers = arena_array(s->arena, (size_t)s->layers.n + 1, sizeof *out->layers);
	if (!out->layers)
		return no_memory(err);
	for (int i = 0; status == TAMIS_OK && i < s->layers.n; i++)
		status = fill_layer(s, i, out, err);
	out->n_layers = (size_t)s->layers.n;
	return status;
}

static void fill_items(struct slim *s, struct forecast_figures *out)
{
	struct score_job job = { .chunk = s->fit.chunk };

	out->items = s->in->items->count(s->in->items->self);
	out->fitting = item_source_count(&s->fit);
	out->guessing = item_source_count(&s->guess);
	out->held_out = item_source_count(&s->held);
	out->scored_again = item_source_count(&s->again);
	out->refitted = item_source_count(&s->refitted);
	out->chunk = s->fit.chunk;
	out->group = score_group(&job, SCORE_GROUP);
	out->stacked = s->fit.batching == BATCH_STACKED;
	out->workers = pool_size(s->pool);
}

static enum tamis_status forecast(struct slim *s, struct forecast_figures *out, struct tamis_error *err)
{
	enum tamis_status status;

	s->pass = "forecast";
	status = pass_copy(s, err);
	if (status == TAMIS_OK)
		status = pass_layers(s, err);
	if (status != TAMIS_OK)
		return status;
	out->model = s->figures->model;
	out->criterion = s->figures->criterion;
	out->features = s->figures->features;
	out->fdr = s->figures->fdr;
	fill_items(s, out);
	status = fill_layers(s, out, err);
	if (status == TAMIS_OK)
		status = forecast_memory(s, out, err);
	return status == TAMIS_OK ? forecast_time(s, out, err) : status;
}

enum tamis_status slim_forecast(const struct slim_inputs *in, bool scores_only, int shard, int shards,
                                struct forecast_figures *out, struct arena *arena, struct tamis_error *err)
{
	struct slim_figures figures = { 0 };
	struct slim s = { .in = in, .figures = &figures, .arena = arena };
	enum tamis_status status = slim_open(&s, err);

	*out = (struct forecast_figures){ .scores_only = scores_only, .shard = shard, .shards = shards };
	if (status == TAMIS_OK)
		status = forecast(&s, out, err);
	slim_close(&s);
	return status;
}
