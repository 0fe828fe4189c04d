/* SPDX-License-Identifier: Apache-2.0 */
/* What taking out units of a group does to the outputs, after the best linear replacement by what stays. */
#ifndef SLIM_CHANNELS_EFFECT_H
#define SLIM_CHANNELS_EFFECT_H

#include "slim/channels/groups.h"
#include "slim/repair/refit_sums.h"
#include "slim/score/score.h"

#define EFFECT_RIDGE 1e-3 /* of the mean diagonal, added to second moments */

struct effect_job {
	const struct channel_groups *groups;
	const struct refit_sums *moments; /* by layer, of the network as it is now */
	const struct layer_score *scores;    /* by layer: path gains */
	const bool *dead;                    /* by unit: gone already */
	double share;                        /* (0, 1]: of the units that live, at most so many may go, */
	const bool *whole;                   /* or all of a group where this is set; NULL = nowhere: one stays */
};

/* Units in the order in which they go, and the effect of the first k + 1 of them together. n is more than part where all may go. */
struct effect_curve {
	int *unit;
	double *effect;
	int n, alive;
	int part;    /* so many units at most may go where others stay */
};

/* Greedy from the least effect. The effect of dropping features D of a reader is sum_o g_o w_oD (P_DD)^-1 w_oD', P the
 * inverse of the second moments of what is left, w the weights as the replacement has made them: the growth of each
 * output's squared error, weighted by its path gain (optimal brain surgery, Hassibi and Stork 1993, in blocks). P and w
 * are downdated as units go. Recurrent weights that read a group have no say in its order. No unit (n = 0) where a layer that
 * reads it has no moments. effect_free, also after a failure.
 * O(steps * (features^2 + outs * features)) a reader after O(features^3). */
enum tamis_status effect_order(const struct effect_job *job, int group, struct effect_curve *out,
                               struct tamis_error *err);
void effect_free(struct effect_curve *c);

/* Why a group's effect cannot be told; NULL = it can. */
const char *effect_unknown(const struct channel_groups *g, int group);

#endif
