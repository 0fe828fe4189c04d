/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_SIGNIFICANCE_H
#define SLIM_SIGNIFICANCE_H

#include "slim/score.h"

/* Which features are significantly related to the outputs. */
struct significance {
	unsigned char **feature; /* by layer, by feature: 1 = significant; NULL for layers left alone */
	double **q;              /* the same: Benjamini-Hochberg adjusted p-value */
	int64_t tests, significant;
	struct arena arena;
};

/* One false discovery rate over the tests of all layers together. */
enum tamis_status significance_find(const struct layers *l, const struct scores *s, double alpha,
                                    struct significance *out, struct tamis_error *err);
void significance_free(struct significance *s);

#endif
