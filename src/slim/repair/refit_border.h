/* SPDX-License-Identifier: Apache-2.0 */
/* Where a pass over the items may begin: what the nodes before it made is held, and need not be made again. */
#ifndef SLIM_REFIT_BORDER_H
#define SLIM_REFIT_BORDER_H

#include "slim/repair/refit.h"

struct refit_border {
	int node;        /* the first one that has not run */
	bool *gone;      /* by node: those that need not run again */
	int *value, n;   /* what crosses it: FLOAT */
	bool inputs;     /* something behind it reads the graph's inputs, too */
	double bytes;    /* of that, an item, as planned */
};

/* The border before a node, for all that the `wanted` nodes need. *out in the arena; NULL where it cannot be held:
 * other types than FLOAT, or shapes that wait for data. job->plan is given. O(nodes + edges). TAMIS_E_MEMORY. */
enum tamis_status refit_border_before(const struct refit_job *job, int node, const bool *wanted, struct arena *arena,
                                      struct refit_border **out, struct tamis_error *err);

/* A chunk as it crossed a border: what a run from there is given. */
struct refit_crossing {
	int64_t items;
	struct tensor *in; /* the graph's inputs, without their elements, and then what crossed; owned with its elements */
	int n_inputs, n;
};

/* By chunk. */
struct refit_held {
	const struct refit_border *at;
	struct refit_crossing *of; /* by chunk of those that ran; in NULL once dropped */
	size_t cap;
	int64_t chunks, every;     /* of all chunks, each so many-th ran */
};

/* Takes over the next chunk's. */
enum tamis_status refit_held_add(struct refit_held *h, struct refit_crossing *c, struct tamis_error *err);
const struct refit_crossing *refit_held_of(const struct refit_held *h, int64_t chunk);
void refit_held_drop(struct refit_held *h, int64_t chunk);
void refit_held_free(struct refit_held *h);

/* The outputs of a run up to the border, copied; false: out of memory. */
bool refit_crossing_copy(const struct refit_border *at, const struct chunk *chunk, int n_inputs, const struct runner *r,
                         struct refit_crossing *out);
void refit_crossing_free(struct refit_crossing *c); /* leaves it zeroed */

#endif
