/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXEC_SPARSE_H
#define EXEC_SPARSE_H

#include "exec/program.h"

/* Rewrites the steps of a training program whose zeros are held: products by mostly zero weights of the graph go entry by
 * entry (ops/sparse.h). O(steps + weights). */
enum tamis_status use_held_zeros(struct program *p, struct tamis_error *err);

#endif
