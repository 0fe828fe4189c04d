/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/columns.h"

#include <string.h>

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

#define T float
#define NAME(x) x##_float
#include "ops/columns.inc"
#undef T
#undef NAME
#define T double
#define NAME(x) x##_double
#include "ops/columns.inc"
#undef T
#undef NAME

void columns_gather(enum dtype type, const struct window *w, int64_t channels, const void *image,
                    int64_t from, int64_t to, void *col, int64_t pitch)
{
	if (type == DT_FLOAT)
		gather_float(w, channels, image, from, to, col, pitch);
	else
		gather_double(w, channels, image, from, to, col, pitch);
}

void columns_scatter(enum dtype type, const struct window *w, int64_t channels, const void *col,
                     int64_t pitch, int64_t from, int64_t to, void *image)
{
	if (type == DT_FLOAT)
		scatter_float(w, channels, col, pitch, from, to, image);
	else
		scatter_double(w, channels, col, pitch, from, to, image);
}
