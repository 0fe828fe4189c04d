/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLIM_REFIT_ROWS_H
#define SLIM_REFIT_ROWS_H

#include "graph/graph.h"
#include "slim/layers.h"

#define REFIT_ROWS 64 /* rows solved together: enough for a GEMM, few enough to share out */

/* Rows first .. first + count - 1 of one group of a layer, and the group's centred moments (all groups' arrays). */
struct refit_rows {
	struct graph *graph;        /* weights and biases are replaced in its constants */
	const struct graph *reference; /* the original: where its bias is not part of z, the new one starts from it */
	const struct layer *layer;
	int64_t group, first, count;
	const double *u_mean, *z_mean; /* features, outs */
	const double *uu, *uz;      /* groups x fan_in x fan_in, groups x fan_in x outs/groups */
};

/* Minimises each row's error over the weights that are not zero. A row with few of them is solved exactly, by Cholesky on
 * its own normal equations in double; the others together by masked conjugate gradients, W (uu + lambda I) = uz' + lambda
 * W_before, preconditioned by the diagonal, one GEMM a step. TAMIS_E_MEMORY. */
enum tamis_status refit_rows(const struct refit_rows *r, struct tamis_error *err);

#endif
