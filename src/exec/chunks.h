/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks cut from what a reader hands out, each a copy, since a batch ends with the reader's next call. */
#ifndef EXEC_CHUNKS_H
#define EXEC_CHUNKS_H

#include "exec/items.h"

/* Where chunks are cut from. The caller sets the first part and zeroes the rest; one thread uses it at a time. */
struct chunk_source {
	struct feed_reader *reader; /* rewound */
	const struct items_job *job;
	enum batching batching;
	int64_t limit;      /* items a chunk, >= 1 */
	int n_in;
	int64_t chunks;     /* made so far */
	struct batch batch; /* in hand: items [at, batch.items) are still to be taken */
	int64_t at;
	bool end;
};

/* A chunk with memory of its own. */
struct chunk_buffer {
	struct chunk chunk;
	int64_t *item;
	struct tensor *in;
	size_t *cap; /* bytes behind each tensor */
};

/* Memory for the lists of a chunk of src; free with chunk_buffer_free, after a failure as well. */
enum tamis_status chunk_buffer_make(const struct chunk_source *src, struct chunk_buffer *out, struct tamis_error *err);
void chunk_buffer_free(struct chunk_buffer *b, int n_in);
/* The next chunk; b->chunk.items == 0 at the end. Errors: the reader's own; TAMIS_E_INVALID for a batch that breaks the
 * reader's promises. O(bytes of the chunk). */
enum tamis_status chunk_fill(struct chunk_source *src, struct chunk_buffer *b, struct tamis_error *err);

#endif
