/* SPDX-License-Identifier: Apache-2.0 */
/* GridSample, NonMaxSuppression and RoiAlign. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "harness.h"
#include "ops/family.h"

static const char *const modes[] = {"linear", "nearest", "cubic"};
static const char *const paddings[] = {"zeros", "border", "reflection"};

/* Vectors written to four digits are left out; the identities below say more. */
Test(sample, vectors)
{
	static const char *const skip[] = {"test_gridsample_bicubic", NULL};

	check_vectors(ops_sample, 7, skip);
}

Test(detect, vectors)
{
	static const char *const skip[] = {"test_roialign_aligned_false", "test_roialign_aligned_true", NULL};

	check_vectors(ops_detect, 9, skip);
}

/* Gradients of image and grid, inside and well outside, in one to three dimensions. */
Test(sample, reverse)
{
	static const int64_t images[3][5] = {{2, 2, 5}, {2, 2, 3, 4}, {1, 2, 2, 3, 2}};
	static const int64_t grids[3][5] = {{2, 3, 1}, {2, 2, 2, 2}, {1, 1, 2, 2, 3}};

	for (int space = 1; space <= 3; space++)
		for (int m = 0; m < 3; m++)
			for (int k = 0; k < 6; k++) {
				struct op_case *c = case_new(ops_sample, "GridSample", 20);

				case_string(c, "mode", modes[m]);
				case_string(c, "padding_mode", paddings[k % 3]);
				case_int(c, "align_corners", k / 3);
				case_in(c, DT_DOUBLE, space + 2, images[space - 1], NULL);
				case_in_range(c, DT_DOUBLE, space + 2, grids[space - 1], -1.9, 1.9);
				check_reverse(c, 3);
				case_free(c);
			}
}

/* A grid that names every pixel's own place is the identity. */
Test(sample, identity)
{
	for (int m = 0; m < 3; m++)
		for (int align = 0; align < 2; align++) {
			struct op_case *c = case_new(ops_sample, "GridSample", 16);
			struct tensor *grid;

			case_string(c, "mode", m == 1 ? "nearest" : m ? "bicubic" : "bilinear");
			case_int(c, "align_corners", align);
			case_in(c, DT_DOUBLE, SHAPE(1, 1, 4, 5), NULL);
			grid = case_in(c, DT_DOUBLE, SHAPE(1, 4, 5, 2), NULL);
			for (int i = 0; i < 20; i++) {
				double x = i % 5, y = i / 5;

				tensor_set(grid, 2 * i, align ? x / 2 - 1 : (2 * x + 1) / 5 - 1);
				tensor_set(grid, 2 * i + 1, align ? y / 1.5 - 1 : (2 * y + 1) / 4 - 1);
			}
			case_run(c);
			for (int i = 0; i < 20; i++)
				cr_assert_float_eq(tensor_get(&c->out[0], i), tensor_get(&c->in[0], i), 1e-12);
			case_free(c);
		}
}

Test(sample, hostile_grids)
{
	static const double far[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300, 1e18};

	for (int f = 0; f < 6; f++)
		for (int m = 0; m < 3; m++)
			for (int k = 0; k < 6; k++) {
				struct op_case *c = case_new(ops_sample, "GridSample", 22);

				case_string(c, "mode", modes[m]);
				case_string(c, "padding_mode", paddings[k % 3]);
				case_int(c, "align_corners", k / 3);
				case_in(c, DT_DOUBLE, SHAPE(1, 1, 1, 3), NULL);
				case_in(c, DT_DOUBLE, SHAPE(1, 1, 1, 2), (const double[]){far[f], far[5 - f]});
				case_run(c);
				cr_expect(isfinite(tensor_get(&c->out[0], 0)));
				case_free(c);
			}
}

Test(sample, refuses)
{
	static const int64_t grids[][4] = {{2, 2, 2, 2}, {1, 2, 2, 3}, {1, 2, 2, 1}};

	for (int k = 0; k < 5; k++) {
		struct op_case *c = case_new(ops_sample, "GridSample", 20);

		case_in(c, k == 3 ? DT_INT32 : DT_FLOAT, SHAPE(1, 1, k == 4 ? 0 : 3, 3), NULL);
		case_in(c, DT_FLOAT, 4, k < 3 ? grids[k] : DIMS(1, 2, 2, 2), NULL);
		cr_expect_eq(case_status(c), k == 3 ? TAMIS_E_UNSUPPORTED : TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}

/* ---- NonMaxSuppression ---- */

static struct op_case *boxes(int n, const double *corners, const double *scores)
{
	struct op_case *c = case_new(ops_detect, "NonMaxSuppression", 11);

	case_in(c, DT_FLOAT, SHAPE(1, n, 4), corners);
	case_in(c, DT_FLOAT, SHAPE(1, 1, n), scores);
	return c;
}

/* Without a limit nothing is selected; with one, no two selected boxes overlap more than the threshold. */
Test(detect, suppression_limits)
{
	static const double corners[] = {0, 0, 2, 2, 2, 2, 0, 0, 0, 3, 2, 5, NAN, 0, 1, 1};
	struct op_case *c = boxes(4, corners, VALUES(0.5, 0.9, NAN, 0.5));

	case_run(c);
	case_expect(c, 0, DT_INT64, SHAPE(0, 3), NULL, 0);
	case_free(c);
	c = boxes(4, corners, VALUES(0.5, 0.9, NAN, 0.5));
	case_in(c, DT_INT64, 0, NULL, VALUES(9));
	case_in(c, DT_FLOAT, 0, NULL, VALUES(0.5));
	case_run(c);
	case_expect(c, 0, DT_INT64, SHAPE(3, 3), VALUES(0, 0, 1, 0, 0, 3, 0, 0, 2), 0);
	case_free(c);
	c = boxes(4, corners, VALUES(0.5, 0.9, NAN, 0.5));
	case_in(c, DT_INT64, SHAPE(1), VALUES(-3));
	case_run(c);
	case_expect(c, 0, DT_INT64, SHAPE(0, 3), NULL, 0);
	case_free(c);
}

Test(detect, suppression_refuses)
{
	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_detect, "NonMaxSuppression", 10);

		case_in(c, k == 0 ? DT_DOUBLE : DT_FLOAT, SHAPE(1, 2, k == 1 ? 3 : 4), NULL);
		case_in(c, DT_FLOAT, SHAPE(1, 1, k == 2 ? 3 : 2), NULL);
		case_in(c, k == 3 ? DT_FLOAT : DT_INT64, SHAPE(1), NULL);
		cr_expect_eq(case_status(c), TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}

/* ---- RoiAlign ---- */

static struct op_case *regions(int opset, bool max, const double *rois, double item)
{
	struct op_case *c = case_new(ops_detect, "RoiAlign", opset);

	case_string(c, "mode", max ? "max" : "avg");
	case_int(c, "output_height", 2);
	case_int(c, "output_width", 3);
	case_in(c, DT_DOUBLE, SHAPE(2, 2, 5, 6), NULL);
	case_in(c, DT_DOUBLE, SHAPE(2, 4), rois);
	case_in(c, DT_INT64, SHAPE(2), (const double[]){1, item});
	return c;
}

Test(detect, align_reverse)
{
	for (int max = 0; max < 2; max++)
		for (int old = 0; old < 2; old++) {
			struct op_case *c = regions(old ? 10 : 16, max, VALUES(0.3, 0.4, 5.1, 3.7, -3, 2, 9, 7.5), 0);

			check_reverse(c, 1);
			case_free(c);
		}
}

/* A linear image averages to its value at the middle of each bin, as long as the region lies inside. */
Test(detect, align_of_a_linear_image)
{
	static const double rois[2][4] = {{1, 1, 4, 4}, {2, 0.5, 5, 3}}; /* x0 y0 x1 y1 */

	for (int old = 0; old < 2; old++) {
		struct op_case *c = regions(old ? 10 : 16, false, rois[0], 0);
		double shift = old ? 0 : 0.5;

		for (int i = 0; i < 120; i++)
			tensor_set(&c->in[0], i, 2 * (i % 6) + 3 * (i / 6 % 5));
		case_run(c);
		for (int i = 0; i < 24; i++) {
			const double *r = rois[i / 12];
			double x = r[0] + (r[2] - r[0]) * (i % 3 + 0.5) / 3 - shift;
			double y = r[1] + (r[3] - r[1]) * (i / 3 % 2 + 0.5) / 2 - shift;

			cr_assert_float_eq(tensor_get(&c->out[0], i), 2 * x + 3 * y, 1e-12, "bin %d", i);
		}
		case_free(c);
	}
}

Test(detect, align_refuses)
{
	struct op_case *c = regions(16, false, VALUES(0, 0, 1, 1, 0, 0, 1, 1), 2);

	cr_expect_eq(case_forward(c), TAMIS_E_INVALID);
	case_free(c);
	for (int k = 0; k < 3; k++) {
		static const double far[] = {1e9, NAN, INFINITY};

		c = regions(16, false, (const double[]){0, 0, far[k], 1, 0, 0, 1, 1}, 0);
		cr_expect_eq(case_forward(c), TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
	c = case_new(ops_detect, "RoiAlign", 16);
	case_int(c, "output_height", 0);
	case_in(c, DT_FLOAT, SHAPE(1, 1, 2, 2), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 4), NULL);
	case_in(c, DT_INT64, SHAPE(1), NULL);
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}

/* An image of no items has planes of any size; regions far larger than the image are read for nothing. */
Test(detect, align_refuses_sizes_that_hold_nothing)
{
	const int64_t side = (int64_t)1 << 40;
	struct op_case *c = case_new(ops_detect, "RoiAlign", 16);

	case_in(c, DT_FLOAT, SHAPE(0, 1, side, side), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 4), VALUES(0, 0, 1, 1));
	case_in(c, DT_INT64, SHAPE(1), VALUES(0));
	cr_expect_eq(case_forward(c), TAMIS_E_INVALID);
	case_free(c);
	c = case_new(ops_detect, "RoiAlign", 16);
	case_int(c, "sampling_ratio", 65536);
	case_in(c, DT_FLOAT, SHAPE(1, 1, 2, 2), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 4), VALUES(0, 0, 1, 1));
	case_in(c, DT_INT64, SHAPE(1), VALUES(0));
	cr_expect_eq(case_forward(c), TAMIS_E_UNSUPPORTED);
	case_free(c);
}

/* ---- MaxRoiPool ---- */

/* Elements 0 to 15 of a 4 x 4 image: bins that share rows, regions of one pixel, and beyond the border. */
Test(detect, roi_bins)
{
	struct op_case *c = case_new(ops_detect, "MaxRoiPool", 1);
	struct tensor *x = case_in(c, DT_FLOAT, SHAPE(1, 1, 4, 4), NULL);

	for (int64_t i = 0; i < 16; i++)
		tensor_set(x, i, (double)i);
	case_ints(c, "pooled_shape", 2, (const int64_t[]){2, 2});
	case_float(c, "spatial_scale", 0.5);
	case_in(c, DT_FLOAT, SHAPE(4, 5), VALUES(0, 0, 0, 6, 6, 0, 0, 0, 4, 4, 0, 6, 6, 0, 0, 0, 10, 10, 14, 14));
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(4, 1, 2, 2),
	            VALUES(5, 7, 13, 15, 5, 6, 9, 10, 15, 15, 15, 15, 0, 0, 0, 0), 0);
	case_free(c);
}

Test(detect, roi_reverse)
{
	struct op_case *c = case_new(ops_detect, "MaxRoiPool", 22);

	case_ints(c, "pooled_shape", 2, (const int64_t[]){3, 2});
	case_in(c, DT_DOUBLE, SHAPE(2, 3, 5, 6), NULL);
	case_in(c, DT_DOUBLE, SHAPE(3, 5), VALUES(0, 0, 0, 4, 4, 1, 1, 2, 5, 3, 0, 3, 3, 3, 3));
	check_reverse(c, 1);
	case_free(c);
}

Test(detect, roi_refuses)
{
	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_detect, "MaxRoiPool", 1);

		case_ints(c, "pooled_shape", k == 0 ? 1 : 2, (const int64_t[]){k == 1 ? 0 : 2, 2});
		case_in(c, DT_FLOAT, SHAPE(1, 1, 4, 4), NULL);
		case_in(c, DT_FLOAT, SHAPE(1, k == 2 ? 4 : 5), VALUES(k == 3 ? 1 : 0, 0, 0, 2, 2));
		cr_expect_eq(case_status(c), k == 3 ? TAMIS_OK : TAMIS_E_INVALID, "case %d", k);
		if (k == 3)
			cr_expect_eq(case_forward(c), TAMIS_E_INVALID, "no such image");
		case_free(c);
	}
	struct op_case *c = case_new(ops_detect, "MaxRoiPool", 1);

	case_ints(c, "pooled_shape", 2, (const int64_t[]){1, 1});
	case_in(c, DT_FLOAT, SHAPE((int64_t)1 << 60, 1 << 20, 0, 5), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 5), VALUES(0x1p59, 0, 0, 1, 1));
	cr_expect_eq(case_status(c), TAMIS_E_INVALID, "images of no pixels");
	case_free(c);
}
