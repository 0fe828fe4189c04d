/* SPDX-License-Identifier: Apache-2.0 */
/* Scaled dot-product attention of many heads, the core of every attention operator:
 * S = scale Q K', capped, plus a bias; P = softmax of its rows; Y = P V. Rows that a bias excludes altogether
 * give
 * zeros. */
#ifndef OPS_ATTEND_H
#define OPS_ATTEND_H

#include "graph/op.h"

/* Where the rows of a head lie, in elements; the elements of a row are contiguous. `row` is at most
 * INT32_MAX. */
struct attend_view {
	int64_t batch, head, row;
};

/* What a caller may see of the scores, each [batch, heads, queries, keys]. */
enum attend_tap { TAP_RAW, TAP_CAPPED, TAP_BIASED, TAP_PROBABILITY };

struct attend {
	enum dtype type;                   /* FLOAT or DOUBLE, of everything */
	int64_t batch, heads, kv_heads;    /* heads is a multiple of kv_heads: neighbours share keys and values */
	int64_t queries, keys, size, v_size;
	double scale, softcap;             /* softcap 0: not capped */
	enum attend_tap tap;
	struct attend_view q, k, v, y;
	/* Adds the bias of query i of a head to row[0 .. keys); -INFINITY excludes a key. Returns false when
	 * nothing
	 * is left. NULL: no bias. */
	bool (*bias)(const void *ctx, int64_t batch, int64_t head, int64_t i, double *row);
	/* Takes the gradient of that row. NULL: not wanted. */
	void (*bias_back)(const void *ctx, int64_t batch, int64_t head, int64_t i, const double *row);
	const void *ctx;
};

/* y must not be NULL; tap NULL is not wanted. O(batch heads queries keys (size + v_size)). */
enum tamis_status attend_run(const struct attend *a, const void *q, const void *k, const void *v, void *y,
                             void *tap,
                             struct scratch *scratch, struct tamis_error *err);

/* Gradients, as in struct op_grad: gy and gtap NULL = zero; gq, gk, gv NULL = not wanted, else added to, laid
 * out as
 * q, k, v. */
struct attend_gradients {
	const void *gy, *gtap;
	void *gq, *gk, *gv;
};
enum tamis_status attend_reverse(const struct attend *a, const void *q, const void *k, const void *v,
                                 const struct attend_gradients *g, struct scratch *scratch,
                                 struct tamis_error *err);

#endif
