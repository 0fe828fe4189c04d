/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/score/obs.h"

#include <lapacke.h>
#include <stdlib.h>
#include <string.h>

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

/* Takes the support of row o; `known` stays where it is that of the row before. */
static void take_support(const struct layer *l, const float *w, int64_t o, struct support *a)
{
	int64_t n = 0;

	for (int64_t d = 0; d < l->view.fan_in; d++)
		if (w[layer_offset(&l->view, o, d)] != 0) {
			a->known &= n < a->n && a->feature[n] == d;
			a->feature[n++] = d;
		}
	a->known &= n == a->n;
	a->n = n;
}

static void invert(const double *cov, int64_t fan_in, double damping, struct support *a)
{
	lapack_int n = (lapack_int)a->n, info;

	for (int64_t i = 0; i < n; i++)
		for (int64_t k = 0; k <= i; k++)
			a->h[i * n + k] = cov[a->feature[i] * fan_in + a->feature[k]] + (i == k ? damping : 0);
	info = LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'L', n, a->h, n);
	if (info == 0)
		info = LAPACKE_dpotri(LAPACK_ROW_MAJOR, 'L', n, a->h, n);
	for (int64_t i = 0; i < n; i++) {
		double own = cov[a->feature[i] * fan_in + a->feature[i]];

		a->residual[a->feature[i]] = own <= 0 ? 0 : info == 0 ? 1 / a->h[i * n + i] : own + damping;
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

static void score_row(const struct layer *l, const struct layer_score *s, const float *w, int64_t o, struct support *a,
                      float *out)
{
	int64_t d = l->view.fan_in, group = o / (l->view.outs / l->view.groups);
	double scale = l->view.weight_scale * l->view.weight_scale;

	a->known &= o % (l->view.outs / l->view.groups) != 0;
	take_support(l, w, o, a);
	if (!a->known)
		find_residuals(s, s->covariance ? s->covariance + group * d * d : NULL, group * d, d, a);
	a->known = true;
	for (int64_t i = 0; i < d; i++) {
		int64_t k = layer_offset(&l->view, o, i);

		out[k] = (float)((double)w[k] * w[k] * scale * a->residual[i] * s->gain[o]);
	}
}

enum tamis_status obs_score(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed, float *out,
                            struct tamis_error *err)
{
	size_t d = (size_t)l->view.fan_in;
	struct support a = { .feature = tm_array(d, sizeof *a.feature), .residual = tm_array(d, sizeof *a.residual),
		.h = tm_array(s->covariance ? d * d : 1, sizeof *a.h) };
	bool made = a.feature && a.residual && a.h;

	(void)seed;
	for (int64_t o = 0; made && o < l->view.outs; o++)
		score_row(l, s, w, o, &a, out);
	free(a.feature);
	free(a.residual);
	free(a.h);
	return made ? TAMIS_OK : tm_no_memory(err, "ranking connections");
}
