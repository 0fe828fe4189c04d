/* SPDX-License-Identifier: Apache-2.0 */
/* Fourier transforms of any length in double. */
#ifndef OPS_FOURIER_H
#define OPS_FOURIER_H

#include "graph/op.h"

struct fourier {
	int64_t n, padded;  /* length; power of two that is computed with */
	double *root;       /* padded / 2 powers of exp(-2 pi i / padded), as pairs */
	/* n values of exp(-pi i k^2 / n), and the transform of their conjugates; NULL for powers of two */
	double *chirp;
	double *work;       /* padded pairs */
};

/* For transforms of n >= 1 values; memory comes from scratch. O(n log n). */
enum tamis_status fourier_open(struct fourier *f, int64_t n, struct scratch *scratch,
                               struct tamis_error *err);

/* z[k] = sum of z[j] exp(-2 pi i j k / n) over n pairs, with + where `inverse`; nothing is divided by n. O(n
 * log n). */
void fourier_transform(const struct fourier *f, double *z, bool inverse);

#endif
