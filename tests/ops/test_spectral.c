/* SPDX-License-Identifier: Apache-2.0 */
/* Fourier transforms and windows. */
#include <criterion/criterion.h>
#include <math.h>

#include "harness.h"
#include "ops/family.h"

/* Older vectors of windows were made with four digits of pi; the conformance list compares them to 1e-3. */
Test(spectral, vectors)
{
	static const char *const skip[] = {
		"test_blackmanwindow", "test_blackmanwindow_symmetric", "test_hammingwindow",
			"test_hammingwindow_symmetric",
		"test_hannwindow", "test_hannwindow_symmetric", NULL,
	};

	check_vectors(ops_spectral, 6, skip);
}

/* Against the definition, for lengths of all kinds. */
Test(spectral, definition)
{
	for (int n = 1; n < 40; n++) {
		struct op_case *c = case_new(ops_spectral, "DFT", 20);

		case_int(c, "inverse", n % 2);
		case_in(c, DT_DOUBLE, SHAPE(1, n, 2), NULL);
		case_run(c);
		for (int k = 0; k < n; k++) {
			double re = 0, im = 0, scale = n % 2 ? 1.0 / n : 1;

			for (int j = 0; j < n; j++) {
				double angle = (n % 2 ? 2 : -2) * M_PI * j * k / n, x = tensor_get(&c->in[0], 2 * j);
				double y = tensor_get(&c->in[0], 2 * j + 1);

				re += x * cos(angle) - y * sin(angle);
				im += x * sin(angle) + y * cos(angle);
			}
			cr_assert_float_eq(tensor_get(&c->out[0], 2 * k), re * scale, 1e-11, "length %d", n);
			cr_assert_float_eq(tensor_get(&c->out[0], 2 * k + 1), im * scale, 1e-11, "length %d", n);
		}
		case_free(c);
	}
}

/* Both ways, both sides, longer and shorter than the signal, real and complex. */
Test(spectral, reverse)
{
	for (int k = 0; k < 24; k++) {
		bool inverse = k % 2, onesided = k / 2 % 2;
		struct op_case *c = case_new(ops_spectral, "DFT", 20);

		case_int(c, "inverse", inverse);
		case_int(c, "onesided", onesided);
		case_in(c, DT_DOUBLE, SHAPE(2, 5, 2, onesided && !inverse ? 1 : 1 + k / 4 % 2), NULL);
		if (k / 8 > 0)
			case_in(c, DT_INT64, 0, NULL, (const double[]){k / 8 == 1 ? 7 : 4});
		else
			case_absent(c);
		case_in(c, DT_INT64, 0, NULL, VALUES(1));
		check_reverse(c, 1);
		case_free(c);
	}
}

Test(spectral, frames_reverse)
{
	for (int k = 0; k < 8; k++) {
		struct op_case *c = case_new(ops_spectral, "STFT", 17);

		case_int(c, "onesided", k % 2);
		case_in(c, DT_DOUBLE, SHAPE(2, 9, 1 + k / 4), NULL);
		case_in(c, DT_INT64, 0, NULL, VALUES(2));
		if (k / 2 % 2)
			case_in(c, DT_DOUBLE, SHAPE(4), NULL);
		else
			case_absent(c);
		case_in(c, DT_INT64, 0, NULL, VALUES(4));
		check_reverse(c, k / 2 % 2 ? 5 : 1);
		case_free(c);
	}
}

Test(spectral, refuses)
{
	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_spectral, k < 2 ? "DFT" : k == 2 ? "STFT" : "HannWindow", 20);

		case_in(c, k == 3 ? DT_INT64 : DT_FLOAT, k == 3 ? 0 : 3, DIMS(1, 4, k == 0 ? 3 : 1), k == 3 ?
		        VALUES(-1) : NULL);
		if (k == 1 || k == 2)
			case_in(c, DT_INT64, 0, NULL, VALUES(0));
		cr_expect_eq(case_forward(c), TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}

Test(spectral, refuses_spectra_beyond_all_signals)
{
	struct op_case *c = case_new(ops_spectral, "DFT", 17);

	case_int(c, "inverse", 1);
	case_int(c, "onesided", 1);
	case_in(c, DT_FLOAT, SHAPE(0, ((int64_t)1 << 62) + 2, 1), NULL);
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}
