/* SPDX-License-Identifier: Apache-2.0 */
/* Random networks of one image x [N, 3, 4, 4] and two outputs an item, from blocks that couple channels: residual sums, Concat,
 * Split, Slice, grouped and depthwise convolution, squeeze and excitation, ConvTranspose, norms, PixelShuffle, and over
 * sequences attention, feed-forward blocks and recurrent cells in both directions. */
#ifndef TESTS_SLIM_RANDOM_NETS_H
#define TESTS_SLIM_RANDOM_NETS_H

#include "onnx/document.h"

extern const size_t n_random_blocks;
struct document *random_block(size_t block, uint64_t seed); /* one kind of block, below n_random_blocks, by itself */
struct document *random_net(uint64_t seed);                 /* up to four blocks of images, then up to two of sequences */
struct document *random_transformer(uint64_t seed);         /* attention of three heads, then a block of 7 hidden units */

#endif
