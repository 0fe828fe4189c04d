/* SPDX-License-Identifier: Apache-2.0 */
/* The pilot: the first items fix what all others are measured against. */
#include <stdlib.h>

#include "slim/score/score_state.h"

struct pilot {
	float *y;          /* items x width */
	int64_t items;
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "scoring");
}

static bool select_item(void *ctx, int64_t item)
{
	const struct score_job *j = ((struct pass *)ctx)->job;

	return !j->select || j->select(j->select_ctx, item);
}

static enum tamis_status keep_outputs(struct pass *p, const struct runner *r, int64_t items, struct tamis_error *err)
{
	struct pilot *t = p->pilot;
	size_t have = (size_t)(t->items * p->head->width), more = (size_t)(items * p->head->width);
	float *y = realloc(t->y, (have + more + 1) * sizeof *y);

	if (!y)
		return no_memory(err);
	t->y = y;
	t->items += items;
	return head_values(p->head, r, items, y + have, err);
}

static enum tamis_status run_batch(struct pass *p, struct worker *w, struct runner *r, const struct chunk *c,
                                   struct tamis_error *err)
{
	enum tamis_status s = runner_run(r, c->in, NULL, err);

	if (s == TAMIS_OK && !p->pilot->items)
		s = head_detect(p->job->graph, r, c->items, p->job->head, p->head, err);
	if (s == TAMIS_OK)
		s = keep_outputs(p, r, c->items, err);
	for (int i = 0; s == TAMIS_OK && i < p->job->layers->n; i++)
		if (!p->job->layers->list[i].note)
			s = signals_keep(p, w, i, r, c->items, false, err);
	return s;
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

static enum tamis_status fix_layer(struct pass *p, int i, const float *psi, struct tamis_error *err)
{
	const struct layer *l = &p->job->layers->list[i];
	struct worker *w = &p->workers[0];
	struct partial *a = &w->layer[i];
	int64_t n = a->items;
	int positions = signals_positions(l);
	enum tamis_status s;

	a->items = 0;
	if (!n)
		return TAMIS_OK;
	s = copies_of_signals(l, a->u, n * positions, &p->sums->arena, &p->sums->layer[i].copies, err);
	if (s == TAMIS_OK && p->signal_map)
		s = signal_map_create(&p->signal_map[i], l->features, positions, signals_width(p, l) / positions, a->u,
		                      l->features, n, p->job->seed, err);
	if (s == TAMIS_OK)
		s = signals_widen(p, w, i, a->u, n, err);
	return s == TAMIS_OK ? comoment_pivot(&w->moment[i], p->signal_map ? w->phi : a->u, l->features, psi, n, err) : s;
}

static enum tamis_status fix(struct pass *p, struct tamis_error *err)
{
	const struct pilot *t = p->pilot;
	float *psi = tm_array_uninit((size_t)(t->items * FEATURES_DEFAULT) + 1, sizeof *psi);
	enum tamis_status s = psi ? TAMIS_OK : no_memory(err);

	if (s == TAMIS_OK)
		s = feature_map_create(&p->map, p->head->kind, t->y, t->items, p->head->width, p->head->classes,
		                       FEATURES_DEFAULT, p->job->seed, err);
	if (s == TAMIS_OK)
		s = feature_map_apply(&p->map, t->y, t->items, psi, err);
	if (s == TAMIS_OK)
		s = output_moment_pivot(&p->workers[0].psi_moment, psi, t->items, err);
	for (int i = 0; s == TAMIS_OK && i < p->job->layers->n; i++)
		s = fix_layer(p, i, psi, err);
	free(psi);
	return s;
}

enum tamis_status pilot_run(struct pass *p, struct tamis_error *err)
{
	const struct score_job *j = p->job;
	int64_t group = score_group(j, SCORE_PILOT);
	struct pilot t = { 0 };
	struct items_job job = { .ctx = p, .select = select_item, .work = work,
		.max_chunks = j->batching == BATCH_ONE ? SCORE_PILOT : (SCORE_PILOT + group - 1) / group };
	enum tamis_status s;

	p->pilot = &t;
	s = items_run(p->program, j->reader, j->batching, group, NULL, &job, err);
	if (s == TAMIS_OK && !t.items)
		s = tm_fail(err, TAMIS_E_INVALID, "no calibration item is left to fit on");
	if (s == TAMIS_OK)
		s = fix(p, err);
	p->pilot = NULL;
	free(t.y);
	return s;
}
