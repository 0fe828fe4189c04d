/* SPDX-License-Identifier: Apache-2.0 */
/* Winograd's filtering over blocks of sixteen channels: 14 x 2 sums in 32 registers. */
#include <string.h>

#include "ops/winograd_kernel.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define TARGET "avx512f"
#define LANES 16
#define STRIP 14
#define VECTOR __m512
#define V(f) _mm512_##f##_ps
#define WHERE_POSITIVE(y, other) V(mask_mov)(other, _mm512_cmp_ps_mask(y, V(setzero)(), _CMP_GT_OQ), y)

#include "ops/winograd.inc"

static bool runs(void)
{
	return __builtin_cpu_supports("avx512f");
}

const struct winograd_kernel winograd_avx512 = { LANES, STRIP, runs, run };

#else

const struct winograd_kernel winograd_avx512 = { .runs = NULL };

#endif
