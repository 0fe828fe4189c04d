/* SPDX-License-Identifier: Apache-2.0 */
#include "stat/fdr.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

struct ranked { double p; int64_t index; };

static int compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	if (x->p != y->p)
		return x->p > y->p ? 1 : -1;
	return (x->index > y->index) - (x->index < y->index);
}

/* 1, or the sum of 1/i up to m: what dependence of any kind costs. */
static double penalty(enum fdr_rule rule, int64_t m)
{
	double sum = 0;
	if (rule == FDR_BENJAMINI_HOCHBERG)
		return 1;
	for (int64_t i = m; i >= 1; i--)
		sum += 1 / (double)i;
	return sum;
}

enum tamis_status fdr_adjust(enum fdr_rule rule, const double *p, int64_t m, double alpha, double *q,
		unsigned char *rejected, int64_t *count, struct tamis_error *err)
{
	if (m < 0 || !(alpha >= 0 && alpha <= 1))
		return tm_fail(err, TAMIS_E_USAGE, "a false discovery rate must lie in [0, 1], but came %g", alpha);
	struct ranked *sorted = tm_array_uninit((size_t)m, sizeof *sorted);
	if (!sorted)
		return tm_no_memory(err, "ranking p-values");
	for (int64_t i = 0; i < m; i++)
		sorted[i] = (struct ranked){ isnan(p[i]) ? 1 : fmin(fmax(p[i], 0), 1), i };
	qsort(sorted, (size_t)m, sizeof *sorted, compare_ranked);
	double least = 1, factor = (double)m * penalty(rule, m);
	int64_t found = 0;
	for (int64_t i = m - 1; i >= 0; i--) { /* from the largest: q_i = min over j >= i of p_j m / j */
		least = fmin(least, sorted[i].p * (factor / (double)(i + 1)));
		found += least <= alpha;
		if (q)
			q[sorted[i].index] = least;
		if (rejected)
			rejected[sorted[i].index] = least <= alpha;
	}
	if (count)
		*count = found;
	free(sorted);
	return TAMIS_OK;
}
