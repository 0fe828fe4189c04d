/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_STORAGE_H
#define SLIM_STORAGE_H

#include <stdint.h>

#include "onnx/document.h"

enum storage_rule { STORAGE_AUTO, STORAGE_DENSE, STORAGE_SPARSE };

/* Moves float initializers of the main graph named in `names` (value names) between dense and sparse storage,
 * whichever takes fewer bytes in the file (AUTO), or as told. Tensors whose name is also a graph input, or
 * that are external, stay dense. IR version 5 comes with sparse storage: raised only if needed (*ir_raised).
 * *bytes (may be NULL): what the named tensors take now. */
enum tamis_status storage_choose(struct document *doc, const char *const *names, size_t n,
                                 enum storage_rule rule,
                                 bool *ir_raised, uint64_t *bytes, struct tamis_error *err);

#endif
