/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/search/cut.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "slim/score/obs.h"

#define BINS 65536

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "ranking connections");
}

/* ---- ranking ------------------------------------------------------------------------------------------------ */

static bool keep_original(struct arena *a, const struct tensor *t, struct tensor *copy)
{
	*copy = *t;
	copy->data = arena_alloc(a, tensor_bytes(t) + 1);
	if (copy->data && t->count)
		memcpy(copy->data, t->data, tensor_bytes(t));
	return copy->data != NULL;
}

static uint32_t bits(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof u);
	return u;
}

/* Positive floats sort as their bit patterns do; halved, they leave the top bit but one to say what is significant. */
#define SIGNIFICANT 0x40000000u

static uint32_t rank_of(double weight, float score)
{
	if (weight == 0 || !(score > 0))
		return 0;
	return (bits(fminf(score, 3e38f)) >> 1) + 1;
}

static void raise_significant(const struct layer *l, const unsigned char *significant, uint32_t *rank)
{
	int64_t per = l->view.outs / l->view.groups;

	for (int64_t o = 0; o < l->view.outs; o++)
		for (int64_t d = 0; d < l->view.fan_in; d++) {
			uint32_t *r = &rank[layer_offset(&l->view, o, d)];

			if (*r && significant[o / per * l->view.fan_in + d])
				*r |= SIGNIFICANT;
		}
}

static enum tamis_status score_entries(const struct cut_job *job, int i, const float *w, float *score, struct tamis_error *err)
{
	const struct layer *l = &job->layers->list[i];
	const struct layer_score *s = &job->scores->layer[i];

	if (!job->moments || !job->criterion->tested)
		return job->criterion->score(l, s, w, job->seed, score, err);
	return partial_score(l, s, job->moments[i].rows ? job->moments[i].uu : NULL, PARTIAL_FLOPS, w, score, err);
}

struct ranking { const struct cut_job *job; struct cut *cut; };

static enum tamis_status rank_layer(void *ctx, int64_t index, int worker, struct tamis_error *err)
{
	const struct ranking *r = ctx;
	const struct cut_job *job = r->job;
	const struct layer *l = &job->layers->list[index];
	uint32_t *rank = r->cut->rank[index];
	float *w, *score;
	enum tamis_status s;

	(void)worker;
	if (!rank)
		return TAMIS_OK;
	w = tm_array_uninit((size_t)l->entries + 1, sizeof *w);
	score = tm_array((size_t)l->entries + 1, sizeof *score);
	s = w && score ? TAMIS_OK : no_memory(err);
	for (int64_t k = 0; w && score && k < l->entries; k++)
		w[k] = (float)tensor_get(&r->cut->weight[index], k);
	if (s == TAMIS_OK)
		s = score_entries(job, (int)index, w, score, err);
	for (int64_t k = 0; s == TAMIS_OK && k < l->entries; k++)
		rank[k] = rank_of(w[k], score[k]);
	if (s == TAMIS_OK && job->significance && job->criterion->tested)
		raise_significant(l, job->significance->feature[index], rank);
	free(w);
	free(score);
	return s;
}

static enum tamis_status keep_layer(struct cut *c, int i, struct tamis_error *err)
{
	const struct layer *l = &c->layers->list[i];
	const struct graph *g = c->graph;

	c->rank[i] = arena_array(&c->arena, (size_t)l->entries + 1, sizeof(uint32_t));
	if (!c->rank[i] || !keep_original(&c->arena, &g->values[l->weight].constant, &c->weight[i]))
		return no_memory(err);
	if (l->bias != GRAPH_NONE && !keep_original(&c->arena, &g->values[l->bias].constant, &c->bias[i]))
		return no_memory(err);
	return TAMIS_OK;
}

static void count(struct cut *c, int i)
{
	const struct layer *l = &c->layers->list[i];

	c->total += l->entries;
	for (int64_t k = 0; k < l->entries; k++) {
		c->alive += tensor_get(&c->weight[i], k) != 0;
		c->rankable += c->rank[i][k] > 0;
	}
}

enum tamis_status cut_create(const struct cut_job *job, struct cut *out, struct tamis_error *err)
{
	size_t n = (size_t)job->layers->n + 1;
	struct ranking ranking = { job, out };
	enum tamis_status s = TAMIS_OK;

	*out = (struct cut){ .graph = job->graph, .layers = job->layers, .scores = job->scores, .keep = 1 };
	out->weight = arena_array(&out->arena, n, sizeof *out->weight);
	out->bias = arena_array(&out->arena, n, sizeof *out->bias);
	out->rank = arena_array(&out->arena, n, sizeof *out->rank);
	if (!out->weight || !out->bias || !out->rank)
		return no_memory(err);
	for (int i = 0; s == TAMIS_OK && i < job->layers->n; i++)
		if (!job->layers->list[i].note)
			s = keep_layer(out, i, err);
	if (s == TAMIS_OK)
		s = pool_for(job->pool, job->layers->n, rank_layer, &ranking, err);
	for (int i = 0; s == TAMIS_OK && i < job->layers->n; i++)
		if (out->rank[i])
			count(out, i);
	out->kept = out->alive;
	return s;
}

void cut_free(struct cut *c)
{
	arena_free(&c->arena);
	*c = (struct cut){ 0 };
}

/* ---- threshold ---------------------------------------------------------------------------------------------- */

/* Two histograms of 16 bits find the k-th largest rank exactly. */
static void histogram(uint32_t *const *rank, const struct layers *l, int64_t *bins, bool low, uint32_t high)
{
	memset(bins, 0, BINS * sizeof *bins);
	for (int i = 0; i < l->n; i++)
		for (int64_t k = 0; rank[i] && k < l->list[i].entries; k++) {
			uint32_t u = rank[i][k];

			if (!u)
				continue;
			if (!low)
				bins[u >> 16]++;
			else if (u >> 16 == high)
				bins[u & 0xffff]++;
		}
}

/* The bin from the top in which the count reaches `want`; *want becomes what is still wanted inside it. */
static uint32_t find_bin(const int64_t *bins, int64_t *want)
{
	uint32_t b = BINS - 1;

	while (b > 0 && bins[b] < *want)
		*want -= bins[b--];
	return b;
}

uint32_t cut_threshold(uint32_t *const *rank, const struct layers *l, int64_t want, int64_t *ties)
{
	int64_t bins[BINS];
	uint32_t high;

	histogram(rank, l, bins, false, 0);
	high = find_bin(bins, &want);
	histogram(rank, l, bins, true, high);
	high = high << 16 | find_bin(bins, &want);
	*ties = want;
	return high;
}

/* ---- applying ----------------------------------------------------------------------------------------------- */

struct sieve { uint32_t threshold; int64_t ties; };

static bool passes(struct sieve *s, uint32_t rank)
{
	if (!rank || rank < s->threshold)
		return false;
	return rank > s->threshold || s->ties-- > 0;
}

/* Ties are used up in the order of entries. */
static void cut_layer(struct cut *c, int i, struct sieve *s)
{
	const struct layer *l = &c->layers->list[i];
	struct tensor *w = &c->graph->values[l->weight].constant;

	size_t size = tensor_bytes(w) / (size_t)(w->count ? w->count : 1);

	for (int64_t k = 0; k < l->entries; k++) {
		bool kept = passes(s, c->rank[i][k]);
		char *to = (char *)w->data + (size_t)k * size;

		if (kept)
			memcpy(to, (char *)c->weight[i].data + (size_t)k * size, size);
		else
			memset(to, 0, size);
		c->kept += kept;
	}
}

/* What output o loses on average, in units of its bias. */
static double lost(const struct cut *c, int i, int64_t o)
{
	const struct layer *l = &c->layers->list[i];
	const struct tensor *w = &c->graph->values[l->weight].constant;
	const double *mean = c->scores->layer[i].mean + o / (l->view.outs / l->view.groups) * l->view.fan_in;
	double sum = 0;

	for (int64_t d = 0; d < l->view.fan_in; d++) {
		int64_t k = layer_offset(&l->view, o, d);

		sum += (tensor_get(&c->weight[i], k) - tensor_get(w, k)) * mean[d];
	}
	return sum * l->view.weight_scale;
}

static void fold_means(struct cut *c, int i)
{
	const struct layer *l = &c->layers->list[i];
	struct tensor *b;

	if (l->bias == GRAPH_NONE)
		return;
	b = &c->graph->values[l->bias].constant;
	for (int64_t o = 0; o < l->view.outs; o++) {
		double m = lost(c, i, o), before = tensor_get(&c->bias[i], o);

		if (l->bias_kind == BIAS_INPUT)
			m /= l->view.bias_scale;
		tensor_set(b, o, l->bias_kind == BIAS_MEAN ? before - m : before + m);
	}
}

static void restore(struct cut *c)
{
	for (int i = 0; i < c->layers->n; i++) {
		const struct layer *l = &c->layers->list[i];

		if (c->weight[i].data)
			memcpy(c->graph->values[l->weight].constant.data, c->weight[i].data, tensor_bytes(&c->weight[i]));
		if (c->bias[i].data)
			memcpy(c->graph->values[l->bias].constant.data, c->bias[i].data, tensor_bytes(&c->bias[i]));
	}
	c->kept = c->alive;
}

void cut_apply(struct cut *c, double keep)
{
	int64_t want = (int64_t)llround(keep * (double)c->total);
	struct sieve s;

	c->keep = keep;
	if (keep >= 1) {
		restore(c);
		return;
	}
	want = want < c->rankable ? want : c->rankable;
	s.threshold = cut_threshold(c->rank, c->layers, want > 0 ? want : 1, &s.ties);
	if (want <= 0)
		s = (struct sieve){ UINT32_MAX, 0 };
	c->kept = 0;
	for (int i = 0; i < c->layers->n; i++)
		if (c->rank[i]) {
			cut_layer(c, i, &s);
			fold_means(c, i);
		}
}
