/* SPDX-License-Identifier: Apache-2.0 */
/* How connections are ranked: one row a criterion. pii is tamis' own; the others ship because papers compare with them. */
#ifndef SLIM_CRITERIA_H
#define SLIM_CRITERIA_H

#include "slim/score/score.h"

struct criterion {
	const char *name;
	bool tested;        /* connections of features that are not significant are cut first */
	unsigned needs;     /* of enum score_need */
	const char *formula;
	/* Score of every entry of a layer's weight, >= 0, higher is more important. w: entries, as float. */
	enum tamis_status (*score)(const struct layer *l, const struct layer_score *s, const float *w, uint64_t seed,
	                           float *out, struct tamis_error *err);
};

/* Square of the weight that row o gives the signal of each feature of its group, fan_in of them: of copies all together,
 * shared out evenly among them. */
void criterion_squares(const struct layer *l, const struct copies *c, const float *w, int64_t o, double *square);

/* The row of that name, NULL when there is none. */
const struct criterion *criterion_find(const char *name);
/* All rows; *n of them. */
const struct criterion *criterion_list(size_t *n);

#endif
