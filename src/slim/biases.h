/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_BIASES_H
#define SLIM_BIASES_H

#include "graph/graph.h"
#include "slim/layers.h"

/* Gives every slimmable layer a bias of its own (zeros) where it has none to fold means into: an input for Conv,
 * ConvTranspose and Gemm, an Add behind a MatMul. Edits the document; the graph and the layers are stale afterwards when
 * *added > 0 and must be built again. Shared biases are copied first. */
enum tamis_status biases_add(struct document *doc, const struct graph *g, const struct layers *l, int *added,
                             struct tamis_error *err);

/* Takes back the biases that are still all zero. */
enum tamis_status biases_drop(struct document *doc, struct tamis_error *err);

#endif
