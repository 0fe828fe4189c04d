/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXEC_MERGE_NORMS_H
#define EXEC_MERGE_NORMS_H

#include "exec/program.h"

/* Replaces each Conv whose only consumer is a BatchNormalization with constant parameters by one Conv with
 * w' = w * s, b' = (b - mean) * s + shift, s = scale / sqrt(var + epsilon) per output channel. float32 only. */
enum tamis_status merge_norms(struct program *p, struct tamis_error *err);

#endif
