/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/refit_rows.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "slim/repair/refit.h"

/* Row-major n x d matrices of one solve. */
struct solver {
	const struct refit_rows *rows;
	int64_t d, n;
	int64_t row[REFIT_ROWS]; /* of the block, for each of the n */
	double lambda;
	float *moments;          /* d x d: uu + lambda I; NULL where items are given */
	float *products;         /* n x items: of the rows with them */
	float *w, *residual, *direction, *image;
	unsigned char *mask;
	float *inverse;          /* d: 1 / diagonal */
	double *energy;          /* n: residual . preconditioned residual */
	double *start;           /* n: the same before the first step */
};

static bool on_items(const struct refit_rows *r)
{
	return r->data.u != NULL;
}

static bool allocate(struct solver *s)
{
	size_t cells = (size_t)(s->n * s->d);
	bool items = on_items(s->rows);

	s->moments = items ? NULL : tm_array_uninit((size_t)(s->d * s->d), sizeof(float));
	s->products = items ? tm_array_uninit((size_t)(s->n * s->rows->data.n), sizeof(float)) : NULL;
	s->w = tm_array_uninit(cells, sizeof(float));
	s->residual = tm_array_uninit(cells, sizeof(float));
	s->direction = tm_array_uninit(cells, sizeof(float));
	s->image = tm_array_uninit(cells, sizeof(float));
	s->mask = tm_array_uninit(cells, 1);
	s->inverse = tm_array_uninit((size_t)s->d, sizeof(float));
	s->energy = tm_array_uninit((size_t)s->n, sizeof(double));
	s->start = tm_array_uninit((size_t)s->n, sizeof(double));
	return (s->moments || s->products) && s->w && s->residual && s->direction && s->image && s->mask && s->inverse
		&& s->energy && s->start;
}

static void release(struct solver *s)
{
	free(s->moments);
	free(s->products);
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

static double square_of(const struct refit_rows *r, int64_t k)
{
	int64_t d = r->layer->view.fan_in, wide = r->layer->features;
	double sum = 0;

	if (!on_items(r))
		return r->data.uu[(r->group * d + k) * d + k];
	for (int64_t i = 0; i < r->data.n; i++) {
		double u = r->data.u[i * wide + r->group * d + k];

		sum += u * u;
	}
	return sum / (double)r->data.n;
}

/* lambda is relative to the mean diagonal: the ridge shrinks what the items do not determine towards what was there. */
static double lambda_of(const struct refit_rows *r)
{
	int64_t d = r->layer->view.fan_in;
	double sum = 0;

	for (int64_t k = 0; k < d; k++)
		sum += square_of(r, k);
	return r->ridge * sum / (double)d;
}

static void load_moments(struct solver *s)
{
	const double *uu = s->rows->data.uu + s->rows->group * s->d * s->d;

	for (int64_t i = 0; i < s->d * s->d; i++)
		s->moments[i] = (float)uu[i];
	for (int64_t i = 0; i < s->d; i++)
		s->moments[i * s->d + i] = (float)(uu[i * s->d + i] + s->lambda);
}

static void load_diagonal(struct solver *s)
{
	for (int64_t k = 0; k < s->d; k++) {
		double diagonal = square_of(s->rows, k) + s->lambda;

		s->inverse[k] = diagonal > 0 ? (float)(1 / diagonal) : 0;
	}
}

static void load_weights(struct solver *s)
{
	const struct refit_rows *r = s->rows;
	const struct tensor *w = &r->graph->values[r->layer->weight].constant;
	double scale = r->layer->view.weight_scale;

	for (int64_t i = 0; i < s->n; i++)
		for (int64_t k = 0; k < s->d; k++) {
			double v = tensor_get(w, layer_offset(&r->layer->view, output_of(r, s->row[i]), k));

			s->mask[i * s->d + k] = v != 0;
			s->w[i * s->d + k] = (float)(v * scale);
		}
}

/* ---- products with the moments --------------------------------------------------------------------------------- */

/* out = x (u' u / n), n x d, through the items. */
static void multiply_items(struct solver *s, const float *x, float *out)
{
	const struct refit_rows *r = s->rows;
	const float *u = r->data.u + r->group * s->d;
	int items = (int)r->data.n, d = (int)s->d, wide = (int)r->layer->features;

	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)s->n, items, d, 1, x, d, u, wide, 0, s->products, items);
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s->n, d, items, 1 / (float)items, s->products, items, u,
	            wide, 0, out, d);
}

/* image = x (uu + lambda I) */
static void multiply(struct solver *s, const float *x)
{
	if (s->moments) {
		cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s->n, (int)s->d, (int)s->d, 1, x, (int)s->d,
		            s->moments, (int)s->d, 0, s->image, (int)s->d);
		return;
	}
	multiply_items(s, x, s->image);
	for (int64_t i = 0; i < s->n * s->d; i++)
		s->image[i] += (float)s->lambda * x[i];
}

/* Cov(u, z) of the rows into `out`, n x d. */
static void load_targets(struct solver *s, float *out)
{
	const struct refit_rows *r = s->rows;
	int64_t per = r->layer->view.outs / r->layer->view.groups, items = r->data.n;

	if (!on_items(r)) {
		for (int64_t i = 0; i < s->n; i++)
			for (int64_t k = 0; k < s->d; k++)
				out[i * s->d + k] = (float)r->data.uz[(r->group * s->d + k) * per + r->first + s->row[i]];
		return;
	}
	for (int64_t i = 0; i < s->n; i++)
		for (int64_t t = 0; t < items; t++)
			s->products[i * items + t] = r->data.z[t * r->layer->view.outs + output_of(r, s->row[i])];
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s->n, (int)s->d, (int)items, 1 / (float)items, s->products,
	            (int)items, r->data.u + r->group * s->d, (int)r->layer->features, 0, out, (int)s->d);
}

/* residual = uz' + lambda W_before - W (uu + lambda I); with W = W_before the lambda terms cancel. */
static void first_residual(struct solver *s)
{
	load_targets(s, s->residual);
	multiply(s, s->w);
	for (int64_t i = 0; i < s->n; i++)
		for (int64_t k = 0; k < s->d; k++) {
			int64_t at = i * s->d + k;
			double v = s->residual[at] + s->lambda * s->w[at] - s->image[at];

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
		multiply(s, s->direction);
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

/* ---- rows with the same survivors: Cholesky on what survives ------------------------------------------------------ */

/* Rows of a block one after the other, but for those where nothing survives. */
struct alike { int64_t row[REFIT_ROWS], n, *at, survivors; };

static int64_t survivors(const struct refit_rows *r, int64_t row, int64_t *at)
{
	const struct tensor *w = &r->graph->values[r->layer->weight].constant;
	int64_t n = 0;

	for (int64_t k = 0; k < r->layer->view.fan_in; k++)
		if (tensor_get(w, layer_offset(&r->layer->view, output_of(r, row), k)) != 0)
			at[n++] = k;
	return n;
}

/* n^3 / 3 flops for all of them, against 2 d^2 a row and step. */
static bool directly(const struct refit_rows *r, const struct alike *g)
{
	double n = (double)g->survivors, d = (double)r->layer->view.fan_in;

	return !on_items(r) && n * n * n / 3 < (double)g->n * 2 * d * d * REFIT_STEPS;
}

/* w, count x fan_in, holds the weights before. Where the moments are singular they stay. */
static enum tamis_status solve_directly(const struct refit_rows *r, const struct alike *g, double lambda, double *w,
                                        struct tamis_error *err)
{
	int64_t d = r->layer->view.fan_in, per = r->layer->view.outs / r->layer->view.groups, n = g->survivors;
	const double *uu = r->data.uu + r->group * d * d, *uz = r->data.uz + r->group * d * per + r->first;
	double *a = tm_array_uninit((size_t)(n * n) + 1, sizeof *a), *b = tm_array_uninit((size_t)(g->n * n) + 1, sizeof *b);
	bool solved = false;

	for (int64_t i = 0; a && b && i < n; i++) {
		for (int64_t k = 0; k <= i; k++)
			a[i * n + k] = uu[g->at[i] * d + g->at[k]];
		a[i * n + i] += lambda;
		for (int64_t m = 0; m < g->n; m++)
			b[m * n + i] = uz[g->at[i] * per + g->row[m]] + lambda * w[g->row[m] * d + g->at[i]];
	}
	if (a && b)
		solved = LAPACKE_dposv_work(LAPACK_COL_MAJOR, 'U', (lapack_int)n, (lapack_int)g->n, a, (lapack_int)n, b,
		                            (lapack_int)n) == 0;
	for (int64_t m = 0; solved && m < g->n; m++)
		for (int64_t i = 0; i < n; i++)
			w[g->row[m] * d + g->at[i]] = b[m * n + i];
	free(a);
	free(b);
	return a && b ? TAMIS_OK : tm_no_memory(err, "refitting");
}

/* ---- the block -------------------------------------------------------------------------------------------------- */

static enum tamis_status solve_together(struct solver *s, double *w, struct tamis_error *err)
{
	if (!allocate(s))
		return tm_no_memory(err, "refitting");
	if (s->moments)
		load_moments(s);
	load_diagonal(s);
	load_weights(s);
	first_residual(s);
	iterate(s);
	for (int64_t i = 0; i < s->n; i++)
		for (int64_t k = 0; k < s->d; k++)
			w[s->row[i] * s->d + k] = s->mask[i * s->d + k] ? s->w[i * s->d + k] : 0;
	return TAMIS_OK;
}

/* What cannot be solved directly is left to the iteration. */
static enum tamis_status finish(struct solver *s, struct alike *g, double *w, struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	if (g->n && directly(s->rows, g))
		status = solve_directly(s->rows, g, s->lambda, w, err);
	else
		for (int64_t i = 0; i < g->n; i++)
			s->row[s->n++] = g->row[i];
	g->n = 0;
	return status;
}

static enum tamis_status sort_out(struct solver *s, int64_t *at, double *w, struct tamis_error *err)
{
	const struct refit_rows *r = s->rows;
	struct alike g = { .at = at };
	int64_t *next = at + s->d;
	enum tamis_status status = TAMIS_OK;

	for (int64_t row = 0; status == TAMIS_OK && row < r->count; row++) {
		int64_t n = survivors(r, row, next), *spare = g.at;

		if (!n)
			continue;
		if (!g.n || n != g.survivors || memcmp(g.at, next, (size_t)n * sizeof *next)) {
			status = finish(s, &g, w, err);
			g.at = next;
			g.survivors = n;
			next = spare;
		}
		g.row[g.n++] = row;
	}
	return status == TAMIS_OK ? finish(s, &g, w, err) : status;
}

/* w: count x fan_in, in units of weight_scale * weight. */
static enum tamis_status solve(const struct refit_rows *r, double *w, struct tamis_error *err)
{
	struct solver s = { .rows = r, .d = r->layer->view.fan_in, .lambda = lambda_of(r) };
	const struct tensor *before = &r->graph->values[r->layer->weight].constant;
	int64_t *at = tm_array_uninit(2 * (size_t)s.d + 1, sizeof *at);
	enum tamis_status status;

	for (int64_t row = 0; row < r->count; row++)
		for (int64_t k = 0; k < s.d; k++)
			w[row * s.d + k] = r->layer->view.weight_scale
				* tensor_get(before, layer_offset(&r->layer->view, output_of(r, row), k));
	status = at ? sort_out(&s, at, w, err) : tm_no_memory(err, "refitting");
	if (status == TAMIS_OK && s.n)
		status = solve_together(&s, w, err);
	release(&s);
	free(at);
	return status;
}

enum tamis_status refit_rows(const struct refit_rows *r, struct tamis_error *err)
{
	const struct tensor *before = &r->graph->values[r->layer->weight].constant;
	int64_t d = r->layer->view.fan_in;
	double *w = tm_array_uninit((size_t)(r->count * d) + 1, sizeof *w);
	enum tamis_status s = w ? solve(r, w, err) : tm_no_memory(err, "refitting");

	for (int64_t row = 0; s == TAMIS_OK && row < r->count; row++) {
		int64_t o = output_of(r, row);

		for (int64_t k = 0; k < d; k++)
			if (tensor_get(before, layer_offset(&r->layer->view, o, k)) != 0)
				store_weight(r, o, k, w[row * d + k]);
		store_bias(r, o);
	}
	free(w);
	return s;
}

/* ---- the error elsewhere ------------------------------------------------------------------------------------------ */

/* w uu w' - 2 w uz of one row. */
static double moment_error(const struct refit_rows *r, const struct refit_data *x, int64_t row, const double *w)
{
	int64_t d = r->layer->view.fan_in, per = r->layer->view.outs / r->layer->view.groups;
	double error = 0;

	for (int64_t i = 0; i < d; i++) {
		const double *uu = x->uu + (r->group * d + i) * d;
		double sum = 0;

		for (int64_t k = 0; w[i] != 0 && k < d; k++)
			sum += uu[k] * w[k];
		error += w[i] * (sum - 2 * x->uz[(r->group * d + i) * per + r->first + row]);
	}
	return error;
}

/* E (z - w u)^2 - z^2 of one row. */
static double item_error(const struct refit_rows *r, const struct refit_data *x, int64_t row, const double *w)
{
	int64_t d = r->layer->view.fan_in;
	double error = 0;

	for (int64_t t = 0; t < x->n; t++) {
		const float *u = x->u + t * r->layer->features + r->group * d;
		double sum = 0;

		for (int64_t k = 0; k < d; k++)
			sum += w[k] * u[k];
		error += sum * (sum - 2 * x->z[t * r->layer->view.outs + output_of(r, row)]);
	}
	return error / (double)x->n;
}

enum tamis_status refit_rows_error(const struct refit_rows *r, const struct refit_data *other, double *error,
                                   struct tamis_error *err)
{
	int64_t d = r->layer->view.fan_in;
	double *w = tm_array_uninit((size_t)(r->count * d) + 1, sizeof *w);
	enum tamis_status s = w ? solve(r, w, err) : tm_no_memory(err, "refitting");

	*error = 0;
	for (int64_t row = 0; s == TAMIS_OK && row < r->count; row++)
		*error += other->u ? item_error(r, other, row, w + row * d) : moment_error(r, other, row, w + row * d);
	free(w);
	return s;
}
