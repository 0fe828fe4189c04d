/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/table.h"

#include "ops/family.h"

static const struct op *const families[] = {
	ops_activation, ops_arg, ops_attention, ops_cast, ops_causal_conv, ops_compare, ops_concat, ops_control,
	ops_conv, ops_crop, ops_cumprod, ops_deform, ops_detect, ops_einsum, ops_elementwise, ops_fused,
	ops_fused_attention, ops_gather, ops_gemm, ops_generate, ops_geometry, ops_integer,
	ops_linear_attention, ops_loss, ops_matmul, ops_mean_variance, ops_move, ops_normalize, ops_pad,
	ops_pool, ops_quantize, ops_recurrent, ops_reduce, ops_resize, ops_rotary, ops_sample, ops_scatter,
	ops_search, ops_select, ops_shape, ops_slice, ops_softmax, ops_spectral, ops_standardize, ops_tfidf,
	ops_unary, ops_unique, ops_unpool,
};

const struct op_table op_table = { families, sizeof families / sizeof *families };
