/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GRAPH_NUMBER_SOURCE_H
#define GRAPH_NUMBER_SOURCE_H

#include "graph/graph.h"

struct number_port { int node, input, element; };

/* Follows an element of a node's integer input to the constant that it comes from, through Concat and operators that hand
 * elements on as they are, as exporters write the lengths for a Reshape. shape: by value, NULL = unknown. *p becomes that
 * constant's port, whose element may be changed without anything else seeing it. False: it is computed, a caller may replace
 * it, or something on the way is read elsewhere too. O(nodes on the way). */
bool number_source(const struct graph *g, const struct tensor *const *shape, struct number_port *p);

#endif
