/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "harness.h"
#include "ops/broadcast.h"
#include "ops/family.h"

Test(elementwise, vectors)
{
	check_vectors(ops_elementwise, 60, NULL);
}

static const struct { int rank_a, rank_b; int64_t a[4], b[4]; } shapes[] = {
	{3, 3, {2, 3, 4}, {2, 3, 4}},
	{0, 0, {0}, {0}},
	{3, 0, {2, 3, 4}, {0}},
	{0, 2, {0}, {3, 5}},
	{4, 3, {2, 3, 2, 5}, {3, 1, 1}},
	{4, 1, {2, 3, 2, 5}, {5}},
	{4, 4, {2, 1, 2, 1}, {1, 3, 1, 5}},
	{1, 4, {17}, {2, 3, 1, 1}},
	{2, 2, {1, 9}, {9, 1}},
	{4, 4, {1, 1, 1, 1}, {1, 1, 1, 1}},
	{2, 2, {0, 3}, {1, 3}},
};
#define SHAPES (sizeof shapes / sizeof *shapes)

/* The same result by index arithmetic, one element at a time. */
static double naive(const struct tensor *a, const struct tensor *b, const struct tensor *out, int64_t at,
                    double (*f)(double, double))
{
	int64_t ia = 0, ib = 0, sa = 1, sb = 1;

	for (int k = 0; k < out->rank; k++) {
		int64_t size = out->dims[out->rank - 1 - k], index = at % size;
		int64_t da = k < a->rank ? a->dims[a->rank - 1 - k] : 1,
				db = k < b->rank ? b->dims[b->rank - 1 - k] : 1;

		at /= size;
		ia += da > 1 ? index * sa : 0;
		ib += db > 1 ? index * sb : 0;
		sa *= da;
		sb *= db;
	}
	return f(tensor_get(a, ia), tensor_get(b, ib));
}

static double add(double x, double y) { return x + y; }
static double sub(double x, double y) { return x - y; }
static double mul(double x, double y) { return x * y; }
static double divide(double x, double y) { return x / y; }
static double larger(double x, double y) { return x > y ? x : y; }
static double smaller(double x, double y) { return x < y ? x : y; }

static const struct { const char *name; double (*f)(double, double); } binaries[] = {
	{"Add", add}, {"Sub", sub}, {"Mul", mul}, {"Div", divide}, {"Max", larger}, {"Min", smaller},
	{"Pow", pow}, {"Sum", add},
};

Test(elementwise, broadcasting_equals_index_arithmetic)
{
	for (size_t k = 0; k < sizeof binaries / sizeof *binaries; k++) {
		for (size_t s = 0; s < SHAPES; s++) {
			struct op_case *c = case_new(ops_elementwise, binaries[k].name, 15);

			case_in_range(c, DT_DOUBLE, shapes[s].rank_a, shapes[s].a, 0.5, 3);
			case_in_range(c, DT_DOUBLE, shapes[s].rank_b, shapes[s].b, 0.5, 3);
			case_run(c);
			for (int64_t i = 0; i < c->out[0].count; i++)
				cr_assert_float_eq(tensor_get(&c->out[0], i),
				                   naive(&c->in[0], &c->in[1], &c->out[0], i, binaries[k].f), 1e-12,
				                   "%s, shapes %zu, element %lld", binaries[k].name, s, (long long)i);
			case_free(c);
		}
	}
}

Test(elementwise, reverse)
{
	for (size_t k = 0; k < sizeof binaries / sizeof *binaries; k++) {
		for (size_t s = 0; s < SHAPES; s++) {
			struct op_case *c = case_new(ops_elementwise, binaries[k].name, 15);

			case_in_range(c, DT_DOUBLE, shapes[s].rank_a, shapes[s].a, 0.5, 3);
			case_in_range(c, DT_DOUBLE, shapes[s].rank_b, shapes[s].b, 0.5, 3);
			check_reverse(c, 3);
			case_free(c);
		}
	}
}

Test(elementwise, reverse_of_variadic)
{
	static const char *const names[] = {"Max", "Min", "Mean", "Sum"};

	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_elementwise, names[k], 13);

		case_in(c, DT_DOUBLE, SHAPE(2, 1, 4), NULL);
		case_in(c, DT_DOUBLE, SHAPE(3, 1), NULL);
		case_in(c, DT_DOUBLE, SHAPE(2, 3, 4), NULL);
		case_in(c, DT_DOUBLE, 0, NULL, NULL);
		check_reverse(c, 15);
		case_expect(c, 0, DT_DOUBLE, SHAPE(2, 3, 4), NULL, 0);
		case_free(c);
		c = case_new(ops_elementwise, names[k], 13);
		case_in(c, DT_DOUBLE, SHAPE(7), NULL);
		check_reverse(c, 1);
		case_expect(c, 0, DT_DOUBLE, SHAPE(7), c->in[0].data, 0);
		case_free(c);
	}
}

/* Floor division, of floats, is new in opset 28. */
Test(elementwise, reverse_of_remainder)
{
	for (int truncate = 0; truncate < 2; truncate++) {
		struct op_case *c = case_new(ops_elementwise, "Mod", truncate ? 13 : 28);

		case_int(c, "fmod", truncate);
		case_in_range(c, DT_DOUBLE, SHAPE(3, 4), -4.9, -4.1);
		case_in_range(c, DT_DOUBLE, SHAPE(4), 1.7, 1.9);
		check_reverse(c, 3);
		case_free(c);
	}
}

Test(elementwise, power_of_mixed_types)
{
	struct op_case *c = case_new(ops_elementwise, "Pow", 15);

	case_in(c, DT_DOUBLE, SHAPE(2, 3), NULL);
	case_in(c, DT_INT64, SHAPE(3), VALUES(2, 3, 0));
	check_reverse(c, 1);
	case_free(c);
	c = case_new(ops_elementwise, "Pow", 15);
	case_in(c, DT_INT32, SHAPE(4), VALUES(2, -3, 5, 7));
	case_in(c, DT_INT64, SHAPE(4), VALUES(10, 3, 0, -1));
	case_run(c);
	case_expect(c, 0, DT_INT32, SHAPE(4), VALUES(1024, -27, 1, 0), 0);
	case_free(c);
	c = case_new(ops_elementwise, "Pow", 15);
	case_in(c, DT_INT32, SHAPE(3), VALUES(9, 2, 10));
	case_in(c, DT_FLOAT, SHAPE(3), VALUES(0.5, 0.5, -1));
	case_run(c);
	case_expect(c, 0, DT_INT32, SHAPE(3), VALUES(3, 1, 0), 0);
	case_free(c);
	c = case_new(ops_elementwise, "Pow", 15);
	case_in(c, DT_FLOAT, SHAPE(2, 2), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 1, 1), VALUES(2));
	case_run(c);
	for (int i = 0; i < 4; i++)
		cr_assert_eq((float)tensor_get(&c->out[0], i), powf((float)tensor_get(&c->in[0], i), 2));
	case_expect(c, 0, DT_FLOAT, SHAPE(1, 2, 2), NULL, 0);
	case_free(c);
}

/* What C leaves undefined must give a value. */
Test(elementwise, integer_corners)
{
	static const struct { const char *name; int fmod; double want[6]; } rows[] = {
		{"Div", -1, {0, 0, -128, -3, 3, -127}},
		{"Mod", 0, {0, 0, 0, 1, -1, 0}},
		{"Mod", 1, {0, 0, 0, -1, 1, 0}},
	};

	for (int k = 0; k < 3; k++) {
		struct op_case *c = case_new(ops_elementwise, rows[k].name, 14);

		if (rows[k].fmod >= 0)
			case_int(c, "fmod", rows[k].fmod);
		case_in(c, DT_INT8, SHAPE(6), VALUES(5, -128, -128, -7, 7, 127));
		case_in(c, DT_INT8, SHAPE(6), VALUES(0, 0, -1, 2, 2, -1));
		case_run(c);
		if (k == 0)
			case_expect(c, 0, DT_INT8, SHAPE(6), rows[k].want, 0);
		else
			case_expect(c, 0, DT_INT8, SHAPE(6),
			            k == 1 ? VALUES(0, 0, 0, 1, 1, 0) : VALUES(0, 0, 0, -1, 1, 0), 0);
		case_free(c);
	}
}

Test(elementwise, wide_integers_wrap)
{
	struct op_case *c = case_new(ops_elementwise, "Div", 14);
	int64_t *a = case_in(c, DT_INT64, SHAPE(2), VALUES(0, 0))->data;

	case_in(c, DT_INT64, SHAPE(2), VALUES(-1, 0));
	a[0] = a[1] = INT64_MIN;
	case_run(c);
	cr_assert_eq(((int64_t *)c->out[0].data)[0], INT64_MIN);
	cr_assert_eq(((int64_t *)c->out[0].data)[1], 0);
	case_free(c);
}

Test(elementwise, bits)
{
	static const struct { const char *name, *direction; double want[4]; } rows[] = {
		{"BitwiseAnd", NULL, {12 & 1, 5 & 7, 255 & 8, 1 & 200}}, {"BitwiseOr", NULL, {13, 7, 255, 201}},
		{"BitwiseXor", NULL, {13, 2, 247, 201}}, {"BitShift", "LEFT", {24, 128, 0, 0}},
		{"BitShift", "RIGHT", {6, 0, 0, 0}},
	};

	for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
		struct op_case *c = case_new(ops_elementwise, rows[k].name, 18);

		if (rows[k].direction)
			case_string(c, "direction", rows[k].direction);
		case_in(c, DT_UINT8, SHAPE(4), VALUES(12, 5, 255, 1));
		case_in(c, DT_UINT8, SHAPE(4), VALUES(1, 7, 8, 200));
		case_run(c);
		case_expect(c, 0, DT_UINT8, SHAPE(4), rows[k].want, 0);
		case_free(c);
	}
}

Test(elementwise, nan_wins_extremes)
{
	for (int k = 0; k < 2; k++) {
		struct op_case *c = case_new(ops_elementwise, k ? "Max" : "Min", 13);

		case_in(c, DT_FLOAT, SHAPE(3), VALUES(NAN, 1, 2));
		case_in(c, DT_FLOAT, SHAPE(3), VALUES(0, NAN, 2));
		case_run(c);
		case_expect(c, 0, DT_FLOAT, SHAPE(3), VALUES(NAN, NAN, 2), 0);
		case_free(c);
	}
}

Test(elementwise, errors)
{
	struct op_case *c = case_new(ops_elementwise, "Add", 14);

	case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
	case_in(c, DT_FLOAT, SHAPE(4), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
	c = case_new(ops_elementwise, "Mul", 14);
	case_in(c, DT_FLOAT, SHAPE(3), NULL);
	case_in(c, DT_DOUBLE, SHAPE(3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
	c = case_new(ops_elementwise, "Add", 14);
	case_in(c, DT_BOOL, SHAPE(3), NULL);
	case_in(c, DT_BOOL, SHAPE(3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_UNSUPPORTED);
	case_free(c);
	c = case_new(ops_elementwise, "Mod", 13);
	case_in(c, DT_FLOAT, SHAPE(3), NULL);
	case_in(c, DT_FLOAT, SHAPE(3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
	c = case_new(ops_elementwise, "BitShift", 13);
	case_in(c, DT_UINT8, SHAPE(3), NULL);
	case_in(c, DT_UINT8, SHAPE(3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID, "direction is required");
	case_free(c);
	c = case_new(ops_elementwise, "Sum", 13);
	case_in(c, DT_FLOAT, SHAPE(3), NULL);
	case_absent(c);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}

Test(broadcast, shapes_that_do_not_fit_are_refused)
{
	static const int64_t pairs[][2][2] = { { { 2, 3 }, { 2, 4 } }, { { 2, 3 }, { 3, 3 } }, { { 0, 3 }, { 2, 3 } } };

	for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
		struct op_case *c = case_new(ops_elementwise, "Add", 14);

		case_in(c, DT_FLOAT, 2, pairs[k][0], NULL);
		case_in(c, DT_FLOAT, 2, pairs[k][1], NULL);
		cr_expect_eq(case_status(c), TAMIS_E_INVALID, "pair %zu", k);
		case_free(c);
	}
}

Test(broadcast, copy_equals_adding_to_zero)
{
	for (size_t s = 0; s < SHAPES; s++) {
		struct op_case *c = case_new(ops_elementwise, "Add", 14);
		struct tensor copy;

		case_in(c, DT_DOUBLE, shapes[s].rank_a, shapes[s].a, NULL);
		memset(c->in[0].data, 0, tensor_bytes(&c->in[0]));
		case_in(c, DT_DOUBLE, shapes[s].rank_b, shapes[s].b, NULL);
		case_run(c);
		copy = c->out[0];
		copy.data = arena_alloc(&c->arena, tensor_bytes(&copy) + 1);
		broadcast_copy(&c->in[1], &copy);
		cr_assert_eq(memcmp(copy.data, c->out[0].data, tensor_bytes(&copy)), 0, "shapes %zu", s);
		case_free(c);
	}
}

/* ---- before opset 7: the second input stands beside axes of the first ---- */

/* x [2,3,4] - y [3], y along axis 1, is y repeated over the last axis. */
Test(aligned, from_an_axis)
{
	struct op_case *old = case_new(ops_elementwise, "Sub", 6), *new = case_new(ops_elementwise, "Sub", 7);

	case_int(old, "broadcast", 1);
	case_int(old, "axis", 1);
	for (int i = 0; i < 2; i++) {
		struct op_case *c = i ? new : old;
		struct tensor *x = case_in(c, DT_FLOAT, SHAPE(2, 3, 4), NULL);

		for (int64_t k = 0; k < x->count; k++)
			tensor_set(x, k, (double)(k * k % 7));
		case_in(c, DT_FLOAT, i ? 2 : 1, DIMS(3, 1), VALUES(1, 20, 300));
		case_run(c);
	}
	case_expect(old, 0, DT_FLOAT, SHAPE(2, 3, 4), NULL, 0);
	for (int64_t k = 0; k < 24; k++)
		cr_assert_eq(tensor_get(&old->out[0], k), tensor_get(&new->out[0], k));
	case_free(old);
	case_free(new);
}

Test(aligned, reverse)
{
	static const char *const names[] = {"Add", "Sub", "Mul", "Div"};

	for (int k = 0; k < 16; k++) {
		struct op_case *c = case_new(ops_elementwise, names[k % 4], 6);

		case_int(c, "broadcast", 1);
		if (k / 8)
			case_int(c, "axis", k / 4 == 2 ? 1 : -2);
		case_in_range(c, DT_DOUBLE, SHAPE(2, 3, 4), 1, 2);
		if (k / 4 == 1)
			case_in_range(c, DT_DOUBLE, SHAPE(1), 1, 2);
		else
			case_in_range(c, DT_DOUBLE, k / 8 ? 1 : 2, DIMS(3, 4), 1, 2);
		check_reverse(c, 3);
		case_free(c);
	}
}

Test(aligned, refuses)
{
	for (int k = 0; k < 3; k++) {
		struct op_case *c = case_new(ops_elementwise, "Add", 6);

		if (k)
			case_int(c, "axis", k == 1 ? 3 : 2);
		case_in(c, DT_FLOAT, SHAPE(2, 3, 4), NULL);
		case_in(c, DT_FLOAT, SHAPE(3), NULL);
		cr_expect_eq(case_status(c), TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}
