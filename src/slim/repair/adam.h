/* SPDX-License-Identifier: Apache-2.0 */
/* Adam (Kingma, Ba 2015) on what survives of a graph's parameters: a weight that is zero is cut and stays so. */
#ifndef SLIM_ADAM_H
#define SLIM_ADAM_H

#include "base/parallel.h"
#include "slim/parameters.h"

#define ADAM_FIRST 0.9
#define ADAM_SECOND 0.999
#define ADAM_EPSILON 1e-8

/* One trained parameter: its entries are `count` of the flat arrays, from `first` on; whole: all of its tensor, in order. */
struct adam_tensor { int value; int64_t first, count; bool whole; };

struct adam {
	struct graph *graph;
	struct adam_tensor *list;
	int n;
	int *index_of;        /* by graph value: into list; -1 = not trained */
	int64_t *at;          /* by flat entry: element of its tensor */
	float *value;         /* as it would be without the rounding of the tensor's type */
	float *first, *second; /* moments of the gradient */
	int64_t total, step;
	struct arena arena;
};

/* Takes the trained parameters as they are in the graph now, moments zero; all: cut weights too. */
enum tamis_status adam_open(struct graph *g, const struct parameters *p, bool all, struct adam *out,
                            struct tamis_error *err);
void adam_close(struct adam *a);

/* Adds the trained entries of a gradient that belongs to `value` to their place among a->total floats. */
void adam_gather(const struct adam *a, int value, const struct tensor *gradient, float *flat);

/* One step: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, w -= rate m' / (sqrt(v') + epsilon) with the moments corrected for
 * their start at zero; g = scale * gradient. Writes the graph's constants; what would round to zero stays as it was. */
enum tamis_status adam_step(struct adam *a, const float *gradient, double scale, double rate, struct pool *pool,
                            struct tamis_error *err);

/* Copies all entries out (total floats), or back into the graph. Moments stay. */
void adam_save(const struct adam *a, float *to);
void adam_restore(struct adam *a, const float *from);
/* Moments as they were when it was opened. */
void adam_forget(struct adam *a);

#endif
