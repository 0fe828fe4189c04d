/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_SIGNIFICANCE_H
#define SLIM_SIGNIFICANCE_H

#include "slim/score/score.h"
#include "stat/fdr.h"

/* p-values within this factor of the threshold are computed again by exact inversion: the four-moment approximation is
 * within a quarter of the exact value at such sizes (src/stat/README.md). */
#define SIGNIFICANCE_BAND 2.0

/* Which features are significantly related to the outputs. */
struct significance {
	unsigned char **feature; /* by layer, by feature: 1 = significant; NULL for layers left alone */
	double **p;              /* the same: p-value, near the threshold by exact inversion */
	double **q;              /* the same: p-value adjusted by the rule */
	int64_t tests, significant;
	int64_t inverted;        /* tests whose p-value lay near the threshold */
	struct arena arena;
};

/* One false discovery rate over the tests of all layers together. */
enum tamis_status significance_find(const struct layers *l, const struct scores *s, enum fdr_rule rule, double alpha,
                                    struct significance *out, struct tamis_error *err);
void significance_free(struct significance *s);

#endif
