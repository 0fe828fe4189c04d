/* SPDX-License-Identifier: Apache-2.0 */
/* Which channels live or die together. Every index along every axis of every value is a position; an operator's channel
 * rule ties positions that must go together, keeps those that cannot go, and says which positions its weights read and
 * which of its own numbers count positions. What stays tied is a unit: take it out of all its axes, and all other
 * elements of the graph are computed as before, if the weights that read it were zero. */
#ifndef GRAPH_COUPLING_H
#define GRAPH_COUPLING_H

#include "graph/graph.h"

/* A port of a node in a rule: its input i, or COUPLING_OUT(i). */
#define COUPLING_OUT(i) (-1 - (i))

/* An axis of one value, or of a constant as one input reads it: constants are narrowed port by port. */
struct coupled_axis {
	int value, axis;
	int node, input; /* of a constant: the port; GRAPH_NONE for values that nodes make */
	int64_t first;   /* its positions are first .. first + extent - 1 */
	int64_t extent;
};

/* A product over an axis: `data_axis` of input `data` meets `weight_axis` of the constant input `weight`. */
struct coupled_read { int node, data, data_axis, weight, weight_axis; }; /* weight_axis >= 0 */

/* A number of a node that counts positions of an axis before `before` (of all of them: before = extent), divided by
 * `per`: an element of an integer input, or of an attribute. An input that is no constant
 * is one number, the length of an axis that weights fix; a constant takes its place. */
struct coupled_number {
	int node;
	int input;             /* GRAPH_NONE: the attribute */
	const char *attribute; /* an integer (element -1), or a list of them */
	int element;
	int64_t position;      /* of the axis's first */
	int64_t before, per;
};

struct coupled_reason { int node; const char *why; };

struct coupling {
	const struct graph *graph;
	const struct tensor **shape; /* by value, of one item; NULL = unknown. Data where they are known without items */
	struct coupled_axis *axes;   /* in the order of their positions */
	int n_axes;
	int64_t n_positions;
	int *value_axis;             /* by value: its first axis, -1 = none */
	int **port_axis;             /* by node, by input: that of a constant, -1 otherwise */
	int32_t *parent;             /* by position */
	int32_t *reason;             /* by root: why it is kept, 1 + index; 0 = it may go */
	struct coupled_reason *reasons;
	struct coupled_read *reads;
	struct coupled_number *numbers;
	size_t n_reasons, n_reads, n_numbers, cap_reasons, cap_reads, cap_numbers;
	int *choice;                 /* by node: the form of the rule in use */
	int *choices;                /* by node: how many there are */
	bool no_memory;
	struct arena arena;
};

/* One node as its rule sees it. */
struct channel_call {
	struct coupling *coupling;
	const struct node *node;
	const struct tensor *const *in, *const *out; /* NULL: absent, or of unknown shape */
	int n_in, n_out, index;
};

/* Runs every rule. shape: by value, kept. Where a rule has several forms (a Reshape may keep any of the axes that it
 * merges), forms are tried in turn while what they tie is kept. TAMIS_E_MEMORY. O(positions of all values). */
enum tamis_status coupling_create(const struct graph *g, const struct tensor **shape, struct coupling *out,
                                  struct tamis_error *err);
void coupling_free(struct coupling *c);

/* The root of a position, and why it is kept (NULL = it may go). */
int32_t coupling_root(const struct coupling *c, int64_t position);
const struct coupled_reason *coupling_reason(const struct coupling *c, int64_t position);
/* The first position of an axis at a port of a node; -1 where its shape is unknown. */
int64_t coupling_first(const struct coupling *c, int node, int port, int axis);

/* ---- what rules say (axes may count from the end) ---- */

/* Position by position; both axes are equally long. */
void channels_tie(struct channel_call *c, int port, int axis, int other, int other_axis);
/* n positions from `at` and from `other_at`. */
void channels_tie_some(struct channel_call *c, int port, int axis, int64_t at, int other, int other_axis,
                       int64_t other_at, int64_t n);
/* None of the axis may go. `why` is constant text that completes "it is left alone: ...". */
void channels_keep(struct channel_call *c, int port, int axis, const char *why);
void channels_keep_port(struct channel_call *c, int port, const char *why); /* all axes */
void channels_keep_all(struct channel_call *c, const char *why);            /* a barrier */
/* The node sums products over the axes, which are tied; without constant weights they are kept. */
void channels_read(struct channel_call *c, int data, int axis, int weight, int weight_axis);
/* Element `element` of an input counts the positions of an axis before `before`. Kept if it is computed. */
void channels_number(struct channel_call *c, int input, int element, int port, int axis, int64_t before);
/* The same of an attribute: kept / per. */
void channels_attribute(struct channel_call *c, const char *name, int element, int port, int axis, int64_t before,
                        int64_t per);
/* The form of this node's rule in use, of n. */
int channels_choice(struct channel_call *c, int n);
/* Whether an input is the same for all items. */
bool channels_constant(const struct channel_call *c, int input);
/* The call of this node that shape functions take, with shapes and known data; errors go to `ignored`. */
struct op_call channels_shapes(const struct channel_call *c, struct tamis_error *ignored);
/* Whether all of an axis is kept already, by the rules of earlier nodes. */
bool channels_kept(const struct channel_call *c, int port, int axis);

/* ---- rules that many operators share ---- */

/* Every output element is made of the input elements at its place, broadcast where an axis is 1. */
void channels_elementwise(struct channel_call *c);
/* Every axis of input 0 passes to the same axis of output 0. */
void channels_pass(struct channel_call *c);
/* Axes 0 and 1 pass, those of space are mixed. */
void channels_window(struct channel_call *c);
/* All axes of input 0 pass to output 0, but the axes from `first` to the last are mixed. */
void channels_mix_from(struct channel_call *c, int first, const char *why);

#endif
