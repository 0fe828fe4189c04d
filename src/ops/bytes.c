/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/bytes.h"

#include "ops/broadcast.h"

#define TO_FLOATS(name, type) \
	LOOP_VERSIONS static void name(const type *restrict x, int64_t n, float zero, float scale, float *restrict y) \
	{ \
		for (int64_t i = 0; i < n; i++) \
			y[i] = ((float)x[i] - zero) * scale; \
	}
TO_FLOATS(floats_from_unsigned, uint8_t)
TO_FLOATS(floats_from_signed, int8_t)

void bytes_to_floats(const struct tensor *x, int64_t from, int64_t n, float zero, float scale, float *y)
{
	if (x->type == DT_UINT8)
		floats_from_unsigned((const uint8_t *)x->data + from, n, zero, scale, y);
	else
		floats_from_signed((const int8_t *)x->data + from, n, zero, scale, y);
}

/* To the nearest integer, ties to even, for small magnitudes: adding 1.5 * 2^23 leaves no fraction. Beyond +-512 every
 * sum with a zero point saturates, so larger ones need not be exact; NaN becomes -512. */
static inline float round_small(float v)
{
	const float shifter = 12582912.0f;
	float above = v > -512 ? v : -512, held = above < 512 ? above : 512;

	return (held + shifter) - shifter;
}

static inline float clamp(float v, float low, float high)
{
	float above = v > low ? v : low;

	return above < high ? above : high;
}

/* `ratio` may use x[i] and i. */
#define FROM(name, source, type, low, high, ratio) \
	LOOP_VERSIONS static void name(const source *restrict x, int64_t n, float scale, const float *restrict factor, \
	                               float zero, type *restrict y) \
	{ \
		(void)scale, (void)factor; \
		for (int64_t i = 0; i < n; i++) \
			y[i] = (type)(int32_t)clamp(round_small(ratio) + zero, low, high); \
	}
FROM(unsigned_from_floats, float, uint8_t, 0, 255, x[i] / scale)
FROM(signed_from_floats, float, int8_t, -128, 127, x[i] / scale)
FROM(unsigned_scaled, double, uint8_t, 0, 255, (float)x[i] * scale)
FROM(signed_scaled, double, int8_t, -128, 127, (float)x[i] * scale)
FROM(unsigned_by_each, double, uint8_t, 0, 255, (float)x[i] * factor[i])
FROM(signed_by_each, double, int8_t, -128, 127, (float)x[i] * factor[i])

void bytes_from_floats(const float *x, int64_t n, float scale, float zero, struct tensor *y, int64_t to)
{
	if (y->type == DT_UINT8)
		unsigned_from_floats(x, n, scale, NULL, zero, (uint8_t *)y->data + to);
	else
		signed_from_floats(x, n, scale, NULL, zero, (int8_t *)y->data + to);
}

void bytes_from_sums(const double *x, int64_t n, const float *factor, int step, float zero, struct tensor *y, int64_t to)
{
	bool whole = y->type == DT_UINT8;

	if (whole && !step)
		unsigned_scaled(x, n, *factor, NULL, zero, (uint8_t *)y->data + to);
	else if (whole)
		unsigned_by_each(x, n, 0, factor, zero, (uint8_t *)y->data + to);
	else if (!step)
		signed_scaled(x, n, *factor, NULL, zero, (int8_t *)y->data + to);
	else
		signed_by_each(x, n, 0, factor, zero, (int8_t *)y->data + to);
}
