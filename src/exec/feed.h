/* SPDX-License-Identifier: Apache-2.0 */
/* Where items come from: an iterator over feeds, implemented by the data room or by a caller's callback. */
#ifndef EXEC_FEED_H
#define EXEC_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/tensor.h"

struct batch {
	int64_t first;      /* index of the first item, counted from 0 over the whole source */
	int64_t items;      /* items in this batch; 0 = the end */
	bool whole;         /* fed as it is (ONNX test_data_set layout: one feed = one item), not stacked along axis 0 */
	int n;              /* number of tensors = graph inputs without initializers */
	struct tensor *in;  /* in graph input order. Stacked: dims[0] = items, and the rest is one item's shape, where an
	                       item of a model whose first dimension is fixed to 1 is stored without that 1 or with it:
	                       the reader always delivers [items, rest of the declared shape after its first axis] */
};

/* A reader of items. Tensors of a batch belong to the reader and stay valid until the next call on it. Not
 * thread-safe: one thread reads, workers compute. */
struct feed_reader {
	void *self;
	/* Up to max_items (>= 1) further items; batch->items == 0 at the end. */
	enum tamis_status (*next)(void *self, int64_t max_items, struct batch *batch, struct tamis_error *err);
	/* Back to the first item. Must succeed any number of times. */
	enum tamis_status (*rewind)(void *self, struct tamis_error *err);
	int64_t (*count)(void *self);        /* items in all, -1 when unknown before the end */
	void (*destroy)(void *self);         /* NULL when there is nothing to release */
};

/* Whether a batch for a model of n_in inputs keeps the promises above (readers of callers may not): TAMIS_E_INVALID
 * says which it breaks. Stacked items must fill whole bytes each, so strings and
 * odd counts of packed types are refused. O(n). */
enum tamis_status batch_check(const struct batch *b, int n_in, struct tamis_error *err);

#endif
