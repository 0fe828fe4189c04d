/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_CHANNELS_REMOVE_H
#define SLIM_CHANNELS_REMOVE_H

#include "slim/channels/groups.h"
#include "slim/channels/rewrite.h"

/* Takes units out of the document: out of weights, biases, norm parameters and every other constant along their axes,
 * out of value_info, and out of the numbers that count them (groups of convolutions, lengths for Reshape, Split, Slice
 * and Expand, hidden sizes). What the other units compute stays as it was, if all that reads the dead ones is zero.
 * dead: by unit, of groups that may go, never a whole group. `r` is open on the document and may hold changes of values;
 * it is applied. Graph, plan and layers are stale afterwards. */
enum tamis_status channels_take_out(const struct channel_groups *g, const bool *dead, struct rewrite *r,
                                    struct tamis_error *err);

#endif
