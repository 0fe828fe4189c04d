/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "harness.h"
#include "ops/family.h"

Test(shape, vectors)
{
	static const char *const skip[] = {
		"test_training_dropout", "test_training_dropout_default", "test_training_dropout_default_mask",
		"test_training_dropout_mask",                    /* training mode is refused */
		"test_identity_opt", "test_identity_sequence", NULL, /* not tensors */
	};

	check_vectors(ops_shape, 40, skip);
}

static void vector_in(struct op_case *c, int n, const int64_t *values)
{
	struct tensor *t = case_in(c, DT_INT64, 1, DIMS(n), NULL);

	for (int i = 0; i < n; i++)
		((int64_t *)t->data)[i] = values[i];
}

struct reshape { int rank, n, allow_zero; int64_t from[4], to[4]; enum tamis_status status; int64_t first; };

Test(shape, reshape_accepts_and_refuses)
{
	static const struct reshape cases[] = {
		{2, 2, 0, {2, 6}, {3, -1}, TAMIS_OK, 3},
		{2, 3, 0, {2, 6}, {0, 2, -1}, TAMIS_OK, 2},
		{2, 1, 0, {2, 6}, {-1}, TAMIS_OK, 12},
		{2, 2, 1, {0, 6}, {6, 0}, TAMIS_OK, 6},
		{1, 2, 0, {0}, {4, 0}, TAMIS_E_INVALID, 0},            /* dimension 1 of a vector */
		{2, 2, 0, {2, 6}, {-1, -1}, TAMIS_E_INVALID, 0},
		{2, 2, 0, {2, 6}, {5, -1}, TAMIS_E_INVALID, 0},
		{2, 2, 0, {2, 6}, {2, 5}, TAMIS_E_INVALID, 0},
		{2, 2, 0, {2, 6}, {-2, 6}, TAMIS_E_INVALID, 0},
		{2, 2, 1, {2, 6}, {0, -1}, TAMIS_E_INVALID, 0},
		{2, 2, 0, {0, 6}, {0, -1}, TAMIS_E_INVALID, 0},        /* anything would fit */
		{2, 3, 0, {2, 6}, {INT64_MAX, INT64_MAX, -1}, TAMIS_E_INVALID, 0},
		{2, 2, 0, {2, 6}, {INT64_MIN, 6}, TAMIS_E_INVALID, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct op_case *c = case_new(ops_shape, "Reshape", 14);

		case_int(c, "allowzero", cases[i].allow_zero);
		case_in(c, DT_FLOAT, cases[i].rank, cases[i].from, NULL);
		vector_in(c, cases[i].n, cases[i].to);
		cr_expect_eq(case_status(c), cases[i].status, "case %zu: %s", i, c->err.message);
		if (cases[i].status == TAMIS_OK)
			cr_expect_eq(c->out[0].dims[0], cases[i].first, "case %zu", i);
		case_free(c);
	}
}

Test(shape, reshape_refuses_what_is_no_shape)
{
	struct op_case *c = case_new(ops_shape, "Reshape", 13);
	int64_t ones[17];

	case_in(c, DT_FLOAT, SHAPE(1), NULL);
	case_in(c, DT_FLOAT, SHAPE(1), VALUES(1));
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
	for (int i = 0; i < 17; i++)
		ones[i] = 1;
	c = case_new(ops_shape, "Reshape", 13);
	case_in(c, DT_FLOAT, SHAPE(1), NULL);
	vector_in(c, 17, ones);
	cr_expect_eq(case_status(c), TAMIS_E_UNSUPPORTED);
	case_free(c);
}

Test(shape, views_keep_every_type)
{
	static const enum dtype types[] = {DT_FLOAT, DT_FLOAT16, DT_INT4, DT_UINT2, DT_BOOL, DT_FLOAT8E5M2};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		struct op_case *c = case_new(ops_shape, "Flatten", 13);

		case_in(c, types[i], SHAPE(2, 3, 1), NULL);
		case_run(c);
		case_expect(c, 0, types[i], SHAPE(2, 3), NULL, 0);
		cr_expect_eq(memcmp(c->out[0].data, c->in[0].data, tensor_bytes(&c->in[0])), 0);
		case_free(c);
	}
}

struct axes { const char *name; int opset, n; int64_t axes[3]; enum tamis_status status; int rank; };

/* The input is 1 x 3 x 1. */
Test(shape, squeeze_and_unsqueeze)
{
	static const struct axes cases[] = {
		{"Squeeze", 11, 2, {0, -1}, TAMIS_OK, 1},
		{"Squeeze", 13, 2, {0, 2}, TAMIS_OK, 1},
		{"Squeeze", 13, -1, {0}, TAMIS_OK, 1},
		{"Squeeze", 1, -1, {0}, TAMIS_OK, 1},
		{"Squeeze", 13, 1, {1}, TAMIS_E_INVALID, 0},
		{"Squeeze", 13, 1, {3}, TAMIS_E_INVALID, 0},
		{"Squeeze", 11, 2, {0, -3}, TAMIS_E_INVALID, 0},
		{"Unsqueeze", 11, 2, {0, -1}, TAMIS_OK, 5},
		{"Unsqueeze", 21, 2, {4, 0}, TAMIS_OK, 5},
		{"Unsqueeze", 13, 2, {0, 0}, TAMIS_E_INVALID, 0},
		{"Unsqueeze", 13, 2, {0, -5}, TAMIS_E_INVALID, 0},
		{"Unsqueeze", 13, 1, {4}, TAMIS_E_INVALID, 0},
		{"Unsqueeze", 13, 1, {INT64_MIN}, TAMIS_E_INVALID, 0},
		{"Unsqueeze", 11, -1, {0}, TAMIS_E_INVALID, 0}, /* axes are required */
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct axes *a = &cases[i];
		struct op_case *c = case_new(ops_shape, a->name, a->opset);

		case_in(c, DT_FLOAT, SHAPE(1, 3, 1), NULL);
		if (a->n >= 0 && a->opset < 13)
			case_ints(c, "axes", a->n, a->axes);
		else if (a->n >= 0)
			vector_in(c, a->n, a->axes);
		cr_expect_eq(case_status(c), a->status, "case %zu: %s", i, c->err.message);
		if (a->status == TAMIS_OK)
			cr_expect_eq(c->out[0].rank, a->rank, "case %zu", i);
		case_free(c);
	}
}

Test(shape, flatten_axis_outside)
{
	for (int axis = -5; axis <= 5; axis++) {
		struct op_case *c = case_new(ops_shape, "Flatten", 11);

		case_int(c, "axis", axis);
		case_in(c, DT_FLOAT, SHAPE(2, 3, 4), NULL);
		cr_expect_eq(case_status(c), axis < -3 || axis > 3 ? TAMIS_E_INVALID : TAMIS_OK, "axis %d", axis);
		case_free(c);
	}
}

Test(shape, shape_spans_are_clamped)
{
	for (int64_t start = -5; start <= 5; start++)
		for (int64_t end = -5; end <= 5; end++) {
			struct op_case *c = case_new(ops_shape, "Shape", 15);
			int64_t s = start < -3 ? 0 : start < 0 ? start + 3 : start > 3 ? 3 : start;
			int64_t e = end < -3 ? 0 : end < 0 ? end + 3 : end > 3 ? 3 : end;

			case_int(c, "start", start);
			case_int(c, "end", end);
			case_in(c, DT_FLOAT, SHAPE(5, 6, 7), NULL);
			case_run(c);
			case_expect(c, 0, DT_INT64, SHAPE(e > s ? e - s : 0), e > s ? VALUES(5., 6., 7.) + s : NULL, 0);
			case_free(c);
		}
}

Test(shape, dropout_passes_its_gradient)
{
	static const int opsets[] = {7, 10, 12, 13, 22};

	for (size_t i = 0; i < sizeof opsets / sizeof *opsets; i++) {
		struct op_case *c = case_new(ops_shape, "Dropout", opsets[i]);

		case_in(c, DT_DOUBLE, SHAPE(2, 3), NULL);
		check_reverse(c, 1);
		case_free(c);
	}
}

Test(shape, dropout_refuses_training)
{
	for (int mode = 0; mode < 2; mode++)
		for (int ratio = 0; ratio < 2; ratio++) {
			struct op_case *c = case_new(ops_shape, "Dropout", 13);
			enum tamis_status want = mode && ratio ? TAMIS_E_UNSUPPORTED : TAMIS_OK;

			case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
			case_in(c, DT_FLOAT, 0, NULL, VALUES(ratio ? 0.5 : 0));
			case_in(c, DT_BOOL, 0, NULL, VALUES(mode));
			cr_expect_eq(case_status(c), want, "mode %d ratio %d", mode, ratio);
			case_free(c);
		}
}
