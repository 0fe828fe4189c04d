/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/table.h"

#include "ops/family.h"

static const struct op *const families[] = {
	ops_activation, ops_arg, ops_cast, ops_compare, ops_concat, ops_conv, ops_detect, ops_einsum,
	ops_elementwise, ops_gather, ops_gemm, ops_generate, ops_matmul, ops_mean_variance, ops_move,
	ops_normalize, ops_pad, ops_pool, ops_reduce, ops_resize, ops_sample, ops_scatter, ops_search,
	ops_select, ops_shape, ops_slice, ops_softmax, ops_standardize, ops_unary,
	ops_loss,
	ops_control,
	ops_attention,
	ops_quantize,
	ops_integer,
	ops_recurrent,
	ops_cumprod,
	ops_rotary,
	ops_unique,
	ops_crop,
	ops_fused,
	ops_fused_attention,
	ops_spectral,
	ops_geometry,
};

const struct op_table op_table = { families, sizeof families / sizeof *families };
