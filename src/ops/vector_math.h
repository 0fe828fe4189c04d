/* SPDX-License-Identifier: Apache-2.0 */
/* exp, tanh and erf of floats without branches or tables, so that loops over them vectorise; several times
 * faster than the C library's, which handle one element a call. Doubles go to the C library. NaN gives NaN,
 * infinities their limits. tests/ops/test_vector_math.c holds the bounds below over all magnitudes. */
#ifndef OPS_VECTOR_MATH_H
#define OPS_VECTOR_MATH_H

#include <math.h>
#include <stdint.h>

#define VECTOR_EXP(x) _Generic((x), float: vector_expf, double: exp)(x)
#define VECTOR_TANH(x) _Generic((x), float: vector_tanhf, double: tanh)(x)
#define VECTOR_ERF(x) _Generic((x), float: vector_erff, double: erf)(x)

static inline uint32_t bits_of(float x)
{
	union { float f; uint32_t u; } both = {.f = x};

	return both.u;
}

static inline float float_of(uint32_t bits)
{
	union { uint32_t u; float f; } both = {.u = bits};

	return both.f;
}

/* yes where the sign bit of `negative` is set, no elsewhere: a choice by masks, which is never a branch. */
static inline float choose_by_sign(float negative, float yes, float no)
{
	uint32_t mask = 0 - (bits_of(negative) >> 31);

	return float_of((bits_of(yes) & mask) | (bits_of(no) & ~mask));
}

/* exp(x) = 2^n exp(r), n the integer nearest to x / ln 2, |r| <= ln(2) / 2, by the Taylor polynomial of
 * degree 7. Adding 1.5 * 2^23 leaves n in the low bits; 2^n is applied in two factors, so that results
 * underflow gradually. Within 2 units in the last place. */
static inline float vector_expf(float x)
{
	const float shifter = 12582912.0f;
	float low = x < -104 ? -104 : x, clamped = low > 89 ? 89 : low;
	float shifted = clamped * 1.44269504f + shifter, n = shifted - shifter;
	float r = clamped - n * 0.693359375f + n * 2.12194440e-4f; /* ln 2 as a short and a small part */
	int32_t power = (int32_t)(bits_of(shifted) - bits_of(shifter)), half = power >> 1;
	float p = 1 / 5040.0f;

	p = p * r + 1 / 720.0f;
	p = p * r + 1 / 120.0f;
	p = p * r + 1 / 24.0f;
	p = p * r + 1 / 6.0f;
	p = p * r + 0.5f;
	p = p * r + 1;
	p = p * r + 1;
	return p * float_of((uint32_t)(half + 127) << 23) * float_of((uint32_t)(power - half + 127) << 23);
}

/* The series around zero up to 0.4, 1 - 2 / (exp(2 |x|) + 1) beyond. Within 4 units in the last place. */
static inline float vector_tanhf(float x)
{
	float size = fabsf(x), z = x * x, p = 21844 / 6081075.0f;
	float far = 1 - 2 / (vector_expf(2 * size) + 1);

	p = p * z - 1382 / 155925.0f;
	p = p * z + 62 / 2835.0f;
	p = p * z - 17 / 315.0f;
	p = p * z + 2 / 15.0f;
	p = p * z - 1 / 3.0f;
	return choose_by_sign(size - 0.4f, x * (1 + z * p), copysignf(far, x));
}

/* The series around zero up to 0.5; beyond, 1 - exp(-x^2) E(x) with E(x) = exp(x^2) erfc(x) as a polynomial
 * of degree 7 in t = 1 / (1 + x / 2), the Chebyshev fit on [0.5, 4], whose error is below 2e-9; 1 from 4 on.
 * Within 4 units in the last place. */
static inline float vector_erff(float x)
{
	float size = fabsf(x), near = size > 0.5f ? 0.5f : size, far = size > 4 ? 4 : size;
	float z = near * near, t = 1 / (1 + 0.5f * far), p = 1 / 9360.0f, e = 0.111406550f;

	p = p * z - 1 / 1320.0f;
	p = p * z + 1 / 216.0f;
	p = p * z - 1 / 42.0f;
	p = p * z + 0.1f;
	p = p * z - 1 / 3.0f;
	p = p * z + 1;
	e = e * t - 0.441510856f;
	e = e * t + 0.516279697f;
	e = e * t - 0.0628108680f;
	e = e * t + 0.326818645f;
	e = e * t + 0.266078413f;
	e = e * t + 0.283845574f;
	e = e * t - 7.88568286e-5f;
	e = 1 - vector_expf(-far * far) * e;
	return choose_by_sign(size - 0.5f, x * 1.12837917f * p, copysignf(e, x));
}

#endif
