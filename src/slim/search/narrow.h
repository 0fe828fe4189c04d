/* SPDX-License-Identifier: Apache-2.0 */
/* How many channels go: choose some, refit what reads them, look at the guessing items; then a few more. */
#ifndef SLIM_NARROW_H
#define SLIM_NARROW_H

#include "slim/channels/choose.h"
#include "slim/gate.h"
#include "slim/parameters.h"
#include "slim/repair/refit.h"

#define NARROW_SHARE 0.5  /* of what the gate allows, that channels may use up where connections are cut after them */
#define NARROW_STEP 0.15  /* share of what is left that a round saves */
#define NARROW_SAFE 0.4   /* the same, for states of the first approach: the gate is to find fine steps where it stops */
#define NARROW_FINE 0.05  /* share saved at the start of the second approach, from the last of these, */
#define NARROW_FINER 0.03 /* and where its rounds have several tries */
#define NARROW_TRIES 3    /* choices that such a round refits */
#define NARROW_LEARN 4    /* by no more than this a group looks better for what it did to the outputs when it was tried */
#define NARROW_MISSES 8   /* choices of the second approach that may look bad, */
#define NARROW_DEAR 4     /* and where each of them is distilled */
#define NARROW_HOPE 3     /* so many times its limit a state may spend after training for a while, to be trained in full */
#define NARROW_MOST 0.5   /* of a group's units, in one round */
#define NARROW_ROUNDS 40

struct narrow_job {
	struct graph *graph;         /* constants are zeroed and fitted */
	const struct plan *plan;     /* of graph, one item */
	const struct layers *layers;
	const struct parameters *parameters; /* what rounds change */
	const struct scores *scores; /* of the untouched graph: path gains */
	struct refit *refit;         /* of graph */
	struct gate *guess;          /* NULL: only the target ends it */
	double most;                 /* of what the gate allows, that a guess may use up (gate_spent) */
	const struct gate *gate;     /* that will judge, */
	double alpha;                /* at this error probability */
	struct worth worth;
	double target;               /* (0, 1): of what worth measures; 0 = as deep as the guess allows */
	int64_t round_to;
	int misses;                  /* choices of the second approach that may look bad */
	int tries;                   /* choices that each of them refits, 1 to NARROW_TRIES */
	struct pool *pool;
	/* Called while the graph is in the state: trains it, where refitting alone spends more than REFIT_MENDED of what the
	 * gate allows, or the target is reached (may be NULL), in full or for a while; takes one that looks good, and what of that it
	 * spends. */
	enum tamis_status (*repair)(void *ctx, int round, bool full, struct tamis_error *err);
	enum tamis_status (*good)(void *ctx, double spent, struct tamis_error *err);
	void *ctx;
	void (*expect)(void *ctx, int rounds); /* called with the rounds done, after each; NULL: nobody wants to know */
	void *expect_ctx;
};

struct narrow_result {
	int rounds;
	int64_t units;  /* that went, of those that could */
	int64_t of;
	double left;    /* MACs, as a share */
};

/* Leaves the deepest state whose guessed bound was fine in the graph's constants: everything that reads or makes the units
 * that go is zero. Guessing items and those that are fitted on are looked at; the gate judges what comes of it. Two approaches: in
 * large steps until a state comes near the bound, or half of the way to the target; then in finer ones, halved where several
 * groups together look bad, doubled again after two good ones. In each of these job->tries choices are refitted that have no group
 * in common, and the one that moves the outputs least for what it saves is taken (as NetAdapt does: Yang et al. 2018), or, where
 * that looks bad, the next. With several tries groups are offered by their effect, scaled by what it turned out to be when they
 * were last tried. A group that looks bad alone keeps the width it has, and what looked bad is not tried again. */
enum tamis_status narrow_run(const struct narrow_job *job, struct narrow_result *out, struct tamis_error *err);

#endif
