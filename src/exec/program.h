/* SPDX-License-Identifier: Apache-2.0 */
/* A graph made ready to run: constants folded, dead and folded nodes left out, batch normalisation merged into the
 * convolution before it where that is asked for. The graph and the document stay as they are. Read-only once made, so
 * any number of runners share it. */
#ifndef EXEC_PROGRAM_H
#define EXEC_PROGRAM_H

#include "graph/graph.h"
#include "ops/blocked.h"

struct program_options {
	bool merge_norms; /* for speed: fold inference-mode BatchNormalization into the Conv that feeds it, join written-out
	                     operators, fuse products, lay convolutions out (exec/README.md). Graph outputs alone are to
	                     be looked at; not in training programs */
	bool training;    /* keep every value until the reverse pass has used it */
	bool energies;    /* with training: merge norms and lay convolutions out all the same. What convolutions make may then
	                     exist inside a step alone; of its gradient the energies are to be had (run_hooks.energy), of
	                     weights and norms there are no gradients. Values last until the reverse pass only where it
	                     looks at them: others are to be had while their readers run (run_hooks.node) */
	bool joined;      /* with training: what is written out in several steps is one, and values between them do not exist */
	bool held_zeros;  /* with training: entries of weights that are zero stay zero while the program lives, and their gradients
	                     are not wanted: products by mostly zero weights go entry by entry */
	const bool *nodes; /* by graph node, read while the program is made: these alone are wanted, with what they need, and no
	                      graph output is, nor a reverse pass; NULL: what the outputs need */
};

/* A graph value that a step makes on the way to its output. */
struct hidden {
	int value;
	const float *scale; /* by channel (axis 1): its gradient over that of the value it was merged into; NULL: 1 */
	int64_t channels;
};

/* How a convolution over blocks, with what follows it, is reversed. */
struct fused_conv {
	int weight;                 /* constant, in the model's layout, with norm and scalars in it */
	const struct node *conv;    /* as the model has it */
	struct blocked_after after; /* the activation, where has_after */
	bool has_after;
	int residual;               /* blocks that are added before the activation; GRAPH_NONE: none */
};

/* One node to run. Ids below graph->n_values are the graph's; the ones above are values the program made. */
struct step {
	const struct node *node; /* attributes and operator; in and out below, not the node's own */
	int graph_node;          /* its index in the graph; GRAPH_NONE: a change of layout */
	int *in, *out;
	int n_in, n_out;
	const struct hidden *hidden;    /* training programs with `energies`; NULL: nothing */
	const struct fused_conv *fused; /* the same; NULL: the operator's own reverse */
};

struct program {
	const struct graph *graph;
	struct program_options options;
	struct step *steps;
	int n_steps;
	int n_values;            /* graph->n_values plus made values */
	struct tensor *constant; /* by value; data NULL where the value is not constant */
	bool *owned;             /* whether constant[i].data belongs to the program */
	bool *hides;             /* by graph value: a step has it as `hidden` */
	bool partial;            /* made for some nodes: neither graph outputs nor a reverse pass */
	const int *blocks;       /* by graph value: its form in blocks (ops/blocked.h), GRAPH_NONE: none; NULL: for all */
	struct arena arena;
};

/* Constants are taken from the graph as they are now: after editing weights, make a new program. A node of constants
 * and known shapes alone is folded in training programs too: gradients reach what it made, not what it read. TAMIS_E_MEMORY when
 * a folded value exceeds the document's max_memory. O(nodes + folding). */
enum tamis_status program_create(const struct graph *g, const struct program_options *options, struct program **out,
                                 struct tamis_error *err);
void program_free(struct program *p); /* NULL is fine */

/* Removes the steps that a pass over the program has left without a node. */
void program_drop_empty(struct program *p);

/* The most inputs or outputs of any step, at least 1. O(steps). */
size_t program_ports(const struct program *p);

#endif
