/* SPDX-License-Identifier: Apache-2.0 */
/* A part of a graph as a graph of its own: from values that are given to values that are looked at. What runs a graph runs it. */
#ifndef GRAPH_PART_H
#define GRAPH_PART_H

#include "graph/graph.h"

struct part {
	const bool *gone;            /* by node: nodes that make nothing here; NULL: none */
	const int *given;            /* values that come as inputs behind the graph's own, FLOAT; nodes that make them are gone */
	const struct tensor *shapes; /* by value: of those given, as far as type, rank and extents go */
	int n_given;
	const int *kept;             /* values that are its outputs, in place of the graph's */
	int n_kept;
};

/* *out shares nodes, constants and ids with g, which must outlive it, and lies in the arena: it is not freed. Ids of nodes and values
 * are those of g. NULL: out of memory. O(nodes + values). */
struct graph *graph_part(const struct graph *g, const struct part *part, struct arena *arena);

#endif
