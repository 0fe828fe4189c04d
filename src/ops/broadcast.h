/* SPDX-License-Identifier: Apache-2.0 */
/* Multidirectional (NumPy-style) broadcasting: the shape of the result, and a walk over the result in rows
 * along which every operand either advances by one element or stands still. */
#ifndef OPS_BROADCAST_H
#define OPS_BROADCAST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "graph/op.h"

#define BROADCAST_OPERANDS 4

/* Shape of the n tensors broadcast together. TAMIS_E_INVALID names the first operand that does not fit and
 * both sizes. dims has room for TENSOR_MAX_RANK. O(n * rank). */
enum tamis_status broadcast_shape(const struct tensor *const *in, int n, int *rank, int64_t *dims,
                                  struct tamis_error *err);

/* Whether `from` broadcasts to the shape of `to` without changing it (unidirectional broadcasting). */
bool broadcast_fits(const struct tensor *from, const struct tensor *to);

/* A walk over the elements of the result in row-major order, as rows of `row` elements. Axes along which no
 * operand changes its behaviour are one axis, so equal shapes make a single row and [N,C,H,W] with [C,1,1]
 * makes rows of H*W.
 *
 *     for (bool more = broadcast_start(&w, out, in, n); more; more = broadcast_next(&w))
 *             row(a + w.at[0], w.step[0], b + w.at[1], w.step[1], out + w.out, w.row);
 *
 * False from the start when the result is empty. Every operand must broadcast to the result. */
struct broadcast {
	int64_t row;                       /* elements a row */
	int64_t out;                       /* first element of this row in the result */
	int64_t at[BROADCAST_OPERANDS];    /* the same in each operand */
	int64_t step[BROADCAST_OPERANDS];  /* 1: advances along the row; 0: the same element for the whole row */
	int n, rank;                       /* operands; outer axes, innermost last */
	int64_t dims[TENSOR_MAX_RANK], index[TENSOR_MAX_RANK];
	int64_t stride[BROADCAST_OPERANDS][TENSOR_MAX_RANK]; /* elements; 0 along broadcast axes */
};
bool broadcast_start(struct broadcast *w, const struct tensor *result, const struct tensor *const *in, int n);
bool broadcast_next(struct broadcast *w);

/* The gradient of a broadcast: to += factor * (from summed over the axes along which `to` was broadcast).
 * FLOAT or DOUBLE, both alike; rows are summed in double. O(count of from), order fixed. */
void broadcast_add(const struct tensor *from, double factor, struct tensor *to);

/* Copies `from`, broadcast, into `to`: elements of 1, 2, 4, 8 or 16 bytes, whatever their meaning. Nothing
 * happens when both are the same memory. */
void broadcast_copy(const struct tensor *from, struct tensor *to);

#endif
