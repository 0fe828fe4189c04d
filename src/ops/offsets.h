/* SPDX-License-Identifier: Apache-2.0 */
/* The offsets that ONNX's index tensors stand for, shared by the gathering and the scattering operators.
 * All read int32 or int64 indices, accept negative ones, and fail with TAMIS_E_INVALID on the first
 * outside its axis. */
#ifndef OPS_OFFSETS_H
#define OPS_OFFSETS_H

#include "ops/blocks.h"

/* GatherElements and ScatterElements: element k of `index` takes the place of its own coordinate along
 * `axis` of `data`. Blocks of one element. O(elements of index). */
enum tamis_status offsets_of_elements(struct op_call *c, const struct tensor *data,
                                      const struct tensor *index, int axis, struct blocks *b);

/* GatherND and ScatterND: each row of `index` (its last axis) is a coordinate into the axes of `data`
 * after the `batch` leading ones, which both share. Blocks are what the coordinate leaves open. O(elements
 * of index). */
enum tamis_status offsets_of_rows(struct op_call *c, const struct tensor *data, const struct tensor *index,
                                  int batch, struct blocks *b);

#endif
