/* SPDX-License-Identifier: Apache-2.0 */
/* Special functions behind the tests and intervals. All are pure, thread-safe and O(1) but for the iterations
 * named.
 *
 * Outside its domain, and for a NaN, each returns NaN. The relative errors stated are the largest seen
 * against arbitrary-precision arithmetic over the stated arguments (tests/stat/test_special.c); results below
 * DBL_MIN are outside the statement. */
#ifndef STAT_SPECIAL_H
#define STAT_SPECIAL_H

/* ln Gamma(x), x > 0. */
double log_gamma(double x);

/* Regularised incomplete gamma functions, a > 0, x >= 0: P(a, x) = (1/Gamma(a)) int_0^x t^(a-1) e^-t dt and Q
 * = 1 - P, each computed without cancellation. Series or continued fraction, O(sqrt(a)) terms near x = a.
 * Relative error below 1e-12 for a in [1e-3, 1e6]. */
double gamma_p(double a, double x);
double gamma_q(double a, double x);

/* The x with P(a, x) = p, and with Q(a, x) = q; p, q in [0, 1]. P(a, 0) = 0, so p = 0 gives 0 and p = 1
 * infinity. Usually 3 to 6 evaluations of P. The result put back gives p (or q) within a
 * relative 1e-11 unless it underflows to 0. */
double gamma_p_inverse(double a, double p);
double gamma_q_inverse(double a, double q);

/* Regularised incomplete beta function I_x(a, b), a > 0, b > 0, x in [0, 1], and its complement
 * 1 - I_x(a, b) = I_(1-x)(b, a) without cancellation. Continued fraction; O(sqrt(max(a, b))) terms.
 * Relative error below 1e-10 for a, b in [1e-2, 1e5]. */
double beta_p(double a, double b, double x);
double beta_q(double a, double b, double x);

/* The x with I_x(a, b) = p, p in [0, 1]. Where x <= 1/2 the result put back gives p within a relative 1e-10;
 * above, x is as near as doubles lie. */
double beta_p_inverse(double a, double b, double p);

/* Standard normal distribution function and its inverse (p in [0, 1]; 0 and 1 give -inf and inf).
 * Relative errors below 1e-14 (cdf, |z| <= 37) and 1e-13 (quantile, away from its zero at 1/2). */
double normal_cdf(double z);
double normal_quantile(double p);

/* P(X > x) of a chi-square with dof > 0 degrees of freedom; of a non-central one with non-centrality ncp >= 0
 * (a Poisson(ncp/2) mixture of central ones, summed upwards in O(sqrt(ncp)) terms).
 * x < 0 gives 1. Relative error below 1e-10 for ncp <= 1e4 where the result exceeds 1e-290. */
double chi_square_survival(double x, double dof);
double chi_square_survival_noncentral(double x, double dof, double ncp);

#endif
