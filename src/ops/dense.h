/* SPDX-License-Identifier: Apache-2.0 */
/* Products by a constant matrix with what follows them, in one step. Programs made for speed use it (exec/products.h);
 * no model does. */
#ifndef OPS_DENSE_H
#define OPS_DENSE_H

#include "graph/graph.h"

enum { DENSE_AFTER = 2 };

struct dense_attr {
	bool matrix;                           /* x has two axes, as Gemm demands */
	int n_after;
	const struct node *after[DENSE_AFTER]; /* functions of one element that work in place, done to the sums in turn */
};

/* y [..., n] = after(x [..., k] weight [k, n] + bias [n]), float; the bias may be absent. */
extern const struct op dense;

#endif
