/* SPDX-License-Identifier: Apache-2.0 */
#include "base/half.h"

#include <string.h>

static uint32_t bits_of(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof u);
	return u;
}

static float float_of(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof f);
	return f;
}

/* Binary16 has 5 exponent bits of bias 15 and 10 of fraction, binary32 8 of bias 127 and 23. A subnormal half
 * k * 2^-24 is exact in binary32, so a multiplication by a power of two gives it. */
float half_to_float(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16;
	uint32_t exponent = h >> 10 & 0x1f, fraction = h & 0x3ff;

	if (exponent == 31)
		return float_of(sign | 0x7f800000 | fraction << 13);
	if (exponent == 0)
		return float_of(sign | bits_of((float)fraction * 0x1p-24f));
	return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

/* Adding half of the last kept place less one, plus the kept bit itself, rounds to nearest even; a carry out
 * of the fraction moves into the exponent, where it is right as well (65520 and above become infinity). */
uint16_t half_from_float(float f)
{
	uint32_t u = bits_of(f), sign = u >> 16 & 0x8000, magnitude = u & 0x7fffffff;
	uint32_t shift, fraction, kept;

	if (magnitude > 0x7f800000) { /* NaN: the upper payload, or one bit where that is 0 */
		kept = magnitude >> 13 & 0x3ff;
		return (uint16_t)(sign | 0x7c00 | (kept ? kept : 0x200));
	}
	if (magnitude >= 0x47800000) /* 65536 and above */
		return (uint16_t)(sign | 0x7c00);
	if (magnitude >= 0x38800000) { /* normal: 2^-14 and above */
		magnitude += 0xfff + (magnitude >> 13 & 1);
		return (uint16_t)(sign | ((magnitude >> 13) - (112 << 10)));
	}
	if (magnitude < 0x33000000) /* below half of the smallest subnormal */
		return (uint16_t)sign;
	shift = 126 - (magnitude >> 23); /* 14 .. 24: the fraction in units of 2^-24 */
	fraction = (magnitude & 0x7fffff) | 0x800000;
	kept = fraction >> shift;
	fraction &= (1U << shift) - 1;
	if (fraction > 1U << (shift - 1) || (fraction == 1U << (shift - 1) && (kept & 1)))
		kept++;
	return (uint16_t)(sign | kept);
}

/* bfloat16 is the upper half of binary32. */
float bf16_to_float(uint16_t b)
{
	return float_of((uint32_t)b << 16);
}

uint16_t bf16_from_float(float f)
{
	uint32_t u = bits_of(f);

	if ((u & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(u >> 16 | ((u >> 16 & 0x7f) ? 0 : 0x40));
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

void half_to_floats(const uint16_t *h, float *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		f[i] = half_to_float(h[i]);
}

void half_from_floats(const float *f, uint16_t *h, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h[i] = half_from_float(f[i]);
}

void bf16_to_floats(const uint16_t *b, float *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		f[i] = bf16_to_float(b[i]);
}

void bf16_from_floats(const float *f, uint16_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		b[i] = bf16_from_float(f[i]);
}
