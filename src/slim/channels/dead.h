/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_CHANNELS_DEAD_H
#define SLIM_CHANNELS_DEAD_H

#include "slim/channels/groups.h"

/* Removes channels that provably do not matter: layers that hear nothing, with all before them that only they read
 * (slim/channels/silent.h), one at a time; then units that no weight reads any more (all its entries for them zero),
 * and units whose makers have only zero weights and whose constant value can be moved exactly into the readers' biases
 * (or is zero). Of each group one unit stays. *removed counts output channels of layers, and units that no layer makes;
 * the graph, its plan and layers are stale when it is not 0. One call removes what is dead now; removal can make more:
 * call until 0. */
enum tamis_status channels_remove(struct document *doc, const struct graph *g, const struct plan *plan,
                                  const struct layers *l, int64_t *removed, struct tamis_error *err);

#endif
