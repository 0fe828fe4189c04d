/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/refit_rows.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>

#include "slim/refit.h"

/* Row-major n x d matrices of one solve, and the d x d moments in float. */
struct solver {
	int64_t d, n;
	int64_t row[REFIT_ROWS]; /* of the block, for each of the n */
	float *moments;          /* uu + lambda I */
	float *w, *residual, *direction, *image;
	unsigned char *mask;
	float *inverse;          /* d: 1 / diagonal */
	double *energy;          /* n: residual . preconditioned residual */
	double *start;           /* n: the same before the first step */
};

static bool allocate(struct solver *s)
{
	size_t cells = (size_t)(s->n * s->d);

	s->moments = tm_array_uninit((size_t)(s->d * s->d), sizeof(float));
	s->w = tm_array_uninit(cells, sizeof(float));
	s->residual = tm_array_uninit(cells, sizeof(float));
	s->direction = tm_array_uninit(cells, sizeof(float));
	s->image = tm_array_uninit(cells, sizeof(float));
	s->mask = tm_array_uninit(cells, 1);
	s->inverse = tm_array_uninit((size_t)s->d, sizeof(float));
	s->energy = tm_array_uninit((size_t)s->n, sizeof(double));
	s->start = tm_array_uninit((size_t)s->n, sizeof(double));
	return s->moments && s->w && s->residual && s->direction && s->image && s->mask && s->inverse && s->energy
		&& s->start;
}

static void release(struct solver *s)
{
	free(s->moments);
	free(s->w);
	free(s->residual);
	free(s->direction);
	free(s->image);
	free(s->mask);
	free(s->inverse);
	free(s->energy);
	free(s->start);
}

static int64_t output_of(const struct refit_rows *r, int64_t row)
{
	return r->group * (r->layer->view.outs / r->layer->view.groups) + r->first + row;
}

/* lambda is relative to the mean diagonal: the ridge shrinks what the items do not determine towards what was there. */
static double load_moments(const struct refit_rows *r, struct solver *s)
{
	const double *uu = r->uu + r->group * s->d * s->d;
	double mean = 0;

	for (int64_t i = 0; i < s->d; i++)
		mean += uu[i * s->d + i] / (double)s->d;
	for (int64_t i = 0; i < s->d * s->d; i++)
		s->moments[i] = (float)uu[i];
	for (int64_t i = 0; i < s->d; i++) {
		double diagonal = uu[i * s->d + i] + REFIT_LAMBDA * mean;

		s->moments[i * s->d + i] = (float)diagonal;
		s->inverse[i] = diagonal > 0 ? (float)(1 / diagonal) : 0;
	}
	return REFIT_LAMBDA * mean;
}

static void load_weights(const struct refit_rows *r, struct solver *s)
{
	const struct tensor *w = &r->graph->values[r->layer->weight].constant;
	double scale = r->layer->view.weight_scale;

	for (int64_t i = 0; i < s->n; i++)
		for (int64_t k = 0; k < s->d; k++) {
			double v = tensor_get(w, layer_offset(&r->layer->view, output_of(r, s->row[i]), k));

			s->mask[i * s->d + k] = v != 0;
			s->w[i * s->d + k] = (float)(v * scale);
		}
}

/* residual = uz' + lambda W_before - W (uu + lambda I); with W = W_before the lambda terms cancel. */
static void first_residual(const struct refit_rows *r, struct solver *s, double lambda)
{
	int64_t per = r->layer->view.outs / r->layer->view.groups;
	const double *uz = r->uz + r->group * s->d * per + r->first;

	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s->n, (int)s->d, (int)s->d, 1, s->w, (int)s->d,
	            s->moments, (int)s->d, 0, s->image, (int)s->d);
	for (int64_t i = 0; i < s->n; i++)
		for (int64_t k = 0; k < s->d; k++) {
			int64_t at = i * s->d + k;
			double v = uz[k * per + s->row[i]] + lambda * s->w[at] - s->image[at];

			s->residual[at] = s->mask[at] ? (float)v : 0;
			s->direction[at] = s->residual[at] * s->inverse[k];
		}
}

static double preconditioned(const struct solver *s, int64_t row)
{
	const float *x = s->residual + row * s->d;
	double sum = 0;

	for (int64_t k = 0; k < s->d; k++)
		sum += (double)x[k] * x[k] * s->inverse[k];
	return sum;
}

/* False once the row is solved, to a thousandth of where it began. */
static bool step_row(struct solver *s, int64_t row)
{
	float *w = s->w + row * s->d, *x = s->residual + row * s->d, *p = s->direction + row * s->d;
	const float *q = s->image + row * s->d;
	const unsigned char *mask = s->mask + row * s->d;
	double curvature = 0, energy;
	float alpha, beta;

	for (int64_t k = 0; k < s->d; k++)
		curvature += (double)p[k] * q[k];
	if (!(s->energy[row] > REFIT_SOLVED * s->start[row]) || !(curvature > 0))
		return false;
	alpha = (float)(s->energy[row] / curvature);
	for (int64_t k = 0; k < s->d; k++) {
		w[k] += alpha * p[k];
		x[k] = mask[k] ? x[k] - alpha * q[k] : 0;
	}
	energy = preconditioned(s, row);
	beta = (float)(energy / s->energy[row]);
	s->energy[row] = energy;
	for (int64_t k = 0; k < s->d; k++)
		p[k] = x[k] * s->inverse[k] + beta * p[k];
	return true;
}

static void iterate(struct solver *s)
{
	bool going = true;

	for (int64_t i = 0; i < s->n; i++)
		s->start[i] = s->energy[i] = preconditioned(s, i);
	for (int step = 0; going && step < REFIT_STEPS; step++) {
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s->n, (int)s->d, (int)s->d, 1, s->direction,
		            (int)s->d, s->moments, (int)s->d, 0, s->image, (int)s->d);
		going = false;
		for (int64_t i = 0; i < s->n; i++)
			going |= step_row(s, i);
	}
}

/* ---- results -------------------------------------------------------------------------------------------------- */

/* A weight that survives must not become zero by chance, or by the rounding of its type: it would be taken for a cut
 * one. */
static void store_weight(const struct refit_rows *r, int64_t o, int64_t k, double v)
{
	const struct layer *l = r->layer;
	struct tensor *w = &r->graph->values[l->weight].constant;
	int64_t at = layer_offset(&l->view, o, k);
	double before = tensor_get(w, at);

	if (!isfinite(v))
		return;
	tensor_set(w, at, v / l->view.weight_scale);
	if (tensor_get(w, at) == 0)
		tensor_set(w, at, before);
}

static void store_bias(const struct refit_rows *r, int64_t o)
{
	const struct layer *l = r->layer;
	const struct tensor *w = &r->graph->values[l->weight].constant;
	struct tensor *b = &r->graph->values[l->bias].constant;
	double bias = r->z_mean[o], original = tensor_get(&r->reference->values[l->bias].constant, o);

	for (int64_t k = 0; k < l->view.fan_in; k++)
		bias -= tensor_get(w, layer_offset(&l->view, o, k)) * l->view.weight_scale
			* r->u_mean[r->group * l->view.fan_in + k];
	if (l->bias_kind == BIAS_INPUT)
		tensor_set(b, o, bias / l->view.bias_scale);
	else if (l->bias_kind == BIAS_ADD)
		tensor_set(b, o, original + bias);
	else
		tensor_set(b, o, original - bias);
}

/* ---- rows with few survivors: Cholesky on what survives --------------------------------------------------------- */

static int64_t survivors(const struct refit_rows *r, int64_t row, int64_t *at)
{
	const struct tensor *w = &r->graph->values[r->layer->weight].constant;
	int64_t n = 0;

	for (int64_t k = 0; k < r->layer->view.fan_in; k++)
		if (tensor_get(w, layer_offset(&r->layer->view, output_of(r, row), k)) != 0)
			at[n++] = k;
	return n;
}

/* n^3 / 3 flops, against 2 d^2 a step. */
static bool directly(int64_t n, int64_t d)
{
	return n * n * n / 3 < 2 * d * d * REFIT_STEPS;
}

static enum tamis_status solve_directly(const struct refit_rows *r, int64_t row, const int64_t *at, int64_t n,
                                        double lambda, struct tamis_error *err)
{
	int64_t d = r->layer->view.fan_in, per = r->layer->view.outs / r->layer->view.groups, o = output_of(r, row);
	const double *uu = r->uu + r->group * d * d, *uz = r->uz + r->group * d * per + r->first + row;
	const struct tensor *w = &r->graph->values[r->layer->weight].constant;
	double *a = tm_array_uninit((size_t)(n * n) + 1, sizeof *a), *b = tm_array_uninit((size_t)n + 1, sizeof *b);
	bool solved = false;

	for (int64_t i = 0; a && b && i < n; i++) {
		for (int64_t k = 0; k <= i; k++)
			a[i * n + k] = uu[at[i] * d + at[k]];
		a[i * n + i] += lambda;
		b[i] = uz[at[i] * per]
			+ lambda * r->layer->view.weight_scale * tensor_get(w, layer_offset(&r->layer->view, o, at[i]));
	}
	if (a && b && n)
		solved = LAPACKE_dposv_work(LAPACK_COL_MAJOR, 'U', (lapack_int)n, 1, a, (lapack_int)n, b, (lapack_int)n) == 0;
	for (int64_t i = 0; solved && i < n; i++)
		store_weight(r, o, at[i], b[i]);
	free(a);
	free(b);
	if (!a || !b)
		return tm_no_memory(err, "refitting");
	store_bias(r, o); /* where the moments are singular the weights stay and only the bias is fitted */
	return TAMIS_OK;
}

/* ---- the block -------------------------------------------------------------------------------------------------- */

static enum tamis_status solve_together(const struct refit_rows *r, struct solver *s, struct tamis_error *err)
{
	double lambda;

	if (!allocate(s))
		return tm_no_memory(err, "refitting");
	lambda = load_moments(r, s);
	load_weights(r, s);
	first_residual(r, s, lambda);
	iterate(s);
	for (int64_t i = 0; i < s->n; i++) {
		int64_t o = output_of(r, s->row[i]);

		for (int64_t k = 0; k < s->d; k++)
			if (s->mask[i * s->d + k])
				store_weight(r, o, k, s->w[i * s->d + k]);
		store_bias(r, o);
	}
	return TAMIS_OK;
}

static double ridge(const struct refit_rows *r)
{
	int64_t d = r->layer->view.fan_in;
	double sum = 0;

	for (int64_t i = 0; i < d; i++)
		sum += r->uu[(r->group * d + i) * d + i];
	return REFIT_LAMBDA * sum / (double)d;
}

enum tamis_status refit_rows(const struct refit_rows *r, struct tamis_error *err)
{
	struct solver s = { .d = r->layer->view.fan_in };
	int64_t *at = tm_array_uninit((size_t)s.d + 1, sizeof *at);
	enum tamis_status status = at ? TAMIS_OK : tm_no_memory(err, "refitting");

	for (int64_t row = 0; status == TAMIS_OK && row < r->count; row++) {
		int64_t n = survivors(r, row, at);

		if (directly(n, s.d))
			status = solve_directly(r, row, at, n, ridge(r), err);
		else
			s.row[s.n++] = row;
	}
	if (status == TAMIS_OK && s.n)
		status = solve_together(r, &s, err);
	release(&s);
	free(at);
	return status;
}
