/* SPDX-License-Identifier: Apache-2.0 */
/* How far outputs moved, against the definition in long double. */
#include <criterion/criterion.h>
#include <math.h>

#include "base/rng.h"
#include "slim/repair/mismatch.h"

#define ROWS 5
#define CLASSES 4

static struct tensor floats(float *x, int64_t n)
{
	return (struct tensor){ .type = DT_FLOAT, .count = n, .data = x };
}

static struct head classes(enum head_kind kind, int output)
{
	return (struct head){ .kind = kind, .output = output, .classes = CLASSES };
}

static void softmax(const float *z, long double *p)
{
	long double sum = 0;

	for (int c = 0; c < CLASSES; c++)
		sum += expl(z[c]);
	for (int c = 0; c < CLASSES; c++)
		p[c] = expl(z[c]) / sum;
}

static double divergence(const float *now, const float *before)
{
	long double p[CLASSES], q[CLASSES], sum = 0;

	for (int row = 0; row < ROWS; row++) {
		softmax(before + row * CLASSES, p);
		softmax(now + row * CLASSES, q);
		for (int c = 0; c < CLASSES; c++)
			sum += p[c] * logl(p[c] / q[c]) / ROWS;
	}
	return (double)sum;
}

Test(mismatch, is_the_divergence_of_classes)
{
	const struct head logits = classes(HEAD_LOGITS, 1), probabilities = classes(HEAD_PROBABILITIES, 1);

	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct rng r = rng_make(seed, 0);
		float before[ROWS * CLASSES], now[ROWS * CLASSES], p[ROWS * CLASSES], q[ROWS * CLASSES];
		struct tensor a = floats(now, ROWS * CLASSES), b = floats(before, ROWS * CLASSES);
		struct tensor c = floats(q, ROWS * CLASSES), d = floats(p, ROWS * CLASSES);
		double want;

		for (int i = 0; i < ROWS * CLASSES; i++) {
			before[i] = (float)(5 * rng_normal(&r));
			now[i] = before[i] + (float)rng_normal(&r);
		}
		for (int row = 0; row < ROWS; row++) {
			long double x[CLASSES], y[CLASSES];

			softmax(before + row * CLASSES, x);
			softmax(now + row * CLASSES, y);
			for (int k = 0; k < CLASSES; k++) {
				p[row * CLASSES + k] = (float)x[k];
				q[row * CLASSES + k] = (float)y[k];
			}
		}
		want = divergence(now, before);
		cr_assert_float_eq(mismatch_of(&logits, 1, &a, &b), want, 1e-12 * (1 + want), "seed %d", (int)seed);
		cr_assert_float_eq(mismatch_of(&probabilities, 1, &c, &d), want, 1e-5 * (1 + want), "seed %d", (int)seed);
		cr_assert_eq(mismatch_of(&logits, 0, &a, &b), 0);
		cr_assert_lt(fabs(mismatch_of(&logits, 1, &b, &b)), 1e-15);
	}
}

/* As far apart as floats can be: no infinity less an infinity. */
Test(mismatch, bears_extremes)
{
	const struct head logits = classes(HEAD_LOGITS, 0), probabilities = classes(HEAD_PROBABILITIES, 0);
	float far[] = { 1e30f, -1e30f, 0, 0 }, other[] = { -1e30f, 1e30f, 0, 0 }, sure[] = { 1, 0, 0, 0 }, wrong[] = { 0, 1, 0, 0 };
	float bad[] = { 1, NAN, 0, 0 };
	struct tensor a = floats(far, CLASSES), b = floats(other, CLASSES), c = floats(sure, CLASSES), d = floats(wrong, CLASSES);
	struct tensor e = floats(bad, CLASSES), few = floats(far, CLASSES - 1);

	cr_assert_float_eq(mismatch_of(&logits, 0, &a, &b), 2e30, 1e24);
	cr_assert_float_eq(mismatch_of(&logits, 0, &a, &a), 0, 1e-15);
	cr_assert_float_eq(mismatch_of(&probabilities, 0, &d, &c), -log(1e-30), 1e-9);
	cr_assert(isnan(mismatch_of(&logits, 0, &e, &c)));
	cr_assert(isnan(mismatch_of(&probabilities, 0, &e, &c)));
	cr_assert_eq(mismatch_of(&logits, 0, &few, &a), 0);
}

Test(mismatch, is_the_relative_error_of_anything_else)
{
	const struct head general = { .kind = HEAD_GENERAL };
	float before[] = { 3, -4, 0 }, now[] = { 3, -3, 2 }, nothing[] = { 0, 0, 0 };
	struct tensor a = floats(now, 3), b = floats(before, 3), c = floats(nothing, 3);

	cr_assert_float_eq(mismatch_of(&general, 0, &a, &b), 5.0 / 25, 1e-15);
	cr_assert_float_eq(mismatch_of(NULL, 3, &a, &b), 5.0 / 25, 1e-15);
	cr_assert_eq(mismatch_of(NULL, 0, &a, &c), 0);
}

/* ---- its slope ------------------------------------------------------------------------------------------------ */

/* Of the sum over rows, by central differences in the logits. */
static double by_differences(const float *now, const float *before, int at)
{
	const double step = 1e-2;
	float up[ROWS * CLASSES], down[ROWS * CLASSES];

	for (int i = 0; i < ROWS * CLASSES; i++)
		up[i] = down[i] = now[i];
	up[at] += (float)step;
	down[at] -= (float)step;
	return ROWS * (divergence(up, before) - divergence(down, before)) / ((double)up[at] - (double)down[at]);
}

/* Through the Softmax before them where outputs are probabilities. */
Test(mismatch, slopes_are_those_of_the_divergence)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct rng r = rng_make(seed, 0);
		float before[ROWS * CLASSES], now[ROWS * CLASSES], p[ROWS * CLASSES], q[ROWS * CLASSES];
		struct tensor a = floats(now, ROWS * CLASSES), b = floats(before, ROWS * CLASSES), seeds[2];
		struct tensor c = floats(q, ROWS * CLASSES), d = floats(p, ROWS * CLASSES);
		const struct head logits = classes(HEAD_LOGITS, 1), probabilities = classes(HEAD_PROBABILITIES, 1);

		a.rank = b.rank = c.rank = d.rank = 2;
		a.dims[0] = b.dims[0] = c.dims[0] = d.dims[0] = ROWS;
		a.dims[1] = b.dims[1] = c.dims[1] = d.dims[1] = CLASSES;
		for (int i = 0; i < ROWS * CLASSES; i++) {
			before[i] = (float)(2 * rng_normal(&r));
			now[i] = before[i] + (float)rng_normal(&r);
		}
		for (int row = 0; row < ROWS * CLASSES; row += CLASSES) {
			long double x[CLASSES], y[CLASSES];

			softmax(before + row, x);
			softmax(now + row, y);
			for (int k = 0; k < CLASSES; k++) {
				p[row + k] = (float)x[k];
				q[row + k] = (float)y[k];
			}
		}
		cr_assert_eq(mismatch_slope(&logits, 1, &a, &b, &seeds[0], NULL), TAMIS_OK);
		cr_assert_eq(mismatch_slope(&probabilities, 1, &c, &d, &seeds[1], NULL), TAMIS_OK);
		for (int i = 0; i < ROWS * CLASSES; i++) {
			double want = by_differences(now, before, i), along = 0;
			int row = i - i % CLASSES;

			for (int k = 0; k < CLASSES; k++)
				along += q[row + k] * tensor_get(&seeds[1], row + k);
			cr_assert_float_eq(tensor_get(&seeds[0], i), want, 1e-4, "seed %d", (int)seed);
			cr_assert_float_eq(q[i] * (tensor_get(&seeds[1], i) - along), want, 1e-4, "seed %d", (int)seed);
		}
		tensor_free(&seeds[0]);
		tensor_free(&seeds[1]);
	}
}

Test(mismatch, other_slopes)
{
	const struct head general = { .kind = HEAD_GENERAL }, logits = classes(HEAD_LOGITS, 0);
	float before[] = { 3, -4, 0, 1 }, now[] = { 3, -3, NAN, 3 };
	struct tensor a = floats(now, 4), b = floats(before, 4), few = floats(before, 3), seed;

	a.rank = b.rank = 1;
	a.dims[0] = b.dims[0] = 4;
	cr_assert_eq(mismatch_slope(&general, 0, &a, &b, &seed, NULL), TAMIS_OK);
	cr_assert(tensor_get(&seed, 0) == 0 && tensor_get(&seed, 1) == 1 && tensor_get(&seed, 2) == 0 && tensor_get(&seed, 3) == 2);
	tensor_free(&seed);
	cr_assert_eq(mismatch_slope(&logits, 1, &a, &b, &seed, NULL), TAMIS_OK);
	cr_assert_null(seed.data, "not the output with classes");
	cr_assert_eq(mismatch_slope(&general, 0, &a, &few, &seed, NULL), TAMIS_OK);
	cr_assert_null(seed.data, "other extents");
}
