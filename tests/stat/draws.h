/* SPDX-License-Identifier: Apache-2.0 */
/* Planted signals and outputs, for the tests of the null distribution and for the study. */
#ifndef TESTS_STAT_DRAWS_H
#define TESTS_STAT_DRAWS_H

#include "stat/comoment.h"

/* How a signal comes from normal values g, correlated 0.8^|p - s| between positions, plus strength * first
 * logit. */
enum draw_kind {
	DRAW_NORMAL,     /* g */
	DRAW_RECTIFIED,  /* max(0, g - 0.5): what a ReLU leaves */
	DRAW_LOG_NORMAL, /* e^g: a heavy tail */
	DRAW_SPREAD      /* noise e^(strength * first logit): dependence without correlation */
};

/* n items: u n x positions x d (features independent of one another given y), y n x 10 normal logits. The
 * strength holds for the first `planted` features, the rest are independent of y. */
struct draws {
	int64_t n, d;
	int positions;
	float *u, *y;
};

struct draws draws_make(enum draw_kind kind, int64_t n, int64_t d, int positions, int64_t planted,
		double strength, uint64_t seed);
void draws_free(struct draws *s);

/* Merged sums over chunks of 64 items, with q features of each signal (1 = the plain signal); both are to be
 * freed. */
void draws_moments(const struct draws *s, int q, struct comoment *c, struct output_moment *m);

/* p (d) of one set of draws, all planted. */
void draws_p_values(enum draw_kind kind, int64_t n, int64_t d, int positions, double strength, int q,
		uint64_t seed, double *p);

int draws_compare(const void *a, const void *b); /* doubles, for qsort */

#endif
