/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPS_BLOCKED_LINEAR_H
#define OPS_BLOCKED_LINEAR_H

#include "graph/linear.h"

/* The linear view of a Conv node (as the model has it) whose data input comes in blocks (ops/blocked.h): positions,
 * gather and sums alone. */
extern const struct linear_op blocked_conv_linear;

#endif
