/* SPDX-License-Identifier: Apache-2.0 */
/* Winograd's filtering over blocks of eight channels: 6 x 2 sums in 16 registers. */
#include <string.h>

#include "ops/winograd_kernel.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define TARGET "avx2,fma"
#define LANES 8
#define STRIP 6
#define VECTOR __m256
#define V(f) _mm256_##f##_ps
#define WHERE_POSITIVE(y, other) V(blendv)(other, y, V(cmp)(y, V(setzero)(), _CMP_GT_OQ))

#include "ops/winograd.inc"

static bool runs(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

const struct winograd_kernel winograd_avx2 = { LANES, STRIP, runs, run };

#else

const struct winograd_kernel winograd_avx2 = { .runs = NULL };

#endif
