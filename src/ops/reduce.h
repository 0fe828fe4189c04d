/* SPDX-License-Identifier: Apache-2.0 */
/* Reduction over a set of axes: attributes, shapes and the walk, shared by the reducing operators. A
 * reduction is a broadcast read backwards: the reduced tensor, its axes kept as ones, is broadcast over the
 * data. */
#ifndef OPS_REDUCE_H
#define OPS_REDUCE_H

#include "ops/broadcast.h"
#include "ops/family.h"

/* Kernels for one element type. Accumulators are 8 bytes an output element: double for floats, int64_t for
 * signed and uint64_t for unsigned integers (integers wrap). */
struct reducer {
	void (*start)(void *acc, int64_t n);
	/* acc[i * step] joins x[i], i < n; step is 0 or 1. */
	void (*row)(const void *x, int64_t n, void *acc, int64_t step);
	/* out[i] from acc[i], i < n; each stands for `count` elements. */
	void (*finish)(const void *acc, void *out, int64_t n, int64_t count);
	/* gx[i] += g[i * step] * dy/dx, where y[i * step] is the result of the elements it stands for. */
	void (*slope)(const void *x, const void *y, const void *g, int64_t step, int64_t count, void *gx,
	              int64_t n);
};

struct reduce {
	struct reducer by[DT_COUNT]; /* start NULL: the element type is not supported */
};

/* axes as attribute or as input 1 (rows with max_in = 2), keepdims, noop_with_empty_axes. */
enum tamis_status reduce_parse(struct op_parse *p, void **attr);
enum tamis_status reduce_shape(struct op_call *c, const struct reduce *r);
enum tamis_status reduce_run(struct op_call *c, const struct reduce *r);
enum tamis_status reduce_reverse(struct op_grad *g, const struct reduce *r); /* rows with a slope */

/* Reduced axes are kept, the others pass. */
void reduce_channels(struct channel_call *c);

/* What one call reduces. */
struct reduction {
	bool axis[TENSOR_MAX_RANK]; /* true: reduced */
	struct tensor kept;         /* shape of the result with the reduced axes kept as ones; no data */
	int64_t count;              /* elements that each element of the result stands for */
};
/* Input 1, where there is one, must have data. */
enum tamis_status reduce_plan(const struct op_call *c, struct reduction *r);

/* t cut at one axis: `outer` blocks of `n` slices of `inner` elements. O(rank). */
struct cut { int64_t outer, n, inner; };
struct cut cut_at(const struct tensor *t, int axis);

#endif
