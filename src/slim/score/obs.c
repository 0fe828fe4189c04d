/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/score/obs.h"

#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "slim/score/criteria.h"

/* Residual variances of the inputs of one support, kept for as long as rows share it. */
struct support {
	int64_t *feature;   /* of the group, ascending; n of them */
	int64_t n;
	double *h;          /* n x n */
	double *residual;   /* 1 / [H^-1]_dd by feature of the group; 0 outside the support */
	bool known;
};

static double variance(const struct layer_score *s, const double *cov, int64_t first, int64_t fan_in, int64_t d)
{
	double v = s->second[first + d] - s->mean[first + d] * s->mean[first + d];

	return cov ? cov[d * fan_in + d] : v > 0 ? v : 0;
}

static bool is_read(const struct layer *l, const float *w, int64_t from, int64_t to, int64_t d)
{
	for (int64_t o = from; o < to; o++)
		if (w[layer_offset(&l->view, o, d)] != 0)
			return true;
	return false;
}

/* Takes the support of rows from..to-1; `known` stays where it is the one that was taken before. */
static void take_support(const struct layer *l, const float *w, int64_t from, int64_t to, struct support *a)
{
	int64_t n = 0;

	for (int64_t d = 0; d < l->view.fan_in; d++)
		if (is_read(l, w, from, to, d)) {
			a->known &= n < a->n && a->feature[n] == d;
			a->feature[n++] = d;
		}
	a->known &= n == a->n;
	a->n = n;
}

/* With H = R'R the diagonal of its inverse is that of R^-1 R^-1': sums of squares of rows. */
static void invert(const double *cov, int64_t fan_in, double damping, struct support *a)
{
	lapack_int n = (lapack_int)a->n, info;

	for (int64_t i = 0; i < n; i++)
		for (int64_t k = 0; k <= i; k++)
			a->h[i * n + k] = cov[a->feature[i] * fan_in + a->feature[k]] + (i == k ? damping : 0);
	info = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', n, a->h, n);
	if (info == 0)
		info = LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, 'U', 'N', n, a->h, n);
	for (int64_t i = 0; i < n; i++) {
		double own = cov[a->feature[i] * fan_in + a->feature[i]], inverse = 0;

		for (int64_t k = i; info == 0 && k < n; k++)
			inverse += a->h[k * n + i] * a->h[k * n + i];
		a->residual[a->feature[i]] = own <= 0 ? 0 : info == 0 ? 1 / inverse : own + damping;
	}
}

static void find_residuals(const struct layer_score *s, const double *cov, int64_t first, int64_t fan_in, struct support *a)
{
	double damping = 0;

	memset(a->residual, 0, (size_t)fan_in * sizeof *a->residual);
	for (int64_t d = 0; d < fan_in; d++)
		damping += OBS_DAMPING * variance(s, cov, first, fan_in, d) / (double)fan_in;
	if (cov && a->n) {
		invert(cov, fan_in, damping, a);
		return;
	}
	for (int64_t i = 0; i < a->n; i++) {
		double own = variance(s, cov, first, fan_in, a->feature[i]);

		a->residual[a->feature[i]] = own > 0 ? own + damping : 0;
	}
}

/* One inverse for all rows of the group, where their own would take too long. */
static void take_common(const struct layer *l, const float *w, int64_t o, struct support *a)
{
	int64_t per = l->view.outs / l->view.groups, group = o / per;

	take_support(l, w, group * per, (group + 1) * per, a);
}

/* Multiplies row o of out by what its inputs vary by themselves, and by its gain. most: entries a support may have. */
static void weigh_row(const struct layer *l, const struct layer_score *s, const double *cov, const float *w, int64_t o,
                      int64_t most, struct support *a, float *out)
{
	int64_t d = l->view.fan_in, group = o / (l->view.outs / l->view.groups);
	double scale = l->view.weight_scale * l->view.weight_scale;
	bool first = o % (l->view.outs / l->view.groups) == 0, common = !first && a->n > most;

	a->known &= !first;
	if (!common)
		take_support(l, w, o, o + 1, a);
	if (!common && a->n > most)
		take_common(l, w, o, a);
	if (!a->known)
		find_residuals(s, cov ? cov + group * d * d : NULL, group * d, d, a);
	a->known = true;
	for (int64_t i = 0; i < d; i++)
		out[layer_offset(&l->view, o, i)] *= (float)(scale * a->residual[i] * s->gain[o]);
}

static enum tamis_status weigh(const struct layer *l, const struct layer_score *s, const double *cov, const float *w,
                               int64_t most, float *out, struct tamis_error *err)
{
	size_t d = (size_t)l->view.fan_in;
	struct support a = { .feature = tm_array(d, sizeof *a.feature), .residual = tm_array(d, sizeof *a.residual),
		.h = tm_array(cov ? d * d : 1, sizeof *a.h) };
	bool made = a.feature && a.residual && a.h;

	for (int64_t o = 0; made && o < l->view.outs; o++)
		weigh_row(l, s, cov, w, o, most, &a, out);
	free(a.feature);
	free(a.residual);
	free(a.h);
	return made ? TAMIS_OK : tm_no_memory(err, "ranking connections");
}

enum tamis_status obs_score(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed, float *out,
                            struct tamis_error *err)
{
	(void)seed;
	for (int64_t k = 0; k < l->entries; k++)
		out[k] = w[k] * w[k];
	return weigh(l, s, s->covariance, w, l->view.fan_in, out, err);
}

/* ---- beside a refit ----------------------------------------------------------------------------------------------- */

/* R over the variance: of a share, the root is a correlation. */
static double correlation(const struct layer_score *s, int64_t feature)
{
	double v = s->second[feature] - s->mean[feature] * s->mean[feature];

	return v > 0 && s->relevance[feature] > 0 ? sqrt(s->relevance[feature] / v) : 0;
}

enum tamis_status partial_score(const struct layer *l, const struct layer_score *s, const double *cov, double flops,
                                const float *w, float *out, struct tamis_error *err)
{
	int64_t n = l->view.fan_in, per = l->view.outs / l->view.groups;
	double *square = tm_array((size_t)n + 1, sizeof *square);

	if (!square)
		return tm_no_memory(err, "ranking connections");
	for (int64_t o = 0; o < l->view.outs; o++) {
		criterion_squares(l, &s->copies, w, o, square);
		for (int64_t d = 0; d < n; d++)
			out[layer_offset(&l->view, o, d)] = (float)(square[d] * correlation(s, o / per * n + d));
	}
	free(square);
	return weigh(l, s, cov, w, (int64_t)cbrt(flops / (double)l->view.outs), out, err);
}
