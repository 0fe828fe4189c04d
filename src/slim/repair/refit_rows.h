/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_REFIT_ROWS_H
#define SLIM_REFIT_ROWS_H

#include "graph/graph.h"
#include "slim/layers.h"

#define REFIT_ROWS 64 /* rows solved together: enough for a GEMM, few enough to share out */

/* What rows are fitted on: centred moments of all groups, or, for a layer with more inputs than items, the centred items
 * themselves. */
struct refit_data {
	const double *uu, *uz;      /* groups x fan_in x fan_in, groups x fan_in x outs/groups; NULL where there are items */
	const float *u, *z;         /* n x features, n x outs */
	int64_t n;
};

/* Rows first .. first + count - 1 of one group of a layer. */
struct refit_rows {
	struct graph *graph;        /* weights and biases are replaced in its constants */
	const struct graph *reference; /* the original: where its bias is not part of z, the new one starts from it */
	const struct layer *layer;
	int64_t group, first, count;
	struct refit_data data;
	const double *u_mean, *z_mean; /* features, outs */
	double ridge;               /* lambda in units of the mean diagonal */
};

/* Minimises each row's error over the weights that are not zero. Rows with few of them, or many rows with
 * the same ones, are solved exactly, by Cholesky on their normal equations in double; the others together by masked conjugate gradients, W (uu + lambda I) = uz' + lambda
 * W_before, preconditioned by the diagonal: one GEMM a step with moments, two with items. A weighting of the rows by the
 * gains of their outputs would change nothing, since no two rows share a weight. TAMIS_E_MEMORY. */
enum tamis_status refit_rows(const struct refit_rows *r, struct tamis_error *err);

/* The same without replacing anything: *error is that of the solution on other data of the layer, summed over the rows, up to
 * what does not depend on the weights. */
enum tamis_status refit_rows_error(const struct refit_rows *r, const struct refit_data *other, double *error,
                                   struct tamis_error *err);

#endif
