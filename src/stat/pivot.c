/* SPDX-License-Identifier: Apache-2.0 */
/* What the first chunk fixes: shifts, and the grids that sums are rounded to. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "base/memory.h"
#include "stat/comoment.h"
#include "stat/grid.h"

enum { STRIP = 128 }; /* columns summed side by side */

/* The power of two above |x|, within what squares of floats and of their scales can bear. */
static float power_above(double x)
{
	int e;
	frexp(x, &e);
	return ldexpf(1, e < -100 ? -100 : e > 100 ? 100 : e);
}

/* Means of m columns over rows that lie `stride` apart. False when one is not finite. */
static bool column_means(const float *rows, int64_t n, int64_t m, int64_t stride, float *mean)
{
	bool finite = true;
	for (int64_t from = 0; from < m; from += STRIP) {
		double sum[STRIP] = { 0 };
		int64_t count = m - from < STRIP ? m - from : STRIP;
		for (int64_t t = 0; t < n; t++)
			for (int64_t j = 0; j < count; j++)
				sum[j] += rows[t * stride + from + j];
		for (int64_t j = 0; j < count; j++) {
			mean[from + j] = (float)(sum[j] / (double)n);
			finite = finite && isfinite(mean[from + j]);
		}
	}
	return finite;
}

/* Raises spread[j] to the largest |row[j] - mean[j]|; NaN raises nothing. */
LOOP_VERSIONS
static void widen(const float *row, const float *mean, int64_t m, float *restrict spread)
{
	for (int64_t j = 0; j < m; j++) {
		float x = fabsf(row[j] - mean[j]);

		spread[j] = x > spread[j] ? x : spread[j];
	}
}

/* Spreads to powers of two. What did not move in the first chunk may move later: it is taken to be within a
 * few powers of two of its own size, or of the layer's where it is 0. size: largest |value| of each. */
static void scales_of(float *spread, const float *size, int64_t d)
{
	float top = 0, top_size = 0;
	for (int64_t j = 0; j < d; j++) {
		top = fmaxf(top, spread[j]);
		top_size = fmaxf(top_size, size[j]);
	}
	float usual = top > 0 ? top : top_size > 0 ? top_size : 32;
	for (int64_t j = 0; j < d; j++)
		spread[j] =
				spread[j] > 0 ? power_above(spread[j]) : power_above(size[j] > 0 ? size[j] : usual) * 0x1p-5f;
}

bool grid_pivot(const float *psi, int64_t n, int r, float *shift, float *scale)
{
	float size = 0;
	if (!column_means(psi, n, r, r, shift))
		return false;
	*scale = 0;
	for (int64_t t = 0; t < n; t++)
		for (int k = 0; k < r; k++) {
			float x = fabsf(psi[t * r + k] - shift[k]), whole = fabsf(psi[t * r + k]);
			*scale = x > *scale ? x : *scale;
			size = whole > size ? whole : size;
		}
	scales_of(scale, &size, 1);
	return true;
}

/* Largest |shift| of each feature over positions. */
static void shift_sizes(const struct comoment *c, float *size)
{
	for (int p = 0; p < c->width; p++)
		for (int64_t j = 0; j < c->d; j++)
			size[j] = fmaxf(size[j], fabsf(c->shift[p * c->d + j]));
}

enum tamis_status comoment_pivot(struct comoment *c, const float *u, int64_t stride, const float *psi,
		int64_t n, struct tamis_error *err)
{
	if (c->pivoted || n < 1 || stride < c->d)
		return tm_fail(err, TAMIS_E_USAGE, "a pivot is taken once, from at least one item");
	float *size = tm_array((size_t)c->d, sizeof *size);
	if (!size)
		return tm_no_memory(err, "taking the pivot of co-moments");
	bool finite = grid_pivot(psi, n, c->r, c->psi_shift, &c->psi_scale);
	for (int p = 0; p < c->width; p++)
		finite = column_means(u + p * stride, n, c->d, c->width * stride, c->shift + p * c->d) && finite;
	memset(c->scale, 0, (size_t)c->d * sizeof(float));
	for (int64_t row = 0; row < n * c->width; row++)
		widen(u + row * stride, c->shift + row % c->width * c->d, c->d, c->scale);
	shift_sizes(c, size);
	scales_of(c->scale, size, c->d);
	free(size);
	c->pivoted = finite;
	return finite ? TAMIS_OK
				  : tm_fail(err, TAMIS_E_INVALID,
							"signals and outputs must be finite, but those of the first chunk are not");
}
