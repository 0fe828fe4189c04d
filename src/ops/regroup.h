/* SPDX-License-Identifier: Apache-2.0 */
/* The channel rule of operators that read the same elements, row-major, under another shape. */
#ifndef OPS_REGROUP_H
#define OPS_REGROUP_H

#include "graph/coupling.h"

/* Both shapes fall into stretches of axes with equally many elements. Of each stretch one input axis and one output axis
 * can lose channels: index by index, whatever holds the same elements is tied. Which pair is a form of the rule; axes
 * of input 0 that are kept already are not tried. O(elements of the stretches). */
void channels_regroup(struct channel_call *c);

#endif
