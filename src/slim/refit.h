/* SPDX-License-Identifier: Apache-2.0 */
/* Repair without labels or training: the surviving weights of each row are fitted again so that the slim network's
 * layers give what the original's gave, on the inputs that they will really see. */
#ifndef SLIM_REFIT_H
#define SLIM_REFIT_H

#include "exec/items.h"
#include "slim/layers.h"

#define REFIT_POSITIONS 16  /* of a channel, on a fixed grid, that rows are fitted on */
#define REFIT_STEPS 40      /* conjugate gradient steps a sweep */
#define REFIT_SOLVED 1e-8   /* a row is done when its squared residual has fallen by this factor */
#define REFIT_LAMBDA 1e-3   /* pull towards the weights before, in units of the mean diagonal of the second moments */
#define REFIT_MAX_FAN_IN 4096 /* features a group: beyond, a layer keeps its weights and only its bias is fitted */

struct refit_job {
	const struct graph *reference;  /* the original: same nodes and values as `graph` */
	struct graph *graph;            /* constants are fitted in place; zero weights stay zero */
	const struct layers *layers;    /* of both */
	struct feed_reader *reader;
	bool (*select)(void *ctx, int64_t item);
	void *select_ctx;
	enum batching batching;
	int64_t chunk;
	int sweeps;                     /* passes over the items; each fits every layer once, on the inputs of the sweep's start */
	struct pool *pool;
	enum tamis_status (*progress)(void *ctx, int64_t items_done, struct tamis_error *err); /* as in struct score_job */
	void *progress_ctx;
};

/* For each row: min |z_original - (W u + b)|^2 + lambda |W - W_before|^2 over the entries of W that are not zero, by
 * conjugate gradients on the centred second moments, all rows at once, the mask applied to each iterate; b in closed form.
 * The same bits for any pool. O(items * positions * fan_in^2 + steps * outs * fan_in^2) a layer and sweep;
 * memory 8 fan_in (fan_in + outs) a layer and worker. */
enum tamis_status refit_run(const struct refit_job *job, struct tamis_error *err);

#endif
