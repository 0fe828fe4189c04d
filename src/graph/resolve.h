/* SPDX-License-Identifier: Apache-2.0 */
/* Operators by name: every node's row, or one sentence that lists all that is missing. */
#ifndef GRAPH_RESOLVE_H
#define GRAPH_RESOLVE_H

#include "graph/graph.h"

#define RESOLVE_MAX_OPSET 28 /* newest version of the default domain whose operators are known */

/* Fills op and opset of the graph's nodes, which have their proto, name and opsets. TAMIS_E_UNSUPPORTED lists every operator,
 * domain and opset that is not supported, with how often; TAMIS_E_INVALID on a wrong number of inputs or outputs. */
enum tamis_status resolve_operators(struct graph *g, const struct op_table *ops, struct tamis_error *err);

#endif
