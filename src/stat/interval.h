/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds that decide whether a cut passes, and how far the network's own probabilities can be trusted.
 *
 * alpha is the probability of error (0.05 for 95 %), in (0, 1). Everything here is deterministic. */
#ifndef STAT_INTERVAL_H
#define STAT_INTERVAL_H

#include <stdint.h>

#include "base/error.h"

/* Exact one-sided bounds on a proportion after k of n successes (Clopper and Pearson 1934): the true
 * proportion is above the upper (below the lower) one with probability at most alpha. n = 0 gives 1 (0). NaN
 * when k is not in [0, n] or alpha not in (0, 1). */
double clopper_pearson_upper(int64_t k, int64_t n, double alpha);
double clopper_pearson_lower(int64_t k, int64_t n, double alpha);

/* Upper 1 - alpha confidence bound for the mean of independent values in [0, 1], whatever their distribution:
 * the least mean m against which a gambler's wealth reaches 1/alpha (betting; Waudby-Smith and Ramdas 2024,
 * J. R. Stat. Soc. B 86, 1-27). Values are taken in a fixed random order, so that sets sorted by class do no
 * harm; the README says which bets. n = 0 gives 1. TAMIS_E_INVALID when a value is not in [0, 1] (rounding
 * excess up to 1e-6 is clamped), TAMIS_E_USAGE for a bad alpha, TAMIS_E_MEMORY. O(n) for each of some 50
 * candidates. */
enum tamis_status betting_upper(
		const double *x, int64_t n, double alpha, double *upper, struct tamis_error *err);

/* Exact one-sided McNemar test: `worse` items that only the original got right, `better` ones that only the
 * slimmed one did. P(Binomial(worse + better, 1/2) >= worse): small when slimming lost accuracy. 1 when there
 * are none. */
double mcnemar_p(int64_t worse, int64_t better);

/* Percentile bootstrap upper bound of a mean of n >= 1 finite values: the 1 - alpha quantile of the means of
 * `replicates` >= 1 resamples, seeded. Approximate: wants n of some dozens or more. TAMIS_E_USAGE,
 * TAMIS_E_INVALID (not finite), TAMIS_E_MEMORY. O(n replicates). */
enum tamis_status bootstrap_upper(const double *x, int64_t n, double alpha, int64_t replicates, uint64_t seed,
		double *upper, struct tamis_error *err);

/* What look number `look` (from 0) of at most `looks` may spend so that all together err with probability at
 * most alpha: equal Bonferroni shares. 0 when look is outside [0, looks). */
double alpha_share(double alpha, int64_t look, int64_t looks);

/* Share of alpha for look number `look` (from 0) where the number of looks has no bound: alpha 6 / (pi^2
 * (look+1)^2). */
double alpha_share_unbounded(double alpha, int64_t look);

/* The temperature T > 0 at which p^(1/T), normalised, has the largest likelihood of the labels; T > 1 means
 * that the network was over-confident. prob is n x classes, labels in [0, classes). T is kept within [0.05,
 * 20]. TAMIS_E_USAGE for n or classes < 1, TAMIS_E_INVALID for a label or probability out of range. O(60 n
 * classes). */
enum tamis_status temperature_fit(const float *prob, const int64_t *labels, int64_t n, int64_t classes,
		double *temperature, struct tamis_error *err);

/* prob^(1/T), normalised, for n rows; out may be prob. */
void temperature_apply(const float *prob, int64_t n, int64_t classes, double temperature, float *out);

/* Expected calibration error: items in `bins` equal bins of their largest probability (15 is usual); the mean
 * over items of |accuracy - confidence| of the item's bin. In [0, 1]. Errors as temperature_fit; ties take
 * the first class. */
#define CALIBRATION_BINS 15
enum tamis_status expected_calibration_error(const float *prob, const int64_t *labels, int64_t n,
		int64_t classes, int bins, double *ece, struct tamis_error *err);

#endif
