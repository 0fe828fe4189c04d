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

/* Where the slope of an activation is 1, and not a or 0, bit by bit: all that its reverse needs of BLOCKED_RELU with
 * a >= 0 and of _CLIP. y: what it made, blocks; room for that many words. */
bool blocked_has_mask(const struct blocked_after *after);
size_t blocked_mask_words(int64_t count);
void blocked_mask(const struct blocked_after *after, const struct tensor *y, uint32_t *bits);

/* Undoes an activation in place: g, the gradient behind it, becomes the gradient before it. */
struct blocked_undo {
	const struct blocked_after *after; /* one with a mask, BLOCKED_SIGMOID or _TANH; NULL: none */
	const struct tensor *y;            /* what it made, without a mask */
	const uint32_t *mask;              /* else this */
	const float *scale;                /* by channel; NULL: 1 */
	int64_t channels;
	double *energy;                    /* channels: the squares of the results times scale are added; NULL: not wanted */
};
void blocked_undo(const struct blocked_undo *u, struct tensor *g);

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
