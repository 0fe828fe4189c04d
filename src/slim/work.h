/* SPDX-License-Identifier: Apache-2.0 */
/* How much a run will take, in forward runs of one item, and how far it is: what the observer is told. */
#ifndef SLIM_WORK_H
#define SLIM_WORK_H

#include "slim/state.h"

#define SCORE_COST 6                    /* forward, reverse and moments, in forward runs */
#define REFIT_COST 3                    /* a pass in order: forward, and moments */
#define REFIT_COMPARED 0.25             /* passes without moments before and after it, about */
#define DISTIL_USUAL_TRIALS 3           /* of its rate, where a leg settles */
#define DISTIL_SPARSE_COST 1.2          /* the same where most weights are zero */
#define DISTIL_COST 4                   /* an item and epoch: forward and reverse */
#define MIXUP_COST 0.5                  /* more, of the original on half of the items */
#define SLIM_TRIES 2.5                  /* refits a round, on the average, where no connections are cut after channels */
#define SLIM_TUNED 1                    /* tunings a round, on the average, where the depth is searched */
#define SLIM_TRAINED 0.5                /* of all epochs a round trains, on the average, where no connections are cut after channels */
#define SLIM_LOOKS 9                    /* of a search at the held-out items, about */

/* A stage of the run, as the ctx of slim_tell: `cost` forward runs an item; 0: what distilling takes at the present depth. */
struct slim_told { struct slim *slim; int64_t before; double cost; };

double slim_now(void); /* seconds since some moment; no change of the clock moves it */
/* Items of a source that a stage will see, about. */
double slim_items_in(const struct item_source *s);
/* Whether channels are taken out: they are chosen by what refitting measures, and where nobody says how many connections
 * are to be kept. */
bool slim_narrows(const struct tamis_slim_options *o);
/* Whether they are all that goes, and no connections behind them. */
bool slim_only_channels(const struct tamis_slim_options *o);
/* Whether the depth is told, as a share of the connections or of the MACs: nothing is guessed on the way there, and what the last
 * cut leaves is tuned and trained alone. */
bool slim_depth_told(const struct tamis_slim_options *o);
/* What widths become multiples of: what was asked for, else what kernels like. Where connections are cut as well fine steps
 * leave a smaller file, and speed is not the aim. */
int64_t slim_round_to(const struct tamis_slim_options *o);
/* Refits that a round takes, on the average of all. */
double slim_refits(const struct slim *s);
/* Passes over the items that a refit takes. */
double slim_refit_passes(const struct slim *s);
/* Passes of a refit over the items that tuning a state takes as long as. */
double slim_tune_passes(const struct slim *s);
/* Epochs that a round of a search for the depth trains, on the average. */
double slim_epochs(const struct slim *s);
/* An item and epoch, where this share of the connections is kept. */
double slim_distil_cost(const struct slim *s, double keep);
/* Of the rate of distilling after one cut, in forward runs. */
double slim_rate_trials(const struct slim *s);
/* A refit as far as its shapes and limits go: what the original gives may take ROUNDS_KEPT, what lies between legs ROUNDS_HELD and
 * what tuning looks at ROUNDS_TUNED, or an eighth of the limit each. */
struct refit_job slim_refit_shapes(const struct slim *s);
/* Rounds of the search: certain, expected, and at most. */
void slim_rounds(const struct slim *s, int *least, int *usual, int *most);
/* Sets what is left of the work, once the passes know their items. */
void slim_estimate_work(struct slim *s);
/* The same when the search expects so many more rounds that cut, and that only train; ctx: struct slim. */
void slim_expect_rounds(void *ctx, int cutting, int settling);
/* The same after so many rounds that choose channels, where no connections go behind them; ctx: struct slim. */
void slim_expect_narrowing(void *ctx, int done);
/* Tells the observer that `items` further item runs are done; may cancel. */
enum tamis_status slim_progress(struct slim *s, double items, struct tamis_error *err);
/* The same for a stage, of which `done` items are done by now; ctx: struct slim_told. */
enum tamis_status slim_tell(void *ctx, int64_t done, struct tamis_error *err);
/* What a scoring pass over `source` is given. */
struct score_job slim_score_job(struct slim *s, struct item_source *source, struct slim_told *told);

#endif
