/* SPDX-License-Identifier: Apache-2.0 */
/* Mixtures of two items: more places where a distilled model has to do what the original does (mixup: Zhang et al. 2018; for
 * distilling: Beyer et al. 2022). */
#ifndef SLIM_MIXUP_H
#define SLIM_MIXUP_H

#include "base/rng.h"
#include "slim/repair/store.h"

/* What one worker owns: the original, and what it makes of mixtures. */
struct mixup {
	const struct store *store;
	struct runner *original;
	float *target;
	size_t capacity; /* bytes of target */
};

/* Whether the mean of two items is an item: every input is of a floating type, or UINT8, which images are. */
bool mixup_fits(const struct graph *g);

enum tamis_status mixup_open(const struct store *store, struct mixup *out, struct tamis_error *err);
void mixup_close(struct mixup *m);

/* Puts w x + (1 - w) y, w uniform on [0, 1), in the place of each of the first `mixed` of the `items` items x that are stacked
 * in `in`, and what the original makes of it in the place of their target. y is the item partner[i] of the store; where its
 * shapes are others x stays. Costs a forward run of `mixed` items. */
enum tamis_status mixup_shard(struct mixup *m, const int64_t *partner, int64_t items, int64_t mixed, struct rng *r,
                              struct tensor *in, const float **target, struct tamis_error *err);

#endif
