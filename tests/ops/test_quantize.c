/* SPDX-License-Identifier: Apache-2.0 */
/* Quantization, and products of quantized integers. */
#include <criterion/criterion.h>
#include <math.h>

#include "harness.h"
#include "ops/family.h"

Test(quantize, vectors)
{
	check_vectors(ops_quantize, 7, NULL);
}

Test(integer, vectors)
{
	check_vectors(ops_integer, 7, NULL);
}

/* Dequantized quantized data are within half a step of what they were, for every grain. */
Test(quantize, there_and_back)
{
	static const int64_t scales[3][2] = {{1}, {3}, {2, 2}};

	for (int k = 0; k < 3; k++) {
		int rank = k == 2 ? 2 : k == 1;
		struct op_case *c = case_new(ops_quantize, "QuantizeLinear", 21), *d = case_new(ops_quantize,
		                                                                                "DequantizeLinear",
		                                                                                21);
		struct tensor *x = case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);

		case_int(c, "axis", 1);
		case_int(d, "axis", -1);
		if (k == 2) {
			case_int(c, "block_size", 2);
			case_int(d, "block_size", 2);
		}
		case_in(c, DT_FLOAT, rank, scales[k], VALUES(0.25, 0.5, 0.125, 1));
		case_in(c, DT_INT8, rank, scales[k], VALUES(3, -5, 7, 0));
		case_run(c);
		case_in(d, DT_INT8, SHAPE(2, 3), NULL);
		for (int i = 0; i < 6; i++)
			tensor_set(&d->in[0], i, tensor_get(&c->out[0], i));
		case_in(d, DT_FLOAT, rank, scales[k], VALUES(0.25, 0.5, 0.125, 1));
		case_in(d, DT_INT8, rank, scales[k], VALUES(3, -5, 7, 0));
		case_run(d);
		for (int i = 0; i < 6; i++) {
			double step = k == 0 ? 0.25 : k == 1 ? (const double[]){0.25, 0.5, 0.125}[i % 3]
			                                     : (const double[]){0.25, 0.5, 0.125,
			                                                        1}[i / 3 * 2 + i % 3 / 2];

			cr_assert_leq(fabs(tensor_get(&d->out[0], i) - tensor_get(x, i)), step / 2, "grain %d element %d",
			              k, i);
		}
		case_free(c);
		case_free(d);
	}
}

/* The scale's gradient is the sum of the levels it multiplies. */
Test(quantize, reverse_of_the_scale)
{
	struct op_case *c = case_new(ops_quantize, "DequantizeLinear", 13);
	struct tensor gscale = {0}, seed = {0};
	const struct tensor *gout[] = {&seed}, *in[3];
	struct tensor *gin[3] = {NULL, &gscale, NULL}, *out[] = {&c->out[0]};
	struct op_grad g;
	struct op_call call;

	case_int(c, "axis", 0);
	case_in(c, DT_UINT8, SHAPE(2, 2), VALUES(10, 20, 30, 40));
	case_in(c, DT_FLOAT, SHAPE(2), VALUES(2, 3));
	case_in(c, DT_UINT8, SHAPE(2), VALUES(1, 2));
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(2, 2), VALUES(18, 38, 84, 114), 0);
	for (int i = 0; i < 3; i++)
		in[i] = &c->in[i];
	seed = c->out[0];
	seed.data = (float[]){1, 2, 3, 4};
	gscale = c->in[1];
	gscale.data = (float[]){5, 5};
	call = (struct op_call){.node = &c->node, .n_in = 3, .n_out = 1, .in = in, .out = out, .scratch =
	                        &c->scratch};
	g = (struct op_grad){&call, gout, gin};
	cr_assert_eq(c->node.op->reverse(&g), TAMIS_OK);
	cr_expect_float_eq(tensor_get(&gscale, 0), 5 + 9 + 2 * 19, 1e-5);
	cr_expect_float_eq(tensor_get(&gscale, 1), 5 + 3 * 28 + 4 * 38, 1e-5);
	case_free(c);
}

Test(quantize, refuses)
{
	for (int k = 0; k < 5; k++) {
		struct op_case *c = case_new(ops_quantize, "QuantizeLinear", 21);

		if (k == 0)
			case_int(c, "block_size", -1);
		if (k == 1)
			case_int(c, "block_size", 2);
		case_in(c, k == 2 ? DT_STRING : DT_FLOAT, SHAPE(2, 3), NULL);
		case_in(c, DT_FLOAT, SHAPE(k == 3 ? 2 : 3), NULL);
		case_in(c, DT_INT8, SHAPE(k == 4 ? 2 : k == 3 ? 2 : 3), NULL);
		cr_expect_eq(case_status(c), k == 2 ? TAMIS_E_UNSUPPORTED : TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}

/* A block that no axis reaches the end of is one block. */
Test(quantize, blocks_of_any_size)
{
	for (int k = 0; k < 2; k++) {
		struct op_case *c = case_new(ops_quantize, "DequantizeLinear", 21);

		case_int(c, "axis", 0);
		case_int(c, "block_size", INT64_MAX - 1 + k);
		case_in(c, DT_INT8, SHAPE(3, 2), VALUES(1, 2, 3, 4, 5, 6));
		case_in(c, DT_FLOAT, SHAPE(1, 2), VALUES(2, 3));
		case_run(c);
		case_expect(c, 0, DT_FLOAT, SHAPE(3, 2), VALUES(2, 6, 6, 12, 10, 18), 0);
		case_free(c);
	}
}

/* Zero points of rows, columns and kernels, against the definition. */
Test(integer, zero_points)
{
	struct op_case *c = case_new(ops_integer, "MatMulInteger", 10);

	case_in(c, DT_UINT8, SHAPE(2, 2), VALUES(1, 2, 255, 4));
	case_in(c, DT_INT8, SHAPE(2, 2), VALUES(-128, 6, 7, 8));
	case_in(c, DT_UINT8, SHAPE(2), VALUES(1, 5));
	case_in(c, DT_INT8, SHAPE(2), VALUES(2, -3));
	case_run(c);
	case_expect(c, 0, DT_INT32, SHAPE(2, 2), VALUES(5, 11, 250 * -130 - 5, 250 * 9 - 11), 0);
	case_free(c);
	c = case_new(ops_integer, "ConvInteger", 10);
	case_in(c, DT_UINT8, SHAPE(1, 1, 3), VALUES(1, 2, 3));
	case_in(c, DT_UINT8, SHAPE(2, 1, 1), VALUES(5, 6));
	case_in(c, DT_UINT8, 0, NULL, VALUES(1));
	case_in(c, DT_UINT8, SHAPE(2), VALUES(3, 4));
	case_run(c);
	case_expect(c, 0, DT_INT32, SHAPE(1, 2, 3), VALUES(0, 2, 4, 0, 2, 4), 0);
	case_free(c);
}

/* QLinearConv with a kernel of one element is a scaling a channel. */
Test(integer, scales_of_channels)
{
	struct op_case *c = case_new(ops_integer, "QLinearConv", 10);

	case_in(c, DT_UINT8, SHAPE(1, 1, 2, 1), VALUES(10, 20));
	case_in(c, DT_FLOAT, 0, NULL, VALUES(0.5));
	case_in(c, DT_UINT8, 0, NULL, VALUES(0));
	case_in(c, DT_INT8, SHAPE(2, 1, 1, 1), VALUES(3, -4));
	case_in(c, DT_FLOAT, SHAPE(2), VALUES(1, 2));
	case_in(c, DT_INT8, SHAPE(2), VALUES(0, 0));
	case_in(c, DT_FLOAT, 0, NULL, VALUES(1));
	case_in(c, DT_UINT8, 0, NULL, VALUES(100));
	case_in(c, DT_INT32, SHAPE(2), VALUES(2, 10));
	case_run(c);
	case_expect(c, 0, DT_UINT8, SHAPE(1, 2, 2, 1), VALUES(116, 131, 70, 30), 0);
	case_free(c);
}

Test(integer, refuses)
{
	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_integer, "MatMulInteger", 10);

		case_in(c, k == 0 ? DT_FLOAT : DT_UINT8, SHAPE(2, 3), NULL);
		case_in(c, DT_INT8, SHAPE(k == 1 ? 2 : 3, 2), NULL);
		case_in(c, k == 2 ? DT_INT8 : DT_UINT8, SHAPE(2), NULL);
		case_in(c, DT_INT8, SHAPE(k == 3 ? 3 : 2), NULL);
		cr_expect_eq(case_status(c), k == 0 ? TAMIS_E_UNSUPPORTED : TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}

/* Sums of many products of the largest magnitude, longer than a float holds: each as a sum of integers. */
Test(integer, long_sums_are_exact)
{
	for (int k = 0; k < 4; k++) {
		int64_t depth = (const int64_t[]){257, 258, 1000, 3}[k];
		struct op_case *c = case_new(ops_integer, "MatMulInteger", 10);
		const struct tensor *a = case_in_range(c, DT_UINT8, SHAPE(2, 3, depth), 200, 255);
		const struct tensor *b = case_in_range(c, DT_INT8, SHAPE(depth, 4), -128, -90);

		case_in(c, DT_UINT8, SHAPE(1), VALUES(0));
		case_in(c, DT_INT8, SHAPE(4), VALUES(127, 126, 127, 125));
		case_run(c);
		a = &c->in[0];
		b = &c->in[1];
		for (int64_t i = 0; i < 24; i++) {
			int64_t sum = 0;

			for (int64_t l = 0; l < depth; l++)
				sum += tensor_get_int(a, i / 4 * depth + l)
					* (tensor_get_int(b, l * 4 + i % 4) - tensor_get_int(&c->in[3], i % 4));
			cr_assert_eq(tensor_get_int(&c->out[0], i), sum, "depth %lld element %lld", (long long)depth, (long long)i);
		}
		case_free(c);
	}
}

/* Convolutions over many channels in parts, and over few or grouped ones in one. */
Test(integer, convolutions_are_exact)
{
	for (int k = 0; k < 4; k++) {
		int64_t groups = k == 1 ? 4 : 1, channels = k == 2 ? 4 : 64, size = k == 3 ? 17 : 3, each = channels / groups;
		struct op_case *c = case_new(ops_integer, "ConvInteger", 10);

		case_int(c, "group", groups);
		case_in_range(c, DT_UINT8, SHAPE(2, channels, 18, 18), 200, 255);
		case_in_range(c, DT_INT8, SHAPE(4, each, size, size), -128, -90);
		case_in(c, DT_UINT8, SHAPE(1), VALUES(3));
		case_run(c);
		for (int64_t i = 0; i < c->out[0].count; i++) {
			int64_t out = 19 - size, x = i % out, y = i / out % out, o = i / out / out % 4, n = i / out / out / 4, sum = 0;

			for (int64_t l = 0; l < each * size * size; l++) {
				int64_t at = l / size / size + o / (4 / groups) * each, row = y + l / size % size, col = x + l % size;

				sum += (tensor_get_int(&c->in[0], ((n * channels + at) * 18 + row) * 18 + col) - 3)
					* tensor_get_int(&c->in[1], o * each * size * size + l);
			}
			cr_assert_eq(tensor_get_int(&c->out[0], i), sum, "case %d element %lld", k, (long long)i);
		}
		case_free(c);
	}
}

/* Rounding is to even, sums with the zero point saturate, whatever the magnitude. */
Test(quantize, ends_and_ties)
{
	static const double x[] = {0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.5, 255.5, 300, -300, 1e30, -1e30, 511.5, 5000.5};

	for (int k = 0; k < 4; k++) {
		bool is_signed = k % 2;
		double zero = k / 2 ? 100 : 0, low = is_signed ? -128 : 0, high = low + 255;
		struct op_case *c = case_new(ops_quantize, "QuantizeLinear", 13);

		case_in(c, DT_FLOAT, SHAPE(14), x);
		case_in(c, DT_FLOAT, 0, NULL, VALUES(1));
		case_in(c, is_signed ? DT_INT8 : DT_UINT8, 0, NULL, &zero);
		case_run(c);
		for (int i = 0; i < 14; i++)
			cr_assert_eq(tensor_get(&c->out[0], i), fmin(fmax(rint(x[i]) + zero, low), high), "%g with %g", x[i], zero);
		case_free(c);
	}
}
