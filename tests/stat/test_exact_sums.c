/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "stat/exact_sums.h"

enum { WIDTH = 7, ROWS = 40 };

static struct exact_sums make(int64_t n, int digits)
{
	struct exact_sums s;
	struct tamis_error err = { 0 };

	cr_assert_eq(exact_sums_create(&s, n, digits, &err), TAMIS_OK, "%s", err.message);
	return s;
}

static void same(const struct exact_sums *a, const struct exact_sums *b, const char *what)
{
	cr_assert_eq(a->top, b->top, "%s", what);
	cr_assert_arr_eq(a->digit, b->digit, (size_t)(a->n * a->digits) * sizeof *a->digit, "%s", what);
	cr_assert_arr_eq(a->broken, b->broken, (size_t)a->n, "%s", what);
}

/* Magnitudes over `decades`, both signs, now and then zero. */
static void draw(struct rng *r, double decades, double rows[ROWS][WIDTH])
{
	for (int t = 0; t < ROWS; t++)
		for (int i = 0; i < WIDTH; i++)
			rows[t][i] = rng_uniform(r) < 0.1 ? 0
				: (rng_uniform(r) - 0.5) * pow(10, decades * (rng_uniform(r) - 0.5));
}

static void add_rows(struct exact_sums *s, double rows[ROWS][WIDTH], const int *order, int from, int to)
{
	for (int t = from; t < to; t++)
		exact_sums_add(s, rows[order[t]]);
}

static void shuffle(struct rng *r, int order[ROWS])
{
	for (int t = ROWS - 1; t > 0; t--) {
		int k = (int)(rng_uniform(r) * (t + 1)), keep = order[t];

		order[t] = order[k];
		order[k] = keep;
	}
}

Test(exact_sums, any_order_and_any_merge_give_the_same_bits)
{
	struct rng r = rng_make(11, 1);
	struct tamis_error err = { 0 };

	for (int trial = 0; trial < 200; trial++) {
		double rows[ROWS][WIDTH];
		int order[ROWS], digits = 1 + trial % EXACT_SUMS_DIGITS, cut = (int)(rng_uniform(&r) * ROWS);
		struct exact_sums one = make(WIDTH, digits), a = make(WIDTH, digits), b = make(WIDTH, digits);

		draw(&r, trial % 4 == 3 ? 560 : trial % 4 * 12, rows);
		for (int t = 0; t < ROWS; t++)
			order[t] = t;
		add_rows(&one, rows, order, 0, ROWS);
		shuffle(&r, order);
		add_rows(&a, rows, order, 0, cut);
		add_rows(&b, rows, order, cut, ROWS);
		if (trial % 2) {
			struct exact_sums swap = a;

			a = b;
			b = swap;
		}
		cr_assert_eq(exact_sums_merge(&a, &b, &err), TAMIS_OK);
		same(&one, &a, "merged");
		exact_sums_free(&one);
		exact_sums_free(&a);
		exact_sums_free(&b);
	}
}

Test(exact_sums, sums_are_right)
{
	struct rng r = rng_make(12, 1);

	for (int trial = 0; trial < 100; trial++) {
		double rows[ROWS][WIDTH], largest = 0;
		long double want[WIDTH] = { 0 };
		struct exact_sums s = make(WIDTH, EXACT_SUMS_DIGITS);

		draw(&r, trial % 10, rows);
		for (int t = 0; t < ROWS; t++) {
			for (int i = 0; i < WIDTH; i++) {
				want[i] += (long double)rows[t][i];
				largest = fmax(largest, fabs(rows[t][i]));
			}
			exact_sums_add(&s, rows[t]);
		}
		for (int i = 0; i < WIDTH; i++)
			cr_expect_leq(fabs(exact_sums_value(&s, i) - (double)want[i]), largest * ROWS * 0x1p-52, "trial %d", trial);
		exact_sums_free(&s);
	}
}

Test(exact_sums, floats_are_doubles)
{
	const float x[3] = { 1.5f, -3e-30f, 7e30f };
	const double y[3] = { (double)x[0], (double)x[1], (double)x[2] };
	struct exact_sums a = make(3, 2), b = make(3, 2);

	exact_sums_add_floats(&a, x);
	exact_sums_add(&b, y);
	same(&a, &b, "floats");
	exact_sums_free(&a);
	exact_sums_free(&b);
}

Test(exact_sums, what_is_not_finite_stays_in_its_own_sum)
{
	const double bad[3] = { 1, NAN, -INFINITY }, good[3] = { 2, 3, 4 };
	struct exact_sums s = make(3, 3);

	exact_sums_add(&s, bad);
	exact_sums_add(&s, good);
	cr_expect_eq(exact_sums_value(&s, 0), 3);
	cr_expect(isnan(exact_sums_value(&s, 1)));
	cr_expect(isnan(exact_sums_value(&s, 2)));
	exact_sums_free(&s);
}

Test(exact_sums, extremes)
{
	const double x[2] = { 0x1.fffffffffffffp1023, 0x1p-1074 };
	struct exact_sums s = make(2, 3), small = make(1, 3);

	exact_sums_add(&s, x);
	cr_expect_eq(exact_sums_value(&s, 0), x[0]);
	cr_expect_eq(exact_sums_value(&s, 1), 0);
	exact_sums_add(&small, &(const double){ 0x1p-950 });
	cr_expect_eq(exact_sums_value(&small, 0), 0x1p-950);
	exact_sums_free(&s);
	exact_sums_free(&small);
}

Test(exact_sums, shapes_must_match)
{
	struct exact_sums a = make(2, 2), b = make(3, 2), c = make(2, 3), d;
	struct tamis_error err = { 0 };

	cr_expect_eq(exact_sums_merge(&a, &b, &err), TAMIS_E_INVALID);
	cr_expect_eq(exact_sums_merge(&a, &c, NULL), TAMIS_E_INVALID);
	cr_expect_eq(exact_sums_create(&d, 1, EXACT_SUMS_DIGITS + 1, NULL), TAMIS_E_USAGE);
	exact_sums_free(&a);
	exact_sums_free(&b);
	exact_sums_free(&c);
}
