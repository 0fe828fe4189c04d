/* SPDX-License-Identifier: Apache-2.0 */
/* Many values in few numbers: quantiles, and a histogram on a logarithmic scale. */
#ifndef STAT_DISTRIBUTION_H
#define STAT_DISTRIBUTION_H

#include <stdint.h>

#include "base/error.h"

#define DISTRIBUTION_BINS 40
#define DISTRIBUTION_QUANTILES 9

/* At 0, .01, .05, .25, .5, .75, .95, .99, 1. */
extern const double distribution_shares[DISTRIBUTION_QUANTILES];

struct distribution {
	int64_t count;
	int64_t zeros;    /* of them not positive, or no number; infinity too, where nothing positive is finite */
	double quantile[DISTRIBUTION_QUANTILES]; /* of those that are numbers; NAN where there is none */
	double low, high; /* least and largest positive value that is finite; 0 where there is none */
	int64_t bin[DISTRIBUTION_BINS]; /* of equal width on the logarithm from low to high; infinity is in the last one */
};

/* n >= 0 values. TAMIS_E_MEMORY. O(n log n), n doubles of scratch. */
enum tamis_status distribution_of(const double *x, int64_t n, struct distribution *out, struct tamis_error *err);

/* The bin of a value from low on; -1 where it is not positive. */
int distribution_bin(const struct distribution *d, double x);

/* Where bin k begins; k = DISTRIBUTION_BINS: where the last one ends. */
double distribution_edge(const struct distribution *d, int k);

#endif
