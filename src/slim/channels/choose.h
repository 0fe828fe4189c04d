/* SPDX-License-Identifier: Apache-2.0 */
/* Which units go in one round: over all groups, those with the least effect for what they save. */
#ifndef SLIM_CHANNELS_CHOOSE_H
#define SLIM_CHANNELS_CHOOSE_H

#include "base/parallel.h"
#include "slim/channels/effect.h"

/* What counts as saved: shares of the original's MACs and of its connections, weighted. */
struct worth { double macs, entries; };

struct choose_job {
	struct effect_job effect;
	struct worth worth;
	const bool *closed; /* by group: nothing of it goes; NULL = none is */
	int64_t round_to;   /* >= 1: channels left are a multiple of it, wherever some go */
	struct pool *pool;
};

/* MACs an item and connections of all layers with the units that live; dead NULL = all of them. TAMIS_E_MEMORY. */
enum tamis_status choose_left(const struct channel_groups *g, const bool *dead, struct worth *out,
                              struct tamis_error *err);

/* What the groups offer, of a network as it is now: for as many choices as are asked for. */
struct choice;

/* O(groups * effect_order). What the job points to must outlive it; choose_close, NULL after a failure. The same for any
 * pool. TAMIS_E_MEMORY. */
enum tamis_status choose_open(const struct choose_job *job, struct choice **out, struct tamis_error *err);
void choose_close(struct choice *c); /* NULL: does nothing */

struct choose_ask {
	double step;         /* (0, 1): of what is left, this share is saved */
	const bool *closed;  /* by group, beside those of the job; NULL = none is */
	const double *scale; /* by group, > 0: times which its effect counts; NULL = as it is */
};

/* How many units, and their effect as it is foreseen, without `scale`. */
struct chosen { int units; double effect; };

/* Sets dead[], which holds what job->effect.dead did, of further units. Of each group at least one unit stays,
 * but for those that the job says may go whole. */
struct chosen choose_units(struct choice *c, const struct choose_ask *ask, bool *dead);

#endif
