/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_CHANNELS_H
#define SLIM_CHANNELS_H

#include <stdint.h>

#include "exec/plan.h"
#include "graph/graph.h"
#include "slim/layers.h"

/* Removes channels that provably do not matter: those that no consumer reads any more (all its weights for
 * them zero), and those whose incoming weights are all zero and whose constant value can be moved exactly
 * into the consumers' biases (or is zero). Weights, biases, norm parameters, Reshape constants and value_info
 * shrink in the document; the graph is stale afterwards when *removed > 0. Channels that pass anything not
 * understood (residual sums, Concat, grouped nodes, graph outputs) stay. One call removes what is dead now;
 * removal can make more: call until 0. */
enum tamis_status channels_remove(struct document *doc, const struct graph *g, const struct plan *plan,
                                  const struct layers *l, int64_t *removed, struct tamis_error *err);

#endif
