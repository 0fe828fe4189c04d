/* SPDX-License-Identifier: Apache-2.0 */
/* The null distribution against closed forms and inversions, and the test's size and power in simulation. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "stat/dependence.h"
#include "stat/special.h"
#include "draws.h"

static void powers_of(const double *lambda, int count, double c[4])
{
	memset(c, 0, 4 * sizeof *c);
	for (int j = 0; j < count; j++)
		for (int k = 0; k < 4; k++)
			c[k] += pow(lambda[j], k + 1);
}

static double normal_quantile_of_count(int count, double z)
{
	return fmax(count + z * sqrt(2.0 * count), 0.01 * count);
}

Test(null, equal_weights_are_a_chi_square)
{
	for (int count = 1; count <= 512; count *= 2) {
		double lambda[512], c[4];
		for (int j = 0; j < count; j++)
			lambda[j] = 0.37;
		powers_of(lambda, count, c);
		for (double z = -2.5; z < 12; z += 0.7) {
			double x = normal_quantile_of_count(count, z), want = chi_square_survival(x, count);
			double exact = weighted_chi_square_exact_p(0.37 * x, lambda, count);
			cr_assert_float_eq(
					exact, want, 1e-9 * want + 1e-11, "count %d x %g: %.12g %.12g", count, x, exact, want);
			cr_assert_float_eq(
					weighted_chi_square_p(0.37 * x, c), want, 1e-6 * want + 1e-12, "count %d x %g", count, x);
		}
	}
}

/* Pairs of equal weights make exponentials, whose sum has a closed tail: sum_j e^(-x / 2 lambda_j) prod_i
 * lambda_j / (lambda_j - lambda_i). */
Test(null, paired_weights_are_a_sum_of_exponentials)
{
	double distinct[5] = { 3, 1.7, 0.9, 0.31, 0.05 }, lambda[10];
	for (int j = 0; j < 10; j++)
		lambda[j] = distinct[j / 2];
	for (double x = 0.05; x < 200; x *= 1.3) {
		double want = 0;
		for (int j = 0; j < 5; j++) {
			double product = 1;
			for (int i = 0; i < 5; i++)
				product *= i == j ? 1 : distinct[j] / (distinct[j] - distinct[i]);
			want += product * exp(-x / (2 * distinct[j]));
		}
		double got = weighted_chi_square_exact_p(x, lambda, 10);
		cr_assert_float_eq(got, want, 1e-9 * want + 1e-11, "x %g: %.12g, not %.12g", x, got, want);
	}
}

/* Imhof's own integral on the real line, which converges fast where there are many weights. */
static double imhof(double x, const double *lambda, int count)
{
	double sum = 0, step = 0.002 / lambda[0];
	for (int k = 0; k < 400000; k++) {
		double u = (k + 0.5) * step, angle = -0.5 * x * u, log_rho = 0;
		for (int j = 0; j < count; j++) {
			angle += 0.5 * atan(lambda[j] * u);
			log_rho += 0.25 * log1p(lambda[j] * u * lambda[j] * u);
		}
		double term = sin(angle) / u * exp(-log_rho);
		sum += term;
		if (exp(-log_rho) / u < 1e-13)
			break;
	}
	return 0.5 + sum * step / M_PI;
}

Test(null, agrees_with_imhof_and_the_moments_come_close)
{
	double lambda[40], c[4], worst = 0, tail = 0;
	for (int kind = 0; kind < 3; kind++) {
		for (int j = 0; j < 40; j++)
			lambda[j] = kind == 0 ? pow(0.8, j) : kind == 1 ? 1.0 / (1 + j) : j < 2 ? 5 : 0.2;
		powers_of(lambda, 40, c);
		for (double x = 0.3 * c[0]; x < 8 * c[0]; x *= 1.15) {
			double exact = weighted_chi_square_exact_p(x, lambda, 40);
			cr_assert_float_eq(exact, imhof(x, lambda, 40), 2e-6, "x %g: %g", x, exact);
			double off = fabs(weighted_chi_square_p(x, c) - exact);
			worst = fmax(worst, off);
			tail = exact < 0.1 && exact > 1e-3 ? fmax(tail, off / exact) : tail;
		}
	}
	fprintf(stderr, "four moments against exact: at most %.3g apart, %.3g of a p in [.001, .1]\n", worst,
			tail);
	cr_assert(worst < 0.05 && tail < 0.3, "%g %g", worst, tail);
}

Test(null, odd_arguments)
{
	double c[4] = { 1, 1, 1, 1 }, zero[4] = { 0 }, one = 1, none = 0;
	cr_assert_eq(weighted_chi_square_p(1, zero), 1);
	cr_assert(isnan(weighted_chi_square_p(NAN, c)));
	cr_assert_eq(weighted_chi_square_exact_p(0, &one, 1), 1);
	cr_assert_eq(weighted_chi_square_exact_p(1, &none, 1), 0);
	cr_assert(isnan(weighted_chi_square_exact_p(NAN, &one, 1)));
}

/* Asymptotic Kolmogorov tail. */
static double ks_p(double *p, int m)
{
	qsort(p, (size_t)m, sizeof *p, draws_compare);
	double d = 0, sum = 0;
	for (int i = 0; i < m; i++)
		d = fmax(d, fmax((i + 1.0) / m - p[i], p[i] - (double)i / m));
	double t = d * (sqrt(m) + 0.12 + 0.11 / sqrt(m));
	for (int k = 1; k < 100; k++)
		sum += (k % 2 ? 2 : -2) * exp(-2.0 * k * k * t * t);
	return fmin(sum, 1);
}

/* Features are independent given the outputs only across features; each set shares one psi, so a few sets are
 * pooled. */
Test(test, p_values_are_uniform_under_independence)
{
	const int sizes[2] = { 200, 1000 };
	for (int i = 0; i < 2; i++) {
		double p[1500];
		int m = 0, below5 = 0, below1 = 0;
		for (uint64_t seed = 0; seed < 15; seed++, m += 100)
			draws_p_values(DRAW_RECTIFIED, sizes[i], 100, 4, 0, 1, seed + 1000 * i, p + m);
		for (int k = 0; k < m; k++)
			below5 += p[k] < 0.05, below1 += p[k] < 0.01;
		double ks = ks_p(p, m);
		fprintf(stderr, "n %d: P(p < .05) %.4f, P(p < .01) %.4f, KS p %.3f\n", sizes[i], below5 / 1500.0,
				below1 / 1500.0, ks);
		cr_assert_gt(ks, 1e-3);
		cr_assert(below5 > 45 && below5 < 108 && below1 < 32, "%d %d", below5, below1);
	}
}

static double power_at(enum draw_kind kind, int n, int q, double strength)
{
	double p[100];
	int hits = 0;
	draws_p_values(kind, n, 100, 2, strength, q, 77, p);
	for (int k = 0; k < 100; k++)
		hits += p[k] < 0.01;
	return hits / 100.0;
}

Test(test, power_rises_to_one)
{
	double last = power_at(DRAW_NORMAL, 500, 1, 0);
	for (double strength = 0.1; strength < 0.9; strength *= 2) {
		double power = power_at(DRAW_NORMAL, 500, 1, strength);
		cr_assert_geq(power, last - 0.05, "strength %g: %g after %g", strength, power, last);
		last = power;
	}
	cr_assert_geq(last, 0.99);
}

/* u symmetric about 0 with a spread that follows the outputs: no correlation with any function of them. */
Test(test, rich_sees_dependence_without_correlation)
{
	double linear = power_at(DRAW_SPREAD, 1000, 1, 1), rich = power_at(DRAW_SPREAD, 1000, 9, 1);
	fprintf(stderr, "power without correlation: linear %.2f, rich %.2f\n", linear, rich);
	cr_assert_leq(linear, 0.25);
	cr_assert_geq(rich, 0.95);
}

Test(test, constant_signals_and_outputs_have_p_one)
{
	float u[64], psi[64], same[64];
	for (int t = 0; t < 32; t++) {
		u[2 * t] = 0.1f, u[2 * t + 1] = (float)(t % 5);
		psi[2 * t] = (float)(t % 3), psi[2 * t + 1] = (float)(t % 7);
		same[2 * t] = same[2 * t + 1] = 0.3f;
	}
	for (int kind = 0; kind < 2; kind++) {
		struct comoment c;
		struct output_moment m;
		double r[2], p[2];
		int64_t refined = 0;
		cr_assert_eq(comoment_create(&c, 2, 1, 2, NULL), TAMIS_OK);
		cr_assert_eq(output_moment_create(&m, 2, NULL), TAMIS_OK);
		cr_assert_eq(comoment_add(&c, u, 2, kind ? same : psi, 32, NULL), TAMIS_OK);
		cr_assert_eq(output_moment_add(&m, kind ? same : psi, 32, NULL), TAMIS_OK);
		cr_assert_eq(dependence_test(&c, &m, 1, r, p, NULL), TAMIS_OK);
		cr_assert(p[0] == 1 && r[0] == 0);
		cr_assert_eq(p[1] == 1, kind == 1);
		cr_assert_eq(dependence_refine(&c, &m, 1, 0, 1, p, &refined, NULL), TAMIS_OK);
		cr_assert(p[0] == 1 && refined == (kind == 0));
		cr_assert_eq(dependence_refine(&c, &m, 3, 0, 1, p, NULL, NULL), TAMIS_E_USAGE);
		cr_assert_eq(dependence_test(&c, &m, 3, r, p, NULL), TAMIS_E_USAGE);
		comoment_free(&c), output_moment_free(&m);
	}
}

/* Scaling signals scales R by the square and leaves p alone; the exact p is near the approximate one. */
Test(test, is_invariant_and_close_to_exact)
{
	struct draws s = draws_make(DRAW_LOG_NORMAL, 400, 20, 4, 20, 0.15, 5);
	struct comoment c;
	struct output_moment m;
	double r[20], p[20], exact[20], some[20], r8[20], p8[20];
	int64_t refined = 0, inside = 0;
	draws_moments(&s, 1, &c, &m);
	cr_assert_eq(dependence_test(&c, &m, 4, r, p, NULL), TAMIS_OK);
	memcpy(exact, p, sizeof p);
	memcpy(some, p, sizeof p);
	cr_assert_eq(dependence_refine(&c, &m, 4, 0, 1, exact, NULL, NULL), TAMIS_OK);
	cr_assert_eq(dependence_refine(&c, &m, 4, 0.01, 0.4, some, &refined, NULL), TAMIS_OK);
	for (int j = 0; j < 20; j++) {
		bool in = p[j] >= 0.01 && p[j] <= 0.4;
		inside += in;
		cr_assert_eq(some[j], in ? exact[j] : p[j]);
		cr_assert_float_eq(p[j], exact[j], 0.03, "feature %d: %g, exactly %g", j, p[j], exact[j]);
	}
	cr_assert(refined == inside && inside > 0 && inside < 20, "%d", (int)inside);
	comoment_free(&c), output_moment_free(&m);
	for (int64_t i = 0; i < s.n * 4 * 20; i++)
		s.u[i] *= 8;
	draws_moments(&s, 1, &c, &m);
	cr_assert_eq(dependence_test(&c, &m, 4, r8, p8, NULL), TAMIS_OK);
	for (int j = 0; j < 20; j++)
		cr_assert(fabs(r8[j] / r[j] - 64) < 1e-9 && fabs(p8[j] - p[j]) < 1e-9);
	comoment_free(&c), output_moment_free(&m);
	draws_free(&s);
}
