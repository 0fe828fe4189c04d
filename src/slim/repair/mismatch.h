/* SPDX-License-Identifier: Apache-2.0 */
/* How far an output has moved from the original's. */
#ifndef SLIM_MISMATCH_H
#define SLIM_MISMATCH_H

#include "slim/score/head.h"

/* Graph output `output` of the same items, before and now. Classes: mean over the rows of sum_c p_c log(p_c / q_c), p before and
 * q now, in nats; 0 for outputs without classes beside them. Anything else (also with head NULL): squared error over energy; 0
 * where extents differ or there is no energy. NaN in, NaN out. O(values), no memory. */
double mismatch_of(const struct head *head, int output, const struct tensor *now, const struct tensor *before);

/* Fills *seed with what a reverse pass wants to follow it down (tensor_free): of classes the derivative of the divergence summed
 * over rows, of anything else the difference now - before, half the derivative of the squared error. So the curvature is what the
 * probes of head_seed tell. data NULL for outputs that do not count. NaN in, 0 out. TAMIS_E_MEMORY. */
enum tamis_status mismatch_slope(const struct head *head, int output, const struct tensor *now, const struct tensor *before,
                                 struct tensor *seed, struct tamis_error *err);

#endif
