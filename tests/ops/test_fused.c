/* SPDX-License-Identifier: Apache-2.0 */
/* Compositions: each equals its parts, and gradients pass through all of them. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "harness.h"
#include "ops/family.h"

Test(fused, activations)
{
	static const struct { const char *name; bool bias; } ops[] = {
		{"Gelu", false}, {"BiasGelu", true}, {"FastGelu", true}, {"FastGelu", false}, {"QuickGelu", false},
	};

	for (int k = 0; k < 5; k++) {
		char name[64];
		struct op_case *c;

		snprintf(name, sizeof name, "com.microsoft:%s", ops[k].name);
		c = case_new(ops_fused, name, 1);
		case_in(c, DT_DOUBLE, SHAPE(3, 4), NULL);
		if (ops[k].bias)
			case_in(c, DT_DOUBLE, SHAPE(4), NULL);
		check_reverse(c, ops[k].bias ? 3 : 1);
		for (int i = 0; i < 12; i++) {
			double x = tensor_get(&c->in[0], i) + (ops[k].bias ? tensor_get(&c->in[1], i % 4) : 0);
			double want = k == 4 ? x / (1 + exp(-(double)1.702f * x)) : x * (1 + erf(x / sqrt(2))) / 2;

			cr_assert_float_eq(tensor_get(&c->out[0], i), want, k == 2 || k == 3 ? 2e-3 : 1e-9, "%s", name);
		}
		case_free(c);
	}
}

Test(fused, gated)
{
	struct op_case *c = case_new(ops_fused, "SwiGLU", 28);

	case_float(c, "alpha", 1.5);
	case_in(c, DT_DOUBLE, SHAPE(2, 3), NULL);
	case_in(c, DT_DOUBLE, SHAPE(2, 3), NULL);
	check_reverse(c, 3);
	case_free(c);
}

Test(fused, convolution)
{
	static const char *const activations[] = {NULL, "Relu", "LeakyRelu", "HardSigmoid", "Tanh", "Sigmoid"};

	for (int k = 0; k < 12; k++) {
		struct op_case *c = case_new(ops_fused, "com.microsoft:FusedConv", 1);

		if (activations[k / 2]) {
			case_string(c, "activation", activations[k / 2]);
			case_floats(c, "activation_params", 2, VALUES(0.3, 0.4));
		}
		case_ints(c, "pads", 4, DIMS(1, 1, 1, 1));
		case_in(c, DT_DOUBLE, SHAPE(1, 2, 3, 3), NULL);
		case_in(c, DT_DOUBLE, SHAPE(2, 2, 3, 3), NULL);
		case_in(c, DT_DOUBLE, SHAPE(2), NULL);
		if (k % 2)
			case_in(c, DT_DOUBLE, SHAPE(1, 2, 3, 3), NULL);
		check_reverse(c, k % 2 ? 15 : 7);
		case_free(c);
	}
}

Test(fused, products)
{
	for (int k = 0; k < 8; k++) {
		bool a = k % 2, b = k / 2 % 2;
		struct op_case *c = case_new(ops_fused, k / 4 ?
		                             "com.microsoft:FusedGemm" : "com.microsoft:FusedMatMul", 1);

		case_int(c, "transA", a);
		case_int(c, "transB", b);
		case_float(c, "alpha", 0.5);
		if (k / 4)
			case_string(c, "activation", "LeakyRelu");
		if (k / 4) {
			case_in(c, DT_DOUBLE, 2, a ? DIMS(3, 2) : DIMS(2, 3), NULL);
			case_in(c, DT_DOUBLE, 2, b ? DIMS(4, 3) : DIMS(3, 4), NULL);
			case_in(c, DT_DOUBLE, SHAPE(4), NULL);
		} else {
			case_in(c, DT_DOUBLE, 3, a ? DIMS(2, 3, 2) : DIMS(2, 2, 3), NULL);
			case_in(c, DT_DOUBLE, 2, b ? DIMS(4, 3) : DIMS(3, 4), NULL);
		}
		check_reverse(c, k / 4 ? 7 : 3);
		for (int i = 0; k / 4 == 0 && i < 16; i++) {
			double sum = 0;

			for (int l = 0; l < 3; l++)
				sum += tensor_get(&c->in[0], i / 8 * 6 + (a ? l * 2 + i / 4 % 2 : i / 4 % 2 * 3 + l)) *
				       tensor_get(&c->in[1], b ? i % 4 * 3 + l : l * 4 + i % 4);
			cr_assert_float_eq(tensor_get(&c->out[0], i), sum / 2, 1e-12);
		}
		case_free(c);
	}
}

/* Rows of the result have mean beta and deviation gamma where those are one number. */
Test(fused, sums_normalized)
{
	for (int k = 0; k < 4; k++) {
		bool simple = k / 2, bias = k % 2;
		struct op_case *c = case_new(
			ops_fused, simple ?
				"com.microsoft:SkipSimplifiedLayerNormalization" : "com.microsoft:SkipLayerNormalization", 1);

		case_in(c, DT_DOUBLE, SHAPE(2, 3, 4), NULL);
		case_in(c, DT_DOUBLE, SHAPE(2, 3, 4), NULL);
		case_in(c, DT_DOUBLE, SHAPE(4), NULL);
		if (!simple)
			case_in(c, DT_DOUBLE, SHAPE(4), NULL);
		if (bias)
			case_in(c, DT_DOUBLE, SHAPE(4), NULL);
		case_outputs(c, 4);
		case_drop_output(c, 1);
		case_drop_output(c, 2);
		check_reverse(c, (1U << c->node.n_in) - 1);
		cr_assert_float_eq(tensor_get(&c->out[3], 0), tensor_get(&c->in[0], 0) + tensor_get(&c->in[1], 0) +
		                   (bias ? tensor_get(&c->in[c->node.n_in - 1], 0) : 0), 1e-12);
		case_free(c);
	}
}

/* y = gamma x / sqrt(mean of x^2), in either domain. */
Test(fused, simplified)
{
	static const char *const names[] = {"SimplifiedLayerNormalization", "com.microsoft:SimplifiedLayerNormalization"};

	for (int k = 0; k < 2; k++) {
		struct op_case *c = case_new(ops_fused, names[k], 1);

		case_in(c, DT_DOUBLE, SHAPE(3, 4), NULL);
		case_in(c, DT_DOUBLE, SHAPE(4), NULL);
		check_reverse(c, 3);
		for (int i = 0; i < 12; i++) {
			double square = 0;

			for (int j = i / 4 * 4; j < i / 4 * 4 + 4; j++)
				square += tensor_get(&c->in[0], j) * tensor_get(&c->in[0], j) / 4;
			cr_assert_float_eq(tensor_get(&c->out[0], i),
			                   tensor_get(&c->in[1], i % 4) * tensor_get(&c->in[0], i) / sqrt(square + 1e-5), 1e-6);
		}
		case_free(c);
	}
}

Test(fused, embeddings)
{
	for (int k = 0; k < 2; k++) {
		struct op_case *c = case_new(ops_fused, "com.microsoft:EmbedLayerNormalization", 1);

		case_in(c, DT_INT32, SHAPE(2, 3), VALUES(0, 4, 2, 1, 1, 3));
		case_in(c, DT_INT32, SHAPE(2, 3), VALUES(0, 1, 1, 0, 0, 1));
		case_in(c, DT_DOUBLE, SHAPE(5, 4), NULL);
		case_in(c, DT_DOUBLE, SHAPE(6, 4), NULL);
		case_in(c, DT_DOUBLE, SHAPE(2, 4), NULL);
		case_in(c, DT_DOUBLE, SHAPE(4), NULL);
		case_in(c, DT_DOUBLE, SHAPE(4), NULL);
		case_in(c, DT_INT32, SHAPE(2, 3), VALUES(1, 1, 0, 1, 0, 0));
		if (k)
			case_in(c, DT_INT32, SHAPE(2, 3), VALUES(0, 1, 5, 2, 2, 2));
		case_outputs(c, 2);
		check_reverse(c, 0x7c);
		case_expect(c, 1, DT_INT32, SHAPE(2), VALUES(2, 1), 0);
		case_free(c);
	}
}

Test(fused, attention)
{
	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_fused_attention, "com.microsoft:Attention", 1);

		case_int(c, "num_heads", 2);
		case_int(c, "unidirectional", k % 2);
		case_in(c, DT_DOUBLE, SHAPE(2, 3, 4), NULL);
		case_in(c, DT_DOUBLE, SHAPE(4, 12), NULL);
		case_in(c, DT_DOUBLE, SHAPE(12), NULL);
		if (k == 1)
			case_in(c, DT_INT32, SHAPE(2), VALUES(3, 2));
		else if (k == 2)
			case_in(c, DT_INT32, SHAPE(2, 3), VALUES(1, 0, 1, 1, 1, 1));
		else
			case_absent(c);
		case_absent(c);
		if (k >= 2)
			case_in(c, DT_DOUBLE, SHAPE(1, 2, 3, 3), NULL);
		check_reverse(c, k >= 2 ? 0x27 : 7);
		case_free(c);
	}
}

Test(fused, heads)
{
	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_fused_attention, "com.microsoft:MultiHeadAttention", 1);

		case_int(c, "num_heads", 2);
		case_in(c, DT_DOUBLE, SHAPE(2, 2, 4), NULL);
		case_in(c, DT_DOUBLE, SHAPE(2, 3, 4), NULL);
		case_in(c, DT_DOUBLE, SHAPE(2, 3, 4), NULL);
		if (k % 2)
			case_in(c, DT_DOUBLE, SHAPE(12), NULL);
		else
			case_absent(c);
		if (k / 2) {
			case_absent(c);
			case_absent(c);
			case_in(c, DT_DOUBLE, SHAPE(2, 2, 1, 2), NULL);
			case_in(c, DT_DOUBLE, SHAPE(2, 2, 1, 2), NULL);
			case_outputs(c, 3);
		} else {
			case_in(c, DT_INT32, SHAPE(2, 3), VALUES(1, 0, 1, 1, 1, 1));
		}
		check_reverse(c, 7U | (k % 2 ? 8U : 0) | (k / 2 ? 0xc0U : 0));
		case_free(c);
	}
}

Test(fused, refuses)
{
	struct op_case *c = case_new(ops_fused, "com.microsoft:FusedConv", 1);

	case_string(c, "activation", "Softsign");
	case_in(c, DT_FLOAT, SHAPE(1, 1, 3), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 1, 3), NULL);
	cr_expect_eq(case_status(c), TAMIS_E_UNSUPPORTED);
	case_free(c);
	c = case_new(ops_fused_attention, "com.microsoft:Attention", 1);
	case_in(c, DT_FLOAT, SHAPE(1, 2, 4), NULL);
	case_in(c, DT_FLOAT, SHAPE(4, 12), NULL);
	cr_expect_eq(case_status(c), TAMIS_E_INVALID, "num_heads is required");
	case_free(c);
}
