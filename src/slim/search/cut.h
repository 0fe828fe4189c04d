/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting connections in the graph's constants: ranking, threshold, zeros, and the means that go into biases. The
 * originals are kept, so any number of depths can be tried; the document is not touched. */
#ifndef SLIM_CUT_H
#define SLIM_CUT_H

#include "slim/repair/refit_sums.h"
#include "slim/score/criteria.h"
#include "slim/score/significance.h"

struct cut {
	struct graph *graph;
	const struct layers *layers;
	const struct scores *scores;
	uint32_t **rank;          /* by layer, by entry: connections of significant signals above all others, within each
	                             kind in the order of their scores; 0 = a zero weight or score, never kept */
	struct tensor *weight, *bias; /* originals, by layer; data NULL where there is none */
	int64_t total;            /* connections of all slimmable layers */
	int64_t alive;            /* of them not zero to begin with */
	int64_t rankable;         /* of them with a rank: more cannot be kept once anything is cut */
	double keep;              /* of the last cut_apply; 1 = nothing cut */
	int64_t kept;             /* non-zero connections after the last cut_apply */
	struct arena arena;
};

struct cut_job {
	struct graph *graph;
	const struct layers *layers;
	const struct scores *scores;
	const struct criterion *criterion;
	const struct significance *significance; /* NULL: of criteria that do not test */
	uint64_t seed;
	/* By layer: moments of its inputs, where survivors are fitted to the original's outputs afterwards. A criterion that tests
	 * then ranks by partial_score. NULL: they stay as they are. */
	const struct refit_sums *moments;
	struct pool *pool;
};

/* Ranks every connection. The same for any pool. */
enum tamis_status cut_create(const struct cut_job *job, struct cut *out, struct tamis_error *err);

/* Sets the graph's constants to the cut that keeps the best `keep` (0 to 1) of `total` connections: the others zero,
 * their mean signal in the bias. 1 restores the originals. Ties are broken by position. O(total). */
void cut_apply(struct cut *c, double keep);

/* Of ranks by layer (NULL = none) and entry, 0 for what has none, the least of the `want` (>= 1) greatest; of entries with that
 * very rank *ties are among them. O(entries). */
uint32_t cut_threshold(uint32_t *const *rank, const struct layers *l, int64_t want, int64_t *ties);

void cut_free(struct cut *c); /* the graph keeps what the last apply left in it */

#endif
