/* SPDX-License-Identifier: Apache-2.0 */
/* Sums whose bits do not depend on the order. They are exact because every term is a multiple of a quantum: for
 * |v| < 2^51 quantum, (v + m) - m with m = 1.5 * 2^52 quantum rounds v to the nearest multiple, and sums of multiples
 * below 2^53 quantum never round (pre-rounding as in Demmel and Nguyen 2013, "Fast reproducible floating-point
 * summation"). */
#ifndef STAT_GRID_H
#define STAT_GRID_H

#include <stdbool.h>
#include <stdint.h>

#define QUANTUM 0x1p-20          /* of a product of two scales */
#define MAGIC (0x1.8p52 * QUANTUM)
#define EXACT (0x1p51 * QUANTUM) /* sums below this many products of scales are exact */

static inline double on_grid(double v, double magic)
{
	return (v + magic) - magic;
}

/* Shift (r) and one common scale, a power of two, of n rows of psi. False where one is not finite. O(n r). */
bool grid_pivot(const float *psi, int64_t n, int r, float *shift, float *scale);

/* Adds the sums of psi - shift over n rows to sum (r), on the grid. O(n r). */
void grid_add(double *sum, const float *psi, int64_t n, int r, const float *shift, double scale);

#endif
