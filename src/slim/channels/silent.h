/* SPDX-License-Identifier: Apache-2.0 */
/* Layers that hear nothing: with all of their weights zero they put out their biases, the same at each position of each item.
 * Where that only meets something else in a sum or product, a constant can stand for it, and all that made it can go: a whole
 * branch beside a residual stream. */
#ifndef SLIM_CHANNELS_SILENT_H
#define SLIM_CHANNELS_SILENT_H

#include "slim/channels/groups.h"

/* Which groups may lose all of their units: every layer that reads one reads nothing else, and could be silent; no two of them
 * on both sides of one sum. whole: by group, all set. TAMIS_E_MEMORY. O(nodes + weights' axes). */
enum tamis_status silent_groups(const struct channel_groups *g, bool *whole, struct tamis_error *err);

/* Puts a constant into the document in the place of the last silent layer that one can stand for. *removed: output channels of
 * the layers that go by it, 0 = there is no such layer; else graph, plan and layers are stale. TAMIS_E_MEMORY. */
enum tamis_status silent_remove(struct document *doc, const struct channel_groups *g, int64_t *removed,
                                struct tamis_error *err);

#endif
