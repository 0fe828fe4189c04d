/* SPDX-License-Identifier: Apache-2.0 */
/* Which of many tests to believe, with the expected share of false ones among them at most alpha. */
#ifndef STAT_FDR_H
#define STAT_FDR_H

#include <stdint.h>

#include "base/error.h"

enum fdr_rule {
	FDR_BENJAMINI_HOCHBERG, /* independent or positively dependent tests (Benjamini and Hochberg 1995) */
	FDR_BENJAMINI_YEKUTIELI /* any dependence; stricter by sum 1/i (Benjamini and Yekutieli 2001) */
};

/* m >= 0 p-values; a p that is NaN counts as 1, and values are clamped to [0, 1]. q (m, may be NULL) gets the
 * adjusted p-values: the least alpha at which the test is rejected, at most 1. rejected (m, may be NULL) gets
 * 1 where q <= alpha, so alpha = 1 rejects all, NaNs too. count (may be NULL) gets how many. alpha in [0, 1],
 * else TAMIS_E_USAGE; TAMIS_E_MEMORY. O(m log m). p may be q. */
enum tamis_status fdr_adjust(enum fdr_rule rule, const double *p, int64_t m, double alpha, double *q,
		unsigned char *rejected, int64_t *count, struct tamis_error *err);

#endif
