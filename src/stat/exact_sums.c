/* SPDX-License-Identifier: Apache-2.0 */
#include "stat/exact_sums.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"

#define BASE 0x1p32

enum tamis_status exact_sums_create(struct exact_sums *s, int64_t n, int digits, struct tamis_error *err)
{
	*s = (struct exact_sums){ .n = n, .digits = digits, .top = EXACT_SUMS_LOWEST };
	if (n < 0 || digits < 1 || digits > EXACT_SUMS_DIGITS)
		return tm_fail(err, TAMIS_E_USAGE, "exact sums have 1 to %d digits, but came %lld sums of %d",
		               EXACT_SUMS_DIGITS, (long long)n, digits);
	s->digit = tm_array((size_t)n, (size_t)digits * sizeof *s->digit);
	s->broken = tm_array((size_t)n, 1);
	if (s->digit && s->broken)
		return TAMIS_OK;
	exact_sums_free(s);
	return tm_no_memory(err, "making room for sums");
}

/* Place of the leading digit of a magnitude. */
static int place_of(double magnitude)
{
	int exponent = 0, place;

	if (!(magnitude > 0))
		return EXACT_SUMS_LOWEST;
	frexp(magnitude, &exponent); /* magnitude < 2^exponent */
	place = (exponent + 32 * 64 - 1) / 32 - 64;
	return place > EXACT_SUMS_LOWEST ? place : EXACT_SUMS_LOWEST;
}

/* Moves the window up; what falls out at the bottom is gone. */
static void raise_top(struct exact_sums *s, int top)
{
	int by = top - s->top < s->digits ? top - s->top : s->digits;

	if (top <= s->top)
		return;
	memmove(s->digit + by * s->n, s->digit, (size_t)(s->digits - by) * (size_t)s->n * sizeof *s->digit);
	memset(s->digit, 0, (size_t)by * (size_t)s->n * sizeof *s->digit);
	s->top = top;
}

/* scale: 2^(-32 top), which moves the leading digit before the point. */
static void add_one(struct exact_sums *s, int64_t i, double x, double scale)
{
	double rest = x * scale;

	if (!isfinite(x)) {
		s->broken[i] = 1;
		return;
	}
	for (int k = 0; k < s->digits; k++) {
		int64_t digit = (int64_t)rest; /* toward zero: the digits of x alone decide */

		s->digit[k * s->n + i] += digit;
		rest = (rest - (double)digit) * BASE;
	}
}

void exact_sums_add(struct exact_sums *s, const double *x)
{
	double largest = 0, scale;

	for (int64_t i = 0; i < s->n; i++)
		if (isfinite(x[i]))
			largest = fmax(largest, fabs(x[i]));
	raise_top(s, place_of(largest));
	scale = ldexp(1, -32 * s->top);
	for (int64_t i = 0; i < s->n; i++)
		add_one(s, i, x[i], scale);
}

void exact_sums_add_floats(struct exact_sums *s, const float *x)
{
	float largest = 0;
	double scale;

	for (int64_t i = 0; i < s->n; i++)
		if (isfinite(x[i]))
			largest = fmaxf(largest, fabsf(x[i]));
	raise_top(s, place_of((double)largest));
	scale = ldexp(1, -32 * s->top);
	for (int64_t i = 0; i < s->n; i++)
		add_one(s, i, (double)x[i], scale);
}

enum tamis_status exact_sums_merge(struct exact_sums *into, const struct exact_sums *from, struct tamis_error *err)
{
	bool fits = true;
	int by;

	if (into->n != from->n || into->digits != from->digits)
		return tm_fail(err, TAMIS_E_INVALID, "sums to merge must have one shape, but %lld of %d digits met %lld of %d",
		               (long long)into->n, into->digits, (long long)from->n, from->digits);
	raise_top(into, from->top);
	by = into->top - from->top;
	for (int k = 0; k + by < into->digits; k++)
		for (int64_t i = 0; i < into->n; i++)
			fits &= tm_add(into->digit[(k + by) * into->n + i], from->digit[k * into->n + i],
			               &into->digit[(k + by) * into->n + i]);
	if (!fits)
		return tm_fail(err, TAMIS_E_INVALID, "sums to merge are of more additions than a sum can hold");
	for (int64_t i = 0; i < into->n; i++)
		into->broken[i] |= from->broken[i];
	return TAMIS_OK;
}

double exact_sums_value(const struct exact_sums *s, int64_t i)
{
	double sum = 0;

	if (s->broken[i])
		return NAN;
	for (int k = s->digits - 1; k >= 0; k--)
		sum = sum / BASE + (double)s->digit[k * s->n + i];
	return ldexp(sum, 32 * s->top);
}

void exact_sums_free(struct exact_sums *s)
{
	free(s->digit);
	free(s->broken);
	*s = (struct exact_sums){ 0 };
}
