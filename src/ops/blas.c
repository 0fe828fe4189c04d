/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/blas.h"

#include <cblas.h>

#include "ops/onednn_gemm.h"

#define T float
#define NAME(x) x##_float
#include "ops/blas.inc"
#undef T
#undef NAME
#define T double
#define NAME(x) x##_double
#include "ops/blas.inc"
#undef T
#undef NAME

/* Asked first: setting is not free, and reading is. */
void blas_prepare(void)
{
	if (openblas_get_num_threads() != 1)
		openblas_set_num_threads(1);
}

enum { PIECE = 1 << 30 }; /* most rows or columns a call */

bool blas_has_type(enum dtype t)
{
	return dtype_is_float((int)t) || t == DT_INT32 || t == DT_INT64 || t == DT_UINT32 || t == DT_UINT64;
}

bool blas_fits(int64_t n)
{
	return n <= INT32_MAX;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void scale_rows(enum dtype type, int64_t m, int64_t n, double beta, void *c, int64_t ldc)
{
	if (type == DT_FLOAT)
		scale_rows_float(m, n, (float)beta, c, ldc);
	else
		scale_rows_double(m, n, beta, c, ldc);
}

/* A pitch of a matrix of one row may be anything; BLAS still wants it as long as a row. */
static int pitch(int64_t ld, int64_t cols)
{
	return (int)(ld < cols ? cols : ld < 1 ? 1 : ld);
}

/* A matrix by a vector, whose elements are `step` apart, added to y. BLAS packs a matrix for a product of matrices, which
 * costs more than one vector's product. */
static void by_vector(enum dtype type, bool transposed, int64_t rows, int64_t cols, double alpha, const void *matrix,
                      int64_t ld, const void *x, int64_t step, void *y, int64_t y_step)
{
	CBLAS_TRANSPOSE op = transposed ? CblasTrans : CblasNoTrans;
	int m = (int)rows, n = (int)cols, l = pitch(ld, cols), dx = pitch(step, 1), dy = pitch(y_step, 1);

	if (type == DT_FLOAT)
		cblas_sgemv(CblasRowMajor, op, m, n, (float)alpha, matrix, l, x, dx, 1, y, dy);
	else
		cblas_dgemv(CblasRowMajor, op, m, n, alpha, matrix, l, x, dx, 1, y, dy);
}

static void vector_piece(enum dtype type, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha,
                         const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc)
{
	scale_rows(type, m, n, beta, c, ldc);
	if (m == 1)
		by_vector(type, !tb, tb ? n : k, tb ? k : n, alpha, b, ldb, a, ta ? lda : 1, c, 1);
	else
		by_vector(type, ta, ta ? k : m, ta ? m : k, alpha, a, lda, b, tb ? 1 : ldb, c, ldc);
}

static void piece(enum dtype type, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha,
                  const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc)
{
	CBLAS_TRANSPOSE opa = ta ? CblasTrans : CblasNoTrans, opb = tb ? CblasTrans : CblasNoTrans;
	int la = pitch(lda, ta ? m : k), lb = pitch(ldb, tb ? k : n), lc = pitch(ldc, n);

	if (m == 1 || n == 1) {
		vector_piece(type, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
		return;
	}
	if (type == DT_FLOAT && onednn_gemm(ta, tb, m, n, k, (float)alpha, a, la, b, lb, (float)beta, c, lc))
		return;
	if (type == DT_FLOAT)
		cblas_sgemm(CblasRowMajor, opa, opb, (int)m, (int)n, (int)k, (float)alpha, a, la, b, lb, (float)beta, c,
		            lc);
	else
		cblas_dgemm(CblasRowMajor, opa, opb, (int)m, (int)n, (int)k, alpha, a, la, b, lb, beta, c, lc);
}

void blas_gemm(enum dtype type, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha,
               const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc)
{
	if (m == 0 || n == 0)
		return;
	if (k == 0) {
		scale_rows(type, m, n, beta, c, ldc);
		return;
	}
	for (int64_t i = 0; i < m; i += PIECE)
		for (int64_t j = 0; j < n; j += PIECE)
			for (int64_t l = 0; l < k; l += PIECE)
				piece(type, ta, tb, least(m - i, PIECE), least(n - j, PIECE), least(k - l, PIECE), alpha,
				      blas_at(type, a, ta ? l * lda + i : i * lda + l), lda,
				      blas_at(type, b, tb ? j * ldb + l : l * ldb + j), ldb, l ? 1 : beta,
				      blas_at(type, c, i * ldc + j), ldc);
}

enum { BAND = 192 }; /* rows at a time: few products above the diagonal, and enough of them for a kernel to be fast */

void blas_gram(int64_t n, int64_t k, const float *a, int64_t lda, float *c)
{
	for (int64_t i = 0; i < n; i += BAND) {
		int64_t rows = least(n - i, BAND);

		blas_gemm(DT_FLOAT, true, false, rows, i + rows, k, 1, a + i, lda, a, lda, 0, c + i * n, n);
	}
}

#define GEMM_INT(bits) \
	static void gemm_int##bits(int64_t m, int64_t n, int64_t k, const uint##bits##_t *a, int64_t ai, \
	                           int64_t al, const uint##bits##_t *b, int64_t bl, int64_t bj, \
	                           uint##bits##_t *restrict c) \
	{ \
		for (int64_t i = 0; i < m; i++, c += n) \
			for (int64_t l = 0; l < k; l++) \
				for (int64_t j = 0; j < n; j++) \
					c[j] += a[i * ai + l * al] * b[l * bl + j * bj]; \
	}
GEMM_INT(32)
GEMM_INT(64)

void blas_gemm_int(int bits, int64_t m, int64_t n, int64_t k, const void *a, int64_t ai, int64_t al,
                   const void *b, int64_t bl, int64_t bj, void *c)
{
	if (bits == 32)
		gemm_int32(m, n, k, a, ai, al, b, bl, bj, c);
	else
		gemm_int64(m, n, k, a, ai, al, b, bl, bj, c);
}

void blas_add_rows(enum dtype type, int64_t rows, int64_t cols, const void *x, int64_t ldx, void *y,
                   int64_t ldy)
{
	if (type == DT_FLOAT)
		add_rows_float(rows, cols, x, ldx, y, ldy);
	else
		add_rows_double(rows, cols, x, ldx, y, ldy);
}

void blas_row_sums(enum dtype type, int64_t rows, int64_t cols, const void *x, int64_t ldx, double scale,
                   void *sums)
{
	if (type == DT_FLOAT)
		row_sums_float(rows, cols, x, ldx, (float)scale, sums);
	else
		row_sums_double(rows, cols, x, ldx, scale, sums);
}

void blas_fill_rows(enum dtype type, int64_t rows, int64_t cols, const void *values, int64_t n, void *y)
{
	if (type == DT_FLOAT)
		fill_rows_float(rows, cols, values, n, y);
	else
		fill_rows_double(rows, cols, values, n, y);
}
