/* SPDX-License-Identifier: Apache-2.0 */
/* Where the search for a depth is: all that the next round depends on besides the graph's constants. */
#ifndef SLIM_WALK_H
#define SLIM_WALK_H

#include "slim/search/checkpoint.h"
#include "slim/search/snapshot.h"

#define WALK_PATH 10 /* states that are kept to be judged */
#define WALK_SURE 0.7 /* of what the gate allows: what is guessed to spend no more of it is taken to pass */

struct walk {
	int64_t rounds;     /* done */
	double keep;        /* of the last one */
	int64_t fine;       /* 1 on the second approach */
	int64_t bad;        /* rounds in a row that did not look good */
	struct snapshot path[WALK_PATH]; /* states worth judging, from gentle to deep: each is guessed to spend more than the last */
	int64_t n_path;
	struct snapshot gentlest; /* of all rounds, while none is worth judging */
	struct snapshot best;     /* of the states that settling has gone through */
	double best_loss;         /* its loss of distilling; valid where there is a best */
};

/* The state in the graph, deeper than all before it and guessed to spend so much, joins the path. Those that spend no less
 * leave it, but for what spends at most WALK_SURE: judging ends at the first that fails, and they would only stand in its way.
 * Where the path is full, of the states between the first and the last six the one whose neighbours are closest goes. */
enum tamis_status walk_join(struct walk *w, const struct graph *g, const struct parameters *p, double spent,
                            struct tamis_error *err);
/* The state in the graph becomes the gentlest, unless it is not. */
enum tamis_status walk_note_gentlest(struct walk *w, const struct graph *g, const struct parameters *p,
                                     struct tamis_error *err);
/* The state in the graph becomes the best, unless it is not. A loss that is no number is never less. */
enum tamis_status walk_note_best(struct walk *w, const struct graph *g, const struct parameters *p, double loss,
                                 struct tamis_error *err);
void walk_free(struct walk *w);

/* The walk and the state in the graph into the checkpoint; back from there, where there is one. */
enum tamis_status walk_save(const struct walk *w, const struct graph *g, const struct parameters *p,
                            const struct checkpoint *c, struct tamis_error *err);
enum tamis_status walk_resume(struct walk *w, struct graph *g, const struct parameters *p, const struct checkpoint *c,
                              struct tamis_error *err);

#endif
