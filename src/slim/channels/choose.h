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
	double step;     /* (0, 1): of what is left, this share is saved */
	const bool *closed; /* by group: nothing of it goes; NULL = none is */
	int64_t round_to; /* >= 1: channels left are a multiple of it, wherever some go */
	struct pool *pool;
};

/* MACs an item and connections of all layers with the units that live; dead NULL = all of them. TAMIS_E_MEMORY. */
enum tamis_status choose_left(const struct channel_groups *g, const bool *dead, struct worth *out,
                              struct tamis_error *err);

/* Sets dead[] of further units; job->effect.dead is that array. *chosen: how many. Of each group at least one unit stays.
 * The same units for any pool. */
enum tamis_status choose_units(const struct choose_job *job, bool *dead, int *chosen, struct tamis_error *err);

#endif
