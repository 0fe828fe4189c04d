/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>

#include "harness.h"
#include "ops/family.h"

Test(arg, vectors)
{
	check_vectors(ops_arg, 25, NULL);
}

Test(arg, ties_and_nan)
{
	static const struct { const char *name; int last; double want[3]; } rows[] = {
		{"ArgMax", 0, {0, 1, 1}},
		{"ArgMax", 1, {2, 1, 1}},
		{"ArgMin", 0, {1, 1, 0}},
		{"ArgMin", 1, {1, 1, 2}},
	};

	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_arg, rows[k].name, 13);

		case_int(c, "axis", -1);
		case_int(c, "keepdims", 0);
		case_int(c, "select_last_index", rows[k].last);
		case_in(c, DT_FLOAT, SHAPE(3, 3), VALUES(5, 1, 5, 2, NAN, 9, -1, 3, -1));
		case_run(c);
		case_expect(c, 0, DT_INT64, SHAPE(3), rows[k].want, 0);
		case_free(c);
	}
}

Test(arg, inner_axis)
{
	struct op_case *c = case_new(ops_arg, "ArgMax", 13);

	case_int(c, "axis", 1);
	case_in(c, DT_INT32, SHAPE(2, 2, 2), VALUES(1, 8, 3, 4, 5, 6, 7, 2));
	case_run(c);
	case_expect(c, 0, DT_INT64, SHAPE(2, 1, 2), VALUES(1, 0, 1, 0), 0);
	case_free(c);
}

Test(arg, errors)
{
	struct op_case *c = case_new(ops_arg, "ArgMax", 13);

	case_int(c, "axis", 2);
	case_in(c, DT_FLOAT, SHAPE(2, 2), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
	c = case_new(ops_arg, "ArgMin", 13);
	case_in(c, DT_FLOAT, SHAPE(0, 2), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
	c = case_new(ops_arg, "CumSum", 14);
	case_in(c, DT_FLOAT, SHAPE(3, 2), NULL);
	case_in(c, DT_INT64, 0, NULL, VALUES(5));
	cr_assert_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}

Test(cumsum, values)
{
	static const struct { int exclusive, reverse; double want[4]; } rows[] = {
		{0, 0, {1, 3, 6, 10}}, {1, 0, {0, 1, 3, 6}}, {0, 1, {10, 9, 7, 4}}, {1, 1, {9, 7, 4, 0}},
	};

	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_arg, "CumSum", 14);

		case_int(c, "exclusive", rows[k].exclusive);
		case_int(c, "reverse", rows[k].reverse);
		case_in(c, DT_INT32, SHAPE(4), VALUES(1, 2, 3, 4));
		case_in(c, DT_INT32, 0, NULL, VALUES(0));
		case_run(c);
		case_expect(c, 0, DT_INT32, SHAPE(4), rows[k].want, 0);
		case_free(c);
	}
}

Test(cumsum, reverse)
{
	for (int form = 0; form < 12; form++) {
		struct op_case *c = case_new(ops_arg, "CumSum", 14);

		case_int(c, "exclusive", form & 1);
		case_int(c, "reverse", form >> 1 & 1);
		case_in(c, DT_DOUBLE, SHAPE(3, 4, 2), NULL);
		case_in(c, DT_INT64, 0, NULL, (double[]){form / 4 - 1});
		check_reverse(c, 1);
		case_free(c);
	}
}
