/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products and a few vector helpers over float and double. `type` is DT_FLOAT or DT_DOUBLE
 * throughout. */
#ifndef OPS_BLAS_H
#define OPS_BLAS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"

/* Makes the BLAS of this process work in the calling thread alone: workers split items, not matrices, and its own
 * threads would only wait for each other. Runners call it; idempotent, safe from any thread. */
void blas_prepare(void);

/* Row-major C (m x n, pitch ldc) = alpha * op(A) op(B) + beta * C, with op(A) m x k and op(B) k x n; ta
 * and tb say which are stored transposed. Sizes are any int64_t: they are cut into pieces BLAS can take.
 * beta == 0 never reads C; k == 0 leaves beta * C. The pitches must be at most INT32_MAX (see blas_fits).
 * O(m n k). */
void blas_gemm(enum dtype type, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha,
               const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc);

/* The lower triangle, diagonal included, of C (n x n, packed) = A' A, A: k x n with pitch lda; what stands above it is of no
 * meaning. The pitch and n as above. O(n^2 k / 2). */
void blas_gram(int64_t n, int64_t k, const float *a, int64_t lda, float *c);

/* Whether tamis multiplies matrices of a type: floats (halves through float), integers of 32 and 64 bits. */
bool blas_has_type(enum dtype type);

/* Whether a length may be a pitch. */
bool blas_fits(int64_t n);

/* C (m x n, packed) += A B over integers of 32 or 64 bits, signed or unsigned alike: modulo 2^bits.
 * Element (i, l) of A is a[i * ai + l * al], element (l, j) of B is b[l * bl + j * bj]. O(m n k). */
void blas_gemm_int(int bits, int64_t m, int64_t n, int64_t k, const void *a, int64_t ai, int64_t al,
                   const void *b, int64_t bl, int64_t bj, void *c);

/* y[i] += x[i]; rows x cols with pitches. O(rows * cols). */
void blas_add_rows(enum dtype type, int64_t rows, int64_t cols, const void *x, int64_t ldx, void *y,
                   int64_t ldy);

/* sums[r] += scale * the sum of row r, added in a fixed order. O(rows * cols). */
void blas_row_sums(enum dtype type, int64_t rows, int64_t cols, const void *x, int64_t ldx, double scale,
                   void *sums);

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
