/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_SETTLE_H
#define SLIM_SETTLE_H

#include "graph/graph.h"

/* Exporters that do not fold constants put a Transpose (or Reshape, Identity, ...) between a weight and its linear node,
 * or several in a chain. Stores such weights as the linear node reads them, under their own names, and drops the nodes
 * between: no value of the model changes. A weight stays as it is where anything but linear nodes would see the
 * difference: other readers, a graph output, a caller who may replace it. Edits the document; the graph is stale
 * afterwards when *settled > 0, the number of nodes that went. TAMIS_E_MEMORY. O(nodes + bytes moved). */
enum tamis_status weights_settle(struct document *doc, const struct graph *g, int *settled, struct tamis_error *err);

#endif
