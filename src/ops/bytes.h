/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of 8-bit integers on their way to and from floats: loops that vectorise. */
#ifndef OPS_BYTES_H
#define OPS_BYTES_H

#include "base/tensor.h"

static inline bool is_byte(enum dtype t)
{
	return t == DT_UINT8 || t == DT_INT8;
}

/* y[i] = (x[i] - zero) * scale for n elements from x (UINT8, INT8; element `from`) on. */
void bytes_to_floats(const struct tensor *x, int64_t from, int64_t n, float zero, float scale, float *y);

/* y[i] = x[i] / scale rounded to even, + zero, saturated, from element `to` of y (UINT8, INT8) on. NaN gives the
 * least integer. */
void bytes_from_floats(const float *x, int64_t n, float scale, float zero, struct tensor *y, int64_t to);

/* The same with x[i] * factor[i * step]. */
void bytes_from_sums(const double *x, int64_t n, const float *factor, int step, float zero, struct tensor *y, int64_t to);

#endif
