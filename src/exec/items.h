/* SPDX-License-Identifier: Apache-2.0 */
/* Items from a reader through a program, in chunks over several workers. Chunks are fixed by the source and the chunk
 * size alone; results are merged in chunk order: any number of workers gives the same bytes. */
#ifndef EXEC_ITEMS_H
#define EXEC_ITEMS_H

#include "base/parallel.h"
#include "exec/feed.h"
#include "exec/runner.h"

struct chunk {
	int64_t index;         /* 0, 1, ... among the chunks of this call */
	int64_t items;         /* >= 1 */
	const int64_t *item;   /* their indices in the source, ascending */
	const struct tensor *in; /* one per graph input: what runner_run takes */
};

struct items_job {
	void *ctx;
	/* Which items take part; NULL = all. A pure function of the index. */
	bool (*select)(void *ctx, int64_t item);
	/* Which chunks are worked on; NULL = all. The others are read and passed over, so that chunks are what they are. */
	bool (*mine)(void *ctx, int64_t chunk);
	/* In any worker; chunks are taken in order. slot < slots is this chunk's own until merge has had it; the runner is
	 * not, and may be at another chunk by then. */
	enum tamis_status (*work)(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err);
	/* In the calling thread, in chunk order. May be NULL. */
	enum tamis_status (*merge)(void *ctx, const struct chunk *c, int slot, struct tamis_error *err);
	int64_t max_chunks; /* stop after so many; 0 = all */
	int slots;          /* chunks between reading and merging, >= workers; 0 = as many as workers */
};

/* As many slots as keep workers busy while the calling thread is at a chunk of its own: for jobs whose results take
 * little memory. */
int items_slots(const struct pool *pool);

/* How a model takes several items at once. */
enum batching {
	BATCH_ONE,     /* one item a run, as [1, ...] */
	BATCH_STACKED  /* any number along axis 0 */
};

/* Decides from the declared shapes and a trial: the first items of the source together and one by one must give equal
 * outputs (1e-4 relative to each output's largest magnitude). Rewinds the reader. TAMIS_E_INVALID when the source has no item. */
enum tamis_status items_batching(const struct program *p, struct feed_reader *reader, enum batching *out,
                                 struct tamis_error *err);

/* Items a chunk, from the plan of one item and a limit in bytes (0 = none) on the values of one worker: a power of two
 * that the model alone decides, so that neither the reader nor the machine shows in the results. Enough items to pay
 * for reading the weights, few enough to stay in the caches and to let two workers share a small set; training
 * programs, which sum moments a chunk, take more. O(steps). */
int64_t items_chunk(const struct plan *one, uint64_t limit);

/* Rewinds the reader and runs the job over all selected items, `chunk` (>= 1) at a time (1 for BATCH_ONE and whole
 * feeds). pool NULL = this thread, which alone reads and merges in any case. Of several failures that of the lowest chunk
 * is reported, and chunks after it are not merged; a reader's comes after the chunks before it. Memory: workers * plan +
 * slots * chunk. */
enum tamis_status items_run(const struct program *p, struct feed_reader *reader, enum batching batching,
                            int64_t chunk, struct pool *pool, const struct items_job *job, struct tamis_error *err);

#endif
