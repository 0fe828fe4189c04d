/* SPDX-License-Identifier: Apache-2.0 */
/* What a scoring pass adds up, before the end: exact sums over its items, so that shards add up to the same bits as one
 * run, in any order. */
#ifndef SLIM_SCORE_SUMS_H
#define SLIM_SCORE_SUMS_H

#include "slim/score/score.h"
#include "stat/exact_sums.h"

struct layer_sums {
	bool alone;               /* left alone: all else is zero */
	int64_t features, fan_in, outs, entries;
	int positions;            /* looked at by the test */
	float *signal_scale;      /* features, of the rich test; NULL for the linear one. In the arena */
	struct copies copies;     /* features that were equal on every item. In the arena */
	struct comoment moment;
	struct exact_sums mean, second; /* features: sums of u, u^2 over items and positions */
	struct exact_sums gain;   /* outs */
	struct exact_sums gradient2; /* entries: squared gradients; n = 0 in this and those below unless needed */
	struct exact_sums energy; /* entries: (u delta)^2 over the grid, times positions a grid position */
	struct exact_sums products; /* groups x fan_in x fan_in, lower triangles: u u' over the grid; features: u */
	int64_t signals;          /* items * positions behind mean and second */
	int64_t grid_rows;        /* items * positions of the grid behind products */
	bool reached;             /* a gradient came */
};

struct parameter_sums {
	int value;                /* graph id, or position in a score file */
	struct exact_sums sum;    /* squared gradients */
};

struct score_sums {
	struct layer_sums *layer;
	int n_layers;
	struct output_moment psi;
	struct parameter_sums *parameter;
	int n_parameters;
	int64_t items;
	struct arena arena;       /* of the arrays of structs */
};

/* Sums of a layer with its shape fields set, and those that are needed (enum score_need); the co-moments are made
 * apart. */
enum tamis_status layer_sums_create(struct layer_sums *s, unsigned needs, struct tamis_error *err);
enum tamis_status parameter_sums_create(struct parameter_sums *s, int64_t entries, struct tamis_error *err);

/* One pass over the items of the job, or of its shard. `out` zeroed; score_sums_free even after a failure. */
enum tamis_status score_sum(const struct score_job *job, struct head *head, struct score_sums *out,
                            struct tamis_error *err);

/* into += from, of the same model and options. TAMIS_E_INVALID where shapes or pivots differ. O(bytes). */
enum tamis_status score_sums_merge(struct score_sums *into, const struct score_sums *from, struct tamis_error *err);

/* From sums to scores: means, gains, tests, layers side by side. `out` zeroed by the caller; it takes the moments over,
 * also on failure. pool may be NULL. */
enum tamis_status score_sums_finish(struct score_sums *s, struct pool *pool, struct scores *out, struct tamis_error *err);

void score_sums_free(struct score_sums *s); /* leaves it zeroed */

#endif
