/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/blocked_geometry.h"

#include <string.h>

#include "base/error.h"

struct blocked_geometry blocked_geometry(const struct blocked_conv_spec *spec)
{
	return (struct blocked_geometry){ .conv = spec->conv->attr, .maps = spec->weight->dims[0],
		.channels = spec->x->dims[1], .kernel = { spec->weight->dims[2], spec->weight->dims[3] } };
}

enum tamis_status blocked_geometry_window(const struct blocked_geometry *g, const struct op_call *call, struct window *w)
{
	const int64_t *d = call->in[0]->dims;
	const struct tensor image = { .type = DT_FLOAT, .rank = 4, .dims = { d[0], g->channels, d[2], d[3] } };

	return window_resolve(&g->conv->window, &image, g->kernel, w, call->err);
}

enum tamis_status blocked_geometry_shape(const struct blocked_geometry *g, struct op_call *call)
{
	const struct tensor *residual = op_in(call, 3);
	int64_t b = blocked_width(), dims[5];
	struct window w;
	enum tamis_status s = blocked_geometry_window(g, call, &w);

	if (s != TAMIS_OK)
		return s;
	memcpy(dims, (int64_t[]){ call->in[0]->dims[0], (g->maps + b - 1) / b, w.out[1], w.out[2], b }, sizeof dims);
	if (residual && memcmp(residual->dims, dims, sizeof dims))
		return tm_fail(call->err, TAMIS_E_INVALID, "the summands have different shapes with these inputs");
	return op_set_out(call, 0, DT_FLOAT, 5, dims);
}
