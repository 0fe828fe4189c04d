/* SPDX-License-Identifier: Apache-2.0 */
/* Changes to the constants that nodes read, gathered first and written into the document together: values,
 * and entries to leave out along an axis. A port is an input of a node; a constant that other ports read too
 * is not touched, the port gets a copy of its own. */
#ifndef SLIM_CHANNELS_REWRITE_H
#define SLIM_CHANNELS_REWRITE_H

#include "graph/graph.h"
#include "slim/naming.h"

struct rewrite {
	struct document *doc;
	const struct graph *graph;
	struct rewrite_port **ports; /* by node */
	/* by value: new extents for value_info; rank 0 = unchanged, -1 = unchanged extent */
	struct tensor *narrowed;
	int *uses;                   /* by value: nodes that still read it */
	int *unread;                 /* worklist of values without a reader */
	bool *drop_node;             /* by node */
	struct naming names;
	struct arena arena;
};

enum tamis_status rewrite_open(struct rewrite *r, struct document *doc, const struct graph *g,
                               struct tamis_error *err);

/* The values of a port, an input that is a constant, as they are to become, full size, for the caller to change. NULL
 * when out of memory. */
struct tensor *rewrite_values(struct rewrite *r, int node, int input);

/* The same of a port that takes one computed number, which a constant of this rank (0 or 1) is to take the place of. */
struct tensor *rewrite_number(struct rewrite *r, int node, int input, int rank);

/* The port reads a constant like t from now on, in place of what a node makes. What only it needed goes. */
enum tamis_status rewrite_constant(struct rewrite *r, int node, int input, const struct tensor *t, struct tamis_error *err);

/* Entries i of an axis of the port's constant go where drop[i]. */
enum tamis_status rewrite_drop(struct rewrite *r, int node, int input, int axis, const bool *drop,
                               struct tamis_error *err);

/* The node goes, with the constants that it alone reads; its other inputs are left to the caller, and so are the readers of what it
 * makes. */
void rewrite_drop_node(struct rewrite *r, int node);

/* One input less reads the value, a constant. What nobody reads any more goes. */
void rewrite_unread(struct rewrite *r, int value);

/* A value that nodes make has a new extent: noted in value_info. */
void rewrite_extent(struct rewrite *r, int value, int axis, int64_t extent);

/* Writes it all. Identity nodes and initializers that lose their last reader by it go too. */
enum tamis_status rewrite_apply(struct rewrite *r, struct tamis_error *err);
void rewrite_close(struct rewrite *r);

#endif
