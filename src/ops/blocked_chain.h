/* SPDX-License-Identifier: Apache-2.0 */
/* Scalars and activations that follow one another, in one pass over blocks, forward and in reverse: what a training
 * program cannot put into the convolution before it, since its slope does not follow from its result. */
#ifndef OPS_BLOCKED_CHAIN_H
#define OPS_BLOCKED_CHAIN_H

#include "ops/blocked.h"

/* The attributes of a blocked_chain node; part: no RESIDUAL. n >= 1. */
struct blocked_chain { int n; struct blocked_after part[BLOCKED_AFTER]; };

/* blocks -> blocks */
extern const struct op blocked_chain;

#endif
