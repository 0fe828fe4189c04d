/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_BIASES_H
#define SLIM_BIASES_H

#include "graph/graph.h"
#include "slim/layers.h"

/* Gives every slimmable layer a bias of its own (zeros) where it has none to fold means into: an input for
 * Conv, ConvTranspose and Gemm, an Add behind a MatMul or a Gemm whose third input is no vector. Edits the
 * document; the graph and the layers are stale afterwards when *added > 0 and must be built again. Of a bias
 * that other nodes read too the layer gets a copy. A MatMul by a vector, which has no channel axis, gets
 * none. */
enum tamis_status biases_add(struct document *doc, const struct graph *g, const struct layers *l, int *added,
                             struct tamis_error *err);

/* Takes back the biases of biases_add (known by the end of their name) that are still all zero. */
enum tamis_status biases_drop(struct document *doc, struct tamis_error *err);

#endif
