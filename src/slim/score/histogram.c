/* SPDX-License-Identifier: Apache-2.0 */
/* Scores of the connections before the cut, and which of them stayed. */
#include <stdlib.h>

#include "slim/state.h"

static int descending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x < y) - (x > y);
}

/* score: entries, sorted afterwards. */
static enum tamis_status fill(const struct tensor *now, double *score, struct layer_histogram *h, struct tamis_error *err)
{
	int64_t n = now->count, stayed = 0;
	enum tamis_status s = distribution_of(score, n, &h->all, err);

	for (int64_t k = 0; s == TAMIS_OK && k < n; k++) {
		int bin = distribution_bin(&h->all, score[k]);

		if (tensor_get(now, k) == 0)
			continue;
		stayed++;
		if (bin >= 0)
			h->kept[bin]++;
	}
	qsort(score, (size_t)n, sizeof *score, descending);
	h->cut = stayed > 0 && stayed < n ? score[stayed - 1] : 0;
	return s;
}

static enum tamis_status score_original(const struct slim *s, int i, float *w, float *narrow, double *score,
                                        struct tamis_error *err)
{
	const struct layer *l = &s->layers.list[i];
	const struct tensor *before = &s->reference->values[l->weight].constant;
	enum tamis_status status;

	for (int64_t k = 0; k < l->entries; k++)
		w[k] = (float)tensor_get(before, k);
	status = s->criterion->score(l, &s->scores.layer[i], w, s->in->options->seed, narrow, err);
	for (int64_t k = 0; k < l->entries; k++)
		score[k] = (double)narrow[k];
	return status;
}

enum tamis_status figures_histogram(struct slim *s, int i, const struct layer_histogram **out, struct tamis_error *err)
{
	const struct layer *l = &s->layers.list[i];
	struct layer_histogram *h = arena_alloc(s->arena, sizeof *h);
	float *w = tm_array_uninit((size_t)l->entries + 1, sizeof *w), *narrow = tm_array((size_t)l->entries + 1, sizeof *w);
	double *score = tm_array_uninit((size_t)l->entries + 1, sizeof *score);
	enum tamis_status status = h && w && narrow && score ? TAMIS_OK : tm_no_memory(err, "reporting the layers");

	if (status == TAMIS_OK)
		status = score_original(s, i, w, narrow, score, err);
	if (status == TAMIS_OK)
		status = fill(&s->graph->values[l->weight].constant, score, h, err);
	free(w);
	free(narrow);
	free(score);
	*out = h;
	return status;
}
