/* SPDX-License-Identifier: Apache-2.0 */
/* What convolutions over blocks know of the model's Conv, whichever way they are done. */
#ifndef OPS_BLOCKED_GEOMETRY_H
#define OPS_BLOCKED_GEOMETRY_H

#include "ops/blocked.h"
#include "ops/conv.h"

struct blocked_geometry {
	const struct conv_attr *conv;
	int64_t maps, channels; /* of all groups */
	int64_t kernel[2];
};

struct blocked_geometry blocked_geometry(const struct blocked_conv_spec *spec);

/* The window of a call whose input 0 is blocks or, for images of a few channels, plain. */
enum tamis_status blocked_geometry_window(const struct blocked_geometry *g, const struct op_call *call, struct window *w);
/* The shape function of a row whose inputs are those of blocked_conv. */
enum tamis_status blocked_geometry_shape(const struct blocked_geometry *g, struct op_call *call);

#endif
