/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which layers are fitted on what the network in hand gives them, on how many of the items, and from where. */
#ifndef SLIM_REFIT_LEGS_H
#define SLIM_REFIT_LEGS_H

#include "slim/repair/refit_border.h"

/* Layers first..last-1, on every `every`-th chunk. */
struct refit_leg {
	int first, last;
	int64_t every;
	int64_t step;    /* chunks that run: each so many-th; those of later legs too, where something is handed over */
	const struct refit_border *from; /* where it begins; NULL: at the graph's inputs */
	const struct refit_border *to;   /* what it hands over, before its first layer; NULL: what was held before it still is */
	double share;    /* of the network, that it runs */
};

struct refit_legs {
	struct refit_leg *list; /* in the arena */
	int n;
	bool alone;    /* one layer a leg */
	double passes; /* over the items, that the legs take together */
};

/* One layer a leg, in topological order; or as many as it takes to keep within job->passes. The first layer is in none:
 * nothing that was fitted lies before it. No leg (n = 0) for fewer than two layers and for job->passes 0. With job->plan a leg may begin
 * before the layers of an earlier one, if what crosses there takes at most job->hold. O(layers (layers + nodes)). */
enum tamis_status refit_legs_find(const struct refit_job *job, struct arena *arena, struct refit_legs *out,
                                  struct tamis_error *err);

#endif
