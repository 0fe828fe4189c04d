/* SPDX-License-Identifier: Apache-2.0 */
/* The three products that convolution and transposed convolution are made of, forward and reverse. Between an
 * image (items x groups x channels x in_size), maps (items x groups x maps x out_size) and a weight
 * (groups x maps x channels x kernel_size), with c the columns of the image under the window:
 *
 *     maps  += weight c        convolution;  gradient of a transposed convolution's data
 *     image += c'(weight' maps)   its transpose;  gradient of a convolution's data
 *     weight += maps c'        gradient of the weight, both
 */
#ifndef OPS_CORRELATE_H
#define OPS_CORRELATE_H

#include "ops/window.h"

struct correlation {
	enum dtype type;         /* DT_FLOAT or DT_DOUBLE, of all three */
	int64_t items, groups;
	int64_t channels, maps;  /* a group */
	struct window win;
	struct scratch *scratch;
	struct tamis_error *err;
};

/* Each adds to its last argument. The buffer of columns stays near TILE_BYTES whatever the shapes. Images
 * of one channel a group (depthwise) are done without columns, 1x1 kernels on the image itself. The order
 * of additions depends on the shapes alone. TAMIS_E_MEMORY when scratch runs out. O(items * groups * maps
 * * channels * kernel_size * out_size). */
enum tamis_status correlate(const struct correlation *c, const void *image, const void *weight, void *maps);
enum tamis_status correlate_back(const struct correlation *c, const void *maps, const void *weight,
                                 void *image);
enum tamis_status correlate_weight(const struct correlation *c, const void *image, const void *maps,
                                   void *weight);

#endif
