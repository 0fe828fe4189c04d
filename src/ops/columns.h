/* SPDX-License-Identifier: Apache-2.0 */
/* An image as a matrix of columns (im2col), and back: what turns convolution into matrix products. */
#ifndef OPS_COLUMNS_H
#define OPS_COLUMNS_H

#include "ops/window.h"

/* Row (c, kz, ky, kx) of `col` holds, for output positions from..to-1 of the window, the element of
 * channel c that the kernel element meets; zero in the padding. channels * kernel_size rows, `pitch`
 * elements apart. `image`: channels x in_size. `type` is DT_FLOAT or DT_DOUBLE. O(channels * kernel_size *
 * (to - from)). */
void columns_gather(enum dtype type, const struct window *w, int64_t channels, const void *image,
                    int64_t from, int64_t to, void *col, int64_t pitch);

/* The transpose: adds every element of `col` to the image element it was gathered from. */
void columns_scatter(enum dtype type, const struct window *w, int64_t channels, const void *col,
                     int64_t pitch, int64_t from, int64_t to, void *image);

#endif
