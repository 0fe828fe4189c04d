/* SPDX-License-Identifier: Apache-2.0 */
/* Layers, with their bias or norm, that can take along what is done to their results. */
#ifndef SLIM_FOLD_CARRY_H
#define SLIM_FOLD_CARRY_H

#include "slim/channels/rewrite.h"
#include "slim/layers.h"

/* Whether weight and bias (of a norm: scale and shift) are FLOAT constants of the layer's own. */
bool carry_can(const struct graph *g, const struct layer *l);

/* The value behind its bias or norm. */
int carry_result(const struct graph *g, const struct layer *l);

/* By value: the layer whose result that is; -1 = none. The caller frees it; NULL when out of memory. */
int *carry_makers(const struct graph *g, const struct layers *l);

/* That value z becomes a z + b; b: by output channel where `each`, else one number. TAMIS_E_MEMORY. */
enum tamis_status carry(struct rewrite *r, const struct layer *l, double a, const double *b, bool each, struct tamis_error *err);

/* t = a t + b / by, as above. */
enum tamis_status carry_port(struct rewrite *r, int node, int input, double a, const double *b, bool each, double by,
                             struct tamis_error *err);

#endif
