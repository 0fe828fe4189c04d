/* SPDX-License-Identifier: Apache-2.0 */
/* Operators over blocked images: [N,C,H,W] kept as [N, ceil(C/b), H, W, b], so that b channels of one pixel are one
 * vector. Lanes beyond C hold finite values that nothing reads. The rows are not in the operator table: the executor
 * alone puts them into programs (exec/blocks.c), between operators of the model. Float only; how convolutions are reversed
 * is in ops/blocked_back.h. */
#ifndef OPS_BLOCKED_H
#define OPS_BLOCKED_H

#include "graph/graph.h"

enum { BLOCKED_AFTER = 8 };

/* One step of what is done to an element of a convolution's result. */
enum blocked_kind {
	BLOCKED_LINEAR,    /* a x + b */
	BLOCKED_CLIP,      /* min(max(x, a), b) */
	BLOCKED_RELU,      /* x > 0 ? x : a x */
	BLOCKED_SIGMOID,
	BLOCKED_TANH,
	BLOCKED_SWISH,     /* x sigmoid(a x) */
	BLOCKED_HARDSWISH, /* x clip(x + 3, 0, 6) / 6 */
	BLOCKED_RESIDUAL   /* plus the same element of input 3 */
};
struct blocked_after { enum blocked_kind kind; float a, b; };

/* Channels a block on this processor; 0 where there is no fast convolution over blocks. */
int64_t blocked_width(void);

/* A Conv node as the model has it, and what follows it. */
struct blocked_conv_spec {
	const struct node *conv;
	const struct tensor *x;            /* a shape it will see, [N,C,H,W] */
	const struct tensor *weight;       /* constant */
	bool has_bias;                     /* input 2: a constant of as many elements as the weight has outputs */
	bool plain;                        /* x comes as [N,C,H,W]: for images of a few channels */
	int n_after;                       /* at most BLOCKED_AFTER, one RESIDUAL among them */
	struct blocked_after after[BLOCKED_AFTER];
};

/* Makes the attributes of a blocked_conv node in the arena, and its weight (input 1) in oneDNN's own layout as a
 * vector of floats that the caller frees. *attr stays NULL where oneDNN has no fast kernel for this. */
enum tamis_status blocked_conv_prepare(const struct blocked_conv_spec *spec, struct arena *arena, void **attr,
                                       struct tensor *packed, struct tamis_error *err);

/* The same for blocked_winograd; *attr stays NULL where it is not the faster way. */
enum tamis_status blocked_winograd_prepare(const struct blocked_conv_spec *spec, struct arena *arena, void **attr,
                                           struct tensor *packed, struct tamis_error *err);

/* x, packed weight, bias or none, residual or none -> y */
extern const struct op blocked_conv, blocked_winograd;
/* [N,C,H,W] -> blocks, and back; attr of blocked_unpack: int64_t *, the number of channels */
extern const struct op blocked_pack, blocked_unpack;
/* attr: struct pool_attr *, of the pooling node */
extern const struct op blocked_max_pool, blocked_average_pool;
/* blocks -> [N,C,1,1]; attr: int64_t *, the number of channels */
extern const struct op blocked_global_average;

#endif
