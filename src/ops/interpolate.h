/* SPDX-License-Identifier: Apache-2.0 */
/* Interpolation along one axis as a sparse matrix: each output position is a weighted sum of a few input
 * positions. N-dimensional nearest, linear and cubic interpolation are products of these, one axis after
 * the other. */
#ifndef OPS_INTERPOLATE_H
#define OPS_INTERPOLATE_H

#include "graph/op.h"

enum kernel { KERNEL_NEAREST, KERNEL_LINEAR, KERNEL_CUBIC };
enum coordinates {
	COORD_HALF_PIXEL, COORD_HALF_PIXEL_SYMMETRIC, COORD_PYTORCH_HALF_PIXEL, COORD_ALIGN_CORNERS,
	COORD_ASYMMETRIC, COORD_TF_HALF_PIXEL, COORD_TF_CROP
};
enum nearest { NEAREST_PREFER_FLOOR, NEAREST_PREFER_CEIL, NEAREST_FLOOR, NEAREST_CEIL };

struct interpolation {
	int kernel, coordinates, nearest; /* of the lists above */
	bool exclude_outside;             /* positions outside weigh nothing, instead of repeating the border */
	bool antialias;                   /* the kernel widens when the axis shrinks */
	float cubic_a;
};

/* One axis: lengths, the scale of the coordinates, the length it stands for (in * scale may be a
 * fraction), and the region of interest of COORD_TF_CROP in units of the axis. The scale is positive and
 * at least 1 / (2 in + 2). */
struct axis_map {
	int64_t in, out;
	double scale, length, roi_start, roi_end;
};

/* Position o reads index[k] with weight[k] for start[o] <= k < start[o + 1]; nothing where a crop looks
 * outside. */
struct taps {
	int64_t n, *start, *index;
	double *weight;
};

/* Where output position o lies on the input axis. */
double interpolation_at(const struct interpolation *rule, const struct axis_map *axis, int64_t o);

/* Taps of every output position, in scratch; in >= 1. O(total taps). */
enum tamis_status interpolation_taps(struct op_call *c, const struct interpolation *rule,
                                     const struct axis_map *axis, struct taps *taps);

/* Keys' cubic convolution kernel (1981) with parameter a, at distance x. */
double interpolation_cubic(double x, double a);

/* to[u, o, i] = sum of taps over from[u, ., i], for u < outer and i < inner; FLOAT or DOUBLE. */
void taps_apply(const struct taps *t, enum dtype type, int64_t outer, int64_t in, int64_t inner,
                const void *from, void *to);

/* The transpose: gfrom[u, ., i] += taps of gto[u, o, i]. */
void taps_transpose(const struct taps *t, enum dtype type, int64_t outer, int64_t in, int64_t inner,
                    const void *gto, void *gfrom);

#endif
