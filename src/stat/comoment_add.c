/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks into co-moments. Eight features lie side by side; their items follow one another for each position, so that
 * products of positions run along both, and what is read and written is contiguous. */
#include <stdlib.h>
#include <string.h>

#include "base/eight.h"
#include "base/loop.h"
#include "base/memory.h"
#include "stat/comoment.h"
#include "stat/grid.h"

enum {
	SLICE = 64, /* items multiplied in float at a time */
	PACK = 2,   /* octets of features packed at a time: a cache line of a row of signals */
	DOWN = 2,   /* products of so many positions ... */
	ACROSS = 4  /* ... by so many others, or outputs, stay in registers */
};

static int rounded(int n, int to)
{
	return (n + to - 1) / to * to;
}

/* x: PACK x positions x items x LANES, positions rounded up; y: items x outputs, rounded up. What the products of those
 * beyond the true sizes come to is dropped. */
struct packed {
	float *x, *y;
	int rows, outputs; /* rounded up */
	int64_t octet;     /* floats of one */
};

static void packed_free(struct packed *k)
{
	free(k->x);
	free(k->y);
}

static bool packed_alloc(struct packed *k, const struct comoment *c, int64_t items)
{
	size_t most = items < SLICE ? (size_t)items : SLICE;
	k->rows = c->width == 1 ? 1 : rounded(c->width, ACROSS);
	k->outputs = rounded(c->r, ACROSS);
	k->octet = (int64_t)most * k->rows * LANES;
	k->x = tm_array((size_t)k->octet, PACK * sizeof *k->x);
	k->y = tm_array(most * (size_t)k->outputs, sizeof *k->y);
	if (k->x && k->y)
		return true;
	packed_free(k);
	return false;
}

static void pack_outputs(const struct comoment *c, const float *psi, int items, struct packed *k)
{
	for (int t = 0; t < items; t++)
		for (int i = 0; i < c->r; i++)
			k->y[t * k->outputs + i] = psi[t * c->r + i] - c->psi_shift[i];
}

static void subtract_few(const float *row, const float *shift, int count, float *x)
{
	for (int i = 0; i < LANES; i++)
		x[i] = i < count ? row[i] - shift[i] : 0;
}

/* Features from..from + LANES of all items and positions, `count` of them real. */
LOOP_VERSIONS
static void pack_octet(const struct comoment *c, const float *u, int64_t stride, int64_t from, int count, int items,
		float *x)
{
	for (int t = 0; t < items; t++)
		for (int p = 0; p < c->width; p++) {
			const float *row = u + ((int64_t)t * c->width + p) * stride + from;
			const float *shift = c->shift + p * c->d + from;
			float *to = x + ((int64_t)p * items + t) * LANES;
			if (count < LANES) {
				subtract_few(row, shift, count, to);
				continue;
			}
			eight v, pivot;
			memcpy(&v, row, sizeof v);
			memcpy(&pivot, shift, sizeof pivot);
			v -= pivot;
			memcpy(to, &v, sizeof v);
		}
}

static inline __attribute__((always_inline)) void widen(const float *x, four *to)
{
	four_floats v;
	memcpy(&v, x, sizeof v);
	*to = __builtin_convertvector(v, four);
}

/* sum += part rounded to the grid, four features side by side. */
static inline __attribute__((always_inline)) void add_four(const four *part, const double *magic, double *sum)
{
	four all, fixed;
	memcpy(&all, sum, sizeof all);
	memcpy(&fixed, magic, sizeof fixed);
	all += (*part + fixed) - fixed;
	memcpy(sum, &all, sizeof all);
}

/* The same of LANES features. */
static inline __attribute__((always_inline)) void add_part(const eight *part, const double *magic, double *sum)
{
	float one[LANES];
	four low, high;
	memcpy(one, part, sizeof one);
	widen(one, &low);
	widen(one + LANES / 2, &high);
	add_four(&low, magic, sum);
	add_four(&high, magic + LANES / 2, sum + LANES / 2);
}

/* Sums of x, in double. */
LOOP_VERSIONS
static void add_sums(const float *x, int width, int items, const double *magic, double *sum)
{
	for (int p = 0; p < width; p++, x += items * LANES, sum += LANES) {
		four low = { 0 }, high = { 0 }, v;
		for (int t = 0; t < items; t++) {
			widen(x + t * LANES, &v);
			low += v;
			widen(x + t * LANES + LANES / 2, &v);
			high += v;
		}
		add_four(&low, magic, sum);
		add_four(&high, magic + LANES / 2, sum + LANES / 2);
	}
}

/* Products of DOWN positions by ACROSS outputs. */
static inline __attribute__((always_inline)) void by_outputs(const float *x, int64_t next, const float *y,
		int outputs, int items, eight part[DOWN][ACROSS])
{
	for (int t = 0; t < items; t++)
		for (int i = 0; i < DOWN; i++) {
			eight v;
			memcpy(&v, x + i * next + t * LANES, sizeof v);
			for (int k = 0; k < ACROSS; k++)
				part[i][k] += v * y[t * outputs + k];
		}
}

/* sum: width x r x LANES. A single position goes twice. */
LOOP_VERSIONS
static void add_cross(const struct packed *k, const float *x, int width, int r, int items, const double *magic,
		double *sum)
{
	int64_t next = k->rows > 1 ? items * LANES : 0;
	for (int p = 0; p < width; p += DOWN)
		for (int o = 0; o < r; o += ACROSS) {
			eight part[DOWN][ACROSS] = { 0 };
			by_outputs(x + p * next, next, k->y + o, k->outputs, items, part);
			for (int i = 0; i < DOWN && p + i < width; i++)
				for (int j = 0; j < ACROSS && o + j < r; j++)
					add_part(&part[i][j], magic, sum + ((int64_t)(p + i) * r + o + j) * LANES);
		}
}

/* Products of DOWN positions by ACROSS others. */
static inline __attribute__((always_inline)) void by_positions(const float *a, const float *b, int64_t next,
		int items, eight part[DOWN][ACROSS])
{
	for (int t = 0; t < items; t++)
		for (int i = 0; i < DOWN; i++) {
			eight v, w;
			memcpy(&v, a + i * next + t * LANES, sizeof v);
			for (int k = 0; k < ACROSS; k++) {
				memcpy(&w, b + k * next + t * LANES, sizeof w);
				part[i][k] += v * w;
			}
		}
}

/* sum: pairs of positions x LANES, in the order of struct comoment. */
LOOP_VERSIONS
static void add_within(const struct packed *k, const float *x, int width, int items, const double *magic, double *sum)
{
	int64_t next = k->rows > 1 ? items * LANES : 0;
	for (int p = 0; p < width; p += DOWN)
		for (int s = 0; s < p + DOWN && s < width; s += ACROSS) {
			eight part[DOWN][ACROSS] = { 0 };
			by_positions(x + p * next, x + s * next, next, items, part);
			for (int i = 0; i < DOWN && p + i < width; i++)
				for (int j = 0; j < ACROSS && s + j <= p + i; j++)
					add_part(&part[i][j], magic, sum + ((int64_t)(p + i) * (p + i + 1) / 2 + s + j) * LANES);
		}
}

static void add_octet(struct comoment *c, const struct packed *k, const float *x, int64_t octet, int items)
{
	int64_t from = octet * LANES;
	double first[LANES], cross[LANES], within[LANES];
	for (int i = 0; i < LANES; i++) {
		double scale = from + i < c->d ? c->scale[from + i] : 1;
		first[i] = MAGIC * scale;
		cross[i] = MAGIC * scale * c->psi_scale;
		within[i] = MAGIC * scale * scale;
	}
	add_sums(x, c->width, items, first, c->sum + octet * c->width * LANES);
	add_cross(k, x, c->width, c->r, items, cross, c->cross + octet * c->width * c->r * LANES);
	add_within(k, x, c->width, items, within, c->within + octet * comoment_pairs(c->width) * LANES);
}

static void add_slice(struct comoment *c, const float *u, int64_t stride, const float *psi, int items,
		struct packed *k)
{
	pack_outputs(c, psi, items, k);
	for (int64_t from = 0; from < c->d; from += PACK * LANES) {
		int octets = 0;
		for (; octets < PACK && from + octets * LANES < c->d; octets++) {
			int64_t at = from + octets * LANES, left = c->d - at;
			pack_octet(c, u, stride, at, left < LANES ? (int)left : LANES, items, k->x + octets * k->octet);
		}
		for (int i = 0; i < octets; i++)
			add_octet(c, k, k->x + i * k->octet, from / LANES + i, items);
	}
}

enum tamis_status comoment_add(struct comoment *c, const float *u, int64_t stride, const float *psi,
		int64_t n, struct tamis_error *err)
{
	struct packed k;
	if (stride < c->d)
		return tm_fail(err, TAMIS_E_USAGE, "rows of signals lie at least %lld apart, but came %lld apart",
				(long long)c->d, (long long)stride);
	if (n < 1)
		return TAMIS_OK;
	if (!packed_alloc(&k, c, n))
		return tm_no_memory(err, "adding up co-moments");
	enum tamis_status st = c->pivoted ? TAMIS_OK : comoment_pivot(c, u, stride, psi, n, err);
	for (int64_t t = 0; t < n && st == TAMIS_OK; t += SLICE)
		add_slice(c, u + t * c->width * stride, stride, psi + t * c->r, n - t < SLICE ? (int)(n - t) : SLICE, &k);
	if (st == TAMIS_OK) {
		grid_add(c->sum_psi, psi, n, c->r, c->psi_shift, c->psi_scale);
		c->n += n;
	}
	packed_free(&k);
	return st;
}
