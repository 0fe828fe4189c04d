/* SPDX-License-Identifier: Apache-2.0 */
/* The constants of a graph that the search may change: weights and biases of the layers, and for distilling the scale and
 * shift of normalisations. */
#ifndef SLIM_PARAMETERS_H
#define SLIM_PARAMETERS_H

#include "slim/layers.h"

struct parameter {
	int value;     /* graph id, a constant of a float type with a place in the document */
	int layer;     /* whose weight it is: zeros in it are cuts; -1 for all others */
	bool trained;  /* distilling moves it. The mean of a norm is not: its shift does the same */
};

struct parameters {
	struct parameter *list; /* by value id, ascending */
	int n;
	struct arena arena;
};

/* Further ones than those of all layers without a note. */
struct parameters_kinds {
	bool norms;     /* scales and shifts of normalisations that nothing else reads, whose node or name the filter lets through */
	bool recurrent; /* weights of recurrent nodes */
};

/* O(nodes + values). */
enum tamis_status parameters_find(const struct graph *g, const struct layers *l, const struct layer_filter *filter,
                                  struct parameters_kinds also, struct parameters *out, struct tamis_error *err);
void parameters_free(struct parameters *p);

/* Writes them, as they are in the graph now, into the document that the graph was built from. */
enum tamis_status parameters_write(const struct graph *g, const struct parameters *p, struct document *doc,
                                   struct tamis_error *err);

#endif
