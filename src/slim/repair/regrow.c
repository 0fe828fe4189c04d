/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/regrow.h"

#include <math.h>
#include <stdlib.h>

#include "slim/search/cut.h"

struct regrowing {
	const struct regrow_job *job;
	struct adam entries;    /* every one of the parameters, cut ones too */
	float *gradient;        /* entries.total */
	uint32_t **rank;        /* by layer, by entry of its weight; 0 = not cut, or nothing to gain */
	struct arena arena;
};

static float *gradient_of(const struct regrowing *r, int value)
{
	return r->gradient + r->entries.list[r->entries.index_of[value]].first;
}

/* Positive floats sort as their bit patterns do. */
static uint32_t rank_of(double score)
{
	union { float f; uint32_t bits; } u = { .f = (float)fmin(score, 3e38) };

	return score > 0 ? u.bits + 1 : 0;
}

static void rank_layer(struct regrowing *r, int i)
{
	const struct layer *l = &r->job->layers->list[i];
	const struct layer_score *s = &r->job->scores->layer[i];
	const struct tensor *now = &r->entries.graph->values[l->weight].constant;
	const struct tensor *original = &r->job->original->values[l->weight].constant;
	const float *gradient = gradient_of(r, l->weight);
	int64_t per = l->view.outs / l->view.groups;

	for (int64_t o = 0; o < l->view.outs; o++)
		for (int64_t d = 0; d < l->view.fan_in; d++) {
			int64_t k = layer_offset(&l->view, o, d);
			double scale = l->view.weight_scale, g = gradient[k];
			double curvature = scale * scale * s->second[o / per * l->view.fan_in + d] * s->gain[o];

			if (tensor_get(now, k) == 0 && tensor_get(original, k) != 0 && curvature > 0)
				r->rank[i][k] = rank_of(g * g / curvature);
		}
}

/* Of equal ranks the first come back. */
static void grow_layer(const struct regrowing *r, int i, uint32_t threshold, int64_t *ties)
{
	const struct layer *l = &r->job->layers->list[i];
	struct tensor *w = &r->entries.graph->values[l->weight].constant;
	const float *gradient = gradient_of(r, l->weight);

	for (int64_t k = 0; k < l->entries; k++) {
		uint32_t rank = r->rank[i][k];

		if (!rank || rank < threshold || (rank == threshold && (*ties)-- <= 0))
			continue;
		tensor_set(w, k, gradient[k] > 0 ? -r->job->start : r->job->start);
	}
}

static enum tamis_status make_ranks(struct regrowing *r, int64_t *candidates, struct tamis_error *err)
{
	const struct layers *l = r->job->layers;

	*candidates = 0;
	r->rank = arena_array(&r->arena, (size_t)l->n + 1, sizeof *r->rank);
	for (int i = 0; r->rank && i < l->n; i++) {
		if (l->list[i].note)
			continue;
		r->rank[i] = arena_array(&r->arena, (size_t)l->list[i].entries + 1, sizeof **r->rank);
		if (!r->rank[i])
			return tm_no_memory(err, "regrowing");
		rank_layer(r, i);
		for (int64_t k = 0; k < l->list[i].entries; k++)
			*candidates += r->rank[i][k] > 0;
	}
	return r->rank ? TAMIS_OK : tm_no_memory(err, "regrowing");
}

static enum tamis_status regrow(struct regrowing *r, int64_t count, struct tamis_error *err)
{
	const struct distil_job *j = &r->job->distil->job;
	int64_t candidates = 0, ties;
	uint32_t threshold;
	enum tamis_status s = adam_open(j->graph, j->parameters, true, &r->entries, err);

	if (s != TAMIS_OK)
		return s;
	r->gradient = arena_array(&r->arena, (size_t)r->entries.total + 1, sizeof *r->gradient);
	if (!r->gradient)
		return tm_no_memory(err, "regrowing");
	s = distil_gradient(r->job->distil, REGROW_ITEMS, r->gradient, err);
	if (s == TAMIS_OK)
		s = make_ranks(r, &candidates, err);
	count = count < candidates ? count : candidates;
	if (s != TAMIS_OK || count <= 0)
		return s;
	threshold = cut_threshold(r->rank, r->job->layers, count, &ties);
	for (int i = 0; i < r->job->layers->n; i++)
		if (r->rank[i])
			grow_layer(r, i, threshold, &ties);
	return TAMIS_OK;
}

enum tamis_status regrow_run(const struct regrow_job *job, int64_t count, struct tamis_error *err)
{
	struct regrowing r = { .job = job };
	enum tamis_status s = regrow(&r, count, err);

	adam_close(&r.entries);
	arena_free(&r.arena);
	return s;
}
