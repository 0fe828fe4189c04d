/* SPDX-License-Identifier: Apache-2.0 */
/* Repair without labels or training: the surviving weights of each row are fitted again so that the slim network's
 * layers give what the original's gave. */
#ifndef SLIM_REFIT_H
#define SLIM_REFIT_H

#include "exec/items.h"
#include "slim/layers.h"
#include "slim/score/head.h"

#define REFIT_POSITIONS 16  /* of a channel, on a fixed grid, that rows are fitted on */
#define REFIT_STEPS 40      /* conjugate gradient steps a fit */
#define REFIT_SOLVED 1e-8   /* a row is done when its squared residual has fallen by this factor */
#define REFIT_LAMBDA 1e-3   /* ridge where it cannot be chosen, in units of the mean diagonal of the second moments */
#define REFIT_APART 4       /* every fourth chunk is kept apart to choose it on, and another to compare outputs on */
#define REFIT_FIRST 2.4     /* later passes that the first one, over the original, takes as long as; so told to job->progress */
#define REFIT_SHORTEST 0.125 /* of the way to what was found, that is tried */
#define REFIT_MENDED 0.4     /* of what the gate allows: a state on the way that spends no more of it is not trained */
#define REFIT_ENOUGH 32     /* rows for each input of a layer, that it is fitted on in order, */
#define REFIT_LEAST 512     /* of this many items at least, */
#define REFIT_LEG_CHUNKS 4  /* and chunks */
#define REFIT_CHUNK 512     /* items a chunk at most, where their values take at most REFIT_CHUNK_BYTES */
#define REFIT_CHUNK_BYTES ((uint64_t)16 << 20)
#define REFIT_CHUNKS 16     /* at least, before they are made larger */
#define REFIT_TOGETHER 128  /* rows that are multiplied at once, where chunks have few; floats add up so many well */
#define REFIT_MAX_FAN_IN 4096 /* features a group: beyond, and beyond the rows, a layer is fitted on the items themselves */
#define REFIT_MAX_BYTES ((size_t)1 << 30) /* of a layer's items so kept; the rest is not fitted on */

struct refit_sums;

struct refit_job {
	const struct graph *reference;  /* the original: same nodes and values as `graph` */
	struct graph *graph;            /* constants are fitted in place; zero weights stay zero */
	const struct layers *layers;    /* of both */
	const struct head *head;        /* what the outputs are, and so how they are compared; NULL: values like any others */
	struct feed_reader *reader;
	bool (*select)(void *ctx, int64_t item);
	void *select_ctx;
	enum batching batching;
	int64_t chunk;
	int64_t items;                  /* expected; 0 = unknown */
	const struct plan *plan;        /* of `graph`, one item: shapes; NULL: what lies before a leg runs for each again */
	size_t hold;                    /* bytes of values between legs that may be held, so that each goes on where the last began */
	double ridge;                   /* in units of the mean diagonal; 0 = chosen for each layer by the error on chunks apart */
	size_t keep;                    /* floats of what the original gives that may be kept instead of running it again; 0 = none */
	size_t tune;                    /* floats of gradients that tuning scales and shifts may take (tune.h); 0 = not tuned */
	double passes;                  /* over the items, that fitting in order may take; 0: on what the original gives alone */
	struct pool *pool;
	enum tamis_status (*progress)(void *ctx, int64_t items_done, struct tamis_error *err); /* of a pass, in parts of the network; else as in struct score_job */
	void *progress_ctx;
};

/* Bytes of what is added up of one layer: its moments, or the rows of `items` items where those are kept instead (then
 * twice, for the growth of the array). 0 where it is not fitted. */
double refit_layer_bytes(const struct refit_job *job, const struct layer *l, int64_t items);
/* The same for what solving the rows of a layer takes in one worker. */
double refit_solve_bytes(const struct refit_job *job, const struct layer *l);
/* Operations that solving its rows once takes, at most: conjugate gradients to the last step. */
double refit_solve_flops(const struct refit_job *job, const struct layer *l);
/* The same for the rows that its ridge is tried on, once a refit. */
double refit_choose_flops(const struct refit_job *job, const struct layer *l);

/* What fitting in order takes. */
struct refit_effort {
	double passes; /* over the items, in parts of the network: job->passes at most, unless all layers together take more */
	double kept;   /* floats of what the original gives, about */
	double held;   /* bytes between legs, about */
};

/* outputs: values of an item. TAMIS_E_MEMORY. */
enum tamis_status refit_effort(const struct refit_job *job, double outputs, struct refit_effort *out, struct tamis_error *err);

struct refit;

/* Whether tuning what spends so much of what the gate allows may bring it below the limit, and is needed for that. */
bool refit_wants_tuning(double spent, double limit);

/* Gathers what the original gives each layer, which every refit starts from: a pass over the items. What the job points to
 * must outlive *out; refit_close, also after a failure. */
enum tamis_status refit_open(const struct refit_job *job, struct refit **out, struct tamis_error *err);
void refit_close(struct refit *r); /* NULL: does nothing */

/* By layer: the centred moments so gathered. */
const struct refit_sums *refit_moments(const struct refit *r);

/* First all layers side by side on the inputs that the original gives each, which takes no pass. Then one after the other on
 * those that the network in hand gives, so that each makes up for what is still wrong before it, and nothing is made up for twice:
 * each on a part of the items, where it has enough rows there; several at a time where that would take more than job->passes.
 * What was found is kept all the way, a half, a quarter or an eighth of it, the first of these that brings the outputs on
 * a quarter of the chunks no further from the original's, or not at all: of all layers together, or of each such leg of several.
 *
 * For each row: min |z_original - (W u + b)|^2 + lambda |W - W_before|^2 over the entries of W that are not zero, by
 * Cholesky or conjugate gradients on the centred second moments, the mask applied to each iterate; b in closed form.
 * The same bits for any pool. O(items * positions * fan_in^2 + steps * outs * fan_in^2) a layer; memory
 * 8 fan_in (fan_in + outs) a layer and worker, and three times that. A layer with more inputs than rows takes
 * O(steps * outs * rows * fan_in) and 4 rows (fan_in + outs) instead. */
enum tamis_status refit_run(struct refit *r, struct tamis_error *err);

/* Scales and shifts of all layers' channels, fitted together to the outputs (tune.h): TUNE_STEPS steps, each kept as far as above,
 * on chunks that were not looked at to find it. Does nothing where job->tune is 0 or job->head NULL. The next refit_run starts from
 * the original's results again. */
enum tamis_status refit_tune(struct refit *r, struct tamis_error *err);

/* How far the outputs were from the original's after the last refit_run or refit_tune (refit_mismatch), and how far they are
 * now: a run of every fourth chunk. 0 after a refit_run that did not look, for there was one layer or job->passes is 0. */
double refit_error(const struct refit *r);
enum tamis_status refit_measure(struct refit *r, struct tamis_error *err);

/* By layer: the ridges of the last refit. */
const double *refit_ridges(const struct refit *r);

#endif
