/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXEC_PRODUCTS_H
#define EXEC_PRODUCTS_H

#include "exec/program.h"

/* Rewrites the steps of a forward program so that products by constant matrices (Gemm, MatMul) take the bias and the
 * activations after them along, with the matrix stored as rows of inputs (ops/dense.h). Results differ from the plain
 * program's by rounding alone. O(steps + weights). */
enum tamis_status fuse_products(struct program *p, struct tamis_error *err);

/* Values that it may add to a program. */
size_t products_most_values(const struct graph *g);

#endif
