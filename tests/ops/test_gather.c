/* SPDX-License-Identifier: Apache-2.0 */
/* Gathering, scattering and searching. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "ops/family.h"

Test(gather, vectors)
{
	check_vectors(ops_gather, 9, NULL);
}

Test(scatter, vectors)
{
	check_vectors(ops_scatter, 9, NULL);
}

Test(search, vectors)
{
	check_vectors(ops_search, 12, NULL);
}

static void ints_in(struct op_case *c, int rank, const int64_t *dims, const int64_t *values)
{
	struct tensor *t = case_in(c, DT_INT64, rank, dims, NULL);

	for (int64_t i = 0; i < t->count; i++)
		((int64_t *)t->data)[i] = values[i];
}

/* Gather of 0, 1, ... along each axis is the identity; so is GatherElements with each coordinate's own
 * index. */
Test(gather, identity)
{
	for (int axis = -3; axis < 3; axis++) {
		int64_t dims[3] = {2, 3, 4}, d = dims[axis < 0 ? axis + 3 : axis];
		struct op_case *c = case_new(ops_gather, "Gather", 13);

		case_int(c, "axis", axis);
		case_in(c, DT_FLOAT16, 3, dims, NULL);
		ints_in(c, 1, &d, (const int64_t[]){0, 1, 2, 3});
		case_run(c);
		cr_assert(tensor_same_shape(&c->out[0], &c->in[0]));
		cr_assert_eq(memcmp(c->out[0].data, c->in[0].data, tensor_bytes(&c->in[0])), 0, "axis %d", axis);
		case_free(c);
	}
}

Test(gather, reverse)
{
	for (int axis = 0; axis < 3; axis++) {
		struct op_case *c = case_new(ops_gather, "Gather", 11);

		case_int(c, "axis", axis);
		case_in(c, DT_DOUBLE, SHAPE(3, 3, 3), NULL);
		ints_in(c, SHAPE(2, 2), (const int64_t[]){2, 0, -1, 2});
		check_reverse(c, 1);
		case_free(c);
		c = case_new(ops_gather, "GatherElements", 11);
		case_int(c, "axis", axis);
		case_in(c, DT_DOUBLE, SHAPE(3, 3, 3), NULL);
		ints_in(c, SHAPE(2, 2, 2), (const int64_t[]){2, 0, -1, 2, 1, 1, -3, 0});
		check_reverse(c, 1);
		case_free(c);
	}
	struct op_case *c = case_new(ops_gather, "GatherND", 12);

	case_int(c, "batch_dims", 1);
	case_in(c, DT_DOUBLE, SHAPE(2, 3, 2), NULL);
	ints_in(c, SHAPE(2, 3, 1), (const int64_t[]){2, 0, 2, -1, 1, -1});
	check_reverse(c, 1);
	case_free(c);
}

/* A scalar index drops its axis. */
Test(gather, scalar_index)
{
	struct op_case *c = case_new(ops_gather, "Gather", 1);

	case_in(c, DT_FLOAT, SHAPE(2, 3), VALUES(0, 1, 2, 3, 4, 5));
	case_in(c, DT_INT32, 0, NULL, VALUES(1));
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(3), VALUES(3, 4, 5), 0);
	case_free(c);
}

struct index { const char *name; int64_t value; enum tamis_status status; };

/* One index into an axis of length 3. */
Test(gather, indices_outside)
{
	static const struct index cases[] = {
		{"Gather", 3, TAMIS_E_INVALID}, {"Gather", -4, TAMIS_E_INVALID}, {"Gather", -3, TAMIS_OK},
		{"Gather", INT64_MIN, TAMIS_E_INVALID}, {"Gather", INT64_MAX, TAMIS_E_INVALID},
		{"GatherElements", 3, TAMIS_E_INVALID}, {"GatherElements", -3, TAMIS_OK},
		{"GatherElements", -4, TAMIS_E_INVALID}, {"GatherND", 3, TAMIS_E_INVALID},
		{"GatherND", -4, TAMIS_E_INVALID}, {"GatherND", 2, TAMIS_OK},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct op_case *c = case_new(ops_gather, cases[i].name, 13);

		case_in(c, DT_FLOAT, SHAPE(3), NULL);
		ints_in(c, SHAPE(1), &cases[i].value);
		cr_expect_eq(case_forward(c), cases[i].status, "case %zu: %s", i, c->err.message);
		case_free(c);
	}
}

/* Nothing is computed from an index that was refused. */
Test(gather, refuses_indices_of_any_size)
{
	for (int k = 0; k < 2; k++) {
		struct op_case *c = case_new(ops_gather, "Gather", 13);

		case_in(c, DT_FLOAT, SHAPE(2, 24), NULL);
		((int64_t *)case_in(c, DT_INT64, SHAPE(1), NULL)->data)[0] = k ? INT64_MIN : (int64_t)1 << 61;
		cr_expect_eq(case_forward(c), TAMIS_E_INVALID);
		case_free(c);
	}
}

Test(gather, refuses_shapes)
{
	for (int k = 0; k < 6; k++) {
		const char *name = k < 3 ? "GatherND" : k < 5 ? "GatherElements" : "Gather";
		struct op_case *c = case_new(ops_gather, name, 13);

		if (k == 1)
			case_int(c, "batch_dims", 2);
		if (k == 5)
			case_int(c, "axis", 2);
		case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
		if (k == 0)
			ints_in(c, SHAPE(1, 3), (const int64_t[]){0, 0, 0}); /* a coordinate too long */
		else if (k == 2)
			ints_in(c, SHAPE(2, 0), NULL);
		else if (k == 3)
			ints_in(c, SHAPE(2), (const int64_t[]){0, 0}); /* another rank */
		else if (k == 4)
			case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
		else
			ints_in(c, SHAPE(2, 2), (const int64_t[]){0, 0, 0, 0});
		cr_expect_eq(case_status(c), TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}

/* ---- Scatter ---- */

static const char *const reductions[] = {"none", "add", "mul", "min", "max"};

/* Duplicate indices: the reverse must undo the updates in their order. */
Test(scatter, reverse)
{
	for (int r = 0; r < 5; r++) {
		struct op_case *c = case_new(ops_scatter, "ScatterElements", 18);

		case_string(c, "reduction", reductions[r]);
		case_int(c, "axis", 1);
		case_in(c, DT_DOUBLE, SHAPE(2, 4), NULL);
		ints_in(c, SHAPE(2, 3), (const int64_t[]){1, -3, 1, 0, 3, 0});
		case_in(c, DT_DOUBLE, SHAPE(2, 3), NULL);
		check_reverse(c, 5);
		case_free(c);
		c = case_new(ops_scatter, "ScatterND", 18);
		case_string(c, "reduction", reductions[r]);
		case_in(c, DT_DOUBLE, SHAPE(3, 2), NULL);
		ints_in(c, SHAPE(4, 1), (const int64_t[]){1, 2, 1, -2});
		case_in(c, DT_DOUBLE, SHAPE(4, 2), NULL);
		check_reverse(c, 5);
		case_free(c);
	}
}

/* Every type that has arithmetic, against the same sums in double. */
Test(scatter, reductions_in_every_type)
{
	static const enum dtype types[] = {DT_FLOAT, DT_DOUBLE, DT_FLOAT16, DT_BFLOAT16, DT_INT8, DT_INT16,
		DT_INT32, DT_INT64, DT_UINT8, DT_UINT16, DT_UINT32, DT_UINT64};
	static const double want[5][3] = {{5, 1, 4}, {2 + 3 + 5, 1, 8}, {2 * 3 * 5, 1, 16}, {2, 1, 4}, {5, 1, 4}};

	for (size_t t = 0; t < sizeof types / sizeof *types; t++)
		for (int r = 0; r < 5; r++) {
			struct op_case *c = case_new(ops_scatter, "ScatterElements", 18);

			case_string(c, "reduction", reductions[r]);
			case_in(c, types[t], SHAPE(3), VALUES(2, 1, 4));
			case_in(c, DT_INT32, SHAPE(3), VALUES(0, 2, 0));
			case_in(c, types[t], SHAPE(3), VALUES(3, 4, 5));
			case_run(c);
			case_expect(c, 0, types[t], SHAPE(3), want[r], 0);
			case_free(c);
		}
}

Test(scatter, not_a_number_stays)
{
	for (int r = 3; r < 5; r++) {
		struct op_case *c = case_new(ops_scatter, "ScatterElements", 18);

		case_string(c, "reduction", reductions[r]);
		case_in(c, DT_FLOAT, SHAPE(2), VALUES(NAN, 1));
		case_in(c, DT_INT64, SHAPE(2), VALUES(0, 1));
		case_in(c, DT_FLOAT, SHAPE(2), VALUES(1, NAN));
		case_run(c);
		case_expect(c, 0, DT_FLOAT, SHAPE(2), VALUES(NAN, NAN), 0);
		case_free(c);
	}
}

/* Scattering what was gathered, to the same places, changes nothing. */
static void undo_gather(const char *name, int opset)
{
	const int64_t index[] = {3, 1, 0, 2, 2, 0};
	struct op_case *a = case_new(ops_gather, "GatherElements", 13), *b;

	case_int(a, "axis", 1);
	case_in(a, DT_INT64, SHAPE(2, 4), NULL);
	ints_in(a, SHAPE(2, 3), index);
	case_run(a);
	b = case_new(ops_scatter, name, opset);
	case_int(b, "axis", 1);
	*case_in(b, DT_INT64, SHAPE(2, 4), NULL) = a->in[0];
	ints_in(b, SHAPE(2, 3), index);
	*case_in(b, DT_INT64, SHAPE(2, 3), NULL) = a->out[0];
	case_run(b);
	cr_assert_eq(memcmp(b->out[0].data, a->in[0].data, tensor_bytes(&a->in[0])), 0);
	case_free(a);
	case_free(b);
}

Test(scatter, undoes_gather)
{
	undo_gather("Scatter", 9);
	undo_gather("ScatterElements", 13);
}

Test(scatter, refuses)
{
	static const enum tamis_status want[] = {TAMIS_E_INVALID, TAMIS_E_INVALID, TAMIS_E_INVALID,
		TAMIS_E_UNSUPPORTED, TAMIS_E_INVALID, TAMIS_E_INVALID};

	for (int k = 0; k < 6; k++) {
		struct op_case *c = case_new(ops_scatter, k == 5 ? "ScatterND" : "ScatterElements", 18);
		enum dtype type = k == 3 ? DT_BOOL : DT_FLOAT;

		if (k >= 2)
			case_string(c, "reduction", k == 2 ? "mean" : "add");
		case_in(c, type, SHAPE(3, 2), NULL);
		case_in(c, k == 4 ? DT_INT16 : DT_INT64, SHAPE(2, 1), VALUES(k == 0 ? 3 : 0, 0));
		case_in(c, k == 1 ? DT_DOUBLE : type, SHAPE(2, 1), NULL);
		cr_expect_eq(k == 0 ? case_forward(c) : case_status(c), want[k], "case %d: %s", k, c->err.message);
		case_free(c);
	}
}

/* ---- Search ---- */

Test(search, compress)
{
	for (int axis = -1; axis < 2; axis++) {
		struct op_case *c = case_new(ops_search, "Compress", 11);

		if (axis >= 0)
			case_int(c, "axis", axis);
		case_in(c, DT_DOUBLE, SHAPE(3, 3), NULL);
		case_in(c, DT_BOOL, SHAPE(3), VALUES(1, 0, 1));
		check_reverse(c, 1);
		cr_expect_eq(c->out[0].count, axis < 0 ? 2 : 6);
		case_free(c);
	}
	struct op_case *c = case_new(ops_search, "Compress", 11);

	case_int(c, "axis", 0);
	case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
	case_in(c, DT_BOOL, SHAPE(3), VALUES(0, 0, 1));
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}

Test(search, non_zero)
{
	struct op_case *c = case_new(ops_search, "NonZero", 13);

	case_in(c, DT_FLOAT, SHAPE(2, 3), VALUES(0, -0.0, 2, NAN, 0, -1));
	case_run(c);
	case_expect(c, 0, DT_INT64, SHAPE(2, 3), VALUES(0, 1, 1, 2, 0, 2), 0);
	case_free(c);
	c = case_new(ops_search, "NonZero", 13);
	case_in(c, DT_INT64, 0, NULL, VALUES(7));
	case_run(c);
	case_expect(c, 0, DT_INT64, SHAPE(0, 1), NULL, 0);
	case_free(c);
	c = case_new(ops_search, "NonZero", 13);
	case_in(c, DT_BOOL, SHAPE(3, 0), NULL);
	case_run(c);
	case_expect(c, 0, DT_INT64, SHAPE(2, 0), NULL, 0);
	case_free(c);
}

Test(search, one_hot)
{
	for (int axis = -3; axis <= 2; axis++) {
		struct op_case *c = case_new(ops_search, "OneHot", 11);

		case_int(c, "axis", axis);
		case_in(c, DT_FLOAT, SHAPE(2, 2), VALUES(0, -1, 3, NAN));
		case_in(c, DT_INT64, 0, NULL, VALUES(3));
		case_in(c, DT_DOUBLE, SHAPE(2), NULL);
		check_reverse(c, 4);
		case_free(c);
	}
	for (int depth = -1; depth < 2; depth++) {
		struct op_case *c = case_new(ops_search, "OneHot", 9);

		case_in(c, DT_INT64, SHAPE(2), NULL);
		case_in(c, DT_INT64, SHAPE(1), VALUES(depth));
		case_in(c, DT_FLOAT, SHAPE(2), VALUES(0, 1));
		cr_expect_eq(case_status(c), depth < 1 ? TAMIS_E_INVALID : TAMIS_OK, "depth %d", depth);
		case_free(c);
	}
}

struct ranked { double value; int64_t index; };

static int compare(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? 1 : -1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* Every K against a full sort, on few values so that ties are common. */
Test(search, top_k_is_a_sort)
{
	for (int largest = 0; largest < 2; largest++)
		for (int64_t k = 0; k <= 20; k++) {
			struct op_case *c = case_new(ops_search, "TopK", 11);
			struct ranked all[20];

			case_int(c, "largest", largest);
			case_outputs(c, 2);
			case_in(c, DT_INT32, SHAPE(20), NULL);
			ints_in(c, SHAPE(1), &k);
			for (int i = 0; i < 20; i++)
				all[i] = (struct ranked){tensor_get(&c->in[0], i) * (largest ? 1 : -1), i};
			qsort(all, 20, sizeof *all, compare);
			case_run(c);
			for (int64_t i = 0; i < k; i++) {
				cr_assert_eq(tensor_get_int(&c->out[1], i), all[i].index, "k %lld", (long long)k);
				cr_assert_eq(tensor_get(&c->out[0], i), all[i].value * (largest ? 1 : -1));
			}
			case_free(c);
		}
}

Test(search, top_k_orders_every_kind)
{
	struct op_case *c = case_new(ops_search, "TopK", 11);

	case_outputs(c, 2);
	case_in(c, DT_DOUBLE, SHAPE(7), VALUES(-0.0, 0, -INFINITY, 5e-324, INFINITY, -3, NAN));
	ints_in(c, SHAPE(1), (const int64_t[]){7});
	case_run(c);
	case_expect(c, 1, DT_INT64, SHAPE(7), VALUES(6, 4, 3, 0, 1, 5, 2), 0);
	case_free(c);
	c = case_new(ops_search, "TopK", 11);
	case_outputs(c, 2);
	case_drop_output(c, 0);
	case_int(c, "largest", 0);
	case_in(c, DT_INT8, SHAPE(3), VALUES(-128, 127, 0));
	ints_in(c, SHAPE(1), (const int64_t[]){3});
	case_run(c);
	case_expect(c, 1, DT_INT64, SHAPE(3), VALUES(0, 2, 1), 0);
	case_free(c);
}

Test(search, top_k_reverse)
{
	for (int axis = 0; axis < 3; axis++) {
		struct op_case *c = case_new(ops_search, "TopK", axis ? 24 : 9);

		case_int(c, "axis", axis);
		case_outputs(c, 2);
		case_in(c, DT_DOUBLE, SHAPE(3, 3, 3), NULL);
		if (axis)
			ints_in(c, SHAPE(1), (const int64_t[]){2});
		else
			case_int(c, "k", 2);
		check_reverse(c, 1);
		case_free(c);
	}
}

Test(search, top_k_refuses)
{
	static const int64_t ks[] = {-1, 4, INT64_MAX, INT64_MIN};

	for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
		struct op_case *c = case_new(ops_search, "TopK", 11);

		case_outputs(c, 2);
		case_in(c, DT_FLOAT, SHAPE(3), NULL);
		ints_in(c, SHAPE(1), &ks[i]);
		cr_expect_eq(case_status(c), TAMIS_E_INVALID, "k %zu", i);
		case_free(c);
	}
}
