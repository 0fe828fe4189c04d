/* SPDX-License-Identifier: Apache-2.0 */
/* What a channel of known constant value is worth to the layers that read it. */
#ifndef SLIM_CHANNELS_CONSTANTS_H
#define SLIM_CHANNELS_CONSTANTS_H

#include "slim/channels/groups.h"

/* Sends constants through the operators between a group's makers and its readers, by running them on one item.
 * wanted: by unit of the group, those whose makers hear nothing and put out their biases; taken back where a unit is not
 * one finite number to every reader, or would not stay one at another size of the image. value: readers x units of the
 * group, what each reader sees. O(elements on the way). */
enum tamis_status constants_follow(const struct channel_groups *g, int group, bool *wanted, double *value,
                                   struct tamis_error *err);

/* What output o of a layer that hears nothing puts out: its own bias. NAN where that is no constant. */
double constants_own_bias(const struct graph *g, const struct layer *l, int64_t o);

/* No padding by any attribute and no window cut short, so that equal values are met with equal results everywhere. */
bool constants_unpadded(const struct node *n);

#endif
