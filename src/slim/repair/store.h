/* SPDX-License-Identifier: Apache-2.0 */
/* Items and what the original makes of them, kept in memory so that they can be drawn in any order. Where they do not all
 * fit they come in blocks, and the original runs again each time. */
#ifndef SLIM_STORE_H
#define SLIM_STORE_H

#include "exec/items.h"
#include "slim/score/head.h"

#define STORE_BYTES ((size_t)1 << 30) /* of one block, unless the caller says less */

struct store_job {
	const struct graph *original;
	const struct head *head;
	struct feed_reader *reader;
	bool (*select)(void *ctx, int64_t item);
	void *select_ctx;
	enum batching batching;
	int64_t chunk;
	struct pool *pool;
	size_t bytes;            /* most of one block; 0 = STORE_BYTES */
};

struct stored {
	int64_t item;            /* index in the source */
	const struct tensor *in; /* one per graph input; dims[0] is 1 but for whole feeds. In the block's memory */
	const float *target;     /* the original's outputs, see match_target */
	int64_t floats;
};

struct store {
	struct store_job job;
	struct program *program; /* of the original */
	struct stored *list;     /* the block in hand */
	int64_t n;
	size_t cap;
	struct arena arena;      /* of its items */
	bool whole;              /* it holds every selected item */
	int64_t items;           /* selected items in all; 0 before the first walk */
};

enum tamis_status store_open(const struct store_job *job, struct store *out, struct tamis_error *err);
void store_close(struct store *s);

/* Calls body for each block in turn, in the order of the source; body may use the pool. Once everything has fitted into one
 * block, that block stays and nothing is read again. TAMIS_E_INVALID when no item is selected. */
enum tamis_status store_walk(struct store *s, enum tamis_status (*body)(void *ctx, struct tamis_error *err), void *ctx,
                             struct tamis_error *err);

/* How many of the items order[0], order[1], ... (at most `most`) can run together: those whose inputs have one shape, one for
 * BATCH_ONE. */
int64_t store_together(const struct store *s, const int64_t *order, int64_t most);

/* Stacks items order[0 .. n) along axis 0: in, one per graph input, whose data are replaced where they are too small
 * (capacity, bytes). */
enum tamis_status store_stack(const struct store *s, const int64_t *order, int64_t n, struct tensor *in, size_t *capacity,
                              struct tamis_error *err);

#endif
