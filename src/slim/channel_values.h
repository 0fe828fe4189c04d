/* SPDX-License-Identifier: Apache-2.0 */
/* What a channel of known constant value is worth to the layers that read it. */
#ifndef SLIM_CHANNEL_VALUES_H
#define SLIM_CHANNEL_VALUES_H

#include "slim/channel_trace.h"

/* Sends the constants z (one a channel of `layer`; only those of `wanted` count) through the operators of the
 * trace, by running them on one item. value: readers x channels, what each reader sees. wanted is taken back
 * where a channel is not one finite number to every reader, or would not stay one at another size of the
 * image. O(elements on the way). */
enum tamis_status channel_values(const struct channel_model *m, int layer, const struct channel_trace *t,
                                 const double *z, bool *wanted, double *value, struct tamis_error *err);

#endif
