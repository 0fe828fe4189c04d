/* SPDX-License-Identifier: Apache-2.0 */
#include "stat/distribution.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

const double distribution_shares[DISTRIBUTION_QUANTILES] = { 0, .01, .05, .25, .5, .75, .95, .99, 1 };

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int distribution_bin(const struct distribution *d, double x)
{
	int k;

	if (!(x > 0) || !(d->low > 0))
		return -1;
	if (!(d->high > d->low) || x <= d->low)
		return 0;
	if (x >= d->high)
		return DISTRIBUTION_BINS - 1;
	k = (int)(DISTRIBUTION_BINS * ((log(x) - log(d->low)) / (log(d->high) - log(d->low))));
	return k < DISTRIBUTION_BINS ? k : DISTRIBUTION_BINS - 1;
}

double distribution_edge(const struct distribution *d, int k)
{
	return d->low > 0 ? exp(log(d->low) + (log(d->high) - log(d->low)) * k / DISTRIBUTION_BINS) : 0;
}

enum tamis_status distribution_of(const double *x, int64_t n, struct distribution *out, struct tamis_error *err)
{
	double *sorted = tm_array_uninit((size_t)n + 1, sizeof *sorted);
	int64_t numbers = 0, positive = 0;

	*out = (struct distribution){ .count = n };
	if (!sorted)
		return tm_no_memory(err, "summing up a distribution");
	for (int64_t i = 0; i < n; i++)
		if (!isnan(x[i]))
			sorted[numbers++] = x[i];
	qsort(sorted, (size_t)numbers, sizeof *sorted, ascending);
	for (int q = 0; q < DISTRIBUTION_QUANTILES; q++)
		out->quantile[q] = numbers ? sorted[(int64_t)(distribution_shares[q] * (double)(numbers - 1) + 0.5)] : NAN;
	for (int64_t i = 0; i < numbers; i++) {
		if (!(sorted[i] > 0) || !isfinite(sorted[i]))
			continue;
		out->low = out->low > 0 ? out->low : sorted[i];
		out->high = sorted[i];
	}
	for (int64_t i = 0; i < numbers; i++) {
		int k = distribution_bin(out, sorted[i]);

		if (k < 0)
			continue;
		out->bin[k]++;
		positive++;
	}
	out->zeros = n - positive;
	free(sorted);
	return TAMIS_OK;
}
