/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients of operators over blocks (ops/blocked.h). */
#ifndef OPS_BLOCKED_BACK_H
#define OPS_BLOCKED_BACK_H

#include "ops/blocked.h"

/* The gradient at a convolution's result carried to its image. */
struct blocked_back {
	const struct node *conv;      /* the model's node, for its attributes */
	const struct tensor *weight;  /* constant, [maps, channels a group, h, w] */
	const struct tensor *gy;      /* blocks */
	struct tensor *gx;            /* blocks, or [N,C,H,W] where the convolution takes its image so; shape set */
	bool add;                     /* to what gx holds; else gx is overwritten, whatever it holds */
	struct scratch *scratch;
	struct tamis_error *err;
};

/* *state (NULL at first) keeps kernel and weight for the next call of the same shape and weight; free it with
 * blocked_back_free. TAMIS_E_MEMORY, TAMIS_E_INTERNAL. */
enum tamis_status blocked_back(void **state, const struct blocked_back *b);
void blocked_back_free(void *state); /* NULL is fine */

/* Undoes an activation in place: g, the gradient behind it, becomes the gradient before it. y: what it made. Adds to
 * energy the squares of the results times scale (NULL: 1), by channel: `channels` doubles; NULL: not wanted. kind:
 * BLOCKED_RELU with a >= 0, _CLIP, _SIGMOID or _TANH, whose slopes follow from results; NULL after: none. */
void blocked_undo(const struct blocked_after *after, const struct tensor *y, const float *scale, int64_t channels,
                  struct tensor *g, double *energy);

/* Values of blocks in the plain layout, and what is plain added to blocks. plain: items x channels x pixels. */
void blocked_to_plain(const struct tensor *blocks, int64_t channels, float *plain);
void blocked_add_plain(const float *plain, int64_t channels, struct tensor *blocks);

/* Reverses of the rows in ops/blocked.h. */
enum tamis_status blocked_pack_reverse(struct op_grad *g);
enum tamis_status blocked_unpack_reverse(struct op_grad *g);
enum tamis_status blocked_max_pool_reverse(struct op_grad *g);
enum tamis_status blocked_average_pool_reverse(struct op_grad *g);
enum tamis_status blocked_global_reverse(struct op_grad *g);

#endif
