/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/blas.h"

#include <cblas.h>

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

enum { PIECE = 1 << 30 }; /* most rows or columns a call */

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

static void piece(enum dtype type, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const void *a,
                  int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc)
{
	CBLAS_TRANSPOSE opa = ta ? CblasTrans : CblasNoTrans, opb = tb ? CblasTrans : CblasNoTrans;
	int la = pitch(lda, ta ? m : k), lb = pitch(ldb, tb ? k : n), lc = pitch(ldc, n);

	if (type == DT_FLOAT)
		cblas_sgemm(CblasRowMajor, opa, opb, (int)m, (int)n, (int)k, (float)alpha, a, la, b, lb, (float)beta, c, lc);
	else
		cblas_dgemm(CblasRowMajor, opa, opb, (int)m, (int)n, (int)k, alpha, a, la, b, lb, beta, c, lc);
}

void blas_gemm(enum dtype type, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const void *a,
               int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc)
{
	if (m == 0 || n == 0)
		return;
	if (k == 0) {
		scale_rows(type, m, n, beta, c, ldc);
		return;
	}
	for (int64_t i = 0; i < m; i += PIECE)
		for (int64_t j = 0; j < n; j += PIECE)
			piece(type, ta, tb, least(m - i, PIECE), least(n - j, PIECE), k, alpha,
			      blas_at(type, a, ta ? i : i * lda), lda, blas_at(type, b, tb ? j * ldb : j), ldb, beta,
			      blas_at(type, c, i * ldc + j), ldc);
}

void blas_add_rows(enum dtype type, int64_t rows, int64_t cols, const void *x, int64_t ldx, void *y, int64_t ldy)
{
	if (type == DT_FLOAT)
		add_rows_float(rows, cols, x, ldx, y, ldy);
	else
		add_rows_double(rows, cols, x, ldx, y, ldy);
}

void blas_row_sums(enum dtype type, int64_t rows, int64_t cols, const void *x, int64_t ldx, double scale, void *sums)
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
