/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of one element that are not used as activations: arithmetic, roundings, trigonometry, tests. */
#include "ops/map.h"
#include "ops/vector_math.h"

MAP_FLOAT_ROWS(neg, -x)
MAP_SIGNED_ROWS(neg, 0 - (uint64_t)x)
MAP_FLOAT_SLOPES(neg, -1)
static const struct map neg_map = {.row = {MAP_FLOATS(neg), MAP_SIGNED(neg)}, .slope = {MAP_SLOPES(neg)}};
MAP_STEPS_REVERSE(neg)

MAP_FLOAT_ROWS(abs, fabs(x))
MAP_SIGNED_ROWS(abs, x < 0 ? 0 - (uint64_t)x : (uint64_t)x)
MAP_UNSIGNED_ROWS(abs, x)
MAP_FLOAT_SLOPES(abs, (x > 0) - (x < 0))
static const struct map abs_map = {
	.row = {MAP_FLOATS(abs), MAP_SIGNED(abs), MAP_UNSIGNED(abs)}, .slope = {MAP_SLOPES(abs)},
};
MAP_STEPS_REVERSE(abs)

MAP_FLOAT_ROWS(sign, x != x ? x : (T)((x > 0) - (x < 0)))
MAP_SIGNED_ROWS(sign, (x > 0) - (x < 0))
MAP_UNSIGNED_ROWS(sign, x > 0)
static const struct map sign_map = {.row = {MAP_FLOATS(sign), MAP_SIGNED(sign), MAP_UNSIGNED(sign)}};
MAP_STEPS(sign)

MAP_SIGNED_ROWS(bit_not, ~x)
MAP_UNSIGNED_ROWS(bit_not, ~(uint64_t)x)
static const struct map bit_not_map = {.row = {MAP_SIGNED(bit_not), MAP_UNSIGNED(bit_not)}};
MAP_STEPS(bit_not)

MAP_STEP(floor, floor(x))
MAP_STEP(ceil, ceil(x))
MAP_STEP(round, rint(x))

MAP_SMOOTH(sqrt, sqrt(x), (T)0.5 / y)
MAP_SMOOTH(exp, VECTOR_EXP(x), y)
MAP_SMOOTH(log, log(x), 1 / x)
MAP_SMOOTH(reciprocal, 1 / x, -y * y)
MAP_SMOOTH(erf, VECTOR_ERF(x), (T)1.1283791670955126 * exp(-x * x)) /* 2 / sqrt(pi) */

MAP_SMOOTH(sin, sin(x), cos(x))
MAP_SMOOTH(cos, cos(x), -sin(x))
MAP_SMOOTH(tan, tan(x), 1 + y * y)
MAP_SMOOTH(asin, asin(x), 1 / sqrt(1 - x * x))
MAP_SMOOTH(acos, acos(x), -1 / sqrt(1 - x * x))
MAP_SMOOTH(atan, atan(x), 1 / (1 + x * x))
MAP_SMOOTH(sinh, sinh(x), cosh(x))
MAP_SMOOTH(cosh, cosh(x), sinh(x))
MAP_SMOOTH(asinh, asinh(x), 1 / sqrt(x * x + 1))
MAP_SMOOTH(acosh, acosh(x), 1 / sqrt(x * x - 1))
MAP_SMOOTH(atanh, atanh(x), 1 / (1 - x * x))

MAP_TEST(is_nan_float, float, x != x)
MAP_TEST(is_nan_double, double, x != x)
static const struct map is_nan_map = {.row = {MAP_FLOATS(is_nan)}, .result = DT_BOOL};
MAP_STEPS(is_nan)

/* p[0]: minus infinity counts; p[1]: plus infinity counts. */
MAP_TEST(is_inf_float, float, isinf(x) && p[x > 0] != 0)
MAP_TEST(is_inf_double, double, isinf(x) && p[x > 0] != 0)
static const struct map is_inf_map = {.row = {MAP_FLOATS(is_inf)}, .result = DT_BOOL};
MAP_STEPS(is_inf)

static enum tamis_status is_inf_parse(struct op_parse *p, void **attr)
{
	double *wanted = arena_array(p->arena, 4, sizeof *wanted);
	bool minus, plus;
	enum tamis_status status;

	if (!wanted)
		return tm_no_memory(p->err, "reading attributes");
	status = attr_bool(p, "detect_negative", true, &minus);
	if (status == TAMIS_OK)
		status = attr_bool(p, "detect_positive", true, &plus);
	if (status != TAMIS_OK)
		return status;
	wanted[0] = minus;
	wanted[1] = plus;
	*attr = wanted;
	return TAMIS_OK;
}

#define UNARY(op_name, first, steps) \
	.name = op_name, .domain = "", .since = first, .until = OP_LATEST, .min_in = 1, .max_in = 1, \
	.min_out = 1, .max_out = 1, .flags = OP_INPLACE, .channels = channels_elementwise, .shape = steps##_shape, \
	.run = steps##_run

const struct op ops_unary[] = {
	{UNARY("Abs", 1, abs), .reverse = abs_reverse},
	{UNARY("Acos", 7, acos), .reverse = acos_reverse},
	{UNARY("Acosh", 9, acosh), .reverse = acosh_reverse},
	{UNARY("Asin", 7, asin), .reverse = asin_reverse},
	{UNARY("Asinh", 9, asinh), .reverse = asinh_reverse},
	{UNARY("Atan", 7, atan), .reverse = atan_reverse},
	{UNARY("Atanh", 9, atanh), .reverse = atanh_reverse},
	{UNARY("BitwiseNot", 18, bit_not)},
	{UNARY("Ceil", 1, ceil)},
	{UNARY("Cos", 7, cos), .reverse = cos_reverse},
	{UNARY("Cosh", 9, cosh), .reverse = cosh_reverse},
	{UNARY("Erf", 9, erf), .reverse = erf_reverse},
	{UNARY("Exp", 1, exp), .reverse = exp_reverse},
	{UNARY("Floor", 1, floor)},
	{UNARY("IsInf", 10, is_inf), .parse = is_inf_parse},
	{UNARY("IsNaN", 9, is_nan)},
	{UNARY("Log", 1, log), .reverse = log_reverse},
	{UNARY("Neg", 1, neg), .reverse = neg_reverse},
	{UNARY("Reciprocal", 1, reciprocal), .reverse = reciprocal_reverse},
	{UNARY("Round", 11, round)},
	{UNARY("Sign", 9, sign)},
	{UNARY("Sin", 7, sin), .reverse = sin_reverse},
	{UNARY("Sinh", 9, sinh), .reverse = sinh_reverse},
	{UNARY("Sqrt", 1, sqrt), .reverse = sqrt_reverse},
	{UNARY("Tan", 7, tan), .reverse = tan_reverse},
	{0},
};
