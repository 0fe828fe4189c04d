/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "stat/fdr.h"
#include "stat/special.h"

/* The definition: reject all p <= p_(k), k the largest rank with p_(k) <= k alpha / (m penalty). O(m^2). */
static int by_definition(const double *p, int m, double level, unsigned char *rejected)
{
	double cut = -1;
	for (int i = 0; i < m; i++) {
		int rank = 0;
		for (int j = 0; j < m; j++)
			rank += p[j] <= p[i];
		if (p[i] <= level * rank / m)
			cut = fmax(cut, p[i]);
	}
	int count = 0;
	for (int i = 0; i < m; i++)
		count += rejected[i] = p[i] <= cut;
	return count;
}

Test(fdr, follows_the_definition)
{
	struct rng r = rng_make(1, 0);
	for (int round = 0; round < 400; round++) {
		double p[60], q[60], harmonic = 0;
		int m = 1 + (int)rng_below(&r, 60), rule = round % 2;
		unsigned char want[60], got[60];
		int64_t count;
		for (int i = 0; i < m; i++) {
			double u = rng_uniform(&r);
			p[i] = round % 3 ? u * u * u : floor(u * 8) / 40; /* also with ties */
			harmonic += 1.0 / (i + 1);
		}
		int expect = by_definition(p, m, 0.1 / (rule ? harmonic : 1) * (1 + 1e-12), want);
		cr_assert_eq(
				fdr_adjust((enum fdr_rule)rule, p, m, 0.1 * (1 + 1e-12), q, got, &count, NULL), TAMIS_OK);
		cr_assert_eq(count, expect, "round %d m %d", round, m);
		for (int i = 0; i < m; i++) {
			cr_assert_eq(got[i], want[i]);
			cr_assert(q[i] >= p[i] && q[i] <= 1);
			for (int j = 0; j < m; j++)
				cr_assert(p[i] > p[j] || q[i] <= q[j], "q must rise with p");
		}
	}
}

Test(fdr, odd_arguments)
{
	double p[4] = { NAN, 0.001, -1, 7 }, q[4];
	unsigned char rejected[4];
	int64_t count = -1;
	cr_assert_eq(fdr_adjust(FDR_BENJAMINI_HOCHBERG, p, 4, 0.05, q, rejected, &count, NULL), TAMIS_OK);
	cr_assert(count == 2 && q[0] == 1 && q[3] == 1 && !rejected[0] && rejected[1] && rejected[2]
			&& !rejected[3]);
	cr_assert_eq(fdr_adjust(FDR_BENJAMINI_HOCHBERG, p, 4, 0.05, p, NULL, NULL, NULL), TAMIS_OK);
	cr_assert_float_eq(p[1], 0.002, 1e-15, "in place");
	cr_assert_eq(fdr_adjust(FDR_BENJAMINI_YEKUTIELI, NULL, 0, 0.05, NULL, NULL, &count, NULL), TAMIS_OK);
	cr_assert_eq(count, 0);
	cr_assert_eq(fdr_adjust(FDR_BENJAMINI_HOCHBERG, p, 4, NAN, q, NULL, NULL, NULL), TAMIS_E_USAGE);
	cr_assert_eq(fdr_adjust(FDR_BENJAMINI_HOCHBERG, p, 4, 1.1, q, NULL, NULL, NULL), TAMIS_E_USAGE);
}

/* Mean share of false discoveries over planted mixtures stays at alpha (1 - share planted), within Monte
 * Carlo error. */
Test(fdr, holds_its_rate_on_planted_mixtures)
{
	enum { M = 500, ROUNDS = 400 };
	static double p[M];
	static unsigned char rejected[M];
	for (int planted = 0; planted <= 250; planted += 125) {
		double sum = 0, square = 0, found = 0;
		for (int round = 0; round < ROUNDS; round++) {
			struct rng r = rng_make(5, (uint64_t)(planted * ROUNDS + round));
			int64_t count, wrong = 0;
			for (int i = 0; i < M; i++)
				p[i] = normal_cdf(-(rng_normal(&r) + (i < planted ? 3 : 0)));
			cr_assert_eq(
					fdr_adjust(FDR_BENJAMINI_HOCHBERG, p, M, 0.1, NULL, rejected, &count, NULL), TAMIS_OK);
			for (int i = planted; i < M; i++)
				wrong += rejected[i];
			double share = count ? (double)wrong / (double)count : 0;
			sum += share, square += share * share, found += (double)(count - wrong);
		}
		double mean = sum / ROUNDS, error = sqrt((square / ROUNDS - mean * mean) / ROUNDS);
		double want = 0.1 * (1 - (double)planted / M);
		fprintf(stderr, "planted %d: false discoveries %.4f (expected %.4f), found %.1f\n", planted, mean,
				want, found / ROUNDS);
		cr_assert_lt(fabs(mean - want), 4 * error + 1e-3);
		cr_assert(planted == 0 || found / ROUNDS > 0.7 * planted);
	}
}
