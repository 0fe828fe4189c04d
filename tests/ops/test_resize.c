/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "harness.h"
#include "ops/family.h"

static const char *const modes[] = {"nearest", "linear", "cubic"};
static const char *const coordinates[] = {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
	"align_corners", "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"};

Test(resize, vectors)
{
	check_vectors(ops_resize, 23, NULL);
}

static void floats_in(struct op_case *c, int n, const double *values)
{
	case_in(c, DT_FLOAT, 1, DIMS(n), values);
}

static void ints_in(struct op_case *c, int n, const int64_t *values)
{
	struct tensor *t = case_in(c, DT_INT64, 1, DIMS(n), NULL);

	for (int i = 0; i < n; i++)
		((int64_t *)t->data)[i] = values[i];
}

/* A scale of one is the identity in every mode and type. */
Test(resize, scale_of_one)
{
	static const enum dtype types[] = {DT_FLOAT, DT_DOUBLE, DT_UINT8, DT_FLOAT16};

	for (int m = 0; m < 3; m++)
		for (int k = 0; k < 5; k++)
			for (int t = 0; t < 4; t++) {
				struct op_case *c = case_new(ops_resize, "Resize", 19);

				case_string(c, "mode", modes[m]);
				case_string(c, "coordinate_transformation_mode", coordinates[k]);
				case_in(c, types[t], SHAPE(1, 2, 3, 4), NULL);
				case_absent(c);
				floats_in(c, 4, VALUES(1, 1, 1, 1));
				case_run(c);
				cr_assert_eq(memcmp(c->out[0].data, c->in[0].data, tensor_bytes(&c->in[0])), 0);
				case_free(c);
			}
}

/* Linear interpolation of a ramp stays on the ramp where no border is near, and so does the cubic one of a
 * = -1/2. */
Test(resize, ramps_stay_ramps)
{
	for (int m = 1; m < 3; m++) {
		struct op_case *c = case_new(ops_resize, "Resize", 13);
		double ramp[20];

		for (int i = 0; i < 20; i++)
			ramp[i] = i;
		case_string(c, "mode", modes[m]);
		case_float(c, "cubic_coeff_a", -0.5);
		case_in(c, DT_DOUBLE, SHAPE(20), ramp);
		case_absent(c);
		case_absent(c);
		ints_in(c, 1, DIMS(50));
		case_run(c);
		for (int o = 8; o < 42; o++)
			cr_assert_float_eq(tensor_get(&c->out[0], o), (o + 0.5) * 0.4 - 0.5, 1e-12);
		case_free(c);
	}
}

/* Doubling with nearest repeats every pixel; so did Upsample, in both of its forms. */
Test(resize, nearest_doubles)
{
	static const char *const names[] = {"Upsample", "Upsample", "Resize", "Resize"};
	static const int opsets[] = {7, 9, 10, 11};

	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_resize, names[k], opsets[k]);

		case_in(c, DT_INT32, SHAPE(1, 2), VALUES(5, 6));
		if (k == 0)
			case_floats(c, "scales", 2, VALUES(2, 2));
		if (k == 3)
			floats_in(c, 0, NULL);
		if (k > 0)
			floats_in(c, 2, VALUES(2, 2));
		case_run(c);
		case_expect(c, 0, DT_INT32, SHAPE(2, 4), VALUES(5, 5, 6, 6, 5, 5, 6, 6), 0);
		case_free(c);
	}
}

Test(resize, reverse)
{
	for (int m = 0; m < 3; m++)
		for (int k = 0; k < 7; k++)
			for (int flags = 0; flags < 4; flags++) {
				struct op_case *c = case_new(ops_resize, "Resize", 19);

				case_string(c, "mode", modes[m]);
				case_string(c, "coordinate_transformation_mode", coordinates[k]);
				case_int(c, "exclude_outside", flags & 1);
				case_int(c, "antialias", flags >> 1);
				case_ints(c, "axes", 2, DIMS(2, 1));
				case_float(c, "extrapolation_value", 3);
				case_in(c, DT_DOUBLE, SHAPE(2, 5, 4), NULL);
				case_in(c, DT_FLOAT, SHAPE(4), VALUES(-0.2, 0.1, 0.8, 1.3));
				floats_in(c, 2, VALUES(1.75, 0.6));
				check_reverse(c, 1);
				case_free(c);
			}
}

Test(resize, reverse_of_the_identity)
{
	struct op_case *c = case_new(ops_resize, "Resize", 13);

	case_string(c, "mode", "linear");
	case_in(c, DT_DOUBLE, SHAPE(2, 3), NULL);
	case_absent(c);
	floats_in(c, 2, VALUES(1, 1));
	check_reverse(c, 1);
	case_free(c);
}

struct bad { int scales, sizes; double scale[3]; int64_t size[3]; enum tamis_status status; };

/* The input is 2 x 3. */
Test(resize, refuses)
{
	static const struct bad cases[] = {
		{2, 0, {1, 2}, {0}, TAMIS_OK}, {0, 2, {0}, {1, 7}, TAMIS_OK}, {0, 2, {0}, {0, 3}, TAMIS_OK},
		{0, 0, {0}, {0}, TAMIS_E_INVALID}, {2, 2, {1, 1}, {2, 3}, TAMIS_E_INVALID},
		{1, 0, {1}, {0}, TAMIS_E_INVALID}, {3, 0, {1, 1, 1}, {0}, TAMIS_E_INVALID},
		{2, 0, {0, 1}, {0}, TAMIS_E_INVALID}, {2, 0, {-1, 1}, {0}, TAMIS_E_INVALID},
		{2, 0, {NAN, 1}, {0}, TAMIS_E_INVALID}, {2, 0, {INFINITY, 1}, {0}, TAMIS_E_INVALID},
		{2, 0, {1e30, 1}, {0}, TAMIS_E_INVALID}, {0, 2, {0}, {-1, 3}, TAMIS_E_INVALID},
		{0, 1, {0}, {3}, TAMIS_E_INVALID}, {0, 2, {0}, {INT64_MAX, INT64_MAX}, TAMIS_E_INVALID},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct bad *b = &cases[i];
		struct op_case *c = case_new(ops_resize, "Resize", 13);

		case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
		case_absent(c);
		floats_in(c, b->scales, b->scale);
		ints_in(c, b->sizes, b->size);
		cr_expect_eq(case_status(c), b->status, "case %zu: %s", i, c->err.message);
		case_free(c);
	}
}

Test(resize, hostile_regions)
{
	static const double rois[][2] = {{NAN, NAN}, {INFINITY, -INFINITY}, {-1e30, 1e30}, {1, 0}, {0, 0}};

	for (size_t i = 0; i < sizeof rois / sizeof *rois; i++)
		for (int m = 0; m < 3; m++) {
			struct op_case *c = case_new(ops_resize, "Resize", 13);

			case_string(c, "mode", modes[m]);
			case_string(c, "coordinate_transformation_mode", "tf_crop_and_resize");
			case_in(c, DT_FLOAT, SHAPE(3), NULL);
			floats_in(c, 2, rois[i]);
			floats_in(c, 1, VALUES(2));
			case_run(c);
			case_free(c);
		}
	struct op_case *c = case_new(ops_resize, "Resize", 13);

	case_string(c, "coordinate_transformation_mode", "tf_crop_and_resize");
	case_in(c, DT_FLOAT, SHAPE(3), NULL);
	case_absent(c);
	floats_in(c, 1, VALUES(2));
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}
