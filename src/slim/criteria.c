/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/criteria.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"

static void pii(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed, float *out)
{
	double scale = l->view.weight_scale * l->view.weight_scale;
	int64_t per = l->view.outs / l->view.groups;

	(void)seed;
	for (int64_t o = 0; o < l->view.outs; o++) {
		const double *relevance = s->relevance + o / per * l->view.fan_in;

		for (int64_t d = 0; d < l->view.fan_in; d++) {
			int64_t k = layer_offset(&l->view, o, d);

			out[k] = (float)((double)w[k] * w[k] * scale * relevance[d] * s->gain[o]);
		}
	}
}

static void fisher(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed, float *out)
{
	(void)seed;
	for (int64_t k = 0; k < l->entries; k++)
		out[k] = (float)((double)w[k] * w[k] * s->fisher[k]);
}

/* |w| times the norm of its input (Sun, Liu, Bair, Kolter 2023), each row brought to sum one so that rows of different
 * layers can be compared. */
static void wanda(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed, float *out)
{
	int64_t per = l->view.outs / l->view.groups;

	(void)seed;
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
}

static void magnitude(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed, float *out)
{
	(void)s;
	(void)seed;
	for (int64_t k = 0; k < l->entries; k++)
		out[k] = fabsf(w[k]);
}

static void uniform(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed, float *out)
{
	struct rng r = rng_make(seed, (uint64_t)l->node);

	(void)s;
	for (int64_t k = 0; k < l->entries; k++) {
		double u = rng_uniform(&r);

		out[k] = w[k] != 0 ? (float)u : 0;
	}
}

static const struct criterion rows[] = {
	{ "pii", true, false, "w^2 * relevance of the signal * path gain", pii },
	{ "fisher", false, true, "E (w dL/dw)^2", fisher },
	{ "wanda", false, false, "|w| * norm of the input, rows summing to one", wanda },
	{ "magnitude", false, false, "|w|", magnitude },
	{ "random", false, false, "uniform", uniform },
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
