/* SPDX-License-Identifier: Apache-2.0 */
#include "stat/comoment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/eight.h"
#include "base/memory.h"
#include "stat/grid.h"

int64_t comoment_bytes(int64_t d, int width, int r)
{
	int64_t doubles = (int64_t)width * ((int64_t)r + 1) + comoment_pairs(width), bytes, small,
			rest = 12 * (int64_t)r;
	if (d < 0 || d > INT64_MAX - LANES || width < 0 || width > COMOMENT_MAX_WIDTH || r < 0
			|| !tm_mul(doubles * 8, comoment_lanes(d), &bytes)
			|| !tm_mul(4 * ((int64_t)width + 1), d, &small) || !tm_add(bytes, small, &bytes)
			|| !tm_add(bytes, rest, &bytes))
		return -1;
	return bytes;
}

enum tamis_status comoment_create(struct comoment *c, int64_t d, int width, int r, struct tamis_error *err)
{
	*c = (struct comoment){ .d = d, .width = width, .r = r };
	if (d < 1 || width < 1 || width > COMOMENT_MAX_WIDTH || r < 1 || comoment_bytes(d, width, r) < 0)
		return tm_fail(err, TAMIS_E_USAGE,
				"co-moments need a width of 1 to %d, but came %lld features of width %d "
				"against %d",
				COMOMENT_MAX_WIDTH, (long long)d, width, r);
	size_t rows = (size_t)width * (size_t)comoment_lanes(d);
	c->shift = tm_array((size_t)width * (size_t)d, sizeof(float));
	c->scale = tm_array((size_t)d, sizeof(float));
	c->psi_shift = tm_array((size_t)r, sizeof(float));
	c->sum = tm_array(rows, sizeof(double));
	c->sum_psi = tm_array((size_t)r, sizeof(double));
	c->cross = tm_array(rows, (size_t)r * sizeof(double));
	c->within = tm_array((size_t)comoment_pairs(width), (size_t)comoment_lanes(d) * sizeof(double));
	if (c->shift && c->scale && c->psi_shift && c->sum && c->sum_psi && c->cross && c->within)
		return TAMIS_OK;
	comoment_free(c);
	return tm_no_memory(err, "making room for co-moments");
}

static void copy_pivot(struct comoment *to, const struct comoment *from)
{
	to->pivoted = from->pivoted;
	to->psi_scale = from->psi_scale;
	memcpy(to->shift, from->shift, (size_t)(from->width * from->d) * sizeof(float));
	memcpy(to->scale, from->scale, (size_t)from->d * sizeof(float));
	memcpy(to->psi_shift, from->psi_shift, (size_t)from->r * sizeof(float));
}

static bool same_floats(const float *a, const float *b, int64_t n)
{
	return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

static void add_doubles(double *into, const double *from, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		into[i] += from[i];
}

enum tamis_status comoment_merge(struct comoment *into, const struct comoment *from, struct tamis_error *err)
{
	if (into->d != from->d || into->width != from->width || into->r != from->r)
		return tm_fail(err, TAMIS_E_INVALID,
				"co-moments to merge must have one shape, but %lld features of width %d "
				"against %d met %lld of width %d against %d",
				(long long)into->d, into->width, into->r, (long long)from->d, from->width, from->r);
	if (!from->pivoted)
		return TAMIS_OK;
	if (!into->pivoted)
		copy_pivot(into, from);
	int64_t rows = into->width * comoment_lanes(into->d);
	if (into->psi_scale != from->psi_scale || !same_floats(into->shift, from->shift, into->width * into->d)
			|| !same_floats(into->scale, from->scale, into->d)
			|| !same_floats(into->psi_shift, from->psi_shift, into->r))
		return tm_fail(err, TAMIS_E_INVALID, "co-moments to merge must have seen the same first chunk");
	into->n += from->n;
	add_doubles(into->sum, from->sum, rows);
	add_doubles(into->sum_psi, from->sum_psi, into->r);
	add_doubles(into->cross, from->cross, rows * into->r);
	add_doubles(into->within, from->within, comoment_pairs(into->width) * comoment_lanes(into->d));
	return TAMIS_OK;
}

/* Element `row` of `rows` of a feature. */
static int64_t place(int64_t feature, int64_t row, int64_t rows)
{
	return (feature / LANES * rows + row) * LANES + feature % LANES;
}

static int64_t pair(int p, int s)
{
	return (int64_t)p * (p + 1) / 2 + s;
}

static bool feature_exact(const struct comoment *c, int64_t feature)
{
	double scale = c->scale[feature], n = (double)c->n;
	for (int p = 0; p < c->width; p++) {
		double square = c->within[place(feature, pair(p, p), comoment_pairs(c->width))];
		if (!(square <= EXACT * scale * scale && sqrt(square * n) <= EXACT * scale
				&& sqrt(square * 4 * n) <= EXACT * scale * c->psi_scale))
			return false;
	}
	return true;
}

/* By Cauchy and Schwarz every partial sum is bounded by the sums of squares, which only grow. |psi| <= 1
 * makes (psi - psi_shift)^2 <= 4. */
bool comoment_exact(const struct comoment *c)
{
	for (int64_t j = 0; j < c->d; j++)
		if (!feature_exact(c, j))
			return false;
	return 2.0 * (double)c->n <= EXACT * c->psi_scale || c->n == 0;
}

void comoment_free(struct comoment *c)
{
	free(c->shift);
	free(c->scale);
	free(c->psi_shift);
	free(c->sum);
	free(c->sum_psi);
	free(c->cross);
	free(c->within);
	*c = (struct comoment){ 0 };
}

static double sum_of(const struct comoment *c, int64_t feature, int position)
{
	return c->sum[place(feature, position, c->width)];
}

double comoment_mean(const struct comoment *c, int64_t feature, int position)
{
	return c->shift[position * c->d + feature] + sum_of(c, feature, position) / (double)c->n;
}

/* Of positions p and s <= p. */
static double covariance(const struct comoment *c, int64_t feature, int p, int s)
{
	double n = (double)c->n, product = c->within[place(feature, pair(p, s), comoment_pairs(c->width))];
	return (product - sum_of(c, feature, p) * (sum_of(c, feature, s) / n)) / n;
}

double comoment_variance(const struct comoment *c, int64_t feature, int position)
{
	return covariance(c, feature, position, position);
}

void comoment_cross_covariance(const struct comoment *c, int64_t feature, double *cov)
{
	double n = (double)c->n;
	for (int p = 0; p < c->width; p++)
		for (int k = 0; k < c->r; k++, cov++) {
			double product = c->cross[place(feature, (int64_t)p * c->r + k, (int64_t)c->width * c->r)];
			*cov = (product - sum_of(c, feature, p) / n * c->sum_psi[k]) / n;
		}
}

void comoment_within_covariance(const struct comoment *c, int64_t feature, double *cov)
{
	int w = c->width;
	for (int p = 0; p < w; p++)
		for (int s = 0; s <= p; s++)
			cov[p * w + s] = cov[s * w + p] = covariance(c, feature, p, s);
}
