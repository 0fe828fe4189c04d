/* SPDX-License-Identifier: Apache-2.0 */
/* The test of independence between a signal and the outputs, from the merged sums of comoment.h.
 *
 * R_d = (1/positions) sum over the rows of feature d of |Cov(u_d,row , psi)|^2 (all q features of a position
 * count). Under independence n R_d tends to sum_kl mu_k nu_l chi2_1, mu the eigenvalues of the covariance of
 * the feature's rows divided by positions, nu those of Cov(psi). The statistic used is (n - 1) R_d, whose
 * mean under permutations of the items is exactly the mean of that sum. */
#ifndef STAT_DEPENDENCE_H
#define STAT_DEPENDENCE_H

#include "stat/comoment.h"

/* For each of the d features of c: R_d into statistic, p-value into p (either may be NULL). `positions` >= 1
 * divides c->width. p = 1 and R = 0 for constant signals, constant outputs, n < 2, and sums that are not
 * finite. Four-moment approximation. TAMIS_E_USAGE when n or r of the two differ, TAMIS_E_MEMORY. O(d (width
 * r + width^3)). */
enum tamis_status dependence_test(const struct comoment *c, const struct output_moment *psi, int positions,
		double *statistic, double *p, struct tamis_error *err);

/* Replaces those of the p (d, from dependence_test) that lie in [low, high], and below 1, by exact inversion of
 * the same weighted sum: for what lies near a threshold. *refined (may be NULL) grows by how many.
 * TAMIS_E_USAGE as above, TAMIS_E_MEMORY. O(r^3) and for each O(width^3 + hundreds of width r). */
enum tamis_status dependence_refine(const struct comoment *c, const struct output_moment *psi, int positions,
		double low, double high, double *p, int64_t *refined, struct tamis_error *err);

/* P(sum_j lambda_j chi2_1 > x), lambda_j >= 0, from the power sums c[k-1] = sum_j lambda_j^k, k = 1..4: the
 * non-central chi-square that matches mean, variance, skewness and as nearly as can be kurtosis (Liu, Tang,
 * Zhang 2009, Comput. Stat. Data Anal. 53, 853-856). c[0] <= 0 gives 1; NaN gives NaN. O(1). */
double weighted_chi_square_p(double x, const double c[4]);

/* The same from the weights themselves by numerical inversion of the characteristic function, Imhof's
 * integral (1961, Biometrika 48, 419-426) moved to a contour through the saddle point, where it converges
 * geometrically. Relative error about 1e-9 for x above the mean, absolute 1e-11 below. count >= 0; weights >=
 * 0. O(count) an evaluation, some hundreds of them. */
double weighted_chi_square_exact_p(double x, const double *lambda, int64_t count);

#endif
