/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>

#include "harness.h"
#include "ops/family.h"

Test(softmax, vectors)
{
	check_vectors(ops_softmax, 20, NULL);
}

Test(softmax, reverse)
{
	for (int form = 0; form < 16; form++) {
		struct op_case *c = case_new(ops_softmax, form & 1 ? "Softmax" : "LogSoftmax", form & 2 ? 13 : 11);

		case_int(c, "axis", (form >> 2) - 1);
		case_in(c, DT_DOUBLE, SHAPE(2, 3, 4), NULL);
		check_reverse(c, 1);
		case_free(c);
	}
}

/* The old form sums to one over everything from the axis on, the new one over the axis alone. */
Test(softmax, sums_to_one)
{
	for (int old = 0; old < 2; old++) {
		struct op_case *c = case_new(ops_softmax, "Softmax", old ? 11 : 13);
		const double *y;

		case_int(c, "axis", 1);
		case_in(c, DT_DOUBLE, SHAPE(2, 3, 4), NULL);
		case_run(c);
		y = c->out[0].data;
		for (int i = 0; i < 2; i++) {
			double all = 0;

			for (int k = 0; k < 12; k++)
				all += y[i * 12 + k];
			cr_assert_float_eq(all, old ? 1 : 4, 1e-12);
		}
		for (int k = 0; k < 4 && !old; k++)
			cr_assert_float_eq(y[k] + y[4 + k] + y[8 + k], 1, 1e-12);
		case_free(c);
	}
}

Test(softmax, log_is_the_logarithm_and_nothing_overflows)
{
	struct op_case *c = case_new(ops_softmax, "Softmax", 13), *l = case_new(ops_softmax, "LogSoftmax", 13);

	case_in(c, DT_FLOAT, SHAPE(2, 3), VALUES(1000, 1001, 999, -1000, -1001, -1002));
	case_in(l, DT_FLOAT, SHAPE(2, 3), VALUES(1000, 1001, 999, -1000, -1001, -1002));
	case_run(c);
	case_run(l);
	for (int i = 0; i < 6; i++)
		cr_assert_float_eq(log(tensor_get(&c->out[0], i)), tensor_get(&l->out[0], i), 1e-5);
	case_free(c);
	case_free(l);
}

Test(softmax, hardmax_takes_the_first)
{
	for (int old = 0; old < 2; old++) {
		struct op_case *c = case_new(ops_softmax, "Hardmax", old ? 11 : 13);

		case_int(c, "axis", 1);
		case_in(c, DT_DOUBLE, SHAPE(1, 2, 3), VALUES(1, 7, 3, 1, 5, 7));
		case_run(c);
		case_expect(c, 0, DT_DOUBLE, SHAPE(1, 2, 3),
		            old ? VALUES(0, 1, 0, 0, 0, 0) : VALUES(1, 1, 0, 0, 0, 1), 0);
		case_free(c);
	}
}

Test(softmax, defaults_and_errors)
{
	struct op_case *c = case_new(ops_softmax, "Softmax", 13);

	case_in(c, DT_FLOAT, SHAPE(0, 3), NULL);
	case_run(c);
	case_free(c);
	c = case_new(ops_softmax, "Softmax", 13);
	case_int(c, "axis", 2);
	case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
	c = case_new(ops_softmax, "Softmax", 13);
	case_in(c, DT_INT32, SHAPE(2, 3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_UNSUPPORTED);
	case_free(c);
}
