/* SPDX-License-Identifier: Apache-2.0 */
/* Constant and its like, casts, and Where. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "harness.h"
#include "ops/family.h"

Test(generate, vectors)
{
	check_vectors(ops_generate, 27, NULL);
}

/* Debian's bfloat16 vectors are stored as uint16; strings are refused. */
Test(cast, vectors)
{
	static const char *const skip[] = {
		"test_cast_BFLOAT16_to_FLOAT", "test_cast_FLOAT_to_BFLOAT16", "test_cast_FLOAT_to_STRING",
		"test_castlike_BFLOAT16_to_FLOAT", "test_castlike_BFLOAT16_to_FLOAT_expanded",
		"test_castlike_FLOAT_to_BFLOAT16", "test_castlike_FLOAT_to_BFLOAT16_expanded",
		"test_castlike_FLOAT_to_STRING_expanded", NULL,
	};

	check_vectors(ops_cast, 18, skip);
}

Test(select, vectors)
{
	check_vectors(ops_select, 2, NULL);
}

static void ints_in(struct op_case *c, int n, const int64_t *values)
{
	struct tensor *t = case_in(c, DT_INT64, 1, DIMS(n), NULL);

	for (int i = 0; i < n; i++)
		((int64_t *)t->data)[i] = values[i];
}

/* ---- Constant ---- */

Test(generate, constant_forms)
{
	struct tensor t = {.type = DT_INT32, .rank = 2, .dims = {1, 2}, .count = 2, .data = (int32_t[]){4, -5}};
	struct op_case *c = case_new(ops_generate, "Constant", 13);

	case_tensor(c, "value", &t);
	case_run(c);
	case_expect(c, 0, DT_INT32, SHAPE(1, 2), VALUES(4, -5), 0);
	case_free(c);
	c = case_new(ops_generate, "Constant", 13);
	case_int(c, "value_int", -7);
	case_run(c);
	case_expect(c, 0, DT_INT64, 0, NULL, VALUES(-7), 0);
	case_free(c);
	c = case_new(ops_generate, "Constant", 13);
	case_float(c, "value_float", 0.5);
	case_run(c);
	case_expect(c, 0, DT_FLOAT, 0, NULL, VALUES(0.5), 0);
	case_free(c);
	c = case_new(ops_generate, "Constant", 13);
	case_ints(c, "value_ints", 3, DIMS(1, INT64_MAX, -3));
	case_run(c);
	case_expect(c, 0, DT_INT64, SHAPE(3), VALUES(1, 0x1p63, -3), 0);
	case_free(c);
	c = case_new(ops_generate, "Constant", 13);
	case_floats(c, "value_floats", 2, VALUES(1.5, -2));
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(2), VALUES(1.5, -2), 0);
	case_free(c);
	c = case_new(ops_generate, "Constant", 13);
	case_floats(c, "value_floats", 0, NULL);
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(0), NULL, 0);
	case_free(c);
	c = case_new(ops_generate, "Constant", 13);
	case_string(c, "value_string", "sieve");
	case_run(c);
	case_expect(c, 0, DT_STRING, 0, NULL, NULL, 0);
	cr_assert_eq(((struct tm_string *)c->out[0].data)->len, 5);
	cr_assert_eq(memcmp(((struct tm_string *)c->out[0].data)->data, "sieve", 5), 0);
	case_free(c);
}

Test(generate, constant_needs_one_value)
{
	struct op_case *c = case_new(ops_generate, "Constant", 13);

	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
	c = case_new(ops_generate, "Constant", 13);
	case_int(c, "value_int", 1);
	case_float(c, "value_float", 1);
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
	c = case_new(ops_generate, "Constant", 13);
	case_float(c, "value_int", 1);
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}

Test(generate, constant_of_shape)
{
	static const int64_t shapes[][2] = {{2, 3}, {0, 5}, {-1, 2}, {INT64_MAX, 2}};
	static const enum tamis_status want[] = {TAMIS_OK, TAMIS_OK, TAMIS_E_INVALID, TAMIS_E_INVALID};
	struct tensor two = {.type = DT_FLOAT, .rank = 1, .dims = {2}, .count = 2, .data = (float[]){1, 2}};
	struct op_case *c;

	for (size_t i = 0; i < 4; i++) {
		c = case_new(ops_generate, "ConstantOfShape", 9);
		ints_in(c, 2, shapes[i]);
		cr_expect_eq(want[i] ? case_status(c) : case_forward(c), want[i], "shape %zu", i);
		case_free(c);
	}
	c = case_new(ops_generate, "ConstantOfShape", 9);
	case_tensor(c, "value", &two);
	ints_in(c, 1, DIMS(1));
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}

/* ---- Range ---- */

struct range { enum dtype type; double start, limit, delta; int64_t n; }; /* n -1: refused */

Test(generate, range_counts)
{
	static const struct range cases[] = {
		{DT_INT64, 0, 10, 3, 4}, {DT_INT64, 10, 0, -3, 4}, {DT_INT64, 0, 9, 3, 3}, {DT_INT32, 5, 5, 1, 0},
		{DT_INT16, 5, 0, 1, 0}, {DT_INT64, 0, 5, 0, -1}, {DT_INT64, -0x1p63, 0x1p62, 1, -1},
		{DT_FLOAT, 0, 1, 0.25, 4}, {DT_FLOAT, 0, 1, 0, -1}, {DT_FLOAT, 0, NAN, 1, -1},
		{DT_DOUBLE, 0, INFINITY, 1, -1}, {DT_DOUBLE, 0, 1e300, 1e-300, -1}, {DT_DOUBLE, 1, 0, -0.5, 2},
		{DT_FLOAT, 0, -1, 1, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct range *r = &cases[i];
		struct op_case *c = case_new(ops_generate, "Range", 11);

		case_in(c, r->type, 0, NULL, &r->start);
		case_in(c, r->type, 0, NULL, &r->limit);
		case_in(c, r->type, 0, NULL, &r->delta);
		if (r->n < 0) {
			cr_expect_eq(case_status(c), TAMIS_E_INVALID, "case %zu", i);
		} else {
			case_run(c);
			cr_expect_eq(c->out[0].count, r->n, "case %zu", i);
			for (int64_t k = 0; k < c->out[0].count; k++)
				cr_expect_eq(tensor_get(&c->out[0], k), r->start + (double)k * r->delta, "case %zu", i);
		}
		case_free(c);
	}
}

/* ---- EyeLike, Trilu ---- */

Test(generate, diagonals)
{
	static const int64_t ks[] = {INT64_MIN, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, INT64_MAX};

	for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
		struct op_case *c = case_new(ops_generate, "EyeLike", 9);
		double want[12];

		for (int k = 0; k < 12; k++)
			want[k] = k % 4 - k / 4 == (double)ks[i];
		case_int(c, "k", ks[i]);
		case_int(c, "dtype", DT_FLOAT16);
		case_in(c, DT_INT32, SHAPE(3, 4), NULL);
		case_run(c);
		case_expect(c, 0, DT_FLOAT16, SHAPE(3, 4), want, 0);
		case_free(c);
		for (int upper = 0; upper < 2; upper++) {
			c = case_new(ops_generate, "Trilu", 14);
			case_int(c, "upper", upper);
			case_in(c, DT_DOUBLE, SHAPE(2, 3, 4), NULL);
			*(int64_t *)case_in(c, DT_INT64, 0, NULL, VALUES(0))->data = ks[i];
			check_reverse(c, 1);
			for (int k = 0; k < 24; k++) {
				double column = k % 4 - k / 4 % 3;
				bool stays = upper ? column >= (double)ks[i] : column <= (double)ks[i];

				cr_assert_eq(tensor_get(&c->out[0], k), stays ? tensor_get(&c->in[0], k) : 0);
			}
			case_free(c);
		}
	}
}

Test(generate, refuses)
{
	struct op_case *c = case_new(ops_generate, "EyeLike", 9);

	case_in(c, DT_FLOAT, SHAPE(3), NULL);
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
	for (int k = 0; k < 3; k++) {
		static const int64_t types[] = {-1, 99, DT_STRING};

		c = case_new(ops_generate, "EyeLike", 9);
		case_int(c, "dtype", types[k]);
		case_in(c, DT_FLOAT, SHAPE(3, 3), NULL);
		cr_expect_eq(case_status(c), k < 2 ? TAMIS_E_INVALID : TAMIS_E_UNSUPPORTED);
		case_free(c);
	}
	c = case_new(ops_generate, "Trilu", 14);
	case_in(c, DT_FLOAT, SHAPE(3), NULL);
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}

/* ---- Cast ---- */

/* Every pair of types that hold 0 and 1 carries them over, and back. */
Test(cast, all_pairs)
{
	for (int from = 1; from < DT_COUNT; from++)
		for (int to = 1; to < DT_COUNT; to++) {
			struct op_case *c = case_new(ops_cast, "Cast", 21);
			bool refused = from == DT_STRING || to == DT_STRING || from == DT_COMPLEX64 ||
				from == DT_COMPLEX128 || to == DT_COMPLEX64 || to == DT_COMPLEX128;

			case_int(c, "to", to);
			case_in(c, (enum dtype)from, SHAPE(3), VALUES(1, 1, 1));
			if (refused) {
				cr_expect_eq(case_status(c), TAMIS_E_UNSUPPORTED, "%d to %d", from, to);
			} else {
				case_run(c);
				case_expect(c, 0, (enum dtype)to, SHAPE(3), VALUES(1, 1, 1), 0);
			}
			case_free(c);
		}
}

struct edge { enum dtype type; double value; uint8_t word; };

/* Just below and at the value from which rounding leaves the range, without saturation. */
Test(cast, overflow_of_8_bit_floats)
{
	static const struct edge cases[] = {
		{DT_FLOAT8E4M3FN, 464, 0x7e}, {DT_FLOAT8E4M3FN, -465, 0xff},
		{DT_FLOAT8E4M3FNUZ, 247, 0x7f}, {DT_FLOAT8E4M3FNUZ, 248, 0x80},
		{DT_FLOAT8E5M2, -61439, 0xfb}, {DT_FLOAT8E5M2, -61440, 0xfc},
		{DT_FLOAT8E5M2FNUZ, 61439, 0x7f}, {DT_FLOAT8E5M2FNUZ, 61440, 0x80},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct op_case *c = case_new(ops_cast, "Cast", 19);

		case_int(c, "to", cases[i].type);
		case_int(c, "saturate", 0);
		case_in(c, DT_FLOAT, 0, NULL, &cases[i].value);
		case_run(c);
		cr_expect_eq(*(uint8_t *)c->out[0].data, cases[i].word, "case %zu: %#x", i,
		             *(uint8_t *)c->out[0].data);
		case_free(c);
	}
}

Test(cast, like_takes_the_type)
{
	struct op_case *c = case_new(ops_cast, "CastLike", 15);

	case_in(c, DT_DOUBLE, SHAPE(3), VALUES(-1.75, 2.5, 0));
	case_in(c, DT_INT8, 0, NULL, VALUES(0));
	case_run(c);
	case_expect(c, 0, DT_INT8, SHAPE(3), VALUES(-1, 2, 0), 0);
	case_free(c);
}

Test(cast, reverse_is_the_identity)
{
	static const enum dtype types[] = {DT_FLOAT, DT_DOUBLE};
	struct op_case *c = case_new(ops_cast, "Cast", 13);

	case_int(c, "to", types[1]);
	case_in(c, DT_DOUBLE, SHAPE(4), NULL);
	check_reverse(c, 1);
	case_free(c);
}

Test(cast, refuses)
{
	static const int64_t types[] = {0, -1, DT_COUNT, INT64_MAX};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		struct op_case *c = case_new(ops_cast, "Cast", 13);

		case_int(c, "to", types[i]);
		case_in(c, DT_FLOAT, SHAPE(1), NULL);
		cr_expect_eq(case_status(c), TAMIS_E_INVALID);
		case_free(c);
	}
}

/* ---- Where ---- */

struct shapes { int rank[3]; int64_t dims[3][4]; };

Test(select, reverse_sums_what_was_broadcast)
{
	static const struct shapes cases[] = {
		{{2, 2, 2}, {{3, 4}, {3, 4}, {3, 4}}}, {{1, 2, 3}, {{4}, {3, 1}, {2, 1, 4}}},
		{{0, 1, 2}, {{0}, {4}, {3, 1}}}, {{3, 0, 0}, {{2, 1, 3}, {0}, {0}}},
		{{4, 3, 1}, {{2, 3, 1, 2}, {3, 2, 1}, {1}}}, {{0, 0, 0}, {{0}, {0}, {0}}},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct op_case *c = case_new(ops_select, "Where", i % 2 ? 9 : 16);

		case_in(c, DT_BOOL, cases[i].rank[0], cases[i].dims[0], NULL);
		case_in(c, DT_DOUBLE, cases[i].rank[1], cases[i].dims[1], NULL);
		case_in(c, DT_DOUBLE, cases[i].rank[2], cases[i].dims[2], NULL);
		check_reverse(c, 6);
		case_free(c);
	}
}

Test(select, moves_every_size)
{
	static const enum dtype types[] = {DT_INT8, DT_FLOAT16, DT_INT32, DT_INT64, DT_COMPLEX128};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		struct op_case *c = case_new(ops_select, "Where", 16);

		case_in(c, DT_BOOL, SHAPE(2, 1), VALUES(1, 0));
		case_in(c, types[i], SHAPE(3), VALUES(1, 2, 3));
		case_in(c, types[i], SHAPE(1), VALUES(9));
		case_run(c);
		case_expect(c, 0, types[i], SHAPE(2, 3), VALUES(1, 2, 3, 9, 9, 9), 0);
		case_free(c);
	}
}

Test(select, refuses)
{
	for (int k = 0; k < 3; k++) {
		struct op_case *c = case_new(ops_select, "Where", 16);

		case_in(c, k == 0 ? DT_FLOAT : DT_BOOL, SHAPE(2), NULL);
		case_in(c, DT_FLOAT, SHAPE(2), NULL);
		case_in(c, k == 1 ? DT_DOUBLE : DT_FLOAT, 1, DIMS(k == 2 ? 3 : 2), NULL);
		cr_expect_eq(case_status(c), TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}
