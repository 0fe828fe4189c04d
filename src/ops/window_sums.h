/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of what each kernel element meets, over all window positions: first moments of the columns of an image without
 * making the columns. */
#ifndef OPS_WINDOW_SUMS_H
#define OPS_WINDOW_SUMS_H

#include "ops/window.h"

enum { WINDOW_LANES = 16 };

/* n planes, `pitch` floats from one to the next, of the same `lanes` interleaved channels (1: plain), at most
 * WINDOW_LANES: one an item. */
struct planes {
	const float *first;
	int64_t n, pitch;
	int lanes;
};

/* Sums over all planes. sum and square: kernel element k of lane i at [i * pitch + k], added to. room: 4 * (extent of a
 * plane's last axis) * lanes doubles. `transposed`: the plane is
 * the map side, and positions are those of the image (ConvTranspose). In double; the order depends on shapes alone.
 * O(planes * kernel rows), less where stride 1 lets rows be shared. */
void window_sums(const struct window *w, bool transposed, const struct planes *p, double *room, double *sum,
                 double *square, int64_t pitch);

/* Adds the n columns of `rows` packed rows and their squares. */
void column_sums(const float *x, int64_t rows, int64_t n, double *sum, double *square);

#endif
