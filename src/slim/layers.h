/* SPDX-License-Identifier: Apache-2.0 */
/* The linear nodes of a graph and what a cut may do to them. */
#ifndef SLIM_LAYERS_H
#define SLIM_LAYERS_H

#include <regex.h>

#include "exec/plan.h"
#include "graph/graph.h"
#include "graph/linear.h"

/* Where the mean of a cut signal goes. */
enum bias_kind {
	BIAS_NONE,   /* nowhere: the layer is not slimmable */
	BIAS_INPUT,  /* the node's own bias input */
	BIAS_ADD,    /* the constant side of an Add that alone reads the output (MatMul) */
	BIAS_MEAN    /* the mean of a BatchNormalization that alone reads the output: z + b - mean, so the sign turns */
};

/* One linear node with a constant weight. */
struct layer {
	int node, weight;          /* graph ids */
	struct linear_view view;
	int64_t features;          /* groups * fan_in: one test each */
	int64_t entries;           /* of the weight */
	int64_t positions;         /* an item */
	double macs;               /* an item, dense */
	const char *note;          /* why it is left alone; NULL = slimmable. In the list's arena, or constant */
	enum bias_kind bias_kind;
	int bias;                  /* value id of the bias, mean or Add constant; GRAPH_NONE where none */
};

struct layers {
	struct layer *list;
	int n;
	int *recurrent; /* weights of recurrent nodes, value ids: no layers, but entries of them may be zeroed */
	int n_recurrent;
	struct arena arena;
};

struct layer_filter {
	const regex_t *only, *skip;  /* on node and weight names; NULL = none */
	bool mutable_initializers;
};

/* Finds them in topological order. `plan` gives shapes for one item (plan made with a leading dimension of 1).
 * Layers that are not to be slimmed are listed with a note: tied weights whose uses disagree, weights that are also
 * read by other operators, overridable ones, filtered ones, types other than the float family, a bias that is not constant. */
enum tamis_status layers_find(const struct graph *g, const struct plan *plan, const struct layer_filter *filter,
                              struct layers *out, struct tamis_error *err);
void layers_free(struct layers *l);

/* Why the filter leaves a node and a constant of these names alone; NULL when it does not. */
const char *layers_why_filtered(const struct layer_filter *f, const char *node, const char *value);

/* Offset in the weight of output o (over all groups) and feature f (over all groups) of o's group. */
int64_t layer_offset(const struct linear_view *v, int64_t o, int64_t d);

#endif
