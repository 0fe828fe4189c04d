/* SPDX-License-Identifier: Apache-2.0 */
/* Units of a model that may go, taken out of it. A test ends at the first thing that fails here. */
#ifndef TESTS_SLIM_COUPLED_H
#define TESTS_SLIM_COUPLED_H

#include "build.h"
#include "slim/channels/remove.h"

/* A model of one input, with its groups for one item. */
struct coupled {
	struct graph *graph;
	struct program *program;
	struct plan *plan;
	struct layers layers;
	struct channel_groups groups;
};
void couple(struct document *d, struct coupled *c);
void uncouple(struct coupled *c);

/* Zeroes what reads a random share of the units that may go; how many. */
int64_t coupled_silence(struct document *d, double share, uint64_t seed);
/* Takes the same units out, and checks the document. */
void coupled_cut(struct document *d, double share, uint64_t seed);

/* Zeroes what reads half of the groups that may go whole, picked at random; how many. */
int64_t coupled_silence_whole(struct document *d, uint64_t seed);

/* Zeroes what reads a random share of the units that may go, runs, takes those units out, checks the document and runs
 * again: the outputs must agree to `tolerance` of their largest magnitude. How many units went. */
int64_t coupled_cut_and_compare(struct document *d, double share, uint64_t seed, double tolerance);

/* Groups of this width that may be cut and that something reads. */
int64_t coupled_groups(struct document *d, int width);

#endif
