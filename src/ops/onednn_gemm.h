/* SPDX-License-Identifier: Apache-2.0 */
/* Products of float matrices through oneDNN, which knows every processor by its features. */
#ifndef OPS_ONEDNN_GEMM_H
#define OPS_ONEDNN_GEMM_H

#include <stdbool.h>
#include <stdint.h>

/* As blas_gemm, for floats and k > 0, on the calling thread alone. False: not done, because oneDNN is not there, or the
 * product too small to be worth holding its threads back. Which products are taken depends on the sizes alone. */
bool onednn_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                 const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

#endif
