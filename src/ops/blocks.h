/* SPDX-License-Identifier: Apache-2.0 */
/* Gathering and scattering by a list of offsets: what every indexing operator comes down to once its
 * indices are checked. Block k is `length` elements, dense on one side at k * length and on the other at
 * offset[k]. */
#ifndef OPS_BLOCKS_H
#define OPS_BLOCKS_H

#include "graph/op.h"

struct blocks {
	int64_t n, length;
	int64_t *offset; /* n entries, in elements, each checked to lie inside */
};

/* Offsets from scratch, n of them, not set yet. TAMIS_E_MEMORY when there is no room. */
enum tamis_status blocks_make(struct op_call *c, struct blocks *b, int64_t n, int64_t length);

/* *index becomes non-negative; TAMIS_E_INVALID unless it was in [-limit, limit). */
enum tamis_status blocks_index(struct tamis_error *err, int64_t *index, int64_t limit);

/* dense[k] = sparse[offset[k]], for elements of `size` bytes. */
void blocks_gather(const struct blocks *b, size_t size, const void *sparse, void *dense);

/* sparse[offset[k]] = dense[k] in the order of k: of blocks at the same place the last one stays. */
void blocks_scatter(const struct blocks *b, size_t size, const void *dense, void *sparse);

/* dense[k] += sparse[offset[k]]; FLOAT or DOUBLE. */
void blocks_gather_add(const struct blocks *b, enum dtype type, const void *sparse, void *dense);

/* sparse[offset[k]] += dense[k] in the order of k; FLOAT or DOUBLE. */
void blocks_scatter_add(const struct blocks *b, enum dtype type, const void *dense, void *sparse);

#endif
