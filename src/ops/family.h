/* SPDX-License-Identifier: Apache-2.0 */
/* What every operator family includes: the interfaces, and how a family hands its rows to the table. */
#ifndef OPS_FAMILY_H
#define OPS_FAMILY_H

#include "graph/attr.h"
#include "graph/coupling.h"
#include "graph/graph.h"
#include "graph/linear.h"
#include "graph/op.h"

/* One row list a family file, ended by a row whose name is NULL. table.c names them all; adding an operator is a row
 * here and its functions in the same file. */
extern const struct op ops_activation[], ops_arg[], ops_attention[], ops_cast[], ops_causal_conv[],
	ops_compare[], ops_concat[], ops_control[], ops_conv[], ops_crop[], ops_cumprod[], ops_deform[],
	ops_detect[], ops_einsum[], ops_elementwise[], ops_fused[], ops_fused_attention[], ops_gather[],
	ops_gemm[], ops_generate[], ops_geometry[], ops_integer[], ops_linear_attention[], ops_loss[],
	ops_matmul[], ops_mean_variance[], ops_move[], ops_normalize[], ops_pad[], ops_pool[], ops_quantize[],
	ops_recurrent[], ops_reduce[], ops_resize[], ops_rotary[], ops_sample[], ops_scatter[], ops_search[],
	ops_select[], ops_shape[], ops_slice[], ops_softmax[], ops_spectral[], ops_standardize[], ops_tfidf[],
	ops_unary[], ops_unique[], ops_unpool[];

#endif
