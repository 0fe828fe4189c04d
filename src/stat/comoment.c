/* SPDX-License-Identifier: Apache-2.0 */
/* Sums are exact because every term is a multiple of a quantum: for |v| < 2^51 quantum, (v + m) - m with m =
 * 1.5 * 2^52 quantum rounds v to the nearest multiple, and sums of multiples below 2^53 quantum never round
 * (pre-rounding as in Demmel and Nguyen 2013, "Fast reproducible floating-point summation"). */
#include "stat/comoment.h"

#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/loop.h"
#include "base/memory.h"

#define SLICE 64               /* items a GEMM */
#define QUANTUM 0x1p-20        /* of a product of two scales */
#define MAGIC (0x1.8p52 * QUANTUM)
#define EXACT (0x1p51 * QUANTUM) /* sums below this many products of scales are exact */

static inline double on_grid(double v, double magic)
{
	return (v + magic) - magic;
}

static int64_t pairs_of(int width)
{
	return (int64_t)width * (width + 1) / 2;
}

int64_t comoment_bytes(int64_t d, int width, int r)
{
	int64_t doubles = (int64_t)width * ((int64_t)r + 1) + pairs_of(width), bytes, small,
			rest = 12 * (int64_t)r;
	if (d < 0 || width < 0 || width > COMOMENT_MAX_WIDTH || r < 0 || !tm_mul(doubles * 8, d, &bytes)
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
	size_t rows = (size_t)width * (size_t)d;
	c->shift = tm_array(rows, sizeof(float));
	c->scale = tm_array((size_t)d, sizeof(float));
	c->psi_shift = tm_array((size_t)r, sizeof(float));
	c->sum = tm_array(rows, sizeof(double));
	c->sum_psi = tm_array((size_t)r, sizeof(double));
	c->cross = tm_array(rows, (size_t)r * sizeof(double));
	c->within = tm_array((size_t)pairs_of(width), (size_t)d * sizeof(double));
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

enum tamis_status comoment_create_like(
		struct comoment *c, const struct comoment *other, struct tamis_error *err)
{
	enum tamis_status st = comoment_create(c, other->d, other->width, other->r, err);
	if (st == TAMIS_OK)
		copy_pivot(c, other);
	return st;
}

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
	for (int64_t from = 0; from < m; from += COMOMENT_BLOCK) {
		double sum[COMOMENT_BLOCK] = { 0 };
		int64_t count = m - from < COMOMENT_BLOCK ? m - from : COMOMENT_BLOCK;
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

/* Shift and one common scale of n rows of psi. */
static bool psi_pivot(const float *psi, int64_t n, int r, float *shift, float *scale)
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
	bool finite = psi_pivot(psi, n, c->r, c->psi_shift, &c->psi_scale);
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

int64_t comoment_blocks(const struct comoment *c)
{
	return (c->d + COMOMENT_BLOCK - 1) / COMOMENT_BLOCK;
}

/* Scratch of one block: x SLICE x (width x count), y SLICE x r, product (width x count) x r. */
struct scratch { float *x, *y, *product; };

static void scratch_free(struct scratch *s)
{
	free(s->x);
	free(s->y);
	free(s->product);
}

static bool scratch_alloc(struct scratch *s, const struct comoment *c)
{
	size_t lanes = (size_t)c->width * (size_t)(c->d < COMOMENT_BLOCK ? c->d : COMOMENT_BLOCK);
	s->x = tm_array_uninit(lanes, SLICE * sizeof(float));
	s->y = tm_array_uninit((size_t)c->r, SLICE * sizeof(float));
	s->product = tm_array_uninit(lanes, (size_t)c->r * sizeof(float));
	if (s->x && s->y && s->product)
		return true;
	scratch_free(s);
	return false;
}

static void subtract_rows(const float *rows, int64_t n, int r, const float *shift, float *out)
{
	for (int64_t t = 0; t < n; t++)
		for (int k = 0; k < r; k++)
			out[t * r + k] = rows[t * r + k] - shift[k];
}

/* x of features from..from + count: item by item, position by position. */
LOOP_VERSIONS
static void centre(const struct comoment *c, const float *u, int64_t stride, int64_t from, int count,
		int items, float *x)
{
	for (int t = 0; t < items; t++)
		for (int p = 0; p < c->width; p++, x += count) {
			const float *row = u + ((int64_t)t * c->width + p) * stride + from;
			const float *shift = c->shift + p * c->d + from;
			for (int j = 0; j < count; j++)
				x[j] = row[j] - shift[j];
		}
}

static void add_sums(struct comoment *c, int64_t from, int count, int items, const float *x)
{
	int lanes = c->width * count;
	for (int p = 0; p < c->width; p++) {
		double part[COMOMENT_BLOCK] = { 0 };
		for (int t = 0; t < items; t++)
			for (int j = 0; j < count; j++)
				part[j] += x[t * lanes + p * count + j];
		for (int j = 0; j < count; j++)
			c->sum[p * c->d + from + j] += on_grid(part[j], MAGIC * c->scale[from + j]);
	}
}

LOOP_VERSIONS
static void add_row(const float *product, double magic, int r, double *restrict sum)
{
	for (int k = 0; k < r; k++)
		sum[k] += ((double)product[k] + magic) - magic;
}

static void add_cross(struct comoment *c, int64_t from, int count, int items, const struct scratch *s)
{
	int lanes = c->width * count, r = c->r;
	cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, lanes, r, items, 1, s->x, lanes, s->y, r, 0,
			s->product, r);
	for (int lane = 0; lane < lanes; lane++) {
		int64_t feature = from + lane % count;
		double *sum = c->cross + ((int64_t)(lane / count) * c->d + feature) * r;
		double magic = MAGIC * c->scale[feature] * c->psi_scale;
		add_row(s->product + (int64_t)lane * r, magic, r, sum);
	}
}

enum { LANES = 8 }; /* features whose sums stay in registers */

/* part[j] = sum over items of a[j] b[j], `stride` from one item to the next. */
LOOP_VERSIONS
static void products(const float *a, const float *b, int64_t stride, int items, int count, float *restrict part)
{
	int j = 0;
	for (; j + LANES <= count; j += LANES) {
		float sum[LANES] = { 0 };
		for (int t = 0; t < items; t++)
			for (int i = 0; i < LANES; i++)
				sum[i] += a[t * stride + j + i] * b[t * stride + j + i];
		memcpy(part + j, sum, sizeof sum);
	}
	for (; j < count; j++) {
		part[j] = 0;
		for (int t = 0; t < items; t++)
			part[j] += a[t * stride + j] * b[t * stride + j];
	}
}

/* Adds products of features to their sums, on the grid. */
LOOP_VERSIONS
static void add_products(const float *product, const float *scale, int count, double *restrict sum)
{
	for (int j = 0; j < count; j++) {
		double magic = MAGIC * scale[j] * scale[j];
		sum[j] += ((double)product[j] + magic) - magic;
	}
}

/* Products of two positions, all features of the block side by side. */
static void add_within(struct comoment *c, int64_t from, int count, int items, const float *x)
{
	int lanes = c->width * count;
	double *sum = c->within + from;
	for (int p = 0; p < c->width; p++)
		for (int s = 0; s <= p; s++, sum += c->d) {
			float part[COMOMENT_BLOCK];
			products(x + p * count, x + s * count, lanes, items, count, part);
			add_products(part, c->scale + from, count, sum);
		}
}

/* Adds a chunk to the features of one block; s has room for a whole block. */
static void add_block(struct comoment *c, int64_t block, const float *u, int64_t stride, const float *psi,
		int64_t n, const struct scratch *s)
{
	int64_t from = block * COMOMENT_BLOCK;
	int count = c->d - from < COMOMENT_BLOCK ? (int)(c->d - from) : COMOMENT_BLOCK;
	for (int64_t t = 0; t < n; t += SLICE) {
		int items = n - t < SLICE ? (int)(n - t) : SLICE;
		centre(c, u + t * c->width * stride, stride, from, count, items, s->x);
		subtract_rows(psi + t * c->r, items, c->r, c->psi_shift, s->y);
		add_sums(c, from, count, items, s->x);
		add_cross(c, from, count, items, s);
		add_within(c, from, count, items, s->x);
	}
}

enum tamis_status comoment_add_block(struct comoment *c, int64_t block, const float *u, int64_t stride,
		const float *psi, int64_t n, struct tamis_error *err)
{
	if (!c->pivoted || block < 0 || block >= comoment_blocks(c) || stride < c->d)
		return tm_fail(err, TAMIS_E_USAGE,
				"co-moments need a pivot and a block below %lld, but block %lld came",
				(long long)comoment_blocks(c), (long long)block);
	struct scratch s;
	if (!scratch_alloc(&s, c))
		return tm_no_memory(err, "adding up co-moments");
	add_block(c, block, u, stride, psi, n, &s);
	scratch_free(&s);
	return TAMIS_OK;
}

/* Sums of psi - shift over a chunk, added on the grid. */
static void add_psi_sums(double *sum, const float *psi, int64_t n, int r, const float *shift, double scale)
{
	for (int k = 0; k < r; k++) {
		double part = 0;
		for (int64_t t = 0; t < n; t++)
			part += psi[t * r + k] - shift[k];
		sum[k] += on_grid(part, MAGIC * scale);
	}
}

enum tamis_status comoment_add_outputs(
		struct comoment *c, const float *psi, int64_t n, struct tamis_error *err)
{
	if (!c->pivoted)
		return tm_fail(err, TAMIS_E_USAGE, "co-moments need a pivot before outputs are added");
	add_psi_sums(c->sum_psi, psi, n, c->r, c->psi_shift, c->psi_scale);
	c->n += n;
	return TAMIS_OK;
}

enum tamis_status comoment_add(struct comoment *c, const float *u, int64_t stride, const float *psi,
		int64_t n, struct tamis_error *err)
{
	struct scratch s;
	if (stride < c->d)
		return tm_fail(err, TAMIS_E_USAGE, "rows of signals lie at least %lld apart, but came %lld apart",
				(long long)c->d, (long long)stride);
	if (n < 1)
		return TAMIS_OK;
	if (!scratch_alloc(&s, c))
		return tm_no_memory(err, "adding up co-moments");
	enum tamis_status st = c->pivoted ? TAMIS_OK : comoment_pivot(c, u, stride, psi, n, err);
	for (int64_t block = 0; block < comoment_blocks(c) && st == TAMIS_OK; block++)
		add_block(c, block, u, stride, psi, n, &s);
	if (st == TAMIS_OK)
		st = comoment_add_outputs(c, psi, n, err);
	scratch_free(&s);
	return st;
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
	int64_t rows = into->width * into->d;
	if (into->psi_scale != from->psi_scale || !same_floats(into->shift, from->shift, rows)
			|| !same_floats(into->scale, from->scale, into->d)
			|| !same_floats(into->psi_shift, from->psi_shift, into->r))
		return tm_fail(err, TAMIS_E_INVALID, "co-moments to merge must have seen the same first chunk");
	into->n += from->n;
	add_doubles(into->sum, from->sum, rows);
	add_doubles(into->sum_psi, from->sum_psi, into->r);
	add_doubles(into->cross, from->cross, rows * into->r);
	add_doubles(into->within, from->within, pairs_of(into->width) * into->d);
	return TAMIS_OK;
}

/* By Cauchy and Schwarz every partial sum is bounded by the sums of squares, which only grow. |psi| <= 1
 * makes (psi - psi_shift)^2 <= 4. */
bool comoment_exact(const struct comoment *c)
{
	for (int p = 0; p < c->width; p++) {
		const double *square = c->within + (pairs_of(p + 1) - 1) * c->d;
		for (int64_t j = 0; j < c->d; j++) {
			double scale = c->scale[j], n = (double)c->n;
			if (!(square[j] <= EXACT * scale * scale && sqrt(square[j] * n) <= EXACT * scale
					&& sqrt(square[j] * 4 * n) <= EXACT * scale * c->psi_scale))
				return false;
		}
	}
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

double comoment_mean(const struct comoment *c, int64_t feature, int position)
{
	int64_t at = position * c->d + feature;
	return c->shift[at] + c->sum[at] / (double)c->n;
}

double comoment_variance(const struct comoment *c, int64_t feature, int position)
{
	double n = (double)c->n, sum = c->sum[position * c->d + feature];
	int64_t diagonal = (int64_t)position * (position + 3) / 2;

	return (c->within[diagonal * c->d + feature] - sum * (sum / n)) / n;
}

/* (cross - mean sum_psi) / n */
LOOP_VERSIONS
static void centre_products(const double *cross, double mean, const double *sum_psi, double share, int r,
		double *restrict cov)
{
	for (int k = 0; k < r; k++)
		cov[k] = (cross[k] - mean * sum_psi[k]) * share;
}

void comoment_cross_covariance(const struct comoment *c, int64_t feature, double *cov)
{
	double n = (double)c->n;
	for (int p = 0; p < c->width; p++) {
		int64_t at = p * c->d + feature;
		centre_products(c->cross + at * c->r, c->sum[at] / n, c->sum_psi, 1 / n, c->r, cov + p * c->r);
	}
}

void comoment_within_covariance(const struct comoment *c, int64_t feature, double *cov)
{
	double n = (double)c->n;
	const double *sum = c->sum + feature, *product = c->within + feature;
	int w = c->width;
	for (int p = 0; p < w; p++)
		for (int s = 0; s <= p; s++, product += c->d) {
			double v = (*product - sum[p * c->d] * (sum[s * c->d] / n)) / n;
			cov[p * w + s] = cov[s * w + p] = v;
		}
}

enum tamis_status output_moment_create(struct output_moment *m, int r, struct tamis_error *err)
{
	*m = (struct output_moment){ .r = r };
	if (r < 1)
		return tm_fail(err, TAMIS_E_USAGE, "output moments need at least one feature, but came %d", r);
	m->shift = tm_array((size_t)r, sizeof(float));
	m->sum = tm_array((size_t)r, sizeof(double));
	m->second = tm_array((size_t)r * (size_t)r, sizeof(double));
	if (m->shift && m->sum && m->second)
		return TAMIS_OK;
	output_moment_free(m);
	return tm_no_memory(err, "making room for output moments");
}

static void copy_output_pivot(struct output_moment *to, const struct output_moment *from)
{
	to->pivoted = from->pivoted;
	to->scale = from->scale;
	memcpy(to->shift, from->shift, (size_t)from->r * sizeof(float));
}

enum tamis_status output_moment_create_like(struct output_moment *m, const struct output_moment *other,
		struct tamis_error *err)
{
	enum tamis_status st = output_moment_create(m, other->r, err);
	if (st == TAMIS_OK)
		copy_output_pivot(m, other);
	return st;
}

enum tamis_status output_moment_pivot(
		struct output_moment *m, const float *psi, int64_t n, struct tamis_error *err)
{
	if (m->pivoted || n < 1)
		return tm_fail(err, TAMIS_E_USAGE, "a pivot is taken once, from at least one item");
	if (!psi_pivot(psi, n, m->r, m->shift, &m->scale))
		return tm_fail(err, TAMIS_E_INVALID, "outputs must be finite, but those of the first chunk are not");
	m->pivoted = true;
	return TAMIS_OK;
}

/* sum_t (psi_k - shift_k) (psi_l - shift_l) over a chunk. */
static double psi_product(const struct output_moment *m, const float *psi, int64_t n, int k, int l)
{
	double part = 0, shift_k = m->shift[k], shift_l = m->shift[l];
	for (int64_t t = 0; t < n; t++)
		part += (psi[t * m->r + k] - shift_k) * (psi[t * m->r + l] - shift_l);
	return on_grid(part, MAGIC * m->scale * m->scale);
}

enum tamis_status output_moment_add(
		struct output_moment *m, const float *psi, int64_t n, struct tamis_error *err)
{
	if (n < 1)
		return TAMIS_OK;
	enum tamis_status st = m->pivoted ? TAMIS_OK : output_moment_pivot(m, psi, n, err);
	if (st != TAMIS_OK)
		return st;
	add_psi_sums(m->sum, psi, n, m->r, m->shift, m->scale);
	for (int k = 0; k < m->r; k++)
		for (int l = 0; l <= k; l++) {
			double v = m->second[k * m->r + l] + psi_product(m, psi, n, k, l);
			m->second[k * m->r + l] = m->second[l * m->r + k] = v;
		}
	m->n += n;
	return TAMIS_OK;
}

enum tamis_status output_moment_merge(struct output_moment *into, const struct output_moment *from,
		struct tamis_error *err)
{
	if (into->r != from->r)
		return tm_fail(err, TAMIS_E_INVALID, "output moments to merge must have one size, but %d met %d",
				into->r, from->r);
	if (!from->pivoted)
		return TAMIS_OK;
	if (!into->pivoted)
		copy_output_pivot(into, from);
	if (into->scale != from->scale || !same_floats(into->shift, from->shift, into->r))
		return tm_fail(err, TAMIS_E_INVALID, "output moments to merge must have seen the same first chunk");
	into->n += from->n;
	add_doubles(into->sum, from->sum, into->r);
	add_doubles(into->second, from->second, (int64_t)into->r * into->r);
	return TAMIS_OK;
}

void output_moment_covariance(const struct output_moment *m, double *cov)
{
	double n = (double)m->n;
	for (int k = 0; k < m->r; k++)
		for (int l = 0; l < m->r; l++)
			cov[k * m->r + l] = (m->second[k * m->r + l] - m->sum[k] * (m->sum[l] / n)) / n;
}

void output_moment_free(struct output_moment *m)
{
	free(m->shift);
	free(m->sum);
	free(m->second);
	*m = (struct output_moment){ 0 };
}
