/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_CHANNELS_ZERO_H
#define SLIM_CHANNELS_ZERO_H

#include "slim/channels/groups.h"

/* Sets to zero, in the graph's constants, what reads dead units and what makes them, so that they can be taken out of the
 * document later. dead: by unit. Readers that are neither layers nor recurrent are left as they are. O(weights). */
void channels_zero(const struct channel_groups *g, struct graph *graph, const bool *dead);

#endif
