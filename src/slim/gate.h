/* SPDX-License-Identifier: Apache-2.0 */
/* The lossless gate: what a cut costs on items that nothing was fitted on, with an exact bound. */
#ifndef SLIM_GATE_H
#define SLIM_GATE_H

#include "exec/items.h"
#include "slim/score/head.h"

#define GATE_MAX_REFERENCE ((int64_t)1 << 28) /* floats of original outputs kept; beyond, the original runs along */

struct gate_job {
	const struct graph *graph;    /* the original, which nobody edits while the gate is open */
	const struct head *head;
	struct feed_reader *reader;
	bool (*select)(void *ctx, int64_t item); /* the items to judge on */
	void *select_ctx;
	enum batching batching;
	int64_t chunk;
	struct pool *pool;
	const int64_t *labels;        /* by item of the reader; NULL = none */
	int64_t n_labels;
	double tolerance, max_disagree; /* max_disagree < 0: not gated */
	double temperature;           /* of the original's probabilities, as labels elsewhere told it: the loss is bounded at it
	                                 too, and the larger bound counts; <= 0: not known */
	int64_t max_reference;        /* floats of original outputs kept; 0 = GATE_MAX_REFERENCE */
	uint64_t seed;                /* of the bootstrap */
	enum tamis_status (*progress)(void *ctx, int64_t items_done, struct tamis_error *err); /* as in struct score_job */
	void *progress_ctx;
};

struct gate {
	struct gate_job job;
	struct program *program;      /* of the original */
	bool along;                   /* references would take too much: the original runs along each time */
	int64_t items;                /* judged on */
	struct gate_chunk *chunks;    /* references, by chunk */
	int64_t n_chunks;
	size_t cap_chunks;
	int64_t floats;               /* kept in all */
	double *mean;                 /* HEAD_GENERAL: mean of each output value over the items */
	int64_t n_mean;
	/* How far the original's probabilities can be trusted, on the labelled items: NAN without labels, with several rows an
	 * item, or where no references were kept. */
	double temperature, calibration_error;
};

struct gate_result {
	double value, bound;          /* mean loss and its upper confidence bound */
	double expected;              /* classes: the mean loss that is estimated without labels; else NAN */
	double tempered;              /* the same at the temperature that was given, or that the labels tell; NAN without */
	double disagree, disagree_upper; /* NAN without classes */
	double worst;                 /* largest loss of one item */
	int64_t worse, better;        /* labels: items only the original / only the other model gets right */
	double label_p;               /* McNemar, one-sided; NAN without labels */
	double accuracy_before, accuracy_after; /* NAN without labels */
	bool passed;
};

/* Runs the original over the items and keeps what comparing needs. TAMIS_E_INVALID when no item is selected. */
enum tamis_status gate_open(const struct gate_job *job, struct gate *out, struct tamis_error *err);

/* Judges a graph with the same inputs and outputs at error probability alpha. O(items) runs. */
enum tamis_status gate_judge(struct gate *g, const struct graph *other, double alpha, struct gate_result *out,
                             struct tamis_error *err);
/* Judges on other items what `gate` will be asked: at alpha to the power of their share of the gate's, where bounds are as wide as
 * those of the gate at alpha, be the items fewer or more. Errors as gate_judge. */
enum tamis_status gate_guess(struct gate *guess, const struct gate *gate, const struct graph *other, double alpha,
                             struct gate_result *out, struct tamis_error *err);
void gate_close(struct gate *g);

/* What of the allowance the bounds of a look use up: 1 just passes. The larger share where answers that change are bounded
 * too. */
double gate_spent(const struct gate *g, const struct gate_result *r);

#define GATE_MOST_ITEMS ((int64_t)1 << 20) /* that are counted up to */

/* Items that an unchanged network must be judged on to pass at error probability alpha: fewer prove nothing, whatever is
 * cut. 0 where any number does (HEAD_GENERAL), GATE_MOST_ITEMS where as many do not. *least: the bound of an unchanged
 * network on the gate's own items. TAMIS_E_MEMORY. O(items needed) times some hundreds. */
enum tamis_status gate_needs(const struct gate *g, double alpha, int64_t *items, double *least, struct tamis_error *err);

/* "expected accuracy loss", "accuracy loss (labels)" or "relative squared error". */
const char *gate_kind(const struct gate *g);

#endif
