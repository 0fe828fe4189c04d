/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXEC_BLOCKS_H
#define EXEC_BLOCKS_H

#include "exec/program.h"

/* Rewrites the steps of a forward program so that convolutions of images, and what stands between them, work on
 * blocks of channels (ops/blocked.h) and take what follows them along. Where no fast kernel is at hand nothing
 * changes. Results differ from the plain program's by rounding alone. O(steps + weights). */
enum tamis_status lay_out_blocks(struct program *p, struct tamis_error *err);

/* Values that it may add to a program. */
size_t blocks_most_values(const struct graph *g);

#endif
