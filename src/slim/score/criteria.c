/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/score/criteria.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "slim/score/obs.h"

void criterion_squares(const struct layer *l, const struct copies *c, const float *w, int64_t o, double *square)
{
	int64_t n = l->view.fan_in, base = o / (l->view.outs / l->view.groups) * n;

	memset(square, 0, (size_t)n * sizeof *square);
	for (int64_t d = 0; d < n; d++)
		square[c->first ? c->first[base + d] - base : d] += w[layer_offset(&l->view, o, d)];
	for (int64_t d = 0; d < n; d++)
		square[d] *= square[d];
	/* From the back: the first of a class comes before its copies and is read by them. */
	for (int64_t d = n - 1; c->first && d >= 0; d--)
		square[d] = square[c->first[base + d] - base] / (double)c->size[base + d];
}

static enum tamis_status pii(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed,
                             float *out, struct tamis_error *err)
{
	double scale = l->view.weight_scale * l->view.weight_scale;
	double *square = tm_array((size_t)l->view.fan_in + 1, sizeof *square);
	int64_t per = l->view.outs / l->view.groups;

	(void)seed;
	if (!square)
		return tm_no_memory(err, "ranking connections");
	for (int64_t o = 0; o < l->view.outs; o++) {
		const double *relevance = s->relevance + o / per * l->view.fan_in;

		criterion_squares(l, &s->copies, w, o, square);
		for (int64_t d = 0; d < l->view.fan_in; d++)
			out[layer_offset(&l->view, o, d)] = (float)(square[d] * scale * relevance[d] * s->gain[o]);
	}
	free(square);
	return TAMIS_OK;
}

/* Signals and path gradients of different items and positions as if independent: the diagonal of a Fisher matrix whose
 * cross terms between positions are left out. */
static enum tamis_status fisher(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed,
                                float *out, struct tamis_error *err)
{
	(void)seed;
	(void)err;
	for (int64_t k = 0; k < l->entries; k++)
		out[k] = (float)((double)w[k] * w[k] * s->energy[k]);
	return TAMIS_OK;
}

/* First-order Taylor expansion (Molchanov and others 2019). */
static enum tamis_status taylor(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed,
                                float *out, struct tamis_error *err)
{
	(void)seed;
	(void)err;
	for (int64_t k = 0; k < l->entries; k++)
		out[k] = (float)((double)w[k] * w[k] * s->gradient2[k]);
	return TAMIS_OK;
}

/* |w| times the norm of its input (Sun, Liu, Bair, Kolter 2023), each row brought to sum one so that rows of different
 * layers can be compared. */
static enum tamis_status wanda(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed,
                               float *out, struct tamis_error *err)
{
	int64_t per = l->view.outs / l->view.groups;

	(void)seed;
	(void)err;
	for (int64_t o = 0; o < l->view.outs; o++) {
		int64_t first = o / per * l->view.fan_in;
		double sum = 0;

		for (int64_t d = 0; d < l->view.fan_in; d++)
			sum += fabs((double)w[layer_offset(&l->view, o, d)]) * sqrt(s->second[first + d]);
		for (int64_t d = 0; d < l->view.fan_in; d++) {
			int64_t k = layer_offset(&l->view, o, d);

			out[k] = sum > 0 ? (float)(fabs((double)w[k]) * sqrt(s->second[first + d]) / sum) : 0;
		}
	}
	return TAMIS_OK;
}

static enum tamis_status magnitude(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed,
                                   float *out, struct tamis_error *err)
{
	(void)s;
	(void)seed;
	(void)err;
	for (int64_t k = 0; k < l->entries; k++)
		out[k] = fabsf(w[k]);
	return TAMIS_OK;
}

static enum tamis_status uniform(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed,
                                 float *out, struct tamis_error *err)
{
	struct rng r = rng_make(seed, (uint64_t)l->node);

	(void)s;
	(void)err;
	for (int64_t k = 0; k < l->entries; k++) {
		double u = rng_uniform(&r);

		out[k] = w[k] != 0 ? (float)u : 0;
	}
	return TAMIS_OK;
}

static const struct criterion rows[] = {
	{ "pii", true, 0, "w^2 * relevance of the signal * path gain", pii },
	{ "fisher", false, SCORE_NEEDS_ENERGY, "E sum (w u delta)^2", fisher },
	{ "obs", false, SCORE_NEEDS_COVARIANCE, "w^2 / [H^-1]_dd * path gain", obs_score },
	{ "taylor", false, SCORE_NEEDS_GRADIENT, "E (w dL/dw)^2", taylor },
	{ "wanda", false, 0, "|w| * norm of the input, rows summing to one", wanda },
	{ "magnitude", false, 0, "|w|", magnitude },
	{ "random", false, 0, "uniform", uniform },
};

const struct criterion *criterion_find(const char *name)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (!strcmp(rows[i].name, name))
			return &rows[i];
	return NULL;
}

const struct criterion *criterion_list(size_t *n)
{
	*n = sizeof rows / sizeof *rows;
	return rows;
}
