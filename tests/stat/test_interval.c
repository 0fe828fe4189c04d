/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "stat/interval.h"

/* P(Binomial(n, p) <= k) term by term. */
static double binomial_cdf(int k, int n, double p)
{
	double sum = 0;
	for (int i = 0; i <= k; i++)
		sum += exp(lgamma(n + 1) - lgamma(i + 1) - lgamma(n - i + 1) + i * log(p) + (n - i) * log1p(-p));
	return sum;
}

Test(interval, clopper_pearson_solves_its_equations)
{
	for (int n = 1; n <= 400; n = 3 * n + 1)
		for (int k = 0; k <= n; k += 1 + n / 7) {
			double up = clopper_pearson_upper(k, n, 0.05), low = clopper_pearson_lower(k, n, 0.05);
			cr_assert(low <= (double)k / n && up >= (double)k / n);
			if (k < n)
				cr_assert_float_eq(binomial_cdf(k, n, up), 0.05, 1e-10, "%d of %d", k, n);
			if (k > 0)
				cr_assert_float_eq(1 - binomial_cdf(k - 1, n, low), 0.05, 1e-10, "%d of %d", k, n);
		}
	cr_assert(clopper_pearson_upper(5, 5, 0.05) == 1 && clopper_pearson_lower(0, 5, 0.05) == 0);
	cr_assert(clopper_pearson_upper(0, 0, 0.05) == 1 && clopper_pearson_lower(0, 0, 0.05) == 0);
	cr_assert(isnan(clopper_pearson_upper(6, 5, 0.05)) && isnan(clopper_pearson_upper(1, 5, 0)));
	cr_assert_float_eq(clopper_pearson_upper(0, 600, 0.05), 1 - pow(0.05, 1 / 600.0), 1e-14);
}

Test(interval, mcnemar_is_a_binomial_tail)
{
	for (int b = 0; b < 30; b++)
		for (int c = 0; c < 30; c++) {
			double want = b ? 1 - binomial_cdf(b - 1, b + c, 0.5) : 1;
			cr_assert_float_eq(mcnemar_p(b, c), want, 1e-11, "%d %d", b, c);
		}
	cr_assert(isnan(mcnemar_p(-1, 2)));
}

static double bound(const double *x, int n, double alpha)
{
	double upper = -1;
	cr_assert_eq(betting_upper(x, n, alpha, &upper, NULL), TAMIS_OK);
	return upper;
}

Test(interval, betting_is_tight_for_small_losses)
{
	static double x[1200];
	double zeros = bound(x, 600, 0.05);
	cr_assert(zeros < 0.0055 && zeros > 0.0049, "%g", zeros);
	for (int i = 0; i < 24; i++)
		x[i * 50] = 0.1;
	double small = bound(x, 1200, 0.05);
	fprintf(stderr, "600 zeros: %.5f; 1200 values of mean 0.002: %.5f\n", zeros, small);
	cr_assert(small > 0.002 && small < 0.006, "%g", small);
	cr_assert_lt(bound(x, 1200, 0.2), small);
}

Test(interval, betting_odd_arguments)
{
	double one[3] = { 1, 1, 1 }, slack[3] = { -1e-7, 1 + 1e-7, 0.5 }, bad[2] = { 0.5, 1.1 }, nan[1] = { NAN },
		   upper;
	cr_assert_eq(bound(one, 0, 0.05), 1);
	cr_assert_float_eq(bound(one, 3, 0.05), 1, 1e-9);
	cr_assert(bound(slack, 3, 0.05) <= 1);
	cr_assert_eq(betting_upper(bad, 2, 0.05, &upper, NULL), TAMIS_E_INVALID);
	cr_assert_eq(betting_upper(nan, 1, 0.05, &upper, NULL), TAMIS_E_INVALID);
	cr_assert_eq(betting_upper(one, 3, 0, &upper, NULL), TAMIS_E_USAGE);
}

/* Losses as cuts make them, and worse: kinds of value in [0, 1] with their means. */
static double loss(int kind, struct rng *r, double *mean)
{
	double u = rng_uniform(r), v = rng_uniform(r);
	switch (kind) {
	case 0: *mean = 0.01; return u < 0.02 ? v : 0;                /* rare, any size */
	case 1: *mean = 0.004; return u < 0.004;                      /* rare and total */
	case 2: *mean = 0.001;         return u < 0.02 ? 0.05 : 0;
	case 3: *mean = 1.0 / 9; return pow(u, 8);                    /* skewed */
	case 4: *mean = 0.95 * 0.001 + 0.05 * 0.5; return u < 0.95 ? 0.002 * v : v;
	default: *mean = 0.5; return v;
	}
}

Test(interval, betting_covers_the_mean)
{
	enum { N = 500, ROUNDS = 600 };
	static double x[N];
	for (int kind = 0; kind < 6; kind++) {
		int missed = 0;
		double mean = 0, width = 0;
		for (int round = 0; round < ROUNDS; round++) {
			struct rng r = rng_make(31, (uint64_t)(kind * ROUNDS + round));
			for (int i = 0; i < N; i++)
				x[i] = loss(kind, &r, &mean);
			double up = bound(x, N, 0.05);
			missed += up < mean;
			width += up / ROUNDS;
		}
		fprintf(stderr, "kind %d: mean %.4f, bound %.4f on average, missed %.3f\n", kind, mean, width,
				missed / (double)ROUNDS);
		cr_assert_lt(
				missed, 0.05 * ROUNDS + 3 * sqrt(0.05 * 0.95 * ROUNDS), "kind %d missed %d", kind, missed);
		cr_assert_lt(width, 3 * mean + 0.02);
	}
}

Test(interval, bootstrap_covers_roughly_and_repeats)
{
	double x[100], a, b;
	int missed = 0;
	for (int round = 0; round < 300; round++) {
		struct rng r = rng_make(8, (uint64_t)round);
		for (int i = 0; i < 100; i++)
			x[i] = rng_normal(&r);
		cr_assert_eq(bootstrap_upper(x, 100, 0.05, 400, 1, &a, NULL), TAMIS_OK);
		missed += a < 0;
	}
	cr_assert(missed > 3 && missed < 32, "missed %d of 300", missed);
	cr_assert_eq(bootstrap_upper(x, 100, 0.05, 400, 1, &b, NULL), TAMIS_OK);
	cr_assert_eq(a, b);
	cr_assert_eq(bootstrap_upper(x, 0, 0.05, 400, 1, &b, NULL), TAMIS_E_USAGE);
	x[3] = INFINITY;
	cr_assert_eq(bootstrap_upper(x, 100, 0.05, 400, 1, &b, NULL), TAMIS_E_INVALID);
}

Test(interval, shares_add_up_to_alpha)
{
	double sum = 0, endless = 0;
	for (int k = 0; k < 17; k++)
		sum += alpha_share(0.05, k, 17);
	for (int k = 0; k < 100000; k++)
		endless += alpha_share_unbounded(0.05, k);
	cr_assert_float_eq(sum, 0.05, 1e-15);
	cr_assert(endless < 0.05 && endless > 0.04999);
	cr_assert(
			alpha_share(0.05, 17, 17) == 0 && alpha_share(0.05, -1, 17) == 0 && alpha_share(0.05, 0, 0) == 0);
}

/* Labels drawn from softmax(z / 2) while the network says softmax(z): T = 2, and calibration is perfect after
 * it. */
Test(calibration, finds_a_planted_temperature)
{
	enum { N = 20000, C = 5 };
	static float prob[N * C], cooled[N * C];
	static int64_t labels[N];
	for (int i = 0; i < N; i++) {
		struct rng r = rng_make(12, (uint64_t)i);
		double z[C], sharp = 0, flat = 0, u, below = 0;
		for (int k = 0; k < C; k++) {
			z[k] = 3 * rng_normal(&r);
			sharp += exp(z[k]), flat += exp(z[k] / 2);
		}
		for (int k = 0; k < C; k++)
			prob[i * C + k] = (float)(exp(z[k]) / sharp);
		u = rng_uniform(&r) * flat;
		for (labels[i] = 0; labels[i] < C - 1 && (below += exp(z[labels[i]] / 2)) < u; labels[i]++)
			;
	}
	double t, before, after;
	cr_assert_eq(temperature_fit(prob, labels, N, C, &t, NULL), TAMIS_OK);
	cr_assert_float_eq(t, 2, 0.06, "T %g", t);
	temperature_apply(prob, N, C, t, cooled);
	cr_assert_eq(expected_calibration_error(prob, labels, N, C, CALIBRATION_BINS, &before, NULL), TAMIS_OK);
	cr_assert_eq(expected_calibration_error(cooled, labels, N, C, CALIBRATION_BINS, &after, NULL), TAMIS_OK);
	fprintf(stderr, "temperature %.3f, calibration error %.4f before, %.4f after\n", t, before, after);
	cr_assert(before > 0.08 && after < 0.015, "%g %g", before, after);
}

Test(calibration, odd_arguments)
{
	float sure[4] = { 1, 0, 0, 1 }, bad[4] = { 1, 0, NAN, 1 };
	int64_t right[2] = { 0, 1 }, wrong[2] = { 1, 0 }, out[2] = { 0, 2 };
	double t, ece;
	cr_assert_eq(expected_calibration_error(sure, right, 2, 2, 15, &ece, NULL), TAMIS_OK);
	cr_assert_eq(ece, 0);
	cr_assert_eq(expected_calibration_error(sure, wrong, 2, 2, 15, &ece, NULL), TAMIS_OK);
	cr_assert_eq(ece, 1);
	cr_assert_eq(temperature_fit(sure, right, 2, 2, &t, NULL), TAMIS_OK);
	cr_assert(t >= 0.05 && t < 1, "nothing to cool: %g", t);
	cr_assert_eq(temperature_fit(sure, wrong, 2, 2, &t, NULL), TAMIS_OK);
	cr_assert_float_eq(t, 20, 1e-6);
	cr_assert_eq(temperature_fit(bad, right, 2, 2, &t, NULL), TAMIS_E_INVALID);
	cr_assert_eq(temperature_fit(sure, out, 2, 2, &t, NULL), TAMIS_E_INVALID);
	cr_assert_eq(temperature_fit(sure, right, 0, 2, &t, NULL), TAMIS_E_USAGE);
	cr_assert_eq(expected_calibration_error(sure, right, 2, 2, 0, &ece, NULL), TAMIS_E_USAGE);
}
