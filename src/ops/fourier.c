/* SPDX-License-Identifier: Apache-2.0 */
/* Powers of two by Cooley and Tukey's method; other lengths by Bluestein's, as a convolution with a chirp. */
#include "ops/fourier.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

static void times(double *a, const double *b)
{
	double re = a[0] * b[0] - a[1] * b[1];

	a[1] = a[0] * b[1] + a[1] * b[0];
	a[0] = re;
}

static void exchange(double *a, double *b)
{
	for (int k = 0; k < 2; k++) {
		double t = a[k];

		a[k] = b[k];
		b[k] = t;
	}
}

static void reverse_bits(double *z, int64_t n)
{
	for (int64_t i = 1, j = 0; i < n; i++) {
		int64_t bit = n >> 1;

		for (; j & bit; bit >>= 1)
			j ^= bit;
		j ^= bit;
		if (i < j)
			exchange(z + 2 * i, z + 2 * j);
	}
}

static void power_of_two(const struct fourier *f, double *z)
{
	int64_t n = f->padded;

	reverse_bits(z, n);
	for (int64_t half = 1; half < n; half *= 2)
		for (int64_t block = 0; block < n; block += 2 * half)
			for (int64_t k = 0; k < half; k++) {
				double *a = z + 2 * (block + k), *b = a + 2 * half;

				times(b, f->root + 2 * (k * (n / (2 * half))));
				for (int part = 0; part < 2; part++) {
					double t = b[part];

					b[part] = a[part] - t;
					a[part] += t;
				}
			}
}

static void conjugate(double *z, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		z[2 * i + 1] = -z[2 * i + 1];
}

/* k^2 is reduced modulo 2 n, which the period allows, so that angles stay small. */
static void make_chirp(const struct fourier *f)
{
	double *spectrum = f->chirp + 2 * f->n;
	int64_t square = 0;

	memset(spectrum, 0, (size_t)(2 * f->padded) * sizeof(double));
	for (int64_t k = 0; k < f->n; k++) {
		double angle = PI * (double)square / (double)f->n;

		f->chirp[2 * k] = cos(angle);
		f->chirp[2 * k + 1] = -sin(angle);
		for (int side = 0; side < 2; side++) {
			int64_t at = side ? (f->padded - k) % f->padded : k;

			spectrum[2 * at] = cos(angle);
			spectrum[2 * at + 1] = sin(angle);
		}
		square = (square + 2 * k + 1) % (2 * f->n);
	}
	power_of_two(f, spectrum);
}

enum tamis_status fourier_open(struct fourier *f, int64_t n, struct scratch *scratch, struct tamis_error *err)
{
	bool exact = (n & (n - 1)) == 0;

	*f = (struct fourier){.n = n, .padded = 1};
	if (n > (int64_t)1 << 40)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "a transform of %lld values is not supported", (long long)n);
	while (f->padded < (exact ? n : 2 * n - 1))
		f->padded *= 2;
	f->root = scratch_alloc(scratch, (size_t)f->padded + 2, sizeof(double));
	f->work = scratch_alloc(scratch, (size_t)f->padded, 2 * sizeof(double));
	f->chirp = exact ? NULL : scratch_alloc(scratch, (size_t)(n + f->padded), 2 * sizeof(double));
	if (!f->root || !f->work || (!exact && !f->chirp))
		return tm_no_memory(err, "transforming a signal");
	for (int64_t k = 0; k < f->padded / 2; k++) {
		f->root[2 * k] = cos(2 * PI * (double)k / (double)f->padded);
		f->root[2 * k + 1] = -sin(2 * PI * (double)k / (double)f->padded);
	}
	if (!exact)
		make_chirp(f);
	return TAMIS_OK;
}

static void bluestein(const struct fourier *f, double *z)
{
	const double *spectrum = f->chirp + 2 * f->n;
	double *w = f->work, scale = 1 / (double)f->padded;

	memset(w, 0, (size_t)(2 * f->padded) * sizeof(double));
	memcpy(w, z, (size_t)(2 * f->n) * sizeof(double));
	for (int64_t k = 0; k < f->n; k++)
		times(w + 2 * k, f->chirp + 2 * k);
	power_of_two(f, w);
	for (int64_t k = 0; k < f->padded; k++)
		times(w + 2 * k, spectrum + 2 * k);
	conjugate(w, f->padded); /* the inverse, by way of the conjugates */
	power_of_two(f, w);
	conjugate(w, f->padded);
	for (int64_t k = 0; k < f->n; k++) {
		z[2 * k] = w[2 * k] * scale;
		z[2 * k + 1] = w[2 * k + 1] * scale;
		times(z + 2 * k, f->chirp + 2 * k);
	}
}

void fourier_transform(const struct fourier *f, double *z, bool inverse)
{
	if (inverse)
		conjugate(z, f->n);
	if (f->chirp)
		bluestein(f, z);
	else
		power_of_two(f, z);
	if (inverse)
		conjugate(z, f->n);
}
