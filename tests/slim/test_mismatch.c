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
