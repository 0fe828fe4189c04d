/* SPDX-License-Identifier: Apache-2.0 */
/* Distilling: what survives a cut is trained, without labels, to give the original's outputs again. */
#ifndef SLIM_DISTIL_H
#define SLIM_DISTIL_H

#include "slim/repair/adam.h"
#include "slim/repair/match.h"
#include "slim/repair/mixup.h"
#include "slim/parameters.h"
#include "slim/repair/store.h"

#define DISTIL_BATCH 128  /* items a step */
#define DISTIL_TRIAL 2048 /* items that a rate is tried on, */
#define DISTIL_TRIALS 5   /* so many times at most, */
#define DISTIL_SLOWER 4   /* each with the rate of the last over this, */
#define DISTIL_WORSE 1.5  /* until the loss on the check items is at most so many times what it was */
#define DISTIL_SHARD 64   /* of them at most in one run; shards are shared out to the workers */

struct distil_job {
	struct graph *graph;           /* trained in place; same inputs and outputs as the original */
	const struct parameters *parameters;
	struct store_job fit, check;   /* items to train on, and to choose the best state by */
	const int64_t *labels;         /* by item; NULL = none: cross-entropy with them is mixed in */
	int64_t n_labels;
	bool mixup;                    /* half of the items are mixed with another, see mixup_fits */
	uint64_t seed;
	enum tamis_status (*progress)(void *ctx, int64_t items_done, struct tamis_error *err); /* as in struct score_job */
	void *progress_ctx;
};

struct distil {
	struct distil_job job;
	struct store fit, check;
	struct match match;
};

/* A stretch of training. The step is rate (1 + cos pi x) / 2, x from `from` to `to`: 0 and 0 stay at the rate, 0 and 1 settle
 * to zero, and what lies between are parts of that. */
struct distil_leg {
	int epochs;
	double rate, from, to;
	bool judge;        /* tell the loss on the check items afterwards */
	bool settle;       /* judge the state before the first and after each epoch, and end with the best; the rate is lowered
	                      where steps so large would throw away what fitting had found */
	uint64_t stream;   /* of the order of items; another for each leg */
};

/* Loss on the check items, mean of an item: `before` NAN unless settled, `after` NAN unless settled or judged. */
struct distil_result { double before, after; };

enum tamis_status distil_open(const struct distil_job *job, struct distil *out, struct tamis_error *err);
void distil_close(struct distil *d);

/* Trains the parameters as they are in the graph now: Adam on batches of DISTIL_BATCH items in a new order each epoch, cut
 * weights held at zero. The same bytes for any pool: a batch is cut into shards that depend on nothing else, and their
 * gradients are added in order. A batch whose loss is not finite is passed over. Time: a forward and a reverse run an
 * item and epoch; memory: a gradient a worker, three floats a weight, and the stores. */
enum tamis_status distil_run(struct distil *d, const struct distil_leg *leg, struct distil_result *out,
                             struct tamis_error *err);

/* Gradient of the loss, summed over the first `items` items, of every entry of the trained parameters, cut ones too, in
 * the places of adam_open(all). */
enum tamis_status distil_gradient(struct distil *d, int64_t items, float *gradient, struct tamis_error *err);

#endif
