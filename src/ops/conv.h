/* SPDX-License-Identifier: Apache-2.0 */
/* What the convolution family shares between its files. */
#ifndef OPS_CONV_H
#define OPS_CONV_H

#include "ops/correlate.h"
#include "ops/family.h"

struct conv_attr {
	struct window_attr window;
	int64_t group;
	bool transposed;
	const int64_t *output_padding, *output_shape; /* ConvTranspose */
	int n_output_padding, n_output_shape;
};

/* The products of one node. For Conv the image is x and the maps are y, for ConvTranspose the other way
 * round. Checks ranks, channels and groups, and bias; x and w need shapes only. TAMIS_E_INVALID or
 * _UNSUPPORTED. */
enum tamis_status conv_resolve(const struct conv_attr *a, const struct tensor *x, const struct tensor *w,
                               const struct tensor *bias, struct correlation *c, struct tamis_error *err);

extern const struct linear_op conv_linear, conv_transpose_linear;

#endif
