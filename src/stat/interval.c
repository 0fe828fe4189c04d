/* SPDX-License-Identifier: Apache-2.0 */
#include "stat/interval.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/rng.h"
#include "stat/special.h"

static bool proper_alpha(double alpha)
{
	return alpha > 0 && alpha < 1;
}

double clopper_pearson_upper(int64_t k, int64_t n, double alpha)
{
	if (k < 0 || k > n || !proper_alpha(alpha))
		return NAN;
	return k == n ? 1 : beta_p_inverse((double)k + 1, (double)(n - k), 1 - alpha);
}

double clopper_pearson_lower(int64_t k, int64_t n, double alpha)
{
	if (k < 0 || k > n || !proper_alpha(alpha))
		return NAN;
	return k == 0 ? 0 : beta_p_inverse((double)k, (double)(n - k) + 1, alpha);
}

#define BET_CAP 0.95    /* share of the wealth that one value may cost */
#define BET_SEED 0x7761756462790001u

/* A copy in seeded random order, so that sets sorted by class look like independent draws. */
static enum tamis_status shuffled(const double *x, int64_t n, double **out, struct tamis_error *err)
{
	double *v = tm_array_uninit((size_t)n, sizeof *v);
	*out = v;
	if (!v)
		return tm_no_memory(err, "bounding a mean");
	struct rng r = rng_make(BET_SEED, 0);
	for (int64_t i = 0; i < n; i++) {
		int64_t at = (int64_t)rng_below(&r, (uint64_t)i + 1);
		if (!(x[i] >= -1e-6 && x[i] <= 1 + 1e-6))
			return tm_fail(err, TAMIS_E_INVALID,
					"a bounded mean needs values in [0, 1], but number %lld is %g", (long long)i, x[i]);
		v[i] = v[at];
		v[at] = fmin(fmax(x[i], 0), 1);
	}
	return TAMIS_OK;
}

/* Predictable plug-in bets, sqrt(2 ln(1/alpha) / (n variance so far)); the variance of 0 values is taken as
 * 1/4. */
static void plan_bets(const double *x, int64_t n, double alpha, double *bet)
{
	double sum = 0.5, square = 0.25, stake = 2 * log(1 / alpha) / (double)n;
	for (int64_t t = 0; t < n; t++) {
		bet[t] = sqrt(stake / (square / (double)(t + 1)));
		sum += x[t];
		double dev = x[t] - sum / (double)(t + 2);
		square += dev * dev;
	}
}

/* Whether the wealth prod (1 + bet (m - x)) ever reaches 1/alpha: against a true mean of m or more it does so
 * with probability at most alpha (Ville). Bets are capped so that a value of 1 leaves a share 1 - BET_CAP. */
static bool refuted(const double *x, const double *bet, int64_t n, double alpha, double m)
{
	double wealth = 0, goal = -log(alpha), cap = BET_CAP / (1 - m);
	for (int64_t t = 0; t < n; t++) {
		wealth += log1p(fmin(bet[t], cap) * (m - x[t]));
		if (wealth >= goal)
			return true;
	}
	return false;
}

/* Each term of the log wealth rises with m, so the refuted means are an interval that reaches up to 1. */
static double least_refuted(const double *x, const double *bet, int64_t n, double alpha)
{
	double lo = 0, hi = 1;
	for (int k = 0; k < 50 && hi - lo > 1e-12; k++) {
		double m = lo + (hi - lo) / 2;
		if (refuted(x, bet, n, alpha, m))
			hi = m;
		else
			lo = m;
	}
	return hi;
}

enum tamis_status betting_upper(
		const double *x, int64_t n, double alpha, double *upper, struct tamis_error *err)
{
	if (!proper_alpha(alpha) || n < 0)
		return tm_fail(err, TAMIS_E_USAGE, "alpha must lie in (0, 1), but came %g", alpha);
	double *values, *bet = tm_array_uninit((size_t)n, sizeof *bet);
	enum tamis_status st = shuffled(x, n, &values, err);
	if (st == TAMIS_OK && !bet)
		st = tm_no_memory(err, "bounding a mean");
	if (st == TAMIS_OK) {
		plan_bets(values, n, alpha, bet);
		*upper = least_refuted(values, bet, n, alpha);
	}
	free(values);
	free(bet);
	return st;
}

double mcnemar_p(int64_t worse, int64_t better)
{
	if (worse < 0 || better < 0)
		return NAN;
	return worse == 0 ? 1 : beta_p((double)worse, (double)better + 1, 0.5);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

enum tamis_status bootstrap_upper(const double *x, int64_t n, double alpha, int64_t replicates, uint64_t seed,
		double *upper, struct tamis_error *err)
{
	if (n < 1 || replicates < 1 || !proper_alpha(alpha))
		return tm_fail(err, TAMIS_E_USAGE,
				"a bootstrap needs values, replicates and alpha in (0, 1), but came %lld, "
				"%lld and %g",
				(long long)n, (long long)replicates, alpha);
	for (int64_t i = 0; i < n; i++)
		if (!isfinite(x[i]))
			return tm_fail(err, TAMIS_E_INVALID, "a bootstrap needs finite values, but number %lld is not",
					(long long)i);
	double *mean = tm_array_uninit((size_t)replicates, sizeof *mean);
	if (!mean)
		return tm_no_memory(err, "bootstrapping a mean");
	for (int64_t b = 0; b < replicates; b++) {
		struct rng r = rng_make(seed, (uint64_t)b);
		double sum = 0;
		for (int64_t i = 0; i < n; i++)
			sum += x[rng_below(&r, (uint64_t)n)];
		mean[b] = sum / (double)n;
	}
	qsort(mean, (size_t)replicates, sizeof *mean, compare_doubles);
	int64_t at = (int64_t)ceil((1 - alpha) * ((double)replicates + 1)) - 1;
	*upper = mean[at < 0 ? 0 : at >= replicates ? replicates - 1 : at];
	free(mean);
	return TAMIS_OK;
}

double alpha_share(double alpha, int64_t look, int64_t looks)
{
	return look >= 0 && look < looks ? alpha / (double)looks : 0;
}

double alpha_share_unbounded(double alpha, int64_t look)
{
	double k = (double)look + 1;
	return look >= 0 ? alpha * 6 / (M_PI * M_PI * k * k) : 0;
}
