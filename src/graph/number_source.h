/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GRAPH_NUMBER_SOURCE_H
#define GRAPH_NUMBER_SOURCE_H

#include "graph/graph.h"

/* An element of a node's integer input. */
struct number_port {
	int node, input, element;
	int of, axis; /* it is the length of that axis of that value; GRAPH_NONE: of none, it is a constant */
};

/* Follows an element to where it comes from, through Concat and operators that hand elements on as they are, as exporters
 * write the lengths for a Reshape. shape: by value, NULL = unknown. *p becomes the port that takes it from a constant, or from
 * a length that Gather picks from a Shape: a constant of its own may be put there without anything else seeing it.
 * False: it is computed, a caller may replace it, or something on the way is read elsewhere too. O(nodes on the way). */
bool number_source(const struct graph *g, const struct tensor *const *shape, struct number_port *p);

#endif
