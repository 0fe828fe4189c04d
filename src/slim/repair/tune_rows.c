/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/tune_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/eight.h"
#include "base/loop.h"
#include "ops/blas.h"
#include "slim/repair/tune.h"

/* ---- one layer of one chunk ------------------------------------------------------------------------------------- */

/* A layer's results: outer x outs x inner an item. */
struct extents { int64_t outer, outs, inner; };

static bool extents_of(const struct layer *l, const struct tensor *z, int64_t items, struct extents *e)
{
	int axis = l->view.out_axis < 0 ? l->view.out_axis + z->rank : l->view.out_axis;

	*e = (struct extents){ tensor_extent(z, 0, axis), z->dims[axis], tensor_extent(z, axis + 1, z->rank) };
	if (items < 1 || e->outer % items)
		return false;
	e->outer /= items;
	return true;
}

LOOP_VERSIONS
static void add_products(const float *z, const float *g, int64_t n, float *restrict scale, float *restrict shift)
{
	for (int64_t o = 0; o < n; o++) {
		scale[o] += g[o] * z[o];
		shift[o] += g[o];
	}
}

LOOP_VERSIONS
static void add_channel(const float *z, const float *g, int64_t n, float *scale, float *shift)
{
	float product[LANES] = { 0 }, sum[LANES] = { 0 };
	int64_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (int k = 0; k < LANES; k++) {
			product[k] += g[i + k] * z[i + k];
			sum[k] += g[i + k];
		}
	for (; i < n; i++) {
		product[0] += g[i] * z[i];
		sum[0] += g[i];
	}
	for (int k = 0; k < LANES; k++) {
		*scale += product[k];
		*shift += sum[k];
	}
}

static void add_floats(const struct extents *e, const float *z, const float *g, float *row)
{
	for (int64_t a = 0; a < e->outer; a++, z += e->outs * e->inner, g += e->outs * e->inner)
		if (e->inner == 1)
			add_products(z, g, e->outs, row, row + e->outs);
		else
			for (int64_t o = 0; o < e->outs; o++)
				add_channel(z + o * e->inner, g + o * e->inner, e->inner, &row[o], &row[e->outs + o]);
}

static void add_any(const struct extents *e, const struct tensor *z, const struct tensor *g, int64_t at, float *row)
{
	for (int64_t i = 0; i < e->outer * e->outs * e->inner; i++) {
		int64_t o = i / e->inner % e->outs;
		double slope = tensor_get(g, at + i);

		row[o] += (float)(slope * tensor_get(z, at + i));
		row[e->outs + o] += (float)slope;
	}
}

void tune_rows_add(const struct layer *l, const struct tensor *z, const struct tensor *gradient, int64_t items, int64_t pitch,
                   float *row)
{
	struct extents e;
	int64_t each;

	if (!extents_of(l, z, items, &e))
		return;
	each = e.outer * e.outs * e.inner;
	for (int64_t i = 0; i < items; i++, row += pitch)
		if (z->type == DT_FLOAT && gradient->type == DT_FLOAT)
			add_floats(&e, (const float *)z->data + i * each, (const float *)gradient->data + i * each, row);
		else
			add_any(&e, z, gradient, i * each, row);
}

LOOP_VERSIONS
static void add_sums(const float *z, int64_t n, double *sum, double *square)
{
	float a[LANES] = { 0 }, b[LANES] = { 0 };
	int64_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (int k = 0; k < LANES; k++) {
			a[k] += z[i + k];
			b[k] += z[i + k] * z[i + k];
		}
	for (; i < n; i++) {
		a[0] += z[i];
		b[0] += z[i] * z[i];
	}
	for (int k = 0; k < LANES; k++) {
		*sum += a[k];
		*square += b[k];
	}
}

int64_t tune_sums_add(const struct layer *l, const struct tensor *z, double *sum, double *square)
{
	struct extents e;
	const float *x = z->data;

	if (!extents_of(l, z, 1, &e))
		return 0;
	for (int64_t i = 0; i < e.outer * e.outs; i++) {
		int64_t o = i % e.outs;

		if (z->type == DT_FLOAT)
			add_sums(x + i * e.inner, e.inner, &sum[o], &square[o]);
		for (int64_t k = 0; z->type != DT_FLOAT && k < e.inner; k++) {
			double v = tensor_get(z, i * e.inner + k);

			sum[o] += v;
			square[o] += v * v;
		}
	}
	return e.outer * e.inner;
}

/* ---- the equations ---------------------------------------------------------------------------------------------- */

enum { STRIPES = 16, PANEL = 64 }; /* parts of R for workers, and rows of it that stay in the caches; they fix the order of sums */

/* Vectors of the solution, and of products with R. */
struct solving {
	const struct tune_system *system;
	double *damping, *residual, *along, *product;
	float *narrow; /* width */
	float *part;   /* STRIPES x width, and behind them as many panels' products */
};

/* part = its rows' R'R narrow, from one look at them. */
static enum tamis_status multiply_stripe(void *ctx, int64_t stripe, int worker, struct tamis_error *err)
{
	const struct solving *w = ctx;
	const struct tune_system *s = w->system;
	float *part = w->part + stripe * s->width, *along = w->part + STRIPES * s->width + stripe * PANEL;

	(void)worker, (void)err;
	memset(part, 0, (size_t)s->width * sizeof *part);
	for (int64_t i = stripe * s->n / STRIPES, end = (stripe + 1) * s->n / STRIPES; i < end; i += PANEL) {
		int64_t rows = end - i < PANEL ? end - i : PANEL;
		const float *r = s->rows + i * s->width;

		blas_gemm(DT_FLOAT, false, false, rows, 1, s->width, 1, r, s->width, w->narrow, 1, 0, along, 1);
		blas_gemm(DT_FLOAT, false, false, 1, s->width, rows, 1, along, rows, r, s->width, 1, part, s->width);
	}
	return TAMIS_OK;
}

/* product = (R'R / n + damping) along */
static enum tamis_status multiply(struct solving *w, struct tamis_error *err)
{
	const struct tune_system *s = w->system;
	enum tamis_status status;

	for (int64_t k = 0; k < s->width; k++)
		w->narrow[k] = (float)w->along[k];
	status = pool_for(s->pool, STRIPES, multiply_stripe, w, err);
	for (int64_t k = 0; k < s->width; k++) {
		double sum = 0;

		for (int i = 0; i < STRIPES; i++)
			sum += w->part[i * s->width + k];
		w->product[k] = sum / (double)s->n + w->damping[k] * w->along[k];
	}
	return status;
}

static void find_damping(struct solving *w)
{
	const struct tune_system *s = w->system;
	double mean = 0;

	for (int64_t i = 0; i < s->n; i++)
		for (int64_t k = 0; k < s->width; k++)
			w->damping[k] += (double)s->rows[i * s->width + k] * s->rows[i * s->width + k];
	for (int64_t k = 0; k < s->width; k++)
		mean += w->damping[k] / (double)s->width;
	for (int64_t k = 0; k < s->width; k++)
		w->damping[k] = (TUNE_OWN * w->damping[k] + TUNE_MEAN * mean) / (double)s->n;
}

static double dot(const double *a, const double *b, int64_t n)
{
	double sum = 0;

	for (int64_t k = 0; k < n; k++)
		sum += a[k] * b[k];
	return sum;
}

static enum tamis_status iterate(struct solving *w, double *x, struct tamis_error *err)
{
	int64_t n = w->system->width;
	double now = dot(w->residual, w->residual, n), end = TUNE_SOLVED * TUNE_SOLVED * now;
	enum tamis_status s = TAMIS_OK;

	for (int step = 0; s == TAMIS_OK && step < TUNE_SOLVING && now > end; step++) {
		double curve, before = now;

		s = multiply(w, err);
		curve = dot(w->along, w->product, n);
		if (s != TAMIS_OK || !(curve > 0))
			return s;
		for (int64_t k = 0; k < n; k++) {
			x[k] += now / curve * w->along[k];
			w->residual[k] -= now / curve * w->product[k];
		}
		now = dot(w->residual, w->residual, n);
		for (int64_t k = 0; k < n; k++)
			w->along[k] = w->residual[k] + now / before * w->along[k];
	}
	return s;
}

enum tamis_status tune_solve(const struct tune_system *s, double *x, struct tamis_error *err)
{
	size_t n = (size_t)s->width;
	double *room = tm_array(4 * n + 1, sizeof *room);
	float *floats = tm_array((1 + STRIPES) * n + STRIPES * PANEL, sizeof *floats);
	struct solving w = { s, room, room + n, room + 2 * n, room + 3 * n, floats, floats + n };
	enum tamis_status status = room && floats ? TAMIS_OK : tm_no_memory(err, "refitting");

	if (status == TAMIS_OK) {
		find_damping(&w);
		for (int64_t k = 0; k < s->width; k++) {
			x[k] = 0;
			w.along[k] = w.residual[k] = -s->slope[k] / (double)s->n;
		}
		status = iterate(&w, x, err);
	}
	free(room);
	free(floats);
	return status;
}
