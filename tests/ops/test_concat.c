/* SPDX-License-Identifier: Apache-2.0 */
/* Concat, Split and Slice. */
#include <criterion/criterion.h>
#include <string.h>

#include "harness.h"
#include "ops/family.h"

Test(concat, vectors)
{
	check_vectors(ops_concat, 19, NULL);
}

Test(slice, vectors)
{
	check_vectors(ops_slice, 8, NULL);
}

static void ints_in(struct op_case *c, int n, const int64_t *values)
{
	struct tensor *t = case_in(c, DT_INT64, 1, DIMS(n), NULL);

	for (int i = 0; i < n; i++)
		((int64_t *)t->data)[i] = values[i];
}

/* Splitting and joining again along every axis gives the input back. */
Test(concat, joins_what_split_parts)
{
	for (int64_t axis = -3; axis < 3; axis++) {
		struct op_case *a = case_new(ops_concat, "Split", 13), *b = case_new(ops_concat, "Concat", 13);

		case_int(a, "axis", axis);
		case_outputs(a, 3);
		case_in(a, DT_INT16, SHAPE(5, 5, 5), NULL);
		ints_in(a, 3, DIMS(1, 0, 4));
		case_run(a);
		case_int(b, "axis", axis);
		for (int i = 0; i < 3; i++)
			*case_in(b, DT_INT16, a->out[i].rank, a->out[i].dims, NULL) = a->out[i];
		case_run(b);
		cr_assert(tensor_same_shape(&b->out[0], &a->in[0]));
		cr_assert_eq(memcmp(b->out[0].data, a->in[0].data, tensor_bytes(&a->in[0])), 0, "axis %d", (int)axis);
		case_free(a);
		case_free(b);
	}
}

Test(concat, reverse)
{
	for (int axis = 0; axis < 3; axis++) {
		struct op_case *c = case_new(ops_concat, "Concat", 11);
		int64_t dims[3] = {2, 3, 2};

		case_int(c, "axis", axis);
		case_in(c, DT_DOUBLE, 3, dims, NULL);
		dims[axis] = 4;
		case_in(c, DT_DOUBLE, 3, dims, NULL);
		check_reverse(c, 3);
		case_free(c);
		c = case_new(ops_concat, "Split", 11);
		case_int(c, "axis", axis);
		case_ints(c, "split", 2, DIMS(1, dims[axis] - 1));
		case_outputs(c, 2);
		case_in(c, DT_DOUBLE, 3, dims, NULL);
		check_reverse(c, 1);
		case_free(c);
	}
}

Test(concat, refuses)
{
	for (int k = 0; k < 5; k++) {
		struct op_case *c = case_new(ops_concat, "Concat", 13);

		if (k != 0)
			case_int(c, "axis", k == 1 ? 2 : 1);
		case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
		if (k == 2)
			case_in(c, DT_FLOAT, SHAPE(3, 3), NULL);
		else if (k == 3)
			case_in(c, DT_FLOAT, SHAPE(2, 3, 1), NULL);
		else
			case_in(c, k == 4 ? DT_DOUBLE : DT_FLOAT, SHAPE(2, 3), NULL);
		cr_expect_eq(case_status(c), TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}

struct split { int opset, outputs, n; int64_t lengths[3]; int64_t num_outputs; enum tamis_status status; };

/* The axis is 5 long. */
Test(split, accepts_and_refuses)
{
	static const struct split cases[] = {
		{2, 2, 2, {2, 3}, 0, TAMIS_OK},
		{13, 2, 2, {2, 3}, 0, TAMIS_OK},
		{18, 2, -1, {0}, 2, TAMIS_OK},
		{18, 3, -1, {0}, 3, TAMIS_OK},
		{13, 5, -1, {0}, 0, TAMIS_OK},
		{13, 2, -1, {0}, 0, TAMIS_E_INVALID},         /* 5 is odd */
		{18, 2, -1, {0}, 0, TAMIS_E_INVALID},         /* neither */
		{18, 2, 2, {2, 3}, 2, TAMIS_E_INVALID},       /* both */
		{18, 2, -1, {0}, 3, TAMIS_E_INVALID},
		{18, 2, -1, {0}, -2, TAMIS_E_INVALID},
		{18, 4, -1, {0}, 4, TAMIS_E_INVALID},         /* 2, 2, 2, -1 */
		{13, 2, 2, {2, 4}, 0, TAMIS_E_INVALID},
		{13, 2, 2, {2, 2}, 0, TAMIS_E_INVALID},
		{13, 2, 2, {-1, 6}, 0, TAMIS_E_INVALID},
		{13, 2, 3, {1, 1, 3}, 0, TAMIS_E_INVALID},
		{2, 2, 1, {5}, 0, TAMIS_E_INVALID},
		{13, 3, 3, {INT64_MAX, INT64_MAX, 7}, 0, TAMIS_E_INVALID},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct split *s = &cases[i];
		struct op_case *c = case_new(ops_concat, "Split", s->opset);

		case_outputs(c, s->outputs);
		case_in(c, DT_FLOAT, SHAPE(5), NULL);
		if (s->n >= 0 && s->opset < 13)
			case_ints(c, "split", s->n, s->lengths);
		else if (s->n >= 0)
			ints_in(c, s->n, s->lengths);
		if (s->num_outputs)
			case_int(c, "num_outputs", s->num_outputs);
		cr_expect_eq(case_status(c), s->status, "case %zu: %s", i, c->err.message);
		case_free(c);
	}
}

/* Clamped as the specification says, then walked one element at a time. */
static int64_t slow_slice(int64_t d, int64_t start, int64_t end, int64_t step, double *out)
{
	int64_t n = 0;

	start += start < 0 ? d : 0;
	end += end < 0 ? d : 0;
	start = start < 0 ? 0 : start > d - (step < 0) ? d - (step < 0) : start;
	end = end < -(step < 0) ? -(step < 0) : end > d ? d : end;
	for (int64_t i = start; step > 0 ? i < end : i > end; i += step)
		out[n++] = (double)i;
	return n;
}

Test(slice, matches_a_slow_walk)
{
	double at[] = {0, 1, 2, 3, 4, 5, 6}, want[8];

	for (int64_t start = -9; start <= 9; start++)
		for (int64_t end = -9; end <= 9; end++)
			for (int64_t step = -8; step <= 8; step++) {
				struct op_case *c = case_new(ops_slice, "Slice", 13);
				int64_t n;

				case_in(c, DT_FLOAT, SHAPE(7), at);
				ints_in(c, 1, &start);
				ints_in(c, 1, &end);
				case_absent(c);
				ints_in(c, 1, &step);
				if (step == 0) {
					cr_assert_eq(case_status(c), TAMIS_E_INVALID);
				} else {
					n = slow_slice(7, start, end, step, want);
					cr_assert_eq(case_forward(c), TAMIS_OK);
					case_expect(c, 0, DT_FLOAT, SHAPE(n), want, 0);
				}
				case_free(c);
			}
}

Test(slice, far_bounds)
{
	struct op_case *c = case_new(ops_slice, "Slice", 10);

	case_in(c, DT_FLOAT, SHAPE(3, 2), VALUES(0, 1, 2, 3, 4, 5));
	ints_in(c, 2, DIMS(INT64_MAX, INT64_MIN));
	ints_in(c, 2, DIMS(INT64_MIN, INT64_MAX));
	ints_in(c, 2, DIMS(0, -1));
	ints_in(c, 2, DIMS(-1, INT64_MAX));
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(3, 1), VALUES(4, 2, 0), 0);
	case_free(c);
	c = case_new(ops_slice, "Slice", 10);
	case_in(c, DT_FLOAT, SHAPE(3), VALUES(0, 1, 2));
	ints_in(c, 1, DIMS(-1));
	ints_in(c, 1, DIMS(INT64_MIN));
	ints_in(c, 1, DIMS(0));
	ints_in(c, 1, DIMS(INT64_MIN));
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(1), VALUES(2), 0);
	case_free(c);
}

Test(slice, attributes)
{
	struct op_case *c = case_new(ops_slice, "Slice", 9);

	case_ints(c, "starts", 2, DIMS(1, -2));
	case_ints(c, "ends", 2, DIMS(100, -1));
	case_ints(c, "axes", 2, DIMS(1, 0));
	case_in(c, DT_DOUBLE, SHAPE(3, 3), VALUES(0, 1, 2, 3, 4, 5, 6, 7, 8));
	check_reverse(c, 1);
	case_expect(c, 0, DT_DOUBLE, SHAPE(1, 2), VALUES(4, 5), 0);
	case_free(c);
}

Test(slice, refuses)
{
	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_slice, "Slice", 11);

		case_in(c, DT_FLOAT, SHAPE(3, 3), NULL);
		ints_in(c, k == 0 ? 1 : 2, DIMS(0, 0));
		ints_in(c, 2, DIMS(1, 1));
		ints_in(c, k == 1 ? 1 : 2, k == 2 ? DIMS(0, -2) : k == 3 ? DIMS(0, 2) : DIMS(0, 1));
		cr_expect_eq(case_status(c), TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}

Test(slice, reverse_with_negative_steps)
{
	struct op_case *c = case_new(ops_slice, "Slice", 13);

	case_in(c, DT_DOUBLE, SHAPE(5, 4, 3), NULL);
	ints_in(c, 2, DIMS(-1, 3));
	ints_in(c, 2, DIMS(-100, 0));
	ints_in(c, 2, DIMS(0, 1));
	ints_in(c, 2, DIMS(-2, -1));
	check_reverse(c, 1);
	case_free(c);
}
