/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_BIASES_H
#define SLIM_BIASES_H

#include "graph/graph.h"
#include "slim/layers.h"

/* Gives every slimmable layer a bias of its own (zeros) where it has none to fold means into: an input for Conv,
 * ConvTranspose and Gemm, an Add behind a MatMul. Edits the document; the graph and the layers are stale afterwards when
 * *added > 0 and must be built again. A bias that other nodes read too, or that is one number for all channels, becomes
 * a vector of the layer's own first. Layers whose output has no channel axis at its end (MatMul by a vector), or whose
 * bias differs between rows, get none. */
enum tamis_status biases_add(struct document *doc, const struct graph *g, const struct layers *l, int *added,
                             struct tamis_error *err);

/* Takes back the biases of biases_add (known by the end of their name) that are still all zero. */
enum tamis_status biases_drop(struct document *doc, struct tamis_error *err);

#endif
