/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which layers are fitted on what the network in hand gives them, and on how many of the items. */
#ifndef SLIM_REFIT_LEGS_H
#define SLIM_REFIT_LEGS_H

#include "slim/repair/refit.h"

/* Layers first..last-1, on every `every`-th chunk. */
struct refit_leg { int first, last; int64_t every; };

struct refit_legs {
	struct refit_leg *list; /* in the arena */
	int n;
	bool alone;    /* one layer a leg */
	double passes; /* over the items, that the legs take together */
	double results; /* floats that the original gives their layers, where these are alone */
};

/* One layer a leg, in topological order; or as many as it takes to keep within job->passes. The first layer is in none:
 * nothing that was fitted lies before it. No leg (n = 0) for fewer than two layers and for job->passes 0. O(layers^2). */
enum tamis_status refit_legs_find(const struct refit_job *job, struct arena *arena, struct refit_legs *out,
                                  struct tamis_error *err);

#endif
