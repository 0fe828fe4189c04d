/* SPDX-License-Identifier: Apache-2.0 */
/* Products of matrices against sums in double. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "ops/blas.h"

static float *numbers(uint64_t seed, int64_t n)
{
	float *x = malloc((size_t)n * sizeof *x);
	struct rng r = rng_make(seed, 0);

	for (int64_t i = 0; i < n; i++)
		x[i] = (float)(rng_uniform(&r) - 0.5);
	return x;
}

static void check_gram(int64_t n, int64_t k, int64_t pitch)
{
	float *a = numbers((uint64_t)(n * 1000 + k), k * pitch), *c = malloc((size_t)(n * n) * sizeof *c);

	blas_gram(n, k, a, pitch, c);
	for (int64_t i = 0; i < n; i++)
		for (int64_t j = 0; j <= i; j++) {
			double sum = 0;

			for (int64_t t = 0; t < k; t++)
				sum += (double)a[t * pitch + i] * a[t * pitch + j];
			cr_assert(fabs(sum - c[i * n + j]) <= 1e-6 * (double)(k + 1), "%lld x %lld, element %lld, %lld: %g, not %g",
			          (long long)k, (long long)n, (long long)i, (long long)j, c[i * n + j], sum);
		}
	free(a);
	free(c);
}

/* Around the bands that it is made in, and where oneDNN takes over. */
Test(blas, gram_is_the_lower_triangle_of_the_square)
{
	static const int64_t sizes[] = {1, 2, 3, 17, 64, 191, 192, 193, 400};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		check_gram(sizes[i], 1, sizes[i]);
		check_gram(sizes[i], 33, sizes[i] + 5);
		check_gram(sizes[i], 512, 2 * sizes[i]);
	}
	check_gram(5, 0, 5);
}
