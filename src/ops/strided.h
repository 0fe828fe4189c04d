/* SPDX-License-Identifier: Apache-2.0 */
/* Copying and adding between two N-dimensional views of memory: the one loop under Transpose, Slice,
 * Concat, Split, Pad, Expand, Tile and their gradients. A view is a base pointer and a stride an axis, in
 * elements; strides may be negative (reversal) or zero (broadcast when read, summation when added to). */
#ifndef OPS_STRIDED_H
#define OPS_STRIDED_H

#include <stddef.h>
#include <stdint.h>

#include "base/tensor.h"

/* Room for two axes a dimension: Tile splits each into repeat and element. */
#define STRIDED_MAX_RANK (2 * TENSOR_MAX_RANK)

struct strided {
	int rank;
	int64_t dims[STRIDED_MAX_RANK]; /* >= 0; any zero makes every call do nothing */
	int64_t from[STRIDED_MAX_RANK], to[STRIDED_MAX_RANK];
};

/* The row-major walk of `dims` on both sides. */
void strided_init(struct strided *s, int rank, const int64_t *dims);

/* Adds one axis inside those there are. */
void strided_axis(struct strided *s, int64_t dim, int64_t from, int64_t to);

/* Exchanges the sides: the gradient of a copy is the addition along the swapped walk. */
void strided_swap(struct strided *s);

/* to[.] = from[.] for elements of `size` bytes (1, 2, 4, 8 or 16). The views must not overlap, and no
 * element of `to` may be met twice. Axes are collapsed, then planes are copied by rows or by square
 * blocks. O(elements). */
void strided_copy(const struct strided *s, size_t size, const void *from, void *to);

/* to[.] += from[.] for FLOAT or DOUBLE; zero strides on the `to` side sum. The order of additions depends
 * on the shape alone. O(elements). */
void strided_add(const struct strided *s, enum dtype type, const void *from, void *to);

/* Sets n elements of `size` bytes (1, 2, 4, 8 or 16) to *value. */
void strided_fill(void *to, int64_t n, size_t size, const void *value);

#endif
