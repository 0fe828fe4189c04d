/* SPDX-License-Identifier: Apache-2.0 */
/* What scoring, cutting and refitting need to know of an operator whose weights make connections:
 * z_o(p) = sum_d w_od u_d(p) + b_o  (Conv, ConvTranspose, Gemm, MatMul with a constant right side). */
#ifndef GRAPH_LINEAR_H
#define GRAPH_LINEAR_H

#include "graph/op.h"

/* One linear node, described. Features of all groups are numbered 0 .. groups * fan_in - 1: group g reads features
 * g * fan_in .. (g + 1) * fan_in - 1 and makes outputs g * outs/groups .. Within a group feature d = c * inner + k, c the
 * input channel within the group and k the kernel element (inner = 1 for Gemm and MatMul). */
struct linear_view {
	int data, weight, bias;  /* input positions; bias GRAPH_NONE (-1) where the node has none and allows none */
	bool can_bias;           /* the operator takes a bias input (Conv, Gemm with beta != 0) */
	int64_t groups, fan_in;  /* features a group */
	int64_t outs;            /* output channels of all groups */
	int64_t inner;           /* kernel elements a channel; fan_in = channels a group * inner */
	/* Element of the weight for output o (over all groups) and feature d = c * inner + k of its group, where
	 * g = o / (outs/groups) and o' = o % (outs/groups): g * stride_group + o' * stride_out + c * stride_channel + k */
	int64_t stride_group, stride_out, stride_channel;
	int in_axis, out_axis;   /* channel axis of the data input and of the output; negative counts from the end */
	double weight_scale;     /* the node uses weight_scale * w (Gemm alpha), 1 elsewhere */
	double bias_scale;       /* Gemm beta, 1 elsewhere */
	bool exact_mean;         /* every u_d(p) is a data element or one position only: no zero padding anywhere */
};

struct linear_op {
	/* Fills the view from attributes and the shapes of the inputs (data of the weight not needed). TAMIS_E_UNSUPPORTED
	 * when this node's form makes no connections (two data inputs, say): the caller then treats it as any node. */
	enum tamis_status (*describe)(const struct node *n, const struct tensor *const *in, int n_in,
	                              struct linear_view *view, struct tamis_error *err);
	/* Output positions an item, when the data input holds `items` items (Conv: product of output space; Gemm: rows /
	 * items). 0 when rows do not divide by items. */
	int64_t (*positions)(const struct op_call *c, const struct linear_view *v, int64_t items);
	/* Gathers signals without weights: for items 0..items-1 and each of n_pos positions (indices in 0..positions-1),
	 * one row of groups * fan_in floats: u is items x n_pos x (groups * fan_in), zero where padding is read.
	 * The data input is FLOAT (DOUBLE is converted). O(size of u). */
	enum tamis_status (*gather)(const struct op_call *c, const struct linear_view *v, int64_t items,
	                            const int64_t *pos, int64_t n_pos, float *u);
	/* Adds u and u^2, summed over all items and positions (padding is zero), to sum and square: groups * fan_in doubles
	 * each. Data as for gather. TAMIS_E_MEMORY. O(data elements * kernel rows) at most. */
	enum tamis_status (*sums)(const struct op_call *c, const struct linear_view *v, int64_t items, double *sum,
	                          double *square);
	/* The same positions of an output-shaped tensor (z, or its gradient): items x n_pos x outs. */
	enum tamis_status (*gather_out)(const struct op_call *c, const struct linear_view *v, const struct tensor *z,
	                                int64_t items, const int64_t *pos, int64_t n_pos, float *out);
};

#endif
