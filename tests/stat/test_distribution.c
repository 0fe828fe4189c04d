/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>

#include "base/rng.h"
#include "stat/distribution.h"

static double corner(struct rng *r)
{
	static const double corners[] = { 0, -0.0, -1, 1, 1e-300, 1e300, 5e-324, 2, 2, (double)INFINITY, -(double)INFINITY,
		(double)NAN };
	uint64_t k = rng_below(r, 16);

	return k < sizeof corners / sizeof *corners ? corners[k] : exp(10 * rng_normal(r));
}

static void expect_sound(const double *x, int64_t n, const struct distribution *d)
{
	int64_t inside = 0, numbers = 0;

	for (int64_t i = 0; i < n; i++)
		numbers += !isnan(x[i]);
	for (int k = 0; k < DISTRIBUTION_BINS; k++) {
		inside += d->bin[k];
		cr_expect_leq(distribution_edge(d, k), distribution_edge(d, k + 1));
	}
	cr_expect_eq(d->count, n);
	cr_expect_eq(inside + d->zeros, n);
	cr_expect(isfinite(d->low) && isfinite(d->high) && d->low >= 0 && d->high >= d->low);
	cr_expect_eq(d->low > 0, inside > 0);
	for (int q = 1; numbers && q < DISTRIBUTION_QUANTILES; q++)
		cr_expect_leq(d->quantile[q - 1], d->quantile[q]);
}

Test(distribution, every_value_is_counted_once)
{
	struct rng r = rng_make(5, 0);
	double x[40];

	for (int round = 0; round < 2000; round++) {
		int64_t n = (int64_t)rng_below(&r, 40);
		struct distribution d;

		for (int64_t i = 0; i < n; i++)
			x[i] = corner(&r);
		cr_assert_eq(distribution_of(x, n, &d, NULL), TAMIS_OK);
		expect_sound(x, n, &d);
	}
}

Test(distribution, infinity_is_in_the_last_bin)
{
	const double x[] = { 1, (double)INFINITY, 100, 0 }, none[] = { (double)INFINITY, -1 };
	struct distribution d;

	cr_assert_eq(distribution_of(x, 4, &d, NULL), TAMIS_OK);
	cr_expect(d.low == 1 && d.high == 100 && d.zeros == 1);
	cr_expect(d.bin[0] == 1 && d.bin[DISTRIBUTION_BINS - 1] == 2);
	cr_assert_eq(distribution_of(none, 2, &d, NULL), TAMIS_OK);
	cr_expect(d.low == 0 && d.high == 0 && d.zeros == 2);
}
