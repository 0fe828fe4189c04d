/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>

#include "base/rng.h"

enum { DRAWS = 1 << 20 };

Test(rng, a_value_depends_only_on_seed_stream_and_position)
{
	struct rng a = rng_make(1, 2), b = rng_make(1, 2), other = rng_make(9, 9);

	for (int i = 0; i < 1000; i++) {
		rng_next(&other);
		cr_assert_eq(rng_next(&a), rng_next(&b));
	}
	b = rng_make(1, 2);
	b.counter = 1000; /* jumping is setting the counter */
	cr_assert_eq(rng_next(&a), rng_next(&b));
}

/* Pinned: a release must not change which items are held out or which weights are drawn. */
Test(rng, the_sequence_never_changes)
{
	struct rng r = rng_make(0, 0);
	uint64_t first = rng_next(&r), second = rng_next(&r);

	cr_assert_eq(first, 0x28f9feaebd831d6c, "first word is %#llx", (unsigned long long)first);
	cr_assert_eq(second, 0x74d32bdd8fea216c, "second word is %#llx", (unsigned long long)second);
	cr_assert_eq(rng_hash(1, 2), 0xcd6f7dc0c7fbcd6d, "hash is %#llx", (unsigned long long)rng_hash(1, 2));
}

Test(rng, neighbouring_seeds_and_streams_share_nothing)
{
	struct rng base = rng_make(5, 5), seed = rng_make(6, 5), stream = rng_make(5, 6), swapped = rng_make(6, 5);
	int equal = 0, flips = 0;

	for (int i = 0; i < 10000; i++) {
		uint64_t word = rng_next(&base), x = rng_next(&seed), y = rng_next(&stream);

		equal += word == x || word == y || x == y;
		flips += __builtin_popcountll(word ^ y);
	}
	cr_assert_eq(equal, 0);
	cr_assert(fabs(flips / 10000.0 - 32) < 0.3, "%.2f of 64 bits differ", flips / 10000.0);
	cr_assert_neq(rng_hash(1, 2), rng_hash(2, 1));
	(void)swapped;
}

/* Chi-square over 256 cells; 255 degrees of freedom, 99.99 % point 343. */
Test(rng, uniform_fills_its_cells_evenly)
{
	struct rng r = rng_make(42, 7);
	static int cells[256];
	double chi = 0, sum = 0;

	for (int i = 0; i < DRAWS; i++) {
		double u = rng_uniform(&r);

		cr_assert(u >= 0 && u < 1);
		cells[(int)(u * 256)]++;
		sum += u;
	}
	for (int i = 0; i < 256; i++)
		chi += pow(cells[i] - DRAWS / 256.0, 2) / (DRAWS / 256.0);
	cr_assert(chi < 343 && chi > 180, "chi-square %.1f", chi);
	cr_assert(fabs(sum / DRAWS - 0.5) < 4 * sqrt(1 / 12.0 / DRAWS), "mean %.6f", sum / DRAWS);
}

Test(rng, normal_has_the_moments_and_tails_of_the_normal)
{
	struct rng r = rng_make(42, 8);
	double moment[5] = {0};
	int beyond = 0;

	for (int i = 0; i < DRAWS; i++) {
		double x = rng_normal(&r), power = 1;

		cr_assert(isfinite(x));
		for (int k = 1; k <= 4; k++)
			moment[k] += (power *= x) / DRAWS;
		beyond += fabs(x) > 1.959963984540054;
	}
	cr_assert(fabs(moment[1]) < 0.004 && fabs(moment[2] - 1) < 0.006, "%f %f", moment[1], moment[2]);
	cr_assert(fabs(moment[3]) < 0.016 && fabs(moment[4] - 3) < 0.04, "%f %f", moment[3], moment[4]);
	cr_assert(fabs(beyond / (double)DRAWS - 0.05) < 0.0009, "%f", beyond / (double)DRAWS);
}

Test(rng, below_is_in_range_and_even)
{
	static const uint64_t ends[] = {1, 2, 3, 7, 10, 1000, 1ULL << 32, (1ULL << 63) + 1, UINT64_MAX};
	struct rng r = rng_make(3, 3);
	int cells[7] = {0};

	for (int k = 0; k < 9; k++)
		for (int i = 0; i < 1000; i++)
			cr_assert(rng_below(&r, ends[k]) < ends[k]);
	for (int i = 0; i < 70000; i++)
		cells[rng_below(&r, 7)]++;
	for (int i = 0; i < 7; i++)
		cr_assert(abs(cells[i] - 10000) < 400, "cell %d has %d", i, cells[i]);
	for (int i = 0, upper = 0; i < 10000; i++) { /* a plain modulo would put two thirds below 2^62 */
		upper += rng_below(&r, 3ULL << 62) >= 1ULL << 63;
		if (i == 9999)
			cr_assert(abs(upper - 3333) < 250, "%d of 10000 in the upper third", upper);
	}
}
