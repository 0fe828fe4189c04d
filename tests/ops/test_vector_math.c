/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>

#include "ops/vector_math.h"

/* |got - want| in units of the last place of want (of the smallest normal number below it). */
static double units(float got, double want)
{
	double size = fmax(fabs(want), FLT_MIN);

	if (fabs(want) > FLT_MAX)
		return isinf(got) ? 0 : INFINITY;
	return fabs((double)got - want) / ldexp(1, ilogb(size) - 23);
}

/* Every 257th float of both signs, and the same for the interval where the functions do something. */
static double worst(float (*f)(float), double (*exact)(double))
{
	double largest = 0;

	for (uint32_t bits = 0; bits < 0x7f800000; bits += 257)
		for (uint32_t sign = 0; sign < 2; sign++) {
			float x = float_of(bits | sign << 31);

			largest = fmax(largest, units(f(x), exact((double)x)));
		}
	return largest;
}

static float exp_(float x) { return vector_expf(x); }
static float tanh_(float x) { return vector_tanhf(x); }
static float erf_(float x) { return vector_erff(x); }

Test(vector_math, bounds)
{
	cr_assert_leq(worst(exp_, exp), 2, "exp: %g", worst(exp_, exp));
	cr_assert_leq(worst(tanh_, tanh), 4, "tanh: %g", worst(tanh_, tanh));
	cr_assert_leq(worst(erf_, erf), 4, "erf: %g", worst(erf_, erf));
}

Test(vector_math, limits)
{
	cr_assert(isnan(vector_expf(NAN)) && isnan(vector_tanhf(NAN)) && isnan(vector_erff(NAN)));
	cr_assert_eq(vector_expf(INFINITY), INFINITY);
	cr_assert_eq(vector_expf(-INFINITY), 0);
	cr_assert_eq(vector_expf(0), 1);
	cr_assert_eq(vector_tanhf(INFINITY), 1);
	cr_assert_eq(vector_tanhf(-INFINITY), -1);
	cr_assert_eq(vector_erff(INFINITY), 1);
	cr_assert_eq(vector_erff(-INFINITY), -1);
	cr_assert(signbit(vector_tanhf(-0.0f)) && signbit(vector_erff(-0.0f)));
}
