/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "harness.h"
#include "ops/family.h"

static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};

Test(pad, vectors)
{
	check_vectors(ops_pad, 3, NULL);
}

static void ints_in(struct op_case *c, int n, const int64_t *values)
{
	struct tensor *t = case_in(c, DT_INT64, 1, DIMS(n), NULL);

	for (int i = 0; i < n; i++)
		((int64_t *)t->data)[i] = values[i];
}

/* Cropped first, then continued one step at a time: what walks back and forth over the kept part. -1 =
 * constant. */
static int64_t source(int mode, int64_t d, int64_t before, int64_t after, int64_t out)
{
	int64_t low = before < 0 ? -before : 0, n = d - low + (after < 0 ? after : 0);
	int64_t i = out - (before > 0 ? before : 0);

	while (n > 0 && mode != 0 && (i < 0 || i >= n)) {
		if (mode == 2)
			i = i < 0 ? 0 : n - 1;
		else if (mode == 3)
			i += i < 0 ? n : -n;
		else if (n == 1)
			i = 0;
		else
			i = i < 0 ? -i : 2 * (n - 1) - i;
	}
	return i < 0 || i >= n ? -1 : low + i;
}

/* One axis of each length up to 4 with pads from -3 to 9. */
Test(pad, every_mode_by_steps)
{
	for (int mode = 0; mode < 4; mode++)
		for (int64_t d = 1; d <= 4; d++)
			for (int64_t before = -3; before <= 9; before++)
				for (int64_t after = -3; after <= 9; after++) {
					struct op_case *c = case_new(ops_pad, "Pad", 19);
					int64_t left = d + (before < 0 ? before : 0) + (after < 0 ? after : 0);
					double want[32];

					case_string(c, "mode", modes[mode]);
					case_in(c, DT_FLOAT, 1, &d, VALUES(10, 11, 12, 13));
					ints_in(c, 2, DIMS(before, after));
					case_in(c, DT_FLOAT, 0, NULL, VALUES(9));
					if (d + before + after < 0 || (mode && left <= 0 && d + before + after > 0)) {
						cr_assert_eq(case_status(c), TAMIS_E_INVALID);
						case_free(c);
						continue;
					}
					if (left <= 0 && d + before + after > 0) {
						case_free(c); /* crops overlap: covered below */
						continue;
					}
					for (int64_t o = 0; o < d + before + after; o++) {
						int64_t from = source(mode, d, before, after, o);

						want[o] = from < 0 ? 9 : 10 + (double)from;
					}
					case_run(c);
					case_expect(c, 0, DT_FLOAT, SHAPE(d + before + after), want, 0);
					case_free(c);
				}
}

/* A crop beyond the axis leaves constants alone. */
Test(pad, constant_after_cropping_everything)
{
	struct op_case *c = case_new(ops_pad, "Pad", 13);

	case_in(c, DT_INT32, SHAPE(3), NULL);
	ints_in(c, 2, DIMS(-5, 4));
	case_in(c, DT_INT32, SHAPE(1), VALUES(7));
	case_run(c);
	case_expect(c, 0, DT_INT32, SHAPE(2), VALUES(7, 7), 0);
	case_free(c);
}

/* Padding and then slicing gives the input back, in three axes at once and for every mode. */
Test(pad, slice_undoes)
{
	for (int mode = 0; mode < 4; mode++) {
		struct op_case *a = case_new(ops_pad, "Pad", 21), *b = case_new(ops_slice, "Slice", 13);

		case_string(a, "mode", modes[mode]);
		case_in(a, DT_FLOAT16, SHAPE(3, 4, 5), NULL);
		ints_in(a, 6, DIMS(1, 0, 2, 2, 3, 1));
		case_run(a);
		*case_in(b, DT_FLOAT16, 3, a->out[0].dims, NULL) = a->out[0];
		ints_in(b, 3, DIMS(1, 0, 2));
		ints_in(b, 3, DIMS(4, 4, 7));
		case_run(b);
		cr_assert(tensor_same_shape(&b->out[0], &a->in[0]));
		cr_assert_eq(memcmp(b->out[0].data, a->in[0].data, tensor_bytes(&a->in[0])), 0, "%s", modes[mode]);
		case_free(a);
		case_free(b);
	}
}

Test(pad, reverse)
{
	for (int mode = 0; mode < 4; mode++) {
		struct op_case *c = case_new(ops_pad, "Pad", 19);

		case_string(c, "mode", modes[mode]);
		case_in(c, DT_DOUBLE, SHAPE(2, 3, 4, 2), NULL);
		ints_in(c, 4, DIMS(1, -1, 2, 5));
		if (mode)
			case_absent(c);
		else
			case_in(c, DT_DOUBLE, SHAPE(1), NULL);
		ints_in(c, 2, DIMS(1, -2));
		check_reverse(c, mode ? 1 : 5);
		case_free(c);
		c = case_new(ops_pad, "Pad", 10);
		case_string(c, "mode", modes[mode]);
		case_ints(c, "pads", 4, DIMS(0, 1, 0, 1));
		case_float(c, "value", 3);
		case_in(c, DT_DOUBLE, SHAPE(2, 3), NULL);
		check_reverse(c, 1);
		case_free(c);
	}
}

Test(pad, attribute_value_in_halves)
{
	struct op_case *c = case_new(ops_pad, "Pad", 2);

	case_ints(c, "pads", 2, DIMS(1, 0));
	case_float(c, "value", 0.5);
	case_in(c, DT_FLOAT16, SHAPE(1), VALUES(2));
	case_run(c);
	case_expect(c, 0, DT_FLOAT16, SHAPE(2), VALUES(0.5, 2), 0);
	case_free(c);
}

struct bad { int n, n_axes; int64_t pads[4], axes[3]; };

/* The input is 2 x 3. */
Test(pad, refuses)
{
	static const struct bad cases[] = {
		{2, -1, {0, 0}, {0}}, {3, -1, {0, 0, 0}, {0}}, {4, -1, {-3, 0, 0, 0}, {0}},
		{4, -1, {INT64_MAX, 0, 0, 0}, {0}}, {4, -1, {INT64_MIN, 0, 0, 0}, {0}},
		{4, -1, {0, INT64_MAX - 3, 0, INT64_MAX}, {0}}, {4, 2, {1, 1, 1, 1}, {0, -2}},
		{4, 2, {1, 1, 1, 1}, {0, 2}}, {4, 1, {1, 1, 1, 1}, {0}}, {4, 3, {1, 1, 1, 1}, {0, 1, 1}},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct op_case *c = case_new(ops_pad, "Pad", 18);

		case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
		ints_in(c, cases[i].n, cases[i].pads);
		case_absent(c);
		if (cases[i].n_axes >= 0)
			ints_in(c, cases[i].n_axes, cases[i].axes);
		cr_expect_eq(case_status(c), TAMIS_E_INVALID, "case %zu", i);
		case_free(c);
	}
	struct op_case *c = case_new(ops_pad, "Pad", 18);

	case_in(c, DT_FLOAT, SHAPE(2), NULL);
	ints_in(c, 2, DIMS(1, 1));
	case_in(c, DT_DOUBLE, 0, NULL, VALUES(0));
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
	c = case_new(ops_pad, "Pad", 18);
	case_string(c, "mode", "mirror");
	case_in(c, DT_FLOAT, SHAPE(2), NULL);
	ints_in(c, 2, DIMS(1, 1));
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}
