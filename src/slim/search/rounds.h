/* SPDX-License-Identifier: Apache-2.0 */
/* How deep to cut: score, cut, refit, a little deeper each round; then the gate says which depth is written. */
#ifndef SLIM_ROUNDS_H
#define SLIM_ROUNDS_H

#include "slim/search/cut.h"
#include "slim/repair/distil.h"
#include "slim/figures.h"
#include "slim/gate.h"
#include "slim/search/narrow.h"
#include "slim/repair/refit.h"
#include "slim/repair/regrow.h"
#include "slim/search/walk.h"

#define ROUNDS_STEP 0.8      /* keep-fraction from one round to the next */
#define ROUNDS_SAFE 0.9      /* share of the tolerance that a guessed bound may use up on the first approach */
#define ROUNDS_FINE 0.93     /* keep-fraction on the second approach, from the last depth of the first */
#define ROUNDS_GENEROUS 1.25 /* a depth is tried on the held-out items while its guessed bound is within this of the tolerance */
#define ROUNDS_MAX 60
#define ROUNDS_KEPT ((uint64_t)1 << 30) /* bytes of what the original gives, that a refit may keep */
#define ROUNDS_TUNED ((uint64_t)256 << 20) /* the same of gradients that tuning steps are found from */
#define ROUNDS_HELD ((uint64_t)1 << 29) /* the same of values between the layers that it fits one after the other */
#define ROUNDS_PASSES 6      /* over the items, that a refit may take */
#define ROUNDS_USUAL 12      /* that a search takes, for estimates of the time */
#define ROUNDS_WHILE 5       /* this part of the epochs a state without channels is trained at first, on the way */
#define ROUNDS_CUTTING 0.6   /* share of the epochs during which the cut deepens, on the way to a given share */

struct rounds_job {
	const struct graph *original;
	struct graph *graph;        /* the same, but for constants, which change from round to round */
	const struct layers *layers;
	const struct parameters *parameters; /* what rounds change */
	const struct criterion *criterion;
	struct score_job score;     /* how to score `graph` again */
	struct refit *refit;        /* of `graph`; NULL = only fold means */
	struct distil *distil;      /* how to distil it afterwards; NULL = not at all */
	int epochs;                 /* of distilling, at each depth that may be judged */
	double rate;                /* of distilling: the largest step of a weight */
	double regrow;              /* share of what is kept that cut connections take over in each round of distilling */
	struct gate *guess;         /* on items neither scored nor refitted on, nor judged on: looks are free */
	struct gate *gate;          /* on held-out items */
	enum fdr_rule fdr;
	double alpha, confidence;
	uint64_t seed;
	double keep;                /* > 0: this share, judged once */
	struct narrow_job *narrow;  /* how to take out channels first; the callbacks are set here. NULL = not */
	bool connections;           /* cut them (after the channels) */
	int rounds;                 /* on the way to that share, where it is refitted and not distilled */
	/* Predicted bytes of the file at the present state; with target > 0 the rounds end once it is reached. */
	uint64_t (*bytes)(void *ctx);
	void *bytes_ctx;
	uint64_t target;
	const struct checkpoint *checkpoint; /* written after each round, and gone on from where there is one; NULL = none */
	/* Told after each round how many may follow that cut, and how many that only train for an epoch; may be NULL. */
	void (*expect)(void *ctx, int cutting, int settling);
	void *expect_ctx;
	struct arena *arena;        /* of the looks */
};

struct rounds_result {
	double keep;                /* chosen; valid when passed */
	int64_t kept;
	bool passed;
	struct look_line *looks;
	size_t n_looks;
	int n_rounds;
	struct narrow_result narrowed;
};

/* Rounds that cut on the way to a given share: with distilling one for each epoch during which the cut deepens. */
int rounds_to_share(int rounds, bool refit, int epochs);
/* Rounds that follow the last of these and do not cut: the epochs that are left, but for the one in that round. */
int rounds_settling(int epochs);

/* `first` holds the scores of the untouched graph. Leaves the chosen depth in the graph's constants, the originals when
 * nothing passed.
 *
 * The rounds look only at fitting and guessing items. Their states are then judged on the held-out items from gentle to
 * deep, in an order fixed beforehand; the first failure ends it (fixed-sequence testing: Maurer, Hothorn, Lehmacher
 * 1995; for calibrated prediction: Angelopoulos et al. 2021). Accepting any bad depth takes accepting the first bad one, so
 * the error probability of the whole is that of one test, and no look costs confidence. */
enum tamis_status rounds_run(const struct rounds_job *job, const struct scores *first, struct rounds_result *out,
                             struct tamis_error *err);

#endif
