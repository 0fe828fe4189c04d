/* SPDX-License-Identifier: Apache-2.0 */
/* What a step of tuning gathers: for each item the gradient of every channel's scale and shift, and the equations they make. */
#ifndef SLIM_TUNE_ROWS_H
#define SLIM_TUNE_ROWS_H

#include "base/parallel.h"
#include "slim/layers.h"

/* Adds, for items 0..items-1 of a layer's results z and their gradient: sum over positions of gradient * z to the item's first
 * view.outs floats, of the gradient to the next as many. Item i's are at row + i * pitch. Where the results do not divide by the
 * items nothing is added. O(results). */
void tune_rows_add(const struct layer *l, const struct tensor *z, const struct tensor *gradient, int64_t items, int64_t pitch,
                   float *row);

/* Adds z and its squares by channel, over items and positions; returns how many of each. */
int64_t tune_sums_add(const struct layer *l, const struct tensor *z, double *sum, double *square);

/* (C + TUNE_OWN diag C + TUNE_MEAN mean(diag C) I) x = - slope / n with C = R'R / n, R n x width. An unknown on which nothing hangs
 * stays 0. Conjugate gradients. TAMIS_E_MEMORY. O(steps n width). */
struct tune_system {
	const float *rows;
	int64_t n, width;
	const double *slope;
	struct pool *pool;   /* the same bits for any */
};
enum tamis_status tune_solve(const struct tune_system *s, double *x, struct tamis_error *err);

#endif
