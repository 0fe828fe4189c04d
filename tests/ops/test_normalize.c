/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>

#include "harness.h"
#include "ops/family.h"

/* The function body of MeanVarianceNormalization subtracts squares in float, so its vectors are loose; LRN
 * and Lp are exact. Training forms are refused by design. */
static const char *const training[] = {
	"test_batchnorm_epsilon_training_mode", "test_batchnorm_example_training_mode", NULL,
};

Test(normalize, vectors)
{
	check_vectors(ops_normalize, 4, training);
}

Test(standardize, vectors)
{
	check_vectors(ops_standardize, 15, NULL);
}

Test(mean_variance, vectors)
{
	check_vectors(ops_mean_variance, 1, NULL);
}

static struct op_case *batch(int opset, int rank, const int64_t *dims)
{
	struct op_case *c = case_new(ops_normalize, "BatchNormalization", opset);
	int64_t channels = rank > 1 ? dims[1] : 1;

	case_float(c, "epsilon", 0.01);
	case_in(c, DT_DOUBLE, rank, dims, NULL);
	case_in(c, DT_DOUBLE, SHAPE(channels), NULL);
	case_in(c, DT_DOUBLE, SHAPE(channels), NULL);
	case_in(c, DT_DOUBLE, SHAPE(channels), NULL);
	case_in_range(c, DT_DOUBLE, SHAPE(channels), 0.5, 2);
	return c;
}

Test(batch, values_and_reverse)
{
	static const struct { int rank; int64_t dims[5]; } shapes[] = {
		{4, {2, 3, 4, 5}}, {2, {4, 6}}, {3, {2, 3, 4}}, {1, {5}}, {5, {1, 2, 2, 1, 3}},
	};
	static const int opsets[] = {7, 9, 14, 15};

	for (int k = 0; k < 20; k++) {
		struct op_case *c = batch(opsets[k % 4], shapes[k / 4].rank, shapes[k / 4].dims);
		const struct tensor *x = &c->in[0];
		int64_t inner = tensor_extent(x, x->rank > 1 ? 2 : 1, x->rank), channels = c->in[1].count;

		check_reverse(c, 31);
		for (int64_t i = 0; i < x->count; i++) {
			int64_t ch = channels == 1 ? 0 : i / inner % channels;
			double want = (tensor_get(x, i) - tensor_get(&c->in[3], ch)) /
				sqrt(tensor_get(&c->in[4], ch) + (double)0.01f) * tensor_get(&c->in[1], ch) +
				tensor_get(&c->in[2], ch);

			cr_assert_float_eq(tensor_get(&c->out[0], i), want, 1e-12);
		}
		case_free(c);
	}
}

Test(batch, every_feature_of_its_own)
{
	struct op_case *c = case_new(ops_normalize, "BatchNormalization", 7);

	case_int(c, "spatial", 0);
	case_in(c, DT_DOUBLE, SHAPE(2, 3, 2), NULL);
	for (int i = 0; i < 3; i++)
		case_in(c, DT_DOUBLE, SHAPE(3, 2), NULL);
	case_in_range(c, DT_DOUBLE, SHAPE(3, 2), 0.5, 2);
	check_reverse(c, 31);
	case_free(c);
}

Test(batch, training_is_refused)
{
	struct op_case *c = batch(14, 2, DIMS(4, 6));

	case_int(c, "training_mode", 1);
	cr_assert_eq(case_status(c), TAMIS_E_UNSUPPORTED);
	case_free(c);
	c = batch(9, 2, DIMS(4, 6));
	case_outputs(c, 3);
	cr_assert_eq(case_status(c), TAMIS_E_UNSUPPORTED);
	case_free(c);
}

Test(batch, errors)
{
	struct op_case *c = case_new(ops_normalize, "BatchNormalization", 15);

	case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
	for (int i = 0; i < 4; i++)
		case_in(c, DT_FLOAT, SHAPE(i == 2 ? 2 : 3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
	c = case_new(ops_normalize, "BatchNormalization", 15);
	case_in(c, DT_INT32, SHAPE(2, 3), NULL);
	for (int i = 0; i < 4; i++)
		case_in(c, DT_INT32, SHAPE(3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_UNSUPPORTED);
	case_free(c);
}

/* By the definition, one window at a time. */
Test(lrn, values_and_reverse)
{
	for (int64_t size = 1; size < 9; size++) {
		struct op_case *c = case_new(ops_normalize, "LRN", 13);
		const double *x = case_in(c, DT_DOUBLE, SHAPE(2, 5, 3), NULL)->data;

		case_int(c, "size", size);
		case_float(c, "alpha", 0.5);
		case_float(c, "beta", 0.75);
		case_float(c, "bias", 2);
		check_reverse(c, 1);
		for (int i = 0; i < 30; i++) {
			int ch = i / 3 % 5, item = i / 15, place = i % 3;
			double sum = 0;

			for (int k = 0; k < 5; k++)
				if (k >= ch - (size - 1) / 2 && k <= ch + size / 2)
					sum += x[item * 15 + k * 3 + place] * x[item * 15 + k * 3 + place];
			cr_assert_float_eq(tensor_get(&c->out[0], i), x[i] / pow(2 + 0.5 / (double)size * sum, 0.75),
			                   1e-12);
		}
		case_free(c);
	}
}

Test(lrn, huge_window_and_errors)
{
	struct op_case *c = case_new(ops_normalize, "LRN", 13);

	case_int(c, "size", INT64_MAX);
	case_in(c, DT_FLOAT, SHAPE(2, 5, 3), NULL);
	case_run(c);
	case_free(c);
	c = case_new(ops_normalize, "LRN", 13);
	case_int(c, "size", 0);
	case_in(c, DT_FLOAT, SHAPE(2, 5, 3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
	c = case_new(ops_normalize, "LRN", 13);
	case_in(c, DT_FLOAT, SHAPE(2, 5, 3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID, "size is required");
	case_free(c);
}

Test(lp, norm_is_one)
{
	for (int form = 0; form < 6; form++) {
		struct op_case *c = case_new(ops_normalize, "LpNormalization", 22);
		int axis = form / 2 - 1;
		double norm = 0;

		case_int(c, "axis", axis);
		case_int(c, "p", form % 2 + 1);
		case_in(c, DT_DOUBLE, SHAPE(3, 4), NULL);
		check_reverse(c, 1);
		for (int k = 0; k < (axis ? 4 : 3); k++) {
			double v = tensor_get(&c->out[0], axis ? k : k * 4);

			norm += form % 2 ? v * v : fabs(v);
		}
		cr_assert_float_eq(norm, 1, 1e-12);
		case_free(c);
	}
}

Test(lp, zeros_and_errors)
{
	struct op_case *c = case_new(ops_normalize, "LpNormalization", 22);

	case_in(c, DT_FLOAT, SHAPE(2, 2), VALUES(0, 0, 3, 4));
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(2, 2), VALUES(0, 0, 0.6, 0.8), 1e-6);
	case_free(c);
	c = case_new(ops_normalize, "LpNormalization", 22);
	case_int(c, "p", 3);
	case_in(c, DT_FLOAT, SHAPE(2, 2), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}

static struct op_case *layer(const char *name, int axis, int rank, const int64_t *scale, bool biased)
{
	struct op_case *c = case_new(ops_standardize, name, 23);

	case_int(c, "axis", axis);
	case_float(c, "epsilon", 0.1);
	case_in(c, DT_DOUBLE, SHAPE(2, 3, 4), NULL);
	case_in(c, DT_DOUBLE, rank, scale, NULL);
	if (biased)
		case_in(c, DT_DOUBLE, rank, scale, NULL);
	return c;
}

Test(layer, reverse)
{
	static const struct { int axis, rank; int64_t scale[3]; } forms[] = {
		{-1, 1, {4}}, {1, 2, {3, 4}}, {0, 3, {2, 3, 4}}, {2, 0, {0}}, {1, 2, {3, 1}}, {-1, 3, {1, 3, 1}},
	};

	for (int k = 0; k < 6; k++) {
		for (int biased = 0; biased < 2; biased++) {
			struct op_case *c =
				layer("LayerNormalization", forms[k].axis, forms[k].rank, forms[k].scale, biased);

			check_reverse(c, biased ? 7 : 3);
			case_free(c);
			c = layer("LayerNormalization", forms[k].axis, forms[k].rank, forms[k].scale, biased);
			case_int(c, "stash_type", DT_DOUBLE);
			case_outputs(c, 3);
			check_reverse(c, biased ? 7 : 3);
			case_free(c);
		}
		struct op_case *c = layer("RMSNormalization", forms[k].axis, forms[k].rank, forms[k].scale, false);

		check_reverse(c, 3);
		case_free(c);
	}
}

Test(layer, moments)
{
	struct op_case *c = case_new(ops_standardize, "LayerNormalization", 17);

	case_float(c, "epsilon", 0);
	case_outputs(c, 3);
	case_in(c, DT_FLOAT, SHAPE(2, 4), VALUES(1, 2, 3, 4, -3, -3, 3, 3));
	case_in(c, DT_FLOAT, SHAPE(4), VALUES(1, 1, 2, 2));
	case_run(c);
	case_expect(c, 1, DT_FLOAT, SHAPE(2, 1), VALUES(2.5, 0), 1e-6);
	case_expect(c, 2, DT_FLOAT, SHAPE(2, 1), VALUES(1 / sqrt(1.25), 1.0 / 3), 1e-6);
	case_expect(c, 0, DT_FLOAT, SHAPE(2, 4),
	            VALUES(-1.5 / sqrt(1.25), -0.5 / sqrt(1.25), 1 / sqrt(1.25), 3 / sqrt(1.25), -1, -1, 2, 2),
	            1e-6);
	case_free(c);
}

Test(instance, reverse)
{
	struct op_case *c = case_new(ops_standardize, "InstanceNormalization", 6);

	case_in(c, DT_DOUBLE, SHAPE(2, 3, 4, 2), NULL);
	case_in(c, DT_DOUBLE, SHAPE(3), NULL);
	case_in(c, DT_DOUBLE, SHAPE(3), NULL);
	check_reverse(c, 7);
	case_free(c);
}

Test(group, reverse)
{
	for (int form = 0; form < 8; form++) {
		struct op_case *c = case_new(ops_standardize, "GroupNormalization", form & 1 ? 21 : 18);
		int64_t groups = (int64_t[]){1, 2, 3, 6}[form / 2], scales = form & 1 ? 6 : groups;

		case_int(c, "num_groups", groups);
		case_in(c, DT_DOUBLE, SHAPE(2, 6, 3), NULL);
		case_in(c, DT_DOUBLE, SHAPE(scales), NULL);
		case_in(c, DT_DOUBLE, SHAPE(scales), NULL);
		check_reverse(c, 7);
		case_free(c);
	}
}

/* One group a channel is instance normalization; one group in all is layer normalization of the item. */
Test(group, agrees_with_instance)
{
	struct op_case *g = case_new(ops_standardize, "GroupNormalization", 21);
	struct op_case *i = case_new(ops_standardize, "InstanceNormalization", 22);

	case_int(g, "num_groups", 6);
	for (int k = 0; k < 3; k++) {
		case_in(g, DT_DOUBLE, k ? 1 : 3, k ? DIMS(6) : DIMS(2, 6, 5), NULL);
		case_in(i, DT_DOUBLE, k ? 1 : 3, k ? DIMS(6) : DIMS(2, 6, 5), NULL);
	}
	case_run(g);
	case_run(i);
	case_expect(g, 0, DT_DOUBLE, SHAPE(2, 6, 5), i->out[0].data, 1e-12);
	case_free(g);
	case_free(i);
}

Test(group, no_items_of_any_size)
{
	const int64_t n = (int64_t)1 << 40;

	for (int k = 0; k < 3; k++) {
		struct op_case *c = case_new(ops_standardize, k < 2 ? "GroupNormalization" : "InstanceNormalization", 18);

		if (k < 2)
			case_int(c, "num_groups", 1 << k);
		case_in(c, DT_FLOAT, 3, k < 2 ? DIMS(0, n, n) : DIMS((int64_t)1 << 62, 4, 0), NULL);
		for (int i = 0; i < 2; i++)
			case_in(c, DT_FLOAT, SHAPE(k < 2 ? 1 << k : 4), NULL);
		cr_expect_eq(case_status(c), TAMIS_OK, "%s", c->err.message);
		case_free(c);
	}
}

Test(group, errors)
{
	static const int64_t groups[] = {0, -1, 4, 12};

	for (int k = 0; k < 5; k++) {
		struct op_case *c = case_new(ops_standardize, "GroupNormalization", 21);

		if (k < 4)
			case_int(c, "num_groups", groups[k]);
		case_in(c, DT_FLOAT, SHAPE(2, 6, 3), NULL);
		case_in(c, DT_FLOAT, SHAPE(6), NULL);
		case_in(c, DT_FLOAT, SHAPE(6), NULL);
		cr_assert_eq(case_status(c), TAMIS_E_INVALID);
		case_free(c);
	}
	struct op_case *c = case_new(ops_standardize, "LayerNormalization", 17);

	case_in(c, DT_FLOAT, SHAPE(2, 6), NULL);
	case_in(c, DT_FLOAT, SHAPE(5), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}

Test(mean_variance, reverse)
{
	static const struct {
		int n;
		int64_t axes[3]; } sets[] = {{0, {0}}, {1, {1}}, {2, {0, -1}}, {3, {1, 2, 3}}};

	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_mean_variance, "MeanVarianceNormalization", 13);

		if (sets[k].n)
			case_ints(c, "axes", sets[k].n, sets[k].axes);
		case_in(c, DT_DOUBLE, SHAPE(2, 3, 2, 2), NULL);
		check_reverse(c, 1);
		case_free(c);
	}
	struct op_case *c = case_new(ops_mean_variance, "MeanVarianceNormalization", 13);

	case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_INVALID, "the default axes need rank 4");
	case_free(c);
}
