/* SPDX-License-Identifier: Apache-2.0 */
/* What a model does in more steps than it takes, in fewer: the same function up to rounding. Each call works on the graph of
 * the document as it is, whose constants may have been edited as long as the document holds the same; a document that changed
 * (*gone > 0: so many nodes less) leaves the graph, its plan and layers stale. Nodes of functions, those that the filter leaves
 * alone, and layers with a note stay as they are. TAMIS_E_MEMORY. O(nodes + weights that change). */
#ifndef SLIM_FOLD_FOLD_H
#define SLIM_FOLD_FOLD_H

#include "exec/plan.h"
#include "slim/layers.h"

/* clip(x + 3, 0, 6) / 6 becomes HardSigmoid(x), and x clip(x + 3, 0, 6) / 6 its product with x (Howard et al. 2019 call it
 * h-swish), which is what exporters write where the opset has no HardSwish. */
enum tamis_status fold_hard_sigmoids(struct document *doc, const struct graph *g, const struct plan *plan,
                                     const struct layer_filter *filter, int *gone, struct tamis_error *err);

/* Sums and products with one number go into the weights and bias of the layer before them (or its norm), or of all layers
 * behind them. What is added before a padded convolution stays, since padding is zero and no such sum. FLOAT alone. */
enum tamis_status fold_numbers(struct document *doc, const struct graph *g, const struct plan *plan, const struct layers *l,
                               const struct layer_filter *filter, int *gone, struct tamis_error *err);

/* A sum with one FLOAT constant a channel goes into the bias of a layer before it, through sums that it alone reads: what is left
 * where a branch beside a residual stream became a constant. */
enum tamis_status fold_vectors(struct document *doc, const struct graph *g, const struct plan *plan, const struct layers *l,
                               const struct layer_filter *filter, int *gone, struct tamis_error *err);

#endif
