/* SPDX-License-Identifier: Apache-2.0 */
/* Streamed sums against two passes in double, and the promise that order does not matter. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "stat/comoment.h"

/* n items of width x d signals and r outputs. Signals share a factor across positions, have very different
 * scales and means, and follow the outputs a little. */
struct set { int64_t n, d; int width, r; float *u, *psi; };

static struct set make_set(uint64_t seed, int64_t n, int64_t d, int width, int r)
{
	struct set s = { n, d, width, r, malloc((size_t)(n * width * d) * 4), malloc((size_t)(n * r) * 4) };
	for (int64_t t = 0; t < n; t++) {
		struct rng g = rng_make(seed, (uint64_t)t);
		for (int k = 0; k < r; k++)
			s.psi[t * r + k] = (float)(0.25 * cos(6 * rng_uniform(&g)));
		for (int p = 0; p < width; p++)
			for (int64_t j = 0; j < d; j++) {
				double scale = pow(10, (double)(j % 7) - 3), mean = j % 3 ? 0 : 50 * scale;
				double v = rng_normal(&g) + 2 * s.psi[t * r + (int)(j % r)];
				s.u[(t * width + p) * d + j] = (float)(mean + scale * v);
			}
	}
	return s;
}

static void free_set(struct set *s)
{
	free(s->u);
	free(s->psi);
}

static void add_range(struct comoment *c, const struct set *s, int64_t from, int64_t to)
{
	cr_assert_eq(comoment_add(c, s->u + from * s->width * s->d, s->d, s->psi + from * s->r, to - from, NULL),
			TAMIS_OK);
}

static void add_in_chunks(struct comoment *c, const struct set *s, int64_t chunk)
{
	cr_assert_eq(comoment_create(c, s->d, s->width, s->r, NULL), TAMIS_OK);
	for (int64_t t = 0; t < s->n; t += chunk)
		add_range(c, s, t, t + chunk < s->n ? t + chunk : s->n);
}

static double signal(const struct set *s, int64_t t, int p, int64_t j)
{
	return s->u[(t * s->width + p) * s->d + j];
}

static double two_pass_mean(const struct set *s, int p, int64_t j)
{
	double sum = 0;
	for (int64_t t = 0; t < s->n; t++)
		sum += signal(s, t, p, j);
	return sum / (double)s->n;
}

/* Covariance of (p, j) with output k (q < 0), or with (q, j). */
static double two_pass(const struct set *s, int p, int64_t j, int q, int k)
{
	double mean = two_pass_mean(s, p, j), other = 0, sum = 0;
	for (int64_t t = 0; t < s->n && q < 0; t++)
		other += s->psi[t * s->r + k] / (double)s->n;
	if (q >= 0)
		other = two_pass_mean(s, q, j);
	for (int64_t t = 0; t < s->n; t++)
		sum += (signal(s, t, p, j) - mean) * ((q < 0 ? s->psi[t * s->r + k] : signal(s, t, q, j)) - other);
	return sum / (double)s->n;
}

static void compare_with_two_passes(const struct set *s, const struct comoment *c)
{
	double cross[16 * 8], within[16 * 16];
	for (int64_t j = 0; j < s->d; j++) {
		comoment_cross_covariance(c, j, cross);
		comoment_within_covariance(c, j, within);
		double scale = sqrt(two_pass(s, 0, j, 0, 0));
		for (int p = 0; p < s->width; p++) {
			cr_assert_float_eq(comoment_mean(c, j, p), two_pass_mean(s, p, j),
					1e-6 * (scale + fabs(two_pass_mean(s, p, j))));
			cr_assert_eq(comoment_variance(c, j, p), within[p * s->width + p]);
			for (int k = 0; k < s->r; k++)
				cr_assert_float_eq(
						cross[p * s->r + k], two_pass(s, p, j, -1, k), 3e-6 * scale, "cross %d %d", p, k);
			for (int q = 0; q < s->width; q++)
				cr_assert_float_eq(within[p * s->width + q], two_pass(s, p, j, q, 0), 5e-6 * scale * scale);
		}
	}
}

Test(comoment, equals_two_passes)
{
	struct {
		int64_t n, d, chunk;
		int width, r;
	} cases[] = { { 2, 1, 1, 1, 1 }, { 100, 3, 7, 4, 5 }, { 257, 20, 64, 16, 8 }, { 90, 130, 90, 2, 3 },
		{ 1000, 5, 1000, 3, 8 }, { 333, 9, 128, 1, 2 } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct set s = make_set(i, cases[i].n, cases[i].d, cases[i].width, cases[i].r);
		struct comoment c;
		add_in_chunks(&c, &s, cases[i].chunk);
		cr_assert_eq(c.n, s.n);
		cr_assert(comoment_exact(&c));
		compare_with_two_passes(&s, &c);
		comoment_free(&c);
		free_set(&s);
	}
}

static bool same_bits(const struct comoment *a, const struct comoment *b)
{
	size_t lanes = (size_t)(a->d + 7) / 8 * 8, rows = (size_t)a->width * lanes, pairs = (size_t)comoment_pairs(a->width);
	return a->n == b->n && !memcmp(a->sum, b->sum, rows * 8)
			&& !memcmp(a->sum_psi, b->sum_psi, (size_t)a->r * 8)
			&& !memcmp(a->cross, b->cross, rows * (size_t)a->r * 8)
			&& !memcmp(a->within, b->within, pairs * lanes * 8);
}

Test(comoment, any_order_and_any_shards_give_the_same_bits)
{
	const int64_t chunk = 40, chunks = 29;
	struct set s = make_set(7, chunk * chunks - 13, 150, 5, 8);
	struct comoment whole;
	add_in_chunks(&whole, &s, chunk);
	struct rng g = rng_make(99, 0);
	for (int shards = 1; shards <= 7; shards++) {
		struct comoment part[7];
		for (int i = 0; i < shards; i++)
			cr_assert(comoment_create(&part[i], s.d, s.width, s.r, NULL) == TAMIS_OK
					&& comoment_pivot(&part[i], s.u, s.d, s.psi, chunk, NULL) == TAMIS_OK);
		int64_t order[29];
		for (int64_t k = 0; k < chunks; k++) {
			int64_t at = (int64_t)rng_below(&g, (uint64_t)k + 1);
			order[k] = order[at];
			order[at] = k;
		}
		for (int64_t k = 0; k < chunks; k++) {
			int64_t from = order[k] * chunk, to = from + chunk < s.n ? from + chunk : s.n;
			add_range(&part[rng_below(&g, (uint64_t)shards)], &s, from, to);
		}
		for (int i = 1; i < shards; i++)
			cr_assert_eq(comoment_merge(&part[0], &part[i], NULL), TAMIS_OK);
		cr_assert(same_bits(&part[0], &whole), "%d shards", shards);
		for (int i = 0; i < shards; i++)
			comoment_free(&part[i]);
	}
	comoment_free(&whole);
	free_set(&s);
}

/* Some columns of wider rows, in place, are those columns, wherever they fall among the octets. */
Test(comoment, strides_give_the_same_bits)
{
	struct set s = make_set(8, 100, 300, 3, 4);
	struct comoment whole;
	double of_whole[9], of_part[9];
	add_in_chunks(&whole, &s, 100);
	for (int64_t from = 0; from < 300; from += 61) {
		struct comoment part;
		cr_assert_eq(comoment_create(&part, s.d - from, 3, 4, NULL), TAMIS_OK);
		cr_assert_eq(comoment_add(&part, s.u + from, s.d, s.psi, s.n, NULL), TAMIS_OK);
		for (int64_t j = 0; j < part.d; j++) {
			cr_assert_eq(comoment_mean(&part, j, 2), comoment_mean(&whole, j + from, 2));
			comoment_within_covariance(&part, j, of_part);
			comoment_within_covariance(&whole, j + from, of_whole);
			cr_assert(!memcmp(of_part, of_whole, sizeof of_part));
		}
		comoment_free(&part);
	}
	comoment_free(&whole);
	free_set(&s);
}

Test(comoment, refuses_what_does_not_fit)
{
	struct comoment a, b;
	float u[4] = { 1, 2, 3, 4 }, v[4] = { 2, 2, 3, 4 }, psi[2] = { 0.1f, 0.2f },
		  bad[4] = { 1, INFINITY, 0, 0 };
	cr_assert_eq(comoment_create(&a, 0, 1, 1, NULL), TAMIS_E_USAGE);
	cr_assert_eq(comoment_create(&a, 1, COMOMENT_MAX_WIDTH + 1, 1, NULL), TAMIS_E_USAGE);
	cr_assert_eq(comoment_create(&a, INT64_MAX / 4, 16, 32, NULL), TAMIS_E_USAGE);
	cr_assert_eq(comoment_create(&a, 2, 1, 1, NULL), TAMIS_OK);
	cr_assert_eq(comoment_create(&b, 2, 1, 1, NULL), TAMIS_OK);
	cr_assert_eq(comoment_add(&a, u, 1, psi, 2, NULL), TAMIS_E_USAGE);
	cr_assert_eq(comoment_pivot(&a, bad, 2, psi, 2, NULL), TAMIS_E_INVALID);
	cr_assert_eq(comoment_add(&a, u, 2, psi, 2, NULL), TAMIS_OK);
	cr_assert_eq(comoment_merge(&a, &b, NULL), TAMIS_OK, "an empty one changes nothing");
	cr_assert_eq(a.n, 2);
	cr_assert_eq(comoment_add(&b, v, 2, psi, 2, NULL), TAMIS_OK);
	cr_assert_eq(comoment_merge(&a, &b, NULL), TAMIS_E_INVALID, "other pivot");
	comoment_free(&b);
	cr_assert_eq(comoment_create(&b, 1, 1, 1, NULL), TAMIS_OK);
	cr_assert_eq(comoment_merge(&a, &b, NULL), TAMIS_E_INVALID, "other shape");
	comoment_free(&a), comoment_free(&b);
}

/* Features dead in the first chunk that wake up later, and outgrow it by far, keep their accuracy. */
Test(comoment, survives_a_misleading_first_chunk)
{
	const int64_t n = 512, d = 4;
	struct set s = make_set(9, n, d, 2, 3);
	for (int64_t t = 0; t < 64; t++)
		for (int p = 0; p < 2; p++)
			s.u[(t * 2 + p) * d + 1] = 3, s.u[(t * 2 + p) * d + 2] *= 1e-3f;
	struct comoment c;
	add_in_chunks(&c, &s, 64);
	compare_with_two_passes(&s, &c);
	comoment_free(&c);
	free_set(&s);
}

/* A value that is not finite spoils its own feature and no other. */
Test(comoment, keeps_nan_to_its_feature)
{
	struct set s = make_set(10, 128, 6, 2, 3);
	s.u[(100 * 2 + 1) * 6 + 4] = NAN;
	struct comoment c;
	add_in_chunks(&c, &s, 64);
	double cov[6];
	for (int64_t j = 0; j < 6; j++) {
		comoment_cross_covariance(&c, j, cov);
		cr_assert_eq(j == 4, !isfinite(cov[3] + cov[4] + cov[5]), "feature %d", (int)j);
	}
	cr_assert(!comoment_exact(&c));
	comoment_free(&c);
	free_set(&s);
}

Test(comoment, bytes_are_those_of_the_formula)
{
	cr_assert_eq(comoment_bytes(10, 4, 32), 8 * 16 * (4 * 33 + 10) + 4 * 10 * 5 + 12 * 32);
	cr_assert_eq(comoment_bytes(INT64_MAX / 8, 16, 32), -1);
}

Test(output_moment, equals_two_passes_in_any_order)
{
	struct set s = make_set(11, 500, 1, 1, 8);
	struct output_moment a, b, c;
	double cov[64];
	cr_assert_eq(output_moment_create(&a, 8, NULL), TAMIS_OK);
	for (int64_t t = 0; t < 500; t += 50)
		cr_assert_eq(output_moment_add(&a, s.psi + t * 8, 50, NULL), TAMIS_OK);
	cr_assert_eq(output_moment_create(&b, 8, NULL), TAMIS_OK);
	cr_assert_eq(output_moment_create(&c, 8, NULL), TAMIS_OK);
	cr_assert_eq(output_moment_pivot(&b, s.psi, 50, NULL), TAMIS_OK);
	cr_assert_eq(output_moment_pivot(&c, s.psi, 50, NULL), TAMIS_OK);
	for (int64_t t = 450; t >= 0; t -= 50)
		cr_assert_eq(output_moment_add(t % 100 ? &b : &c, s.psi + t * 8, 50, NULL), TAMIS_OK);
	cr_assert_eq(output_moment_merge(&b, &c, NULL), TAMIS_OK);
	cr_assert(!memcmp(a.second, b.second, 64 * 8) && !memcmp(a.sum, b.sum, 64) && a.n == b.n);
	output_moment_covariance(&a, cov);
	for (int k = 0; k < 8; k++)
		for (int l = 0; l < 8; l++) {
			double mk = 0, ml = 0, sum = 0;
			for (int t = 0; t < 500; t++)
				mk += s.psi[t * 8 + k] / 500, ml += s.psi[t * 8 + l] / 500;
			for (int t = 0; t < 500; t++)
				sum += (s.psi[t * 8 + k] - mk) * (s.psi[t * 8 + l] - ml) / 500;
			cr_assert_float_eq(cov[k * 8 + l], sum, 1e-8);
		}
	output_moment_free(&a), output_moment_free(&b), output_moment_free(&c);
	free_set(&s);
}
