/* SPDX-License-Identifier: Apache-2.0 */
/* Forms that operators had before opset 7, each against today's on the same values, and their gradients. */
#include <criterion/criterion.h>
#include <math.h>

#include "harness.h"
#include "ops/family.h"

/* Runs both, compares every bit, frees both. */
static void same(struct op_case *early, struct op_case *now)
{
	case_run(early);
	case_run(now);
	for (int i = 0; i < now->n_out; i++) {
		cr_assert_eq(early->out[i].type, now->out[i].type, "%s", now->node.op->name);
		cr_assert(tensor_same_shape(&early->out[i], &now->out[i]), "%s", now->node.op->name);
		for (int64_t k = 0; k < now->out[i].count; k++)
			cr_assert_eq(tensor_get(&early->out[i], k), tensor_get(&now->out[i], k), "%s: element %lld",
			             now->node.op->name, (long long)k);
	}
	case_free(now);
	case_free(early);
}

static void gradient(struct op_case *c, unsigned inputs)
{
	check_reverse(c, inputs);
	case_free(c);
}

static void copy_in(struct op_case *to, const struct op_case *from, int i)
{
	struct tensor *t = case_in(to, from->in[i].type, from->in[i].rank, from->in[i].dims, NULL);

	for (int64_t k = 0; k < t->count; k++)
		tensor_set(t, k, tensor_get(&from->in[i], k));
}

Test(early, cast_names_its_type)
{
	struct op_case *early = case_new(ops_cast, "Cast", 1), *now = case_new(ops_cast, "Cast", 6), *bad;

	case_string(early, "to", "INT32");
	case_int(now, "to", DT_INT32);
	case_in(early, DT_DOUBLE, SHAPE(2, 5), NULL);
	copy_in(now, early, 0);
	same(early, now);
	for (int k = 0; k < 3; k++) {
		bad = case_new(ops_cast, "Cast", 5);
		if (k)
			case_string(bad, "to", k == 1 ? "UNDEFINED" : "INT31");
		case_in(bad, DT_DOUBLE, SHAPE(2), NULL);
		cr_expect_eq(case_status(bad), TAMIS_E_INVALID, "case %d", k);
		case_free(bad);
	}
	early = case_new(ops_cast, "Cast", 1);
	case_string(early, "to", "DOUBLE");
	case_in(early, DT_DOUBLE, SHAPE(2, 5), NULL);
	gradient(early, 1);
}

Test(early, concat_joins_channels)
{
	struct op_case *early = case_new(ops_concat, "Concat", 3), *now = case_new(ops_concat, "Concat", 4);

	case_in(early, DT_FLOAT, SHAPE(2, 1, 3), NULL);
	case_in(early, DT_FLOAT, SHAPE(2, 2, 3), NULL);
	case_int(now, "axis", 1);
	copy_in(now, early, 0);
	copy_in(now, early, 1);
	same(early, now);
}

Test(early, pad_has_paddings)
{
	const int64_t pads[] = {0, 1, 2, 0};
	struct op_case *early = case_new(ops_pad, "Pad", 1), *now = case_new(ops_pad, "Pad", 2);

	case_ints(early, "paddings", 4, pads);
	case_ints(now, "pads", 4, pads);
	case_float(early, "value", 3);
	case_float(now, "value", 3);
	case_in(early, DT_FLOAT, SHAPE(2, 3), NULL);
	copy_in(now, early, 0);
	same(early, now);
}

static struct op_case *reshape(int n, const int64_t *dims)
{
	struct op_case *c = case_new(ops_shape, "Reshape", 1);

	case_ints(c, "shape", n, dims);
	case_in(c, DT_DOUBLE, SHAPE(2, 3, 4), NULL);
	return c;
}

Test(early, reshape_lists_its_shape)
{
	struct op_case *early = reshape(3, DIMS(0, -1, 2)), *now = case_new(ops_shape, "Reshape", 5);

	copy_in(now, early, 0);
	case_in(now, DT_INT64, SHAPE(3), VALUES(0, -1, 2));
	same(early, now);
	early = reshape(2, DIMS(5, -1));
	cr_expect_eq(case_status(early), TAMIS_E_INVALID);
	case_free(early);
	early = reshape(TENSOR_MAX_RANK + 1, (int64_t[TENSOR_MAX_RANK + 1]){24});
	cr_expect_eq(case_status(early), TAMIS_E_UNSUPPORTED);
	case_free(early);
}

Test(early, split_lists_its_parts)
{
	struct op_case *early = case_new(ops_concat, "Split", 1), *now = case_new(ops_concat, "Split", 2);
	struct op_case *both[] = {early, now};

	case_in(early, DT_FLOAT, SHAPE(2, 5), NULL);
	copy_in(now, early, 0);
	for (int k = 0; k < 2; k++) {
		case_int(both[k], "axis", 1);
		case_ints(both[k], "split", 2, DIMS(3, 2));
		case_outputs(both[k], 2);
	}
	same(early, now);
}

static struct op_case *tile(double repeats, double axis)
{
	struct op_case *c = case_new(ops_move, "Tile", 1);

	case_in(c, DT_DOUBLE, SHAPE(2, 3, 2), NULL);
	case_in(c, DT_DOUBLE, 0, NULL, VALUES(repeats));
	case_in(c, DT_DOUBLE, 0, NULL, VALUES(axis));
	return c;
}

Test(early, tile_repeats_one_axis)
{
	static const struct { double repeats, axis; } bad[] = {{1.5, 0}, {2, 3}, {-1, 0}, {NAN, 0}, {1e300, 1}};

	for (int axis = 0; axis < 3; axis++) {
		struct op_case *early = tile(3, axis), *now = case_new(ops_move, "Tile", 6);

		copy_in(now, early, 0);
		case_in(now, DT_INT64, SHAPE(3), VALUES(axis == 0 ? 3 : 1, axis == 1 ? 3 : 1, axis == 2 ? 3 : 1));
		same(early, now);
		gradient(tile(3, axis), 1);
	}
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
		struct op_case *c = tile(bad[k].repeats, bad[k].axis);

		cr_expect_eq(case_status(c), TAMIS_E_INVALID, "case %zu", k);
		case_free(c);
	}
}

static struct op_case *norm(const char *name, int opset, double p)
{
	struct op_case *c = case_new(ops_pool, name, opset);

	if (opset == 1)
		case_float(c, "p", p);
	else
		case_int(c, "p", (int64_t)p);
	if (name[0] == 'L')
		case_ints(c, "kernel_shape", 2, DIMS(2, 3));
	case_in(c, DT_DOUBLE, SHAPE(2, 2, 3, 4), NULL);
	return c;
}

/* Of a fractional exponent the definition is the only other form there is. */
static void check_fraction(void)
{
	struct op_case *c = norm("GlobalLpPool", 1, 2.5);

	case_run(c);
	for (int k = 0; k < 4; k++) {
		double sum = 0;

		for (int i = 0; i < 12; i++)
			sum += pow(fabs(tensor_get(&c->in[0], 12 * k + i)), 2.5);
		cr_assert_float_eq(tensor_get(&c->out[0], k), pow(sum, 1 / 2.5), 1e-12);
	}
	case_free(c);
}

Test(early, norms_of_any_exponent)
{
	static const char *const names[] = {"LpPool", "GlobalLpPool"};

	for (int k = 0; k < 2; k++) {
		for (int p = 1; p < 4; p++) {
			struct op_case *early = norm(names[k], 1, p), *now = norm(names[k], 2, p);

			for (int64_t i = 0; i < 48; i++)
				tensor_set(&now->in[0], i, tensor_get(&early->in[0], i));
			same(early, now);
		}
		gradient(norm(names[k], 1, 2.5), 1);
	}
	check_fraction();
}

/* Names of outputs tell what is wanted; output_sequence says it a second time. */
Test(early, recurrent_layers)
{
	static const struct { const char *name; int since; int64_t gates; } layers[] = {{"RNN", 1, 1}, {"GRU", 1, 3},
		{"GRU", 3, 3}, {"LSTM", 1, 4}};

	for (size_t k = 0; k < sizeof layers / sizeof *layers; k++) {
		struct op_case *early = case_new(ops_recurrent, layers[k].name, layers[k].since);
		struct op_case *now = case_new(ops_recurrent, layers[k].name, 7);

		case_int(early, "output_sequence", 1);
		case_int(early, "hidden_size", 2);
		case_int(now, "hidden_size", 2);
		case_in(early, DT_DOUBLE, SHAPE(3, 2, 3), NULL);
		case_in(early, DT_DOUBLE, SHAPE(1, layers[k].gates * 2, 3), NULL);
		case_in(early, DT_DOUBLE, SHAPE(1, layers[k].gates * 2, 2), NULL);
		for (int i = 0; i < 3; i++)
			copy_in(now, early, i);
		case_outputs(early, 2);
		case_outputs(now, 2);
		same(early, now);
	}
}

Test(early, upsample_of_images)
{
	for (int linear = 0; linear < 2; linear++) {
		struct op_case *early = case_new(ops_resize, "Upsample", 1), *now = case_new(ops_resize, "Upsample", 7);

		case_string(early, "mode", linear ? "bilinear" : "nearest");
		case_string(now, "mode", linear ? "linear" : "nearest");
		case_float(early, "height_scale", 2);
		case_float(early, "width_scale", 1.5);
		case_floats(now, "scales", 4, VALUES(1, 1, 2, 1.5));
		case_in(early, DT_DOUBLE, SHAPE(1, 2, 3, 4), NULL);
		copy_in(now, early, 0);
		same(early, now);
	}
}
