/* SPDX-License-Identifier: Apache-2.0 */
/* Sliding windows: the arithmetic that convolution and pooling share. Everything hostile in pads, strides,
 * dilations and kernel sizes is refused here, once; what comes out is safe to loop over. */
#ifndef OPS_WINDOW_H
#define OPS_WINDOW_H

#include "graph/attr.h"

enum { WINDOW_AXES = 3 };

enum auto_pad { AUTO_PAD_NOTSET, AUTO_PAD_SAME_UPPER, AUTO_PAD_SAME_LOWER, AUTO_PAD_VALID };

/* Attributes as written; a list that is absent is NULL with length -1. */
struct window_attr {
	int auto_pad; /* enum auto_pad */
	bool ceil_mode;
	const int64_t *kernel, *strides, *dilations, *pads;
	int n_kernel, n_strides, n_dilations, n_pads;
};

/* A window over an image of one channel. Always three axes: those the image lacks come first and have
 * extent 1. Kernel element k at output position o meets image element o * stride - begin + k * dilation on
 * each axis, and padding where that is outside 0..in-1. All fields are at most INT32_MAX, so that products
 * of two cannot overflow. */
struct window {
	int rank; /* spatial axes of the image, 1 to 3 */
	int64_t in[WINDOW_AXES], out[WINDOW_AXES], kernel[WINDOW_AXES], stride[WINDOW_AXES], dilation[WINDOW_AXES];
	int64_t begin[WINDOW_AXES], end[WINDOW_AXES]; /* padding, >= 0 */
	int64_t in_size, out_size, kernel_size;       /* products over the axes */
};

/* Output positions lo..hi-1 of one axis at which a kernel element meets the image. */
struct window_span { int64_t lo, hi; };

/* Reads auto_pad, kernel_shape, strides, dilations and pads. */
enum tamis_status window_parse(const struct op_parse *p, struct window_attr *a);

/* The window of x (batch, channels, 1 to 3 spatial axes). `kernel`: the spatial dims of a weight, which
 * kernel_shape must equal where both are there; NULL takes kernel_shape. TAMIS_E_INVALID for lists of the
 * wrong length, values out of range, or a kernel larger than the padded image; TAMIS_E_UNSUPPORTED beyond
 * three axes or INT32_MAX. O(1). */
enum tamis_status window_resolve(const struct window_attr *a, const struct tensor *x, const int64_t *kernel,
                                 struct window *w, struct tamis_error *err);

/* The same for a transposed convolution of x: the window lies over the *output*, so in[] are the output's
 * spatial dims and out[] those of x. `padding` (output_padding) and `shape` (output_shape) may be NULL; n_
 * their lengths. */
enum tamis_status window_resolve_transposed(const struct window_attr *a, const struct tensor *x,
                                            const int64_t *kernel, const int64_t *padding, int n_padding,
                                            const int64_t *shape, int n_shape, struct window *w,
                                            struct tamis_error *err);

/* Whether no kernel element meets padding at any output position. O(1). */
bool window_inside(const struct window *w);

/* One kernel element, one output position, no padding: the columns of the image are the image itself. */
bool window_is_identity(const struct window *w);

struct window_span window_span(const struct window *w, int axis, int64_t k);

/* Spans of every kernel element of the last axis, in scratch; NULL when out of memory. O(kernel). */
struct window_span *window_spans(const struct window *w, struct scratch *scratch);

/* Index of the first element of the image line that kernel row (kz, ky) meets at output row (z, y); -1 in
 * the padding. Element x of the output row then meets index + x * stride + kx * dilation - begin of the
 * last axis. */
static inline int64_t window_line(const struct window *w, int64_t z, int64_t y, int64_t kz, int64_t ky)
{
	int64_t iz = z * w->stride[0] - w->begin[0] + kz * w->dilation[0];
	int64_t iy = y * w->stride[1] - w->begin[1] + ky * w->dilation[1];

	if (iz < 0 || iz >= w->in[0] || iy < 0 || iy >= w->in[1])
		return -1;
	return (iz * w->in[1] + iy) * w->in[2];
}

#endif
