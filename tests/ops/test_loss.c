/* SPDX-License-Identifier: Apache-2.0 */
/* NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss. */
#include <criterion/criterion.h>
#include <math.h>

#include "harness.h"
#include "ops/family.h"

static const char *const reductions[] = {"none", "sum", "mean"};
static const char *const names[] = {"NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"};

Test(loss, vectors)
{
	check_vectors(ops_loss, 52, NULL);
}

static struct op_case *loss(int which, int reduction, bool weighted, bool ignoring)
{
	struct op_case *c = case_new(ops_loss, names[which], 13);

	case_string(c, "reduction", reductions[reduction]);
	if (ignoring)
		case_int(c, "ignore_index", 1);
	case_in(c, DT_DOUBLE, SHAPE(2, 3, 2), NULL);
	case_in(c, DT_INT64, SHAPE(2, 2), VALUES(0, 1, 2, 0));
	if (weighted)
		case_in_range(c, DT_DOUBLE, SHAPE(3), 0.5, 1.5);
	return c;
}

Test(loss, reverse)
{
	for (int k = 0; k < 24; k++) {
		struct op_case *c = loss(k % 2, k / 2 % 3, k / 6 % 2, k / 12);

		if (k % 2)
			case_outputs(c, 2);
		check_reverse(c, k / 6 % 2 ? 5 : 1);
		case_free(c);
	}
}

/* Scores that are all alike have the loss log(classes), whatever the weights. */
Test(loss, of_equal_scores)
{
	for (int k = 0; k < 2; k++) {
		struct op_case *c = case_new(ops_loss, names[1], 12);

		case_in(c, DT_FLOAT, SHAPE(2, 4), VALUES(3, 3, 3, 3, -1, -1, -1, -1));
		case_in(c, DT_INT32, SHAPE(2), VALUES(3, 1));
		if (k)
			case_in(c, DT_FLOAT, SHAPE(4), VALUES(1, 2, 3, 4));
		case_run(c);
		case_expect(c, 0, DT_FLOAT, 0, NULL, (const double[]){log(4)}, 1e-6);
		case_free(c);
	}
}

Test(loss, refuses)
{
	for (int k = 0; k < 5; k++) {
		struct op_case *c = case_new(ops_loss, names[k % 2], 13);
		bool outside = k == 4;

		case_in(c, k == 0 ? DT_INT32 : DT_FLOAT, SHAPE(2, 3), NULL);
		case_in(c, k == 1 ? DT_FLOAT : DT_INT64, SHAPE(k == 2 ? 3 : 2), VALUES(0, outside ? 3 : 1, 0));
		if (k == 3)
			case_in(c, DT_FLOAT, SHAPE(2), NULL);
		cr_expect_eq(outside ? case_forward(c) : case_status(c), k == 0 ?
		             TAMIS_E_UNSUPPORTED : TAMIS_E_INVALID,
		             "case %d", k);
		case_free(c);
	}
}
