/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products and a few vector helpers over float and double. `type` is DT_FLOAT or DT_DOUBLE throughout. */
#ifndef OPS_BLAS_H
#define OPS_BLAS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"

/* Row-major C (m x n, pitch ldc) = alpha * op(A) op(B) + beta * C, with op(A) m x k and op(B) k x n; ta and tb say
 * which are stored transposed. Sizes are any int64_t: m and n are cut into pieces BLAS can take. beta == 0 never reads
 * C; k == 0 leaves beta * C. k and the pitches must be at most INT32_MAX (see blas_fits). O(m n k). */
void blas_gemm(enum dtype type, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const void *a,
               int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc);

/* Whether a length may be BLAS's k or a pitch. */
bool blas_fits(int64_t n);

/* y[i] += x[i]; rows x cols with pitches. O(rows * cols). */
void blas_add_rows(enum dtype type, int64_t rows, int64_t cols, const void *x, int64_t ldx, void *y, int64_t ldy);

/* sums[r] += scale * the sum of row r, added in a fixed order. O(rows * cols). */
void blas_row_sums(enum dtype type, int64_t rows, int64_t cols, const void *x, int64_t ldx, double scale, void *sums);

/* Every element of row r becomes values[r % n]; values NULL: zero. y is rows x cols. O(rows * cols). */
void blas_fill_rows(enum dtype type, int64_t rows, int64_t cols, const void *values, int64_t n, void *y);

/* Element i of an array. */
static inline void *blas_at(enum dtype type, const void *base, int64_t i)
{
	return (char *)base + i * (type == DT_FLOAT ? 4 : 8);
}

static inline size_t blas_size(enum dtype type)
{
	return type == DT_FLOAT ? 4 : 8;
}

#endif
