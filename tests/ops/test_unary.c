/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>

#include "harness.h"
#include "ops/family.h"

Test(unary, vectors)
{
	check_vectors(ops_unary, 30, NULL);
}

static double reciprocal(double x) { return 1 / x; }
static double negative(double x) { return -x; }
static double sign(double x) { return (x > 0) - (x < 0); }

/* Every smooth or stepwise function with the range on which it is tried. */
static const struct { const char *name; double (*f)(double); double from, to; bool smooth; } rows[] = {
	{"Abs", fabs, -2, -0.1, true},     {"Acos", acos, -0.9, 0.9, true},
	{"Acosh", acosh, 1.1, 3, true},    {"Asin", asin, -0.9, 0.9, true},
	{"Asinh", asinh, -3, 3, true},     {"Atan", atan, -3, 3, true},
	{"Atanh", atanh, -0.9, 0.9, true}, {"Ceil", ceil, -3, 3, false},
	{"Cos", cos, -6, 6, true},         {"Cosh", cosh, -2, 2, true},
	{"Erf", erf, -2, 2, true},         {"Exp", exp, -3, 2, true},
	{"Floor", floor, -3, 3, false},    {"Log", log, 0.1, 5, true},
	{"Neg", negative, -3, 3, true},    {"Reciprocal", reciprocal, 0.5, 3, true},
	{"Round", rint, -3, 3, false},     {"Sign", sign, -3, 3, false},
	{"Sin", sin, -6, 6, true},         {"Sinh", sinh, -2, 2, true},
	{"Sqrt", sqrt, 0.1, 5, true},      {"Tan", tan, -1, 1, true},
};

Test(unary, values_and_reverse)
{
	for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
		struct op_case *c = case_new(ops_unary, rows[k].name, 22);

		case_in_range(c, DT_DOUBLE, SHAPE(3, 7), rows[k].from, rows[k].to);
		if (rows[k].smooth)
			check_reverse(c, 1);
		else
			case_run(c);
		cr_assert(rows[k].smooth || !c->node.op->reverse, "%s", rows[k].name);
		for (int64_t i = 0; i < 21; i++)
			cr_assert_float_eq(tensor_get(&c->out[0], i), rows[k].f(tensor_get(&c->in[0], i)), 1e-14, "%s",
			                   rows[k].name);
		case_free(c);
	}
}

Test(unary, integers)
{
	static const struct { const char *name; double want[4]; } integers[] = {
		{"Abs", {-128, 1, 0, 7}},
		{"Neg", {-128, 1, 0, -7}},
		{"Sign", {-1, -1, 0, 1}},
		{"BitwiseNot", {127, 0, -1, -8}},
	};

	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_unary, integers[k].name, 18);

		case_in(c, DT_INT8, SHAPE(4), VALUES(-128, -1, 0, 7));
		case_run(c);
		case_expect(c, 0, DT_INT8, SHAPE(4), integers[k].want, 0);
		case_free(c);
	}
}

Test(unary, infinities)
{
	for (int minus = 0; minus < 2; minus++) {
		struct op_case *c = case_new(ops_unary, "IsInf", 20);

		case_int(c, "detect_negative", minus);
		case_int(c, "detect_positive", !minus);
		case_in(c, DT_FLOAT, SHAPE(4), VALUES(INFINITY, -INFINITY, NAN, 1));
		case_run(c);
		case_expect(c, 0, DT_BOOL, SHAPE(4), minus ? VALUES(0, 1, 0, 0) : VALUES(1, 0, 0, 0), 0);
		case_free(c);
	}
}

Test(unary, nan)
{
	struct op_case *c = case_new(ops_unary, "IsNaN", 13);

	case_in(c, DT_BFLOAT16, SHAPE(3), VALUES(INFINITY, NAN, 1));
	case_run(c);
	case_expect(c, 0, DT_BOOL, SHAPE(3), VALUES(0, 1, 0), 0);
	case_free(c);
	c = case_new(ops_unary, "Sign", 13);
	case_in(c, DT_FLOAT, SHAPE(4), VALUES(-INFINITY, NAN, 0, 3));
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(4), VALUES(-1, NAN, 0, 1), 0);
	case_free(c);
}

Test(unary, other_types_are_refused)
{
	struct op_case *c = case_new(ops_unary, "Exp", 13);

	case_in(c, DT_INT32, SHAPE(3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_UNSUPPORTED);
	case_free(c);
}
