/* SPDX-License-Identifier: Apache-2.0 */
/* The pilot: the first items fix what all others are measured against. */
#include <stdlib.h>
#include <string.h>

#include "slim/score_state.h"

#define PILOT_ITEMS 64   /* behind the bandwidth, where the source has as many */
#define PILOT_SIGNALS 16 /* behind a pivot */

struct pilot {
	float *y;          /* items x width */
	int64_t items;
	float **u;         /* by layer: signal items x positions x features */
	int64_t *u_items;  /* by layer */
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

static enum tamis_status keep_signals(struct pass *p, struct worker *w, int i, const struct runner *r, int64_t items,
                                      struct tamis_error *err)
{
	const struct layer *l = &p->job->layers->list[i];
	struct pilot *t = p->pilot;
	int n = signals_positions(l);
	size_t row = (size_t)n * (size_t)l->features;
	int64_t pos[SCORE_POSITIONS], take = PILOT_SIGNALS - t->u_items[i];
	struct layer_call c;
	enum tamis_status s;

	if (l->note || take <= 0)
		return TAMIS_OK;
	scratch_reset(&w->scratch);
	s = signals_bind(p->job->graph, l, r, &w->scratch, items, &c, err);
	if (s != TAMIS_OK || !c.positions)
		return s;
	signals_grid(n, c.positions, pos);
	s = signals_gather(w, &c, pos, n, err);
	if (s != TAMIS_OK)
		return s;
	if (!t->u[i])
		t->u[i] = tm_array_uninit(PILOT_SIGNALS * row + 1, sizeof(float));
	if (!t->u[i])
		return no_memory(err);
	take = take < items ? take : items;
	memcpy(t->u[i] + (size_t)t->u_items[i] * row, w->u, (size_t)take * row * sizeof(float));
	t->u_items[i] += take;
	return TAMIS_OK;
}

static enum tamis_status work(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct pass *p = ctx;
	enum tamis_status s = runner_run(r, c->in, NULL, err);

	if (s == TAMIS_OK && !p->pilot->items)
		s = head_detect(p->job->graph, r, c->items, p->job->head, p->head, err);
	if (s == TAMIS_OK)
		s = keep_outputs(p, r, c->items, err);
	for (int i = 0; s == TAMIS_OK && i < p->job->layers->n; i++)
		s = keep_signals(p, &p->workers[slot], i, r, c->items, err);
	return s;
}

static enum tamis_status fix_layer(struct pass *p, int i, const float *psi, struct tamis_error *err)
{
	const struct pilot *t = p->pilot;
	const struct layer *l = &p->job->layers->list[i];
	struct worker *w = &p->workers[0];
	int64_t n = t->u_items[i] < t->items ? t->u_items[i] : t->items;
	int positions = signals_positions(l);
	enum tamis_status s = TAMIS_OK;

	if (!n)
		return TAMIS_OK;
	if (p->signal_map)
		s = signal_map_create(&p->signal_map[i], l->features, positions, signals_width(p, l) / positions, t->u[i],
		                      l->features, n, p->job->seed, err);
	if (s == TAMIS_OK)
		s = signals_widen(p, w, i, t->u[i], n, err);
	return s == TAMIS_OK ? comoment_pivot(&w->moment[i], p->signal_map ? w->phi : t->u[i], l->features, psi, n, err) : s;
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
	int n = j->layers->n;
	struct pilot t = { .u = tm_array((size_t)n + 1, sizeof *t.u), .u_items = tm_array((size_t)n + 1, sizeof *t.u_items) };
	struct items_job job = { .ctx = p, .select = select_item, .work = work,
		.max_chunks = j->batching == BATCH_ONE ? PILOT_ITEMS : (PILOT_ITEMS + j->chunk - 1) / j->chunk };
	enum tamis_status s = t.u && t.u_items ? TAMIS_OK : no_memory(err);

	p->pilot = &t;
	if (s == TAMIS_OK)
		s = items_run(p->program, j->reader, j->batching, j->chunk, NULL, &job, err);
	if (s == TAMIS_OK && !t.items)
		s = tm_fail(err, TAMIS_E_INVALID, "no calibration item is left to fit on");
	if (s == TAMIS_OK)
		s = fix(p, err);
	p->pilot = NULL;
	for (int i = 0; t.u && i < n; i++)
		free(t.u[i]);
	free(t.u);
	free(t.u_items);
	free(t.y);
	return s;
}
