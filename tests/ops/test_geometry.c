/* SPDX-License-Identifier: Apache-2.0 */
/* AffineGrid, Col2Im and Det. */
#include <criterion/criterion.h>

#include "harness.h"
#include "ops/family.h"

Test(geometry, vectors)
{
	check_vectors(ops_geometry, 2, NULL);
}

Test(geometry, grid_reverse)
{
	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_geometry, "AffineGrid", 20);

		case_int(c, "align_corners", k % 2);
		case_in(c, DT_DOUBLE, 3, k / 2 ? DIMS(2, 3, 4) : DIMS(2, 2, 3), NULL);
		case_in(c, DT_INT64, 1, DIMS(k / 2 ? 5 : 4), VALUES(2, 1, 3, 2, 4));
		check_reverse(c, 1);
		case_free(c);
	}
}

Test(geometry, blocks_reverse)
{
	struct op_case *c = case_new(ops_geometry, "Col2Im", 18);

	case_ints(c, "pads", 4, DIMS(1, 0, 0, 1));
	case_ints(c, "strides", 2, DIMS(2, 1));
	case_ints(c, "dilations", 2, DIMS(1, 2));
	case_in(c, DT_DOUBLE, SHAPE(2, 12, 9), NULL);
	case_in(c, DT_INT64, SHAPE(2), VALUES(5, 4));
	case_in(c, DT_INT64, SHAPE(2), VALUES(2, 2));
	check_reverse(c, 1);
	case_free(c);
}

/* Of a singular matrix too. */
Test(geometry, determinants_reverse)
{
	struct op_case *c = case_new(ops_geometry, "Det", 11);

	case_in(c, DT_DOUBLE, SHAPE(3, 3, 3), NULL);
	for (int i = 0; i < 3; i++)
		tensor_set(&c->in[0], 12 + i, 2 * tensor_get(&c->in[0], 9 + i));
	check_reverse(c, 1);
	cr_assert_float_eq(tensor_get(&c->out[0], 1), 0, 1e-12);
	case_free(c);
}

Test(geometry, refuses)
{
	struct op_case *c = case_new(ops_geometry, "Det", 11);

	case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
	for (int k = 0; k < 3; k++) {
		c = case_new(ops_geometry, "Col2Im", 18);
		if (k)
			case_ints(c, k == 1 ? "strides" : "pads", 2, DIMS(0, 1));
		case_in(c, DT_FLOAT, SHAPE(1, 4, 5), NULL);
		case_in(c, DT_INT64, SHAPE(2), VALUES(3, 3));
		case_in(c, DT_INT64, SHAPE(2), VALUES(2, 2));
		cr_expect_eq(case_forward(c), TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}
