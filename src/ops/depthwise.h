/* SPDX-License-Identifier: Apache-2.0 */
/* The three products of correlate.h where a group has one channel: no matrix is worth its columns there, and lines of a
 * small image are too short for vectors. */
#ifndef OPS_DEPTHWISE_H
#define OPS_DEPTHWISE_H

#include "ops/correlate.h"

/* Most maps that a group may have. */
#define DEPTHWISE_MAPS 4

bool depthwise_fits(const struct correlation *c);

/* As correlate, correlate_back and correlate_weight: each adds to its last argument.
 *
 * The padded image is taken apart by strides, so that a kernel element meets one shifted plane: rows follow each other
 * with no gap but the padding, and a product runs over the whole plane at once. What falls between the rows is dropped,
 * or met with zeros. O(items * groups * maps * kernel_size * out rows * (out columns + kernel columns)). */
enum tamis_status depthwise(const struct correlation *c, const void *image, const void *weight, void *maps);
enum tamis_status depthwise_back(const struct correlation *c, const void *maps, const void *weight, void *image);
enum tamis_status depthwise_weight(const struct correlation *c, const void *image, const void *maps, void *weight);

#endif
