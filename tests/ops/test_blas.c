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

/* A product of random form: what the definition gives, in double. */
struct product {
	bool ta, tb;
	int64_t m, n, k, lda, ldb, ldc;
	double alpha, beta;
};

static int64_t one_or_some(struct rng *r, int64_t most)
{
	return rng_below(r, 3) ? 1 + (int64_t)rng_below(r, (uint64_t)most) : 1;
}

static struct product random_product(struct rng *r)
{
	struct product p = { .ta = rng_below(r, 2), .tb = rng_below(r, 2), .m = one_or_some(r, 40), .n = one_or_some(r, 40),
		.k = one_or_some(r, 70), .alpha = rng_below(r, 2) ? 1 : -0.5, .beta = (double)rng_below(r, 3) / 2 };

	p.lda = (p.ta ? p.m : p.k) + (int64_t)rng_below(r, 3);
	p.ldb = (p.tb ? p.k : p.n) + (int64_t)rng_below(r, 3);
	p.ldc = p.n + (int64_t)rng_below(r, 3);
	return p;
}

static double element(const struct product *p, const double *a, const double *b, int64_t i, int64_t j)
{
	double sum = 0;

	for (int64_t l = 0; l < p->k; l++)
		sum += a[p->ta ? l * p->lda + i : i * p->lda + l] * b[p->tb ? j * p->ldb + l : l * p->ldb + j];
	return p->alpha * sum;
}

enum { ROOM = 75 * 75 };

static void narrow(const double *x, float *out)
{
	for (int i = 0; i < ROOM; i++)
		out[i] = (float)x[i];
}

/* Values are multiples of 1/4, so that floats hold every sum. What lies between rows of C must stay as it was, and with
 * beta = 0 what lies in C is never looked at. */
static void check_product(uint64_t seed)
{
	static double a[ROOM], b[ROOM], c[ROOM], was[ROOM];
	static float fa[ROOM], fb[ROOM], fc[ROOM];
	struct rng r = rng_make(seed, 1);
	struct product p = random_product(&r);

	for (int i = 0; i < ROOM; i++) {
		a[i] = (double)rng_below(&r, 17) / 4 - 2;
		b[i] = (double)rng_below(&r, 17) / 4 - 2;
		was[i] = c[i] = p.beta == 0 ? NAN : (double)rng_below(&r, 17) / 4 - 2;
	}
	narrow(a, fa);
	narrow(b, fb);
	narrow(c, fc);
	blas_gemm(DT_DOUBLE, p.ta, p.tb, p.m, p.n, p.k, p.alpha, a, p.lda, b, p.ldb, p.beta, c, p.ldc);
	blas_gemm(DT_FLOAT, p.ta, p.tb, p.m, p.n, p.k, p.alpha, fa, p.lda, fb, p.ldb, p.beta, fc, p.ldc);
	for (int64_t i = 0; i < p.m * p.ldc; i++) {
		bool inside = i % p.ldc < p.n;
		double want = inside ? element(&p, a, b, i / p.ldc, i % p.ldc) + (p.beta == 0 ? 0 : p.beta * was[i]) : was[i];

		cr_assert((c[i] == want && fc[i] == (float)want) || (!inside && isnan(want) && isnan(c[i]) && isnan(fc[i])),
		          "seed %llu, %lld x %lld x %lld, element %lld: %g and %g, not %g", (unsigned long long)seed,
		          (long long)p.m, (long long)p.n, (long long)p.k, (long long)i, c[i], fc[i], want);
	}
}

/* Vectors, which go another way, are as frequent as matrices. */
Test(blas, products_are_their_definition)
{
	for (uint64_t seed = 1; seed <= 600; seed++)
		check_product(seed);
}
