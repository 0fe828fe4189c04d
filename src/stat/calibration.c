/* SPDX-License-Identifier: Apache-2.0 */
/* How far a classifier's own probabilities can be trusted (Guo, Pleiss, Sun, Weinberger 2017). */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "stat/interval.h"

#define COLDEST 0.05
#define HOTTEST 20.0

static enum tamis_status check(const float *prob, const int64_t *labels, int64_t n, int64_t classes,
		struct tamis_error *err)
{
	if (n < 1 || classes < 1)
		return tm_fail(err, TAMIS_E_USAGE, "calibration needs items and classes, but came %lld and %lld",
				(long long)n, (long long)classes);
	for (int64_t i = 0; i < n; i++)
		if (labels[i] < 0 || labels[i] >= classes)
			return tm_fail(err, TAMIS_E_INVALID, "labels must lie in [0, %lld), but number %lld is %lld",
					(long long)classes, (long long)i, (long long)labels[i]);
	for (int64_t i = 0; i < n * classes; i++)
		if (!(prob[i] >= -1e-5f && prob[i] <= 1 + 1e-5f))
			return tm_fail(err, TAMIS_E_INVALID, "probabilities must lie in [0, 1], but item %lld has %g",
					(long long)(i / classes), (double)prob[i]);
	return TAMIS_OK;
}

/* ln p with zeros taken as the least positive float. */
static double log_probability(float p)
{
	return log(fmax(p, 1e-45));
}

/* d/d beta of the log-likelihood at inverse temperature beta: sum over items of z_label - E[z], z = ln p.
 * Falls with beta, since its derivative is minus a sum of variances. */
static double likelihood_slope(
		const float *prob, const int64_t *labels, int64_t n, int64_t classes, double beta)
{
	double slope = 0;
	for (int64_t i = 0; i < n; i++, prob += classes) {
		double top = -INFINITY, sum = 0, moment = 0;
		for (int64_t k = 0; k < classes; k++)
			top = fmax(top, log_probability(prob[k]));
		for (int64_t k = 0; k < classes; k++) {
			double z = log_probability(prob[k]), weight = exp(beta * (z - top));
			sum += weight;
			moment += weight * z;
		}
		slope += log_probability(prob[labels[i]]) - moment / sum;
	}
	return slope;
}

enum tamis_status temperature_fit(const float *prob, const int64_t *labels, int64_t n, int64_t classes,
		double *temperature, struct tamis_error *err)
{
	enum tamis_status st = check(prob, labels, n, classes, err);
	if (st != TAMIS_OK)
		return st;
	double lo = 1 / HOTTEST, hi = 1 / COLDEST;
	for (int k = 0; k < 50 && hi > lo * (1 + 1e-9); k++) {
		double beta = sqrt(lo * hi);
		if (likelihood_slope(prob, labels, n, classes, beta) > 0)
			lo = beta;
		else
			hi = beta;
	}
	*temperature = 1 / sqrt(lo * hi);
	return TAMIS_OK;
}

void temperature_apply(const float *prob, int64_t n, int64_t classes, double temperature, float *out)
{
	for (int64_t i = 0; i < n; i++, prob += classes, out += classes) {
		double top = -INFINITY, sum = 0;
		for (int64_t k = 0; k < classes; k++)
			top = fmax(top, log_probability(prob[k]));
		for (int64_t k = 0; k < classes; k++) {
			out[k] = (float)exp((log_probability(prob[k]) - top) / temperature);
			sum += out[k];
		}
		for (int64_t k = 0; k < classes; k++)
			out[k] = (float)(out[k] / sum);
	}
}

/* One bin's surplus of confidence over correctness, kept as a sum. */
static void tally(const float *prob, int64_t label, int64_t classes, int bins, double *surplus)
{
	int64_t best = 0;
	for (int64_t k = 1; k < classes; k++)
		if (prob[k] > prob[best])
			best = k;
	double confidence = fmin(fmax(prob[best], 0), 1);
	int bin = (int)ceil(confidence * bins) - 1; /* (b/bins, (b+1)/bins] */
	surplus[bin < 0 ? 0 : bin] += confidence - (best == label);
}

enum tamis_status expected_calibration_error(const float *prob, const int64_t *labels, int64_t n,
		int64_t classes, int bins, double *ece, struct tamis_error *err)
{
	enum tamis_status st = check(prob, labels, n, classes, err);
	if (st == TAMIS_OK && bins < 1)
		st = tm_fail(err, TAMIS_E_USAGE, "calibration error needs at least one bin, but came %d", bins);
	if (st != TAMIS_OK)
		return st;
	double *surplus = tm_array((size_t)bins, sizeof *surplus), sum = 0;
	if (!surplus)
		return tm_no_memory(err, "measuring calibration");
	for (int64_t i = 0; i < n; i++)
		tally(prob + i * classes, labels[i], classes, bins, surplus);
	for (int b = 0; b < bins; b++)
		sum += fabs(surplus[b]);
	*ece = sum / (double)n;
	free(surplus);
	return TAMIS_OK;
}
