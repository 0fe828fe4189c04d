/* SPDX-License-Identifier: Apache-2.0 */
/* Special functions by identity, and against FLINT's ball arithmetic where it is there (HAVE_ARB). */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "base/rng.h"
#include "stat/special.h"

#ifdef HAVE_ARB
#include <arb.h>
#include <arb_hypgeom.h>
#endif

static double relative(double got, double want)
{
	return want == 0 ? fabs(got) : fabs(got / want - 1);
}

/* Log-uniform in [lo, hi]. */
static double spread(struct rng *r, double lo, double hi)
{
	return lo * pow(hi / lo, rng_uniform(r));
}

Test(special, values_outside_the_domain_are_nan)
{
	cr_assert(isnan(log_gamma(0)) && isnan(log_gamma(-1.5)) && isnan(log_gamma(NAN)));
	cr_assert(isnan(gamma_p(0, 1)) && isnan(gamma_p(1, -1)) && isnan(gamma_q(NAN, 1))
			&& isnan(gamma_q(1, NAN)));
	cr_assert(isnan(gamma_p_inverse(1, -0.1)) && isnan(gamma_q_inverse(1, 1.1))
			&& isnan(gamma_p_inverse(-1, 0.5)));
	cr_assert(isnan(beta_p(0, 1, 0.5)) && isnan(beta_p(1, 1, 1.5)) && isnan(beta_q(1, 1, -0.5)));
	cr_assert(isnan(beta_p_inverse(1, 1, 2)) && isnan(beta_p_inverse(1, 0, 0.5)) && isnan(beta_q(1, 1, NAN)));
	cr_assert(isnan(normal_quantile(-0.1)) && isnan(normal_quantile(NAN)) && isnan(normal_cdf(NAN)));
	cr_assert(isnan(chi_square_survival(1, 0)) && isnan(chi_square_survival_noncentral(1, 1, -1)));
}

Test(special, ends_are_exact)
{
	cr_assert(gamma_p(3, 0) == 0 && gamma_q(3, 0) == 1 && gamma_p(3, INFINITY) == 1
			&& gamma_q(3, INFINITY) == 0);
	cr_assert(gamma_p_inverse(2, 0) == 0 && isinf(gamma_p_inverse(2, 1)) && gamma_q_inverse(2, 1) == 0);
	cr_assert(beta_p(2, 3, 0) == 0 && beta_p(2, 3, 1) == 1 && beta_p_inverse(2, 3, 0) == 0);
	cr_assert(beta_p_inverse(2, 3, 1) == 1 && beta_q(2, 3, 0) == 1 && beta_q(2, 3, 1) == 0);
	cr_assert(normal_quantile(0) == -INFINITY && normal_quantile(1) == INFINITY);
	cr_assert(chi_square_survival(-1, 3) == 1 && chi_square_survival_noncentral(0, 3, 2) == 1);
}

Test(special, closed_forms)
{
	struct rng r = rng_make(1, 1);
	for (int k = 0; k < 2000; k++) {
		double x = spread(&r, 1e-6, 600), u = rng_uniform(&r), a = spread(&r, 0.05, 50);
		cr_assert_lt(relative(gamma_q(1, x), exp(-x)), 1e-12, "Q(1, %.17g)", x);
		cr_assert_lt(relative(gamma_p(0.5, x), erf(sqrt(x))), 1e-12, "P(1/2, %.17g)", x);
		cr_assert_lt(relative(beta_p(a, 1, u), pow(u, a)), 1e-12, "I_%.17g(%.17g, 1)", u, a);
		cr_assert_lt(
				relative(beta_p_inverse(1, a, u), -expm1(log1p(-u) / a)), 1e-11, "inverse %.17g %.17g", u, a);
	}
}

Test(special, inverses_undo)
{
	struct rng r = rng_make(2, 1);
	for (int k = 0; k < 4000; k++) {
		double a = spread(&r, 1e-3, 1e5), b = spread(&r, 1e-2, 1e5), p = spread(&r, 1e-250, 1);
		if (k % 2)
			p = rng_uniform(&r);
		double x = gamma_p_inverse(a, p), y = gamma_q_inverse(a, p), z = beta_p_inverse(a, b, p);
		if (x > 1e-300)
			cr_assert_lt(relative(gamma_p(a, x), p), 1e-11, "P(%.17g, %.17g) wanted %.17g", a, x, p);
		if (y > 1e-300)
			cr_assert_lt(relative(gamma_q(a, y), p), 1e-11, "Q(%.17g, %.17g) wanted %.17g", a, y, p);
		double back = relative(beta_p(a, b, z), p), other = relative(beta_q(a, b, z), 1 - p);
		if (z > 1e-300 && z <= 0.5)
			cr_assert(back < 1e-10, "I_%.17g(%.17g, %.17g) wanted %.17g, off %g %g", z, a, b, p, back, other);
		if (p > 1e-300)
			cr_assert_lt(relative(normal_cdf(normal_quantile(p)), p), 1e-12, "quantile of %.17g", p);
	}
}

Test(special, tails_complement_each_other)
{
	struct rng r = rng_make(3, 1);
	for (int k = 0; k < 4000; k++) {
		double a = spread(&r, 1e-3, 1e6), x = k % 2 ? a * spread(&r, 0.5, 2) : spread(&r, 1e-10, 1e4);
		double b = spread(&r, 1e-2, 1e5), u = rng_uniform(&r);
		cr_assert_lt(fabs(gamma_p(a, x) + gamma_q(a, x) - 1), 1e-12, "a %.17g x %.17g", a, x);
		cr_assert_lt(
				fabs(beta_p(a, b, u) + beta_p(b, a, 1 - u) - 1), 1e-10, "a %.17g b %.17g u %.17g", a, b, u);
	}
}

#ifdef HAVE_ARB
/* Worst relative errors of one kind of draw, printed so that the header's statement can be checked. */
static double midpoint(const arb_t v)
{
	cr_assert_gt(arb_rel_accuracy_bits(v), 60, "the oracle lost its digits");
	return arf_get_d(arb_midref(v), ARF_RND_NEAR);
}

/* P = x^a e^-x / Gamma(a + 1) sum_k x^k / ((a+1)...(a+k)), positive terms with the rest bounded by a
 * geometric series, in enough bits that 1 - P keeps its digits down to the smallest double. */
static double oracle_gamma(double a, double x, bool upper)
{
	const slong bits = 1300;
	arb_t va, vx, term, sum, factor;
	arb_init(va), arb_init(vx), arb_init(term), arb_init(sum), arb_init(factor);
	arb_set_d(va, a), arb_set_d(vx, x), arb_one(term);
	double k = 0, ratio;
	do {
		arb_add(sum, sum, term, bits);
		arb_add_ui(va, va, 1, bits), arb_mul(term, term, vx, bits), arb_div(term, term, va, bits);
		ratio = x / (a + ++k);
	} while (ratio >= 1 || arf_cmpabs_2exp_si(arb_midref(term), -bits) > 0);
	arb_mul_ui(term, term, (ulong)(2 / (1 - ratio)) + 1, bits), arb_add_error(sum, term);
	arb_set_d(va, a), arb_pow(factor, vx, va, bits), arb_mul(sum, sum, factor, bits);
	arb_neg(vx, vx), arb_exp(factor, vx, bits), arb_mul(sum, sum, factor, bits);
	arb_add_ui(va, va, 1, bits), arb_gamma(factor, va, bits), arb_div(sum, sum, factor, bits);
	if (upper)
		arb_sub_ui(sum, sum, 1, bits), arb_neg(sum, sum);
	double v = midpoint(sum);
	arb_clear(va), arb_clear(vx), arb_clear(term), arb_clear(sum), arb_clear(factor);
	return v;
}

static double oracle_beta(double a, double b, double x)
{
	arb_t va, vb, vx, out;
	arb_init(va), arb_init(vb), arb_init(vx), arb_init(out);
	arb_set_d(va, a), arb_set_d(vb, b), arb_set_d(vx, x);
	for (slong bits = 256; bits <= 4096; bits *= 2) {
		arb_hypgeom_beta_lower(out, va, vb, vx, 1, bits);
		if (arb_rel_accuracy_bits(out) > 60)
			break;
	}
	double v = midpoint(out);
	arb_clear(va), arb_clear(vb), arb_clear(vx), arb_clear(out);
	return v;
}

static void note(double *worst, double got, double want)
{
	if (want > 2.3e-308)
		*worst = fmax(*worst, relative(got, want));
}

Test(special, incomplete_gamma_against_the_oracle)
{
	struct rng r = rng_make(4, 1);
	double p = 0, q = 0;
	for (int k = 0; k < 2000; k++) {
		double a = spread(&r, 1e-3, k % 64 ? 1e3 : 1e6);
		double x = k % 2 ? fmax(a + 6 * sqrt(a) * (2 * rng_uniform(&r) - 1), 1e-8) : spread(&r, 1e-8, 700);
		note(&p, gamma_p(a, x), oracle_gamma(a, x, false));
		note(&q, gamma_q(a, x), oracle_gamma(a, x, true));
	}
	fprintf(stderr, "largest relative error: P %.2g, Q %.2g\n", p, q);
	cr_assert(p < 1e-12 && q < 1e-12, "P %g Q %g", p, q);
}

Test(special, incomplete_beta_against_the_oracle)
{
	struct rng r = rng_make(5, 1);
	double worst = 0;
	for (int k = 0; k < 2000; k++) {
		double hi = k % 8 ? 300 : 1e5, a = spread(&r, 1e-2, hi), b = spread(&r, 1e-2, hi);
		double mean = a / (a + b), sd = sqrt(mean * (1 - mean) / (a + b + 1));
		double x = hi > 1e3 || k % 2 ? mean + 5 * sd * (2 * rng_uniform(&r) - 1) : spread(&r, 1e-6, 1);
		if (x > 0 && x < 1)
			note(&worst, beta_p(a, b, x), oracle_beta(a, b, x));
	}
	fprintf(stderr, "largest relative error: I %.2g\n", worst);
	cr_assert_lt(worst, 1e-10);
}

Test(special, inverses_against_the_oracle)
{
	struct rng r = rng_make(6, 1);
	double g = 0, b = 0;
	for (int k = 0; k < 1000; k++) {
		double a = spread(&r, 1e-2, 1e3), c = spread(&r, 0.1, 300),
			   p = k % 2 ? rng_uniform(&r) : spread(&r, 1e-30, 0.5);
		double x = gamma_p_inverse(a, p), y = beta_p_inverse(a, c, p);
		if (x > 1e-290)
			note(&g, oracle_gamma(a, x, false), p);
		if (y > 1e-290 && y < 0.5)
			note(&b, oracle_beta(a, c, y), p);
	}
	fprintf(stderr, "largest relative error of the probability at the inverse: gamma %.2g, beta %.2g\n", g,
			b);
	cr_assert(g < 1e-11 && b < 1e-10, "gamma %g beta %g", g, b);
}

static double oracle_normal(double z)
{
	arb_t x, two;
	arb_init(x), arb_init(two);
	arb_set_d(x, -z), arb_set_ui(two, 2);
	arb_rsqrt(two, two, 256), arb_mul(x, x, two, 256);
	arb_hypgeom_erfc(x, x, 256), arb_mul_2exp_si(x, x, -1);
	double v = midpoint(x);
	arb_clear(x), arb_clear(two);
	return v;
}

Test(special, normal_against_the_oracle)
{
	struct rng r = rng_make(7, 1);
	double cdf = 0, quantile = 0;
	for (int k = 0; k < 4000; k++) {
		double z = 74 * rng_uniform(&r) - 37, p = k % 2 ? rng_uniform(&r) : spread(&r, 1e-300, 0.5);
		note(&cdf, normal_cdf(z), oracle_normal(z));
		double at = normal_quantile(p);
		/* The quantile's own error follows from that of its probability: d ln z = d ln p Phi / (phi |z|). */
		if (p < 0.4)
			quantile = fmax(quantile,
					relative(oracle_normal(at), p) * p / fabs(at) / exp(-at * at / 2) * sqrt(2 * M_PI));
	}
	fprintf(stderr, "largest relative error: cdf %.2g, quantile %.2g\n", cdf, quantile);
	cr_assert(cdf < 1e-14 && quantile < 1e-13, "cdf %g quantile %g", cdf, quantile);
}

/* The Poisson mixture itself, term by term in 256 bits. */
static double oracle_noncentral(double x, double dof, double ncp)
{
	arb_t a, y, l, w, q, t, sum;
	arb_init(a), arb_init(y), arb_init(l), arb_init(w), arb_init(q), arb_init(t), arb_init(sum);
	arb_set_d(a, dof), arb_set_d(y, x), arb_set_d(l, ncp);
	arb_mul_2exp_si(a, a, -1), arb_mul_2exp_si(y, y, -1), arb_mul_2exp_si(l, l, -1);
	arb_neg(w, l), arb_exp(w, w, 256);
	for (long j = 0, last = (long)(2 * ncp) + 800; j < last; j++) {
		arb_hypgeom_gamma_upper(q, a, y, 1, 256);
		arb_addmul(sum, w, q, 256);
		arb_add_ui(a, a, 1, 256), arb_mul(w, w, l, 256), arb_div_ui(w, w, (ulong)j + 1, 256);
	}
	double v = midpoint(sum);
	arb_clear(a), arb_clear(y), arb_clear(l), arb_clear(w), arb_clear(q), arb_clear(t), arb_clear(sum);
	return v;
}

Test(special, noncentral_chi_square_against_the_oracle)
{
	struct rng r = rng_make(8, 1);
	double worst = 0;
	for (int k = 0; k < 30; k++) {
		double dof = spread(&r, 0.1, 300), ncp = spread(&r, 1e-3, k % 10 ? 60 : 500);
		double mean = dof + ncp, sd = sqrt(2 * (dof + 2 * ncp)),
			   x = fmax(mean + sd * (30 * rng_uniform(&r) - 3), 0.01);
		double want = oracle_noncentral(x, dof, ncp);
		if (want > 1e-290)
			note(&worst, chi_square_survival_noncentral(x, dof, ncp), want);
	}
	fprintf(stderr, "largest relative error: non-central survival %.2g\n", worst);
	cr_assert_lt(worst, 1e-10);
}
#else
Test(special, against_the_oracle)
{
	cr_skip_test("built without FLINT's ball arithmetic");
}
#endif
