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

/* ---- stages ------------------------------------------------------------------------------------------------- */

void pilot_tell(struct pass *p, enum pilot_stage stage)
{
	pthread_mutex_lock(&p->lock);
	p->stage = stage;
	pthread_cond_broadcast(&p->told);
	pthread_mutex_unlock(&p->lock);
}

enum tamis_status pilot_await(struct pass *p, enum pilot_stage stage, struct tamis_error *err)
{
	bool failed;

	pthread_mutex_lock(&p->lock);
	while (p->stage < stage)
		pthread_cond_wait(&p->told, &p->lock);
	failed = p->stage == PILOT_FAILED;
	pthread_mutex_unlock(&p->lock);
	return failed ? tm_fail(err, TAMIS_E_INTERNAL, "the first items could not be scored") : TAMIS_OK;
}

/* ---- pivots ------------------------------------------------------------------------------------------------- */

static enum tamis_status find_copies(struct pass *p, int i, const float *u, int64_t rows, struct tamis_error *err)
{
	enum tamis_status s;

	pthread_mutex_lock(&p->lock);
	s = copies_of_signals(&p->job->layers->list[i], u, rows, &p->sums->arena, &p->sums->layer[i].copies, err);
	pthread_mutex_unlock(&p->lock);
	return s;
}

enum tamis_status pilot_layer(struct pass *p, struct worker *w, int i, struct tamis_error *err)
{
	const struct layer *l = &p->job->layers->list[i];
	const struct partial *a = &p->pilot->layer[i];
	int positions = signals_positions(l);
	int64_t n = p->fixed[i] ? 0 : a->items; /* the pilot goes on to other groups once all layers are fixed */
	enum tamis_status s;

	if (!n)
		return TAMIS_OK;
	s = find_copies(p, i, a->u, n * positions, err);
	if (s == TAMIS_OK && p->signal_map)
		s = signal_map_create(&p->signal_map[i], l->features, positions, signals_width(p, l) / positions, a->u,
		                      l->features, n, p->job->seed, err);
	if (s == TAMIS_OK)
		s = signals_widen(p, w, i, a->u, n, err);
	if (s == TAMIS_OK)
		s = comoment_pivot(&p->sums->layer[i].moment, p->signal_map ? w->phi : a->u, l->features, p->pilot->psi, n, err);
	return s;
}

enum tamis_status pilot_pivot(struct pass *p, struct tamis_error *err)
{
	return output_moment_pivot(&p->sums->psi, p->pilot->psi, p->pilot->values, err);
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

	p->pilot = w;
	if (s == TAMIS_OK && !w->values)
		return TAMIS_OK;
	if (s == TAMIS_OK)
		s = pilot_map(p, w, err);
	if (s == TAMIS_OK)
		s = score_make_psi(p, w, err);
	if (s == TAMIS_OK)
		s = pilot_pivot(p, err);
	for (int i = 0; s == TAMIS_OK && i < j->layers->n; i++) {
		s = pilot_layer(p, w, i, err);
		p->fixed[i] = true;
	}
	if (s == TAMIS_OK)
		pilot_tell(p, PILOT_MAP);
	return s;
}
