/* SPDX-License-Identifier: Apache-2.0 */
/* Streaming second moments of the signals of one layer against the output features psi, and of psi itself.
 *
 * Layout of signals: u is n x width x d, row-major: for each item, `width` rows (one a position) of d
 * features. That is what im2col gives with a row a position, and what a MatMul reads. `stride` >= d is the
 * distance in floats from one row to the next, so that a block of features can be handed over in place. width
 * is the number of positions, times q where a signal_map has made q features of each.
 *
 * Order does not matter. Values are shifted by a pivot (their mean over the first chunk of the whole set),
 * and what a chunk adds is rounded to a grid fixed by the pivot, 2^-20 of one item's largest contribution
 * there, so that sums in double are exact: the same chunks give the same bits in any order, from any number
 * of workers or shards, as long as each chunk is handed over whole. comoment_exact says whether sums stayed
 * in range (2^31 such contributions, and |psi| <= 1); where they did not, they are still accurate but the
 * last bits may depend on the order. Within a chunk products are summed in float over 64 items at a time, and
 * added in double.
 *
 * Sums are kept by octets: the sums of eight neighbouring features lie side by side, and those of an octet
 * together, so that adding a chunk and testing run along memory. Features beyond d in the last octet are zero.
 *
 * No function here starts threads or locks. One comoment a shard and a merge, or one for all behind a lock:
 * the bits are the same. */
#ifndef STAT_COMOMENT_H
#define STAT_COMOMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define COMOMENT_MAX_WIDTH 64 /* positions * features of a signal */

/* Sums over items t of x = u - shift and y = psi - psi_shift. Plain data for a score file. */
struct comoment {
	int64_t n, d;
	int width, r;
	bool pivoted;
	float *shift;     /* width x d */
	float *scale;     /* d: powers of two near the largest |x| of the first chunk */
	float *psi_shift; /* r */
	float psi_scale;  /* a power of two */
	double *sum_psi;  /* r: sum y */
	/* By octet of features, each row eight doubles: */
	double *sum;      /* octets x width: sum x */
	double *cross;    /* octets x width x r: sum x y */
	double *within;   /* octets x width (width + 1) / 2: sum x_p x_s, s <= p, at row p (p + 1) / 2 + s */
};

/* Features, rounded up to whole octets; d at most INT64_MAX - 7. */
static inline int64_t comoment_lanes(int64_t d)
{
	return (d + 7) / 8 * 8;
}

/* Pairs s <= p of positions. */
static inline int64_t comoment_pairs(int width)
{
	return (int64_t)width * (width + 1) / 2;
}

/* Bytes held: 8 d (width (r + 1) + width (width + 1) / 2) + 4 d (width + 1) + 12 r, the first d rounded up to a multiple
 * of 8; -1 on overflow. */
int64_t comoment_bytes(int64_t d, int width, int r);

/* Empty sums. d >= 1, 1 <= width <= COMOMENT_MAX_WIDTH, r >= 1. TAMIS_E_USAGE, TAMIS_E_MEMORY. */
enum tamis_status comoment_create(struct comoment *c, int64_t d, int width, int r, struct tamis_error *err);

/* Fixes the pivot from the first chunk (n >= 1 items); adds nothing. TAMIS_E_USAGE once pivoted,
 * TAMIS_E_INVALID when a value is not finite, TAMIS_E_MEMORY. O(n width d). */
enum tamis_status comoment_pivot(struct comoment *c, const float *u, int64_t stride, const float *psi,
		int64_t n, struct tamis_error *err);

/* Adds a chunk: u (n x width x d, stride), psi (n x r). A comoment without pivot takes it from this chunk
 * first. An infinite or NaN value makes the sums of its feature NaN, which tests treat as not significant.
 * TAMIS_E_MEMORY (nothing added). O(n width d (r + width / 2)) time; scratch about 64 * width * min(n, 64) bytes. */
enum tamis_status comoment_add(struct comoment *c, const float *u, int64_t stride, const float *psi,
		int64_t n, struct tamis_error *err);

/* into += from. TAMIS_E_INVALID when shapes or pivots differ. An empty unpivoted side is fine. O(bytes). */
enum tamis_status comoment_merge(struct comoment *into, const struct comoment *from, struct tamis_error *err);

/* True when every sum stayed in the exact range, so that bits do not depend on the order. O(width d). */
bool comoment_exact(const struct comoment *c);

void comoment_free(struct comoment *c); /* leaves it zeroed */

/* What the sums say about one feature, divisor n; n >= 1. */
double comoment_mean(const struct comoment *c, int64_t feature, int position);
double comoment_variance(const struct comoment *c, int64_t feature, int position);
void comoment_cross_covariance(const struct comoment *c, int64_t feature, double *cov);  /* width x r */
void comoment_within_covariance(
		const struct comoment *c, int64_t feature, double *cov); /* width x width, symmetric */

/* Second moments of psi, shared by all layers. The same rules: pivot, grid, any order. */
struct output_moment {
	int64_t n;
	int r;
	bool pivoted;
	float *shift;   /* r */
	float scale;    /* a power of two */
	double *sum;    /* r */
	double *second; /* r x r, symmetric, full */
};

enum tamis_status output_moment_create(struct output_moment *m, int r, struct tamis_error *err);
enum tamis_status output_moment_pivot(
		struct output_moment *m, const float *psi, int64_t n, struct tamis_error *err);
enum tamis_status output_moment_add(
		struct output_moment *m, const float *psi, int64_t n, struct tamis_error *err);
enum tamis_status output_moment_merge(struct output_moment *into, const struct output_moment *from,
		struct tamis_error *err);
void output_moment_covariance(const struct output_moment *m, double *cov); /* r x r, divisor n */
void output_moment_free(struct output_moment *m);

#endif
