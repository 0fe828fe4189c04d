/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/rng.h"

/* A 16-bit float read off its definition, in double precision. */
static double value_of(unsigned bits, int exponent_bits, int fraction_bits)
{
	int top = (1 << exponent_bits) - 1, bias = top / 2;
	int exponent = (int)(bits >> fraction_bits) & top;
	unsigned fraction = bits & ((1U << fraction_bits) - 1);
	double sign = bits >> 15 ? -1 : 1;

	if (exponent == top)
		return fraction ? NAN : sign * INFINITY;
	if (exponent == 0)
		return sign * ldexp(fraction, 1 - bias - fraction_bits);
	return sign * ldexp(fraction + (1U << fraction_bits), exponent - bias - fraction_bits);
}

/* Nearest even by bisection over the non-negative patterns, which are ordered as their values. Infinity stands for
 * the next power of two, as the rounding rule has it. */
static unsigned nearest(double magnitude, int exponent_bits, int fraction_bits)
{
	unsigned infinite = ((1U << exponent_bits) - 1) << fraction_bits, low = 0, high = infinite;
	double end = 2 * value_of(((1U << exponent_bits) - 2) << fraction_bits, exponent_bits, fraction_bits), below, above;

	if (magnitude >= end)
		return infinite;
	while (high - low > 1) {
		unsigned middle = (low + high) / 2;

		if (value_of(middle, exponent_bits, fraction_bits) <= magnitude)
			low = middle;
		else
			high = middle;
	}
	below = magnitude - value_of(low, exponent_bits, fraction_bits);
	above = (high == infinite ? end : value_of(high, exponent_bits, fraction_bits)) - magnitude;
	if (below != above)
		return below < above ? low : high;
	return low & 1 ? high : low;
}

static float float_of(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof f);
	return f;
}

static void check_pattern(unsigned i, float f, unsigned back, int exponent_bits, int fraction_bits)
{
	double want = value_of(i, exponent_bits, fraction_bits);

	cr_assert(isnan(want) ? isnan(f) : (double)f == want, "pattern %04x", i);
	cr_assert_eq(!!signbit(f), i >> 15, "sign of pattern %04x", i);
	cr_assert_eq(back, i, "pattern %04x came back as %04x", i, back);
}

Test(half, every_pattern_has_its_value_and_comes_back)
{
	for (unsigned i = 0; i < 65536; i++) {
		float h = half_to_float((uint16_t)i), b = bf16_to_float((uint16_t)i);

		check_pattern(i, h, half_from_float(h), 5, 10);
		check_pattern(i, b, bf16_from_float(b), 8, 7);
	}
}

static void check_rounding(uint32_t bits)
{
	float f = float_of(bits);
	unsigned sign = bits >> 31 << 15, h = half_from_float(f), b = bf16_from_float(f);

	if (isnan(f)) {
		cr_assert((h & 0x7c00) == 0x7c00 && (h & 0x3ff), "NaN %08x gave half %04x", bits, h);
		cr_assert((b & 0x7f80) == 0x7f80 && (b & 0x7f), "NaN %08x gave bfloat16 %04x", bits, b);
		return;
	}
	cr_assert_eq(h, sign | nearest(fabs((double)f), 5, 10), "half of %a is %04x", (double)f, h);
	cr_assert_eq(b, sign | nearest(fabs((double)f), 8, 7), "bfloat16 of %a is %04x", (double)f, b);
}

/* Each half, each midpoint between neighbours, and the floats on both sides of either. */
Test(half, rounds_to_nearest_even_at_every_boundary)
{
	for (unsigned i = 0; i < 65536; i++) {
		uint32_t around[3];
		float value = half_to_float((uint16_t)i), next = half_to_float((uint16_t)(i + 1));
		float middle = (value + next) / 2;

		memcpy(&around[0], &value, 4);
		memcpy(&around[1], &middle, 4);
		around[2] = (uint32_t)i << 16 | 0x8000; /* a midpoint of bfloat16 */
		for (int k = 0; k < 3; k++)
			for (uint32_t d = 0; d < 3; d++)
				check_rounding(around[k] + d - 1);
	}
}

Test(half, rounds_random_floats_as_the_reference)
{
	struct rng r = rng_make(20260101, 0);

	for (int i = 0; i < 2000000; i++)
		check_rounding((uint32_t)rng_next(&r));
	for (int i = 0; i < 1000000; i++) /* exponents where halves live */
		check_rounding(((uint32_t)rng_next(&r) & 0x807fffff) | (uint32_t)(100 + rng_below(&r, 48)) << 23);
}

Test(half, arrays_convert_as_their_elements)
{
	static uint16_t bits[65536], half[65536], brain[65536];
	static float f[65536];

	for (unsigned i = 0; i < 65536; i++)
		bits[i] = (uint16_t)i;
	half_to_floats(bits, f, 65536);
	half_from_floats(f, half, 65536);
	cr_assert_eq(memcmp(bits, half, sizeof bits), 0);
	bf16_to_floats(bits, f, 65536);
	bf16_from_floats(f, brain, 65536);
	cr_assert_eq(memcmp(bits, brain, sizeof bits), 0);
	half_to_floats(bits, f, 0);
}
