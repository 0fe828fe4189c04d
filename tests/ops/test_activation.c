/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>

#include "harness.h"
#include "ops/family.h"

Test(activation, vectors)
{
	check_vectors(ops_activation, 40, NULL);
}

static double relu(double x) { return fmax(x, 0); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double softplus(double x) { return log(1 + exp(x)); }
static double softsign(double x) { return x / (1 + fabs(x)); }
static double gelu(double x) { return 0.5 * x * (1 + erf(x / sqrt(2))); }
static double mish(double x) { return x * tanh(softplus(x)); }
static double hard_swish(double x) { return x * fmax(0, fmin(1, x / 6 + 0.5)); }
static double elu(double x) { return x < 0 ? exp(x) - 1 : x; }
static double selu(double x)
{
	return (double)1.05070102214813232421875f *
	       (x > 0 ? x : (double)1.67326319217681884765625f * (exp(x) - 1));
}
static double old_selu(double x) { return (double)1.0507f * (x > 0 ? x : (double)1.6732f * (exp(x) - 1)); }
static double celu(double x) { return fmax(0, x) + fmin(0, exp(x) - 1); }
static double leaky(double x) { return x < 0 ? (double)0.01f * x : x; }
static double thresholded(double x) { return x > 1 ? x : 0; }
static double hard_sigmoid(double x) { return fmax(0, fmin(1, (double)0.2f * x + 0.5)); }
static double shrink(double x) { return fabs(x) > 0.5 ? x : 0; }
static double swish(double x) { return x * sigmoid(x); }

/* Defaults of every attribute. */
static const struct { const char *name; int opset; double (*f)(double); } rows[] = {
	{"Relu", 14, relu},
	{"Sigmoid", 13, sigmoid},
	{"Softplus", 1, softplus},
	{"Softsign", 1, softsign},
	{"Tanh", 13, tanh},
	{"Gelu", 20, gelu},
	{"Mish", 18, mish},
	{"HardSwish", 14, hard_swish},
	{"Elu", 6, elu},
	{"Selu", 6, selu},
	{"Selu", 5, old_selu},
	{"Celu", 12, celu},
	{"LeakyRelu", 16, leaky},
	{"ThresholdedRelu", 10, thresholded},
	{"HardSigmoid", 6, hard_sigmoid},
	{"Shrink", 9, shrink},
	{"Swish", 24, swish},
};

Test(activation, values_and_reverse)
{
	for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
		struct op_case *c = case_new(ops_activation, rows[k].name, rows[k].opset);

		case_in(c, DT_DOUBLE, SHAPE(2, 3, 5), NULL);
		check_reverse(c, 1);
		for (int64_t i = 0; i < 30; i++)
			cr_assert_float_eq(tensor_get(&c->out[0], i), rows[k].f(tensor_get(&c->in[0], i)), 1e-12, "%s",
			                   rows[k].name);
		case_free(c);
	}
}

static const struct { const char *name; int opset; const char *attr[2]; double value[2]; } tuned[] = {
	{"Elu", 6, {"alpha"}, {0.7}}, {"Selu", 6, {"alpha", "gamma"}, {2, 3}}, {"Celu", 12, {"alpha"}, {2}},
	{"LeakyRelu", 16, {"alpha"}, {0.3}}, {"ThresholdedRelu", 10, {"alpha"}, {0.5}},
	{"HardSigmoid", 6, {"alpha", "beta"}, {0.5, 0.5}}, {"Shrink", 9, {"lambd", "bias"}, {1, 0.25}},
	{"Swish", 24, {"alpha"}, {1.7}},
};

Test(activation, reverse_with_attributes)
{
	for (size_t k = 0; k < sizeof tuned / sizeof *tuned; k++) {
		struct op_case *c = case_new(ops_activation, tuned[k].name, tuned[k].opset);

		for (int i = 0; i < 2 && tuned[k].attr[i]; i++)
			case_float(c, tuned[k].attr[i], tuned[k].value[i]);
		case_in(c, DT_DOUBLE, SHAPE(31), NULL);
		check_reverse(c, 1);
		case_free(c);
	}
}

Test(activation, gelu_by_tanh)
{
	struct op_case *c = case_new(ops_activation, "Gelu", 20);

	case_string(c, "approximate", "tanh");
	case_in(c, DT_DOUBLE, SHAPE(31), NULL);
	check_reverse(c, 1);
	for (int64_t i = 0; i < 31; i++)
		cr_assert_float_eq(tensor_get(&c->out[0], i), gelu(tensor_get(&c->in[0], i)), 1e-3);
	case_free(c);
	c = case_new(ops_activation, "Gelu", 20);
	case_string(c, "approximate", "quick");
	case_in(c, DT_DOUBLE, SHAPE(3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}

/* Far from zero nothing may overflow to NaN. */
Test(activation, extremes)
{
	static const struct { const char *name; int opset; double want[2]; } far[] = {
		{"Sigmoid", 13, {1, 0}}, {"Softplus", 1, {1000, 0}}, {"Softsign", 1, {1000.0 / 1001, -1000.0 / 1001}},
		{"Tanh", 13, {1, -1}}, {"Gelu", 20, {1000, 0}}, {"Mish", 18, {1000, 0}}, {"Swish", 24, {1000, 0}},
		{"Elu", 6, {1000, -1}}, {"Celu", 12, {1000, -1}}, {"HardSwish", 14, {1000, 0}},
	};

	for (size_t k = 0; k < sizeof far / sizeof *far; k++) {
		struct op_case *c = case_new(ops_activation, far[k].name, far[k].opset);

		case_in(c, DT_FLOAT, SHAPE(2), VALUES(1000, -1000));
		case_run(c);
		case_expect(c, 0, DT_FLOAT, SHAPE(2), far[k].want, 1e-6);
		case_free(c);
	}
}

Test(activation, prelu)
{
	static const struct {
		int rank;
		int64_t dims[4]; } slopes[] = {{0, {0}}, {3, {3, 1, 1}}, {1, {5}}, {4, {2, 3, 4, 5}}};
	struct op_case *c;

	for (int k = 0; k < 4; k++) {
		c = case_new(ops_activation, "PRelu", 16);
		case_in(c, DT_DOUBLE, SHAPE(2, 3, 4, 5), NULL);
		case_in(c, DT_DOUBLE, slopes[k].rank, slopes[k].dims, NULL);
		check_reverse(c, 3);
		case_free(c);
	}
	c = case_new(ops_activation, "PRelu", 16);
	case_in(c, DT_DOUBLE, SHAPE(1, 3), NULL);
	case_in(c, DT_DOUBLE, SHAPE(2, 3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID, "broadcasting is one-way");
	case_free(c);
}

Test(activation, clip)
{
	struct op_case *c = case_new(ops_activation, "Clip", 13);

	case_in(c, DT_DOUBLE, SHAPE(4, 6), NULL);
	case_in(c, DT_DOUBLE, 0, NULL, VALUES(-0.75));
	case_in(c, DT_DOUBLE, 0, NULL, VALUES(1.25));
	check_reverse(c, 7);
	case_free(c);
	c = case_new(ops_activation, "Clip", 13);
	case_in(c, DT_DOUBLE, SHAPE(4, 6), NULL);
	case_absent(c);
	case_in(c, DT_DOUBLE, 0, NULL, VALUES(0.25));
	check_reverse(c, 5);
	case_free(c);
	c = case_new(ops_activation, "Clip", 6);
	case_float(c, "min", 0);
	case_float(c, "max", 6);
	case_in_range(c, DT_DOUBLE, SHAPE(4, 6), -10, 10);
	check_reverse(c, 1);
	case_free(c);
}

Test(activation, clip_bounds)
{
	struct op_case *c = case_new(ops_activation, "Clip", 13);

	case_in(c, DT_FLOAT, SHAPE(4), VALUES(-INFINITY, INFINITY, NAN, 1));
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(4), VALUES((double)-FLT_MAX, (double)FLT_MAX, NAN, 1), 0);
	case_free(c);
	c = case_new(ops_activation, "Clip", 13);
	case_in(c, DT_INT32, SHAPE(3), VALUES(-5, 0, 5));
	case_in(c, DT_INT32, 0, NULL, VALUES(2));
	case_in(c, DT_INT32, 0, NULL, VALUES(1));
	case_run(c);
	case_expect(c, 0, DT_INT32, SHAPE(3), VALUES(1, 1, 1), 0);
	case_free(c);
	c = case_new(ops_activation, "Clip", 13);
	case_in(c, DT_FLOAT, SHAPE(3), NULL);
	case_in(c, DT_FLOAT, SHAPE(3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}
