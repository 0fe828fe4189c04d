/* SPDX-License-Identifier: Apache-2.0 */
/* The pilot: the first items fix what all others are measured against. */
#include <stdlib.h>

#include "slim/score/score_state.h"

/* ---- the outputs' features ---------------------------------------------------------------------------------- */

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Whole batches, SCORE_PILOT items or more where there are as many. */
static int64_t map_items(const struct pass *p, int64_t items)
{
	return smaller(score_group(p->job, SCORE_PILOT), items);
}

enum tamis_status pilot_map(struct pass *p, const struct worker *w, struct tamis_error *err)
{
	if (p->map.r)
		return TAMIS_OK;
	return feature_map_create(&p->map, p->head->kind, w->y, smaller(map_items(p, w->values), SCORE_MAP), p->head->width,
	                          p->head->classes, FEATURES_DEFAULT, p->job->seed, err);
}

/* Probes of general outputs are scaled by what these spread over the pilot, so its other batches run ahead. */
static enum tamis_status look_ahead(struct pass *p, struct worker *w, struct runner *r, const struct chunk *group,
                                    struct tamis_error *err)
{
	int64_t chunk = p->job->chunk, n = map_items(p, group->items);
	enum tamis_status s = score_keep_values(p, w, r, smaller(chunk, n), err);

	for (int64_t at = chunk; s == TAMIS_OK && at < n; at += chunk) {
		struct chunk batch = score_batch(p, group, at, w->part);

		s = runner_run(r, batch.in, NULL, err);
		if (s == TAMIS_OK)
			s = score_keep_values(p, w, r, batch.items, err);
	}
	if (s == TAMIS_OK)
		s = pilot_map(p, w, err);
	w->values = 0;
	if (s == TAMIS_OK && n > chunk)
		s = runner_run(r, score_batch(p, group, 0, w->part).in, NULL, err);
	return s;
}

enum tamis_status pilot_outputs(struct pass *p, struct worker *w, struct runner *r, const struct chunk *group,
                                struct tamis_error *err)
{
	int64_t items = smaller(p->job->chunk, group->items);
	enum tamis_status s = head_detect(p->job->graph, r, items, p->job->head, p->head, err);

	return s == TAMIS_OK && p->head->kind == HEAD_GENERAL ? look_ahead(p, w, r, group, err) : s;
}

/* ---- pivots ------------------------------------------------------------------------------------------------- */

static enum tamis_status fix_layer(struct pass *p, int i, struct tamis_error *err)
{
	const struct layer *l = &p->job->layers->list[i];
	struct worker *w = &p->workers[0];
	struct partial *a = &w->layer[i];
	int64_t n = a->items;
	int positions = signals_positions(l);
	enum tamis_status s;

	if (!n)
		return TAMIS_OK;
	s = copies_of_signals(l, a->u, n * positions, &p->sums->arena, &p->sums->layer[i].copies, err);
	if (s == TAMIS_OK && p->signal_map)
		s = signal_map_create(&p->signal_map[i], l->features, positions, signals_width(p, l) / positions, a->u,
		                      l->features, n, p->job->seed, err);
	if (s == TAMIS_OK)
		s = signals_widen(p, w, i, a->u, n, err);
	if (s == TAMIS_OK)
		s = comoment_pivot(&w->moment[i], p->signal_map ? w->phi : a->u, l->features, w->psi, n, err);
	return s;
}

enum tamis_status pilot_pivots(struct pass *p, struct tamis_error *err)
{
	struct worker *w = &p->workers[0];
	enum tamis_status s = output_moment_pivot(&w->psi_moment, w->psi, w->values, err);

	for (int i = 0; s == TAMIS_OK && i < p->job->layers->n; i++)
		s = fix_layer(p, i, err);
	p->fixed = s == TAMIS_OK;
	return s;
}

/* ---- a pass of its own -------------------------------------------------------------------------------------- */

static enum tamis_status run_batch(struct pass *p, struct worker *w, struct runner *r, const struct chunk *c,
                                   struct tamis_error *err)
{
	enum tamis_status s = signals_run(p, w, r, c, false, err);

	if (s == TAMIS_OK && !w->values)
		s = head_detect(p->job->graph, r, c->items, p->job->head, p->head, err);
	return s == TAMIS_OK ? score_keep_values(p, w, r, c->items, err) : s;
}

static enum tamis_status work(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct pass *p = ctx;
	struct worker *w = &p->workers[slot];
	enum tamis_status s = TAMIS_OK;

	for (int64_t at = 0; s == TAMIS_OK && at < c->items; at += p->job->chunk) {
		struct chunk batch = score_batch(p, c, at, w->part);

		s = run_batch(p, w, r, &batch, err);
	}
	return s;
}

enum tamis_status pilot_run(struct pass *p, struct tamis_error *err)
{
	const struct score_job *j = p->job;
	struct worker *w = &p->workers[0];
	struct items_job job = { .ctx = p, .select = score_select, .work = work,
		.max_chunks = j->batching == BATCH_ONE ? SCORE_PILOT : 1 };
	enum tamis_status s = items_run(p->program, j->reader, j->batching, score_group(j, SCORE_GROUP), NULL, &job, err);

	if (s == TAMIS_OK && !w->values)
		return TAMIS_OK;
	if (s == TAMIS_OK)
		s = pilot_map(p, w, err);
	if (s == TAMIS_OK)
		s = score_make_psi(p, w, err);
	return s == TAMIS_OK ? pilot_pivots(p, err) : s;
}
