/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution with a 3 x 3 kernel by Winograd's minimal filtering F(2 x 2, 3 x 3): 16 products instead of 36 for four
 * results (A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, 2016). Over images in blocks of
 * eight or sixteen channels (ops/blocked.h), on processors with AVX2 and FMA or with AVX-512. */
#ifndef OPS_WINOGRAD_H
#define OPS_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/blocked.h"
#include "ops/window.h"

/* y = x * w + bias, then `after`. Stride and dilation 1, one group. */
struct winograd {
	int64_t lanes;                   /* channels a block: 8 or 16, of which winograd_runs */
	int64_t items, in_blocks, out_blocks;
	int64_t in[2], out[2], begin[2]; /* height, width; padding before */
	const float *x;                  /* [items, in_blocks, in, lanes] */
	const float *weight;             /* as winograd_weight made it */
	const float *bias;               /* `lanes` a block of results; NULL: 0 */
	const float *residual;           /* as y; for BLOCKED_RESIDUAL */
	const struct blocked_after *after;
	int n_after;
	float *y;                        /* [items, out_blocks, out, lanes]; may be `residual` */
};

/* Whether there are blocks this wide and this processor has the vectors. */
bool winograd_runs(int64_t lanes);
/* Whether a convolution is of this kind and fewer products pay for its transforms. channels, maps: read and made, as is
 * `made`, height and width: back, those of the image. */
bool winograd_fits(int64_t lanes, const struct window *w, int64_t groups, int64_t channels, int64_t maps,
                   const int64_t *made);
/* Whether `after` can be done: all kinds without an exponential. */
bool winograd_can_follow(const struct blocked_after *after, int n_after);

/* Floats of a transformed weight, and the weight: w is [maps, channels, 3, 3]. back: what carries a gradient from the
 * results to the image, a convolution from maps to channels with the kernel turned around; `into` is all overwritten.
 * O(result). */
size_t winograd_weight_size(int64_t lanes, int64_t channels, int64_t maps, bool back);
void winograd_weight(int64_t lanes, const float *w, int64_t channels, int64_t maps, bool back, float *into);

/* room: winograd_room floats, at a multiple of 64 bytes. The sums of each result go in one order, whatever else is
 * in the call. 16 products of the numbers of blocks and tiles; other memory traffic follows the images. */
size_t winograd_room(const struct winograd *w);
void winograd_run(const struct winograd *w, float *room);

#endif
