/* SPDX-License-Identifier: Apache-2.0 */
/* Products by constant weights that are mostly zero, entry by entry. Programs whose zeros are held use them
 * (exec/sparse.h); no model does. */
#ifndef OPS_SPARSE_H
#define OPS_SPARSE_H

#include "graph/graph.h"

enum { SPARSE_SHARE = 8 }; /* of the entries at most one in so many may be other than zero */

/* What one row of a product adds up: entry `at` of the weight times row `other`, moved by kernel element `tap`. */
struct sparse_entry { int64_t at; int32_t other, tap; };

/* rows + 1 bounds in `first` of lists of entries, in order of the weight. */
struct sparse_side {
	int64_t rows, *first;
	struct sparse_entry *entry;
};

struct sparse_attr {
	const struct node *plain;              /* the Gemm, MatMul or Conv whose result it is */
	struct sparse_side by_out, by_channel; /* rows of one are `other` in the other; over all groups */
	int64_t taps;                          /* kernel elements; 1 for Gemm and MatMul */
};

/* The result of the plain node up to rounding, where the weight's pattern is still what it was; values may change. The
 * reverse adds gradients of the entries of the pattern alone. A zero entry times what is not finite is zero. */
extern const struct op sparse_product;

/* Finds the pattern of a node's weight. *out NULL: the node is not such a product (float, the weight's other side constant
 * in form: alpha, beta and strides 1), or the weight is not sparse enough. Memory from `arena`. O(entries). */
enum tamis_status sparse_find(const struct node *plain, const struct tensor *weight, const struct tensor *bias,
                              struct arena *arena, struct sparse_attr **out, struct tamis_error *err);

#endif
