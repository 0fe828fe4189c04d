/* SPDX-License-Identifier: Apache-2.0 */
/* What every operator family includes: the interfaces, and how a family hands its rows to the table. */
#ifndef OPS_FAMILY_H
#define OPS_FAMILY_H

#include "graph/attr.h"
#include "graph/graph.h"
#include "graph/linear.h"
#include "graph/op.h"

/* One row list a family file, ended by a row whose name is NULL. table.c names them all; adding an operator is a row
 * here and its functions in the same file. */
extern const struct op ops_conv[], ops_gemm[], ops_matmul[], ops_pool[], ops_elementwise[],
	ops_unary[], ops_activation[], ops_arg[], ops_compare[], ops_reduce[], ops_softmax[], ops_normalize[],
	ops_mean_variance[], ops_standardize[], ops_shape[], ops_move[], ops_concat[], ops_slice[],
	ops_gather[], ops_scatter[], ops_search[], ops_resize[], ops_einsum[], ops_sample[], ops_detect[],
	ops_pad[], ops_generate[], ops_cast[], ops_select[], ops_loss[], ops_control[], ops_attention[], ops_quantize[], ops_integer[], ops_recurrent[], ops_cumprod[], ops_rotary[], ops_unique[], ops_crop[], ops_fused[], ops_fused_attention[], ops_spectral[], ops_geometry[];

#endif
