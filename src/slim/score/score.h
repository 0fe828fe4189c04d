/* SPDX-License-Identifier: Apache-2.0 */
/* One pass over the fitting items: how much each signal depends on the outputs, and how much each output channel moves
 * them. Everything a criterion needs, per layer. */
#ifndef SLIM_SCORE_H
#define SLIM_SCORE_H

#include "exec/items.h"
#include "slim/score/copies.h"
#include "slim/score/head.h"
#include "slim/layers.h"
#include "stat/comoment.h"

#define SCORE_POSITIONS 16       /* of a channel, on a fixed grid, that the test looks at, at most */
#define SCORE_LEAST_POSITIONS 4  /* and where it has as many, at least */
#define SCORE_SIGNALS 4096       /* features * positions beyond which a layer gets by with fewer positions */
#define SCORE_GROUP 32           /* items whose signals are added up at a time, at least */
#define SCORE_PILOT 16           /* items that fix the bandwidth, at least */
#define SCORE_MAP 32             /* and at most */
#define SCORE_MAX_COVARIANCE 4096 /* inputs a group, beyond which covariances take too much memory */
#define SCORE_RICH 9             /* most features of a signal, itself and Fourier features, in the rich test */

/* Statistics of one layer. f: feature over all groups, o: output channel, both as in struct linear_view. */
struct layer_score {
	double *mean;      /* features: E u_f over items and all positions */
	double *second;    /* features: E u_f^2 */
	double *gain;      /* outs: E_t sum_p delta_o(t,p)^2; of rows that are copies, of all together, shared out evenly */
	struct copies copies; /* features that were equal on every item */
	double *relevance; /* features: R_f; unless rich, times E u_f^2 over all positions for that at those tested */
	double *p;         /* features: p-value of the test, 1 for constant signals */
	double *gradient2; /* entries: E (dL/dw)^2; this and those below NULL unless needed */
	double *energy;    /* entries: E_t sum_p (u_d(t,p) delta_o(t,p))^2, the sum from the grid of positions */
	double *covariance; /* groups x fan_in x fan_in: Cov(u) over items and the grid; NULL beyond SCORE_MAX_COVARIANCE */
	bool blind;        /* an operator without a reverse hides the outputs: gain is 1 */
};

/* (dL/dw)^2 averaged over items of a float constant that is no layer's weight. */
struct parameter_score { int value; double *gradient2; };

struct scores {
	struct layer_score *layer; /* one per layer */
	int n_layers;
	struct parameter_score *parameter; /* none unless asked for */
	int n_parameters;
	int64_t items;
	/* The sums behind the tests, for p-values near a threshold: by layer, d = 0 where it was not tested. */
	struct comoment *moment;
	struct output_moment psi_moment;
	struct arena arena;
};

/* What a criterion needs beyond relevance, gain and first moments; added up only then. */
enum score_need { SCORE_NEEDS_GRADIENT = 1, SCORE_NEEDS_ENERGY = 2, SCORE_NEEDS_COVARIANCE = 4 };

struct score_job {
	const struct graph *graph;
	const struct layers *layers;
	struct feed_reader *reader;
	bool (*select)(void *ctx, int64_t item); /* the fitting items */
	void *select_ctx;
	enum batching batching;
	int64_t chunk;
	struct pool *pool;
	uint64_t seed;
	const char *head;      /* see head_detect */
	bool rich;             /* test Fourier features of each signal too: dependence without correlation */
	unsigned needs;        /* of enum score_need */
	int shard, shards;     /* only the groups whose index is `shard` modulo `shards`; 0 shards: all */
	bool parameters;       /* fill scores.parameter */
	/* Told after each chunk; a status other than TAMIS_OK ends the pass. May be NULL. */
	enum tamis_status (*progress)(void *ctx, int64_t items_done, struct tamis_error *err);
	void *progress_ctx;
};

/* Bytes that a pass holds, beside what running the graph takes. */
struct score_bytes {
	double moments;  /* co-moments, which stay in the scores */
	double partials; /* a worker: sums of one group */
	double signals;  /* a worker: signals of a group, and what is made of them */
	double sums;     /* exact sums of all items, and the scores */
};
/* Upper bounds; width: values of the outputs of an item, as the test looks at them. O(layers + values). */
struct score_bytes score_bytes(const struct score_job *job, int64_t width);

/* Fills scores (zeroed by the caller; scores_free even after a failure) and the head. The same bits for any pool.
 * Time: one forward, one reverse, and about 2 items * features * n (r + n / 2) flops a layer, n the positions looked at.
 * Memory, beside a run's: comoment_bytes of each layer, and a worker 4 * features * n * (items of a group) bytes. */
enum tamis_status score_run(const struct score_job *job, struct head *head, struct scores *out, struct tamis_error *err);
void scores_free(struct scores *s);

#endif
