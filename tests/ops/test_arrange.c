/* SPDX-License-Identifier: Apache-2.0 */
/* CumProd, Unique, CenterCropPad, TensorScatter, RotaryEmbedding and BitCast. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "harness.h"
#include "ops/family.h"

Test(cumprod, all_ways)
{
	static const double want[4][3] = {{2, 6, 30}, {1, 2, 6}, {30, 15, 5}, {15, 5, 1}};
	static const enum dtype types[] = {DT_FLOAT, DT_DOUBLE, DT_INT32, DT_INT64, DT_UINT32, DT_UINT64};

	for (int k = 0; k < 24; k++) {
		struct op_case *c = case_new(ops_cumprod, "CumProd", 26);

		case_int(c, "exclusive", k % 2);
		case_int(c, "reverse", k / 2 % 2);
		case_in(c, types[k / 4], SHAPE(3), VALUES(2, 3, 5));
		case_in(c, DT_INT32, 0, NULL, VALUES(-1));
		case_run(c);
		case_expect(c, 0, types[k / 4], SHAPE(3), want[k % 4], 0);
		case_free(c);
	}
}

/* Also where there is a zero, whose gradient is the only one that is not zero behind it. */
Test(cumprod, reverse)
{
	for (int k = 0; k < 12; k++) {
		struct op_case *c = case_new(ops_cumprod, "CumProd", 26);

		case_int(c, "exclusive", k % 2);
		case_int(c, "reverse", k / 2 % 2);
		case_in(c, DT_DOUBLE, SHAPE(2, 4, 2), NULL);
		case_in(c, DT_INT64, 0, NULL, (const double[]){k / 4});
		tensor_set(&c->in[0], 5, 0);
		check_reverse(c, 1);
		case_free(c);
	}
}

Test(cumprod, refuses)
{
	struct op_case *c = case_new(ops_cumprod, "CumProd", 26);

	case_in(c, DT_FLOAT, SHAPE(3), NULL);
	case_in(c, DT_INT32, 0, NULL, VALUES(1));
	cr_expect_eq(case_forward(c), TAMIS_E_INVALID);
	case_free(c);
}

Test(unique, vectors)
{
	check_vectors(ops_unique, 5, NULL);
}

/* NaNs are all different and last; the outputs say how to make the input again. */
Test(unique, makes_the_input_again)
{
	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_unique, "Unique", 11);
		const struct tensor *x = &c->in[0];

		case_int(c, "sorted", k % 2);
		if (k / 2)
			case_int(c, "axis", -1);
		case_in(c, DT_FLOAT, SHAPE(1, 7), VALUES(3, NAN, -1, 3, NAN, -1, 0));
		case_outputs(c, 4);
		case_run(c);
		cr_assert_eq(c->out[0].count, 5);
		for (int i = 0; i < 7; i++) {
			double v = tensor_get(&c->out[0], tensor_get_int(&c->out[2], i));

			cr_expect(v == tensor_get(x, i) || (isnan(v) && isnan(tensor_get(x, i))));
		}
		for (int i = 0; i < 5; i++)
			cr_expect_eq(tensor_get_int(&c->out[2], tensor_get_int(&c->out[1], i)), i);
		for (int i = 0; k % 2 && i < 4; i++)
			cr_expect(!(tensor_get(&c->out[0], i) > tensor_get(&c->out[0], i + 1)));
		case_free(c);
	}
}

/* Slices that hold nothing are alike, whatever their other extents. */
Test(unique, slices_of_nothing)
{
	struct op_case *c = case_new(ops_unique, "Unique", 11);

	case_int(c, "axis", 1);
	case_in(c, DT_FLOAT, SHAPE((int64_t)1 << 40, 5, 0), NULL);
	case_outputs(c, 4);
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE((int64_t)1 << 40, 1, 0), NULL, 0);
	case_expect(c, 3, DT_INT64, SHAPE(1), VALUES(5), 0);
	case_free(c);
}

Test(unique, reverse)
{
	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_unique, "Unique", 11);

		case_int(c, "sorted", k % 2);
		if (k / 2)
			case_int(c, "axis", 1);
		case_in(c, DT_DOUBLE, SHAPE(2, 3, 2), NULL);
		check_reverse(c, 1);
		case_free(c);
	}
}


Test(crop, reverse)
{
	struct op_case *c = case_new(ops_crop, "CenterCropPad", 18);

	case_ints(c, "axes", 2, DIMS(-1, 0));
	case_in(c, DT_DOUBLE, SHAPE(4, 2, 3), NULL);
	case_in(c, DT_INT64, SHAPE(2), VALUES(6, 1));
	check_reverse(c, 1);
	case_free(c);
	for (int k = 0; k < 2; k++) {
		c = case_new(ops_crop, "TensorScatter", 24);
		case_string(c, "mode", k ? "circular" : "linear");
		case_in(c, DT_DOUBLE, SHAPE(2, 2, 4, 3), NULL);
		case_in(c, DT_DOUBLE, SHAPE(2, 2, 2, 3), NULL);
		case_in(c, DT_INT64, SHAPE(2), (const double[]){1, k ? 7 : 2});
		check_reverse(c, 3);
		case_free(c);
	}
}

Test(crop, refuses)
{
	for (int k = 0; k < 3; k++) {
		struct op_case *c = case_new(ops_crop, k == 2 ? "TensorScatter" : "CenterCropPad", 24);

		case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
		case_in(c, k == 2 ? DT_FLOAT : DT_INT64, 1, DIMS(k == 1 ? 1 : 2), VALUES(-1, 1));
		cr_expect_eq(k == 2 ? case_status(c) : case_forward(c), TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
	struct op_case *c = case_new(ops_crop, "TensorScatter", 24);

	case_in(c, DT_FLOAT, SHAPE(1, 3, 2), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 2, 2), NULL);
	case_in(c, DT_INT64, SHAPE(1), VALUES(2));
	cr_expect_eq(case_forward(c), TAMIS_E_INVALID);
	case_free(c);
}

static struct op_case *rotary(bool flat, bool ids, bool interleaved, bool partial)
{
	struct op_case *c = case_new(ops_rotary, "RotaryEmbedding", 23);
	int64_t half = partial ? 1 : 2;

	case_int(c, "interleaved", interleaved);
	if (partial)
		case_int(c, "rotary_embedding_dim", 2);
	if (flat)
		case_int(c, "num_heads", 3);
	case_in(c, DT_DOUBLE, flat ? 3 : 4, flat ? DIMS(2, 3, 12) : DIMS(2, 3, 3, 4), NULL);
	for (int i = 0; i < 2; i++)
		case_in(c, DT_DOUBLE, ids ? 2 : 3, ids ? DIMS(5, half) : DIMS(2, 3, half), NULL);
	if (ids)
		case_in(c, DT_INT64, SHAPE(2, 3), VALUES(0, 4, 2, 2, 1, 3));
	return c;
}

Test(rotary, reverse)
{
	for (int k = 0; k < 16; k++) {
		struct op_case *c = rotary(k % 2, k / 2 % 2, k / 4 % 2, k / 8);

		check_reverse(c, 7);
		case_free(c);
	}
}

/* A turn keeps lengths, and no angle at all keeps everything. */
Test(rotary, is_a_turn)
{
	struct op_case *c = rotary(false, false, true, false);
	double before = 0, after = 0;

	for (int i = 0; i < 12; i++) {
		tensor_set(&c->in[1], i, cos(i));
		tensor_set(&c->in[2], i, sin(i));
	}
	case_run(c);
	for (int i = 0; i < 72; i++) {
		before += pow(tensor_get(&c->in[0], i), 2);
		after += pow(tensor_get(&c->out[0], i), 2);
	}
	cr_assert_float_eq(before, after, 1e-9);
	case_free(c);
}

Test(rotary, refuses)
{
	struct op_case *c = rotary(false, true, false, false);

	tensor_set(&c->in[3], 0, 5);
	cr_expect_eq(case_forward(c), TAMIS_E_INVALID);
	case_free(c);
	c = case_new(ops_rotary, "RotaryEmbedding", 23);
	case_in(c, DT_FLOAT, SHAPE(1, 1, 2, 3), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 2, 1), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 2, 1), NULL);
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}

Test(rotary, takes_no_items_of_any_size)
{
	const int64_t n = (int64_t)1 << 40;

	for (int k = 0; k < 2; k++) {
		struct op_case *c = case_new(ops_rotary, "RotaryEmbedding", 23);

		if (k)
			case_int(c, "num_heads", 1);
		case_in(c, DT_FLOAT, k ? 3 : 4, k ? DIMS(0, n, n) : DIMS(0, n, n, 2), NULL);
		for (int i = 0; i < 2; i++)
			case_in(c, DT_FLOAT, SHAPE(0, n, k ? n / 2 : 1), NULL);
		cr_expect_eq(case_status(c), TAMIS_OK, "%s", c->err.message);
		case_free(c);
	}
}

Test(bits, there_and_back)
{
	struct op_case *c = case_new(ops_cast, "BitCast", 26);

	case_int(c, "to", DT_INT32);
	case_in(c, DT_FLOAT, SHAPE(2), VALUES(1, -2));
	case_run(c);
	case_expect(c, 0, DT_INT32, SHAPE(2), VALUES(0x3f800000, -0x40000000), 0);
	case_free(c);
	c = case_new(ops_cast, "BitCast", 26);
	case_int(c, "to", DT_INT64);
	case_in(c, DT_FLOAT, SHAPE(2), NULL);
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}

/* ---- TfIdfVectorizer ---- */

static struct op_case *tfidf(const char *mode, int64_t shortest, int64_t skips)
{
	struct op_case *c = case_new(ops_tfidf, "TfIdfVectorizer", 9);

	case_string(c, "mode", mode);
	case_int(c, "min_gram_length", shortest);
	case_int(c, "max_gram_length", 2);
	case_int(c, "max_skip_count", skips);
	case_ints(c, "ngram_counts", 2, (const int64_t[]){0, 2});
	case_ints(c, "ngram_indexes", 4, (const int64_t[]){0, 3, 1, 2});
	case_ints(c, "pool_int64s", 6, (const int64_t[]){7, 5, 5, 7, 7, 5}); /* 7 | 5 | 5 7 | 7 5 */
	return c;
}

Test(tfidf, vectors)
{
	check_vectors(ops_tfidf, 0, NULL);
}

Test(tfidf, counts)
{
	static const struct { const char *mode; int64_t shortest, skips; double count[4]; } cases[] = {
		{"TF", 1, 0, {2, 1, 1, 2}}, {"TF", 2, 1, {0, 2, 1, 0}}, {"IDF", 1, 0, {10, 20, 30, 40}},
		{"TFIDF", 1, 1, {20, 40, 30, 80}},
	};

	for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
		struct op_case *c = tfidf(cases[k].mode, cases[k].shortest, cases[k].skips);

		case_floats(c, "weights", 4, VALUES(10, 20, 30, 40));
		case_in(c, DT_INT32, SHAPE(5), VALUES(5, 7, 5, 9, 7));
		case_run(c);
		case_expect(c, 0, DT_FLOAT, SHAPE(4), cases[k].count, 0);
		case_free(c);
	}
}

Test(tfidf, refuses)
{
	for (int k = 0; k < 5; k++) {
		struct op_case *c = tfidf("TF", k == 0 ? 3 : 1, k == 1 ? -1 : 0);

		if (k == 2)
			case_floats(c, "weights", 2, VALUES(1, 2));
		if (k == 4)
			case_ints(c, "ngram_indexes", 4, (const int64_t[]){0, 3, 1, INT64_MAX});
		case_in(c, k == 3 ? DT_FLOAT : DT_INT64, SHAPE(3), NULL);
		cr_expect_eq(case_status(c), k == 3 ? TAMIS_E_UNSUPPORTED : TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}

/* Lengths and gaps beyond the pool and the row change nothing, and take no time. */
Test(tfidf, lengths_without_end)
{
	struct op_case *c = tfidf("TF", 1, INT64_MAX);
	struct tensor *x;

	for (size_t i = 0; i < c->proto.n_attribute; i++)
		if (!strcmp(c->proto.attribute[i]->name, "max_gram_length"))
			c->proto.attribute[i]->i = INT64_MAX;
	x = case_in(c, DT_INT64, SHAPE(2000), NULL);
	for (int i = 0; i < 2000; i++)
		tensor_set(x, i, i == 3 ? 5 : i == 1700 ? 7 : 0);
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(4), VALUES(1, 1, 0, 1), 0);
	case_free(c);
}
