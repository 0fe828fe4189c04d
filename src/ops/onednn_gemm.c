/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/onednn_gemm.h"

#ifdef HAVE_ONEDNN

#include <oneapi/dnnl/dnnl.h>

#include "ops/onednn_threads.h"

enum { LEAST_PRODUCTS = 1 << 18 }; /* a few microseconds of work */

bool onednn_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                 const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
	struct onednn_threads threads;
	dnnl_status_t status;
	int before;

	if (m < 2 || n < 2 || (double)m * (double)n * (double)k < LEAST_PRODUCTS || !onednn_find_threads(&threads))
		return false;
	before = onednn_enter(&threads);
	status = dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
	onednn_leave(&threads, before);
	return status == dnnl_success;
}

#else

bool onednn_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                 const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
	(void)ta, (void)tb, (void)m, (void)n, (void)k, (void)alpha, (void)a, (void)lda, (void)b, (void)ldb, (void)beta;
	(void)c, (void)ldc;
	return false;
}

#endif
