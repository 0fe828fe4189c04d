/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel features: psi of the network's outputs, and phi of a signal for the `rich` test.
 *
 * psi(y) = sqrt(2/r) cos(w_k . y / h + b_k), k < r, with w_k standard normal and b_k uniform on [0, 2 pi):
 * inner products of psi estimate the Gaussian kernel exp(-|y - y'|^2 / (2 h^2)) (Rahimi and Recht 2007). h is
 * the median distance of a first chunk. A map is a pure function of its first chunk and its seed: shards that
 * read the same first chunk get the same map. Applying is a function of the row alone, up to rounding that is
 * fixed for a fixed chunk size. Constant maps may be shared between threads. */
#ifndef STAT_FEATURES_H
#define STAT_FEATURES_H

#include <stdint.h>

#include "base/error.h"

#define FEATURES_DEFAULT 32     /* r */
#define FEATURES_MAX_PAIRS 4096 /* distances behind a bandwidth */
#define SIGNAL_MAX_Q 16         /* most features of a signal */

/* What the outputs are, which decides what the kernel sees. */
enum head_kind {
	HEAD_PROBABILITIES, /* taken as they are */
	HEAD_LOGITS,        /* softmax over each run of `classes` values */
	HEAD_GENERAL        /* each value standardised by mean and deviation of the first chunk */
};

struct feature_map {
	enum head_kind head;
	int64_t m, classes; /* values a row; values a softmax runs over */
	int r;
	double bandwidth;   /* h, on the prepared values */
	float *mean,
			*scale; /* m each, HEAD_GENERAL only: value -> (value - mean) * scale; scale 0 where constant */
	float *omega;       /* m x r: w_k / h */
	float *phase;       /* r: b_k */
};

/* Fits a map to the n >= 1 rows of m >= 1 values of a first chunk (row-major). classes divides m and matters
 * for HEAD_LOGITS only; 0 = m. r >= 1. Where all rows are equal the bandwidth is 1 (the features are constant
 * then, and every p-value 1). The bandwidth uses all pairs of rows, or FEATURES_MAX_PAIRS seeded ones where
 * there are more. TAMIS_E_INVALID when a value (for HEAD_LOGITS: a softmax) is not finite, TAMIS_E_MEMORY;
 * the map is empty then. O((pairs + n) m + m r) time, n m floats of scratch.
 * Release with feature_map_free. */
enum tamis_status feature_map_create(struct feature_map *map, enum head_kind head, const float *rows,
		int64_t n, int64_t m, int64_t classes, int r, uint64_t seed, struct tamis_error *err);

/* psi (n x r) of n rows of m values. TAMIS_E_INVALID when a row gives a value that is not finite (the message
 * names the row), TAMIS_E_MEMORY. O(n m r): one GEMM. Up to 64 m floats of scratch. */
enum tamis_status feature_map_apply(const struct feature_map *map, const float *rows, int64_t n, float *psi,
		struct tamis_error *err);

void feature_map_free(struct feature_map *map); /* leaves it zeroed; NULL pointers are fine */

/* Bytes a map holds. */
int64_t feature_map_bytes(enum head_kind head, int64_t m, int r);

/* Softmax of each of `rows` runs of `classes` logits at temperature > 0. in == out is allowed. A logit of
 * -inf gives 0; a run without a finite maximum gives NaN. */
void softmax_rows(const float *logits, int64_t rows, int64_t classes, double temperature, float *out);

/* Mean and 1 / standard deviation (0 where constant) of each of m columns over n rows. Sums in double. */
enum tamis_status standardisation(const float *rows, int64_t n, int64_t m, float *mean, float *scale,
		struct tamis_error *err);

/* phi of a signal: its standardised value x and q - 1 Fourier features sqrt(2/(q-1)) cos(w x + b), w ~ N(0,
 * 1). With it the test sees dependence without correlation. Frequencies are shared by all features of a
 * layer. */
struct signal_map {
	int64_t d;
	int q;                              /* 1 = the standardised value alone */
	float *mean, *scale;                /* d each, over items and positions of the first chunk */
	float omega[SIGNAL_MAX_Q], phase[SIGNAL_MAX_Q]; /* of feature k >= 1 at k */
};

/* Fits to a first chunk: signals u as in comoment.h, n x positions rows of d values, `stride` floats apart.
 * 1 <= q <= SIGNAL_MAX_Q. Signals that are constant there take the layer's root-mean-square deviation. */
enum tamis_status signal_map_create(struct signal_map *map, int64_t d, int positions, int q, const float *u,
		int64_t stride, int64_t n, uint64_t seed, struct tamis_error *err);

/* phi (n x (positions q) x d, feature k of position p at row p q + k): the u of a comoment of width positions
 * * q. O(n positions q d). */
void signal_map_apply(const struct signal_map *map, const float *u, int64_t stride, int64_t n, int positions,
		float *phi);

void signal_map_free(struct signal_map *map); /* leaves it zeroed */

#endif
