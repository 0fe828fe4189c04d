/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "stat/features.h"

static float *draw(uint64_t seed, int64_t n, int64_t m, double scale)
{
	float *y = malloc((size_t)(n * m) * sizeof *y);
	struct rng r = rng_make(seed, 0);
	for (int64_t i = 0; i < n * m; i++)
		y[i] = (float)(scale * rng_normal(&r) + 3 * (double)(i % m));
	return y;
}

/* With many features inner products are near the kernel exp(-d^2 / 2 h^2) of the standardised values. */
Test(features, inner_products_estimate_the_kernel)
{
	enum { N = 30, M = 5, R = 8192 };
	float *y = draw(1, N, M, 10), *psi = malloc(N * R * sizeof *psi);
	struct feature_map map;
	cr_assert_eq(feature_map_create(&map, HEAD_GENERAL, y, N, M, 0, R, 3, NULL), TAMIS_OK);
	cr_assert_eq(feature_map_apply(&map, y, N, psi, NULL), TAMIS_OK);
	double worst = 0;
	int below = 0, pairs = 0;
	for (int i = 0; i < N; i++)
		for (int j = 0; j <= i; j++) {
			double dot = 0, square = 0;
			for (int k = 0; k < R; k++)
				dot += (double)psi[i * R + k] * psi[j * R + k];
			for (int k = 0; k < M; k++)
				square += pow(((double)y[i * M + k] - y[j * M + k]) * map.scale[k], 2);
			worst = fmax(worst, fabs(dot - exp(-square / (2 * map.bandwidth * map.bandwidth))));
			below += j < i && sqrt(square) < map.bandwidth;
			pairs += j < i;
		}
	cr_assert_lt(worst, 6 * sqrt(1.0 / R), "worst %g", worst);
	cr_assert_lt(
			abs(below - pairs / 2), 3, "the bandwidth is the median distance: %d of %d below", below, pairs);
	feature_map_free(&map);
	free(y), free(psi);
}

Test(features, are_a_pure_function_of_chunk_and_seed)
{
	float *y = draw(2, 200, 6, 1), a[200 * 8], b[200 * 8];
	struct feature_map one, two, other;
	cr_assert_eq(feature_map_create(&one, HEAD_LOGITS, y, 200, 6, 3, 8, 5, NULL), TAMIS_OK);
	cr_assert_eq(feature_map_create(&two, HEAD_LOGITS, y, 200, 6, 3, 8, 5, NULL), TAMIS_OK);
	cr_assert_eq(feature_map_create(&other, HEAD_LOGITS, y, 200, 6, 3, 8, 6, NULL), TAMIS_OK);
	cr_assert(!memcmp(one.omega, two.omega, 6 * 8 * 4) && one.bandwidth == two.bandwidth);
	cr_assert(memcmp(one.omega, other.omega, 6 * 8 * 4));
	cr_assert_eq(feature_map_apply(&one, y, 200, a, NULL), TAMIS_OK);
	for (int i = 0; i < 200; i += 64)
		cr_assert_eq(
				feature_map_apply(&two, y + i * 6, 200 - i < 64 ? 200 - i : 64, b + i * 8, NULL), TAMIS_OK);
	cr_assert(!memcmp(a, b, sizeof a));
	for (int i = 0; i < 200 * 8; i++)
		cr_assert(fabsf(a[i]) <= 0.5f);
	feature_map_free(&one), feature_map_free(&two), feature_map_free(&other);
	free(y);
}

/* A shift of all logits of a run changes nothing for LOGITS; affine changes change nothing for GENERAL. */
Test(features, heads_have_their_invariances)
{
	enum { N = 50, M = 6, R = 8 };
	float *y = draw(3, N, M, 1), z[N * M], a[N * R], b[N * R];
	for (int head = HEAD_LOGITS; head <= HEAD_GENERAL; head++) {
		struct feature_map map, moved;
		for (int i = 0; i < N * M; i++)
			z[i] = head == HEAD_LOGITS ? y[i] + (float)(i / M % 4) : 4 * y[i] + 100 * (float)(i % M);
		cr_assert_eq(feature_map_create(&map, (enum head_kind)head, y, N, M, 0, R, 5, NULL), TAMIS_OK);
		cr_assert_eq(feature_map_create(&moved, (enum head_kind)head, z, N, M, 0, R, 5, NULL), TAMIS_OK);
		cr_assert_eq(feature_map_apply(&map, y, N, a, NULL), TAMIS_OK);
		cr_assert_eq(feature_map_apply(&moved, z, N, b, NULL), TAMIS_OK);
		for (int i = 0; i < N * R; i++)
			cr_assert_float_eq(a[i], b[i], 2e-4);
		feature_map_free(&map), feature_map_free(&moved);
	}
	free(y);
}

Test(features, odd_outputs)
{
	float same[8] = { 1, 1, 1, 1, 1, 1, 1, 1 }, bad[4] = { 0, 1, NAN, 2 }, masked[4] = { 0, -INFINITY, 1, 2 };
	float psi[8];
	struct feature_map map;
	struct tamis_error err = { 0 };
	cr_assert_eq(feature_map_create(&map, HEAD_GENERAL, same, 4, 2, 0, 2, 1, NULL), TAMIS_OK);
	cr_assert_eq(map.bandwidth, 1);
	cr_assert_eq(feature_map_apply(&map, same, 4, psi, NULL), TAMIS_OK);
	cr_assert(psi[0] == psi[2] && psi[1] == psi[7]);
	cr_assert_eq(feature_map_apply(&map, bad, 2, psi, &err), TAMIS_E_INVALID);
	cr_assert(strstr(err.message, "row 1"), "%s", err.message);
	feature_map_free(&map);
	for (int head = 0; head < 3; head++) {
		cr_assert_eq(
				feature_map_create(&map, (enum head_kind)head, bad, 2, 2, 0, 2, 1, NULL), TAMIS_E_INVALID);
		cr_assert_null(map.omega);
	}
	cr_assert_eq(feature_map_create(&map, HEAD_LOGITS, masked, 2, 2, 0, 2, 1, NULL), TAMIS_OK);
	feature_map_free(&map);
	cr_assert_eq(feature_map_create(&map, HEAD_LOGITS, same, 4, 2, 3, 2, 1, NULL), TAMIS_E_USAGE);
	cr_assert_eq(feature_map_create(&map, HEAD_LOGITS, same, 0, 2, 0, 2, 1, NULL), TAMIS_E_USAGE);
	cr_assert_eq(
			feature_map_create(&map, HEAD_LOGITS, same, 1, 8, 0, 2, 1, NULL), TAMIS_OK, "one item will do");
	feature_map_free(&map);
	cr_assert_eq(feature_map_bytes(HEAD_GENERAL, 10, 4), (10 * 6 + 4) * 4);
}

Test(features, softmax)
{
	float z[6] = { 1000, 1001, 1002, -INFINITY, 0, 0 }, p[6];
	softmax_rows(z, 2, 3, 1, p);
	cr_assert_float_eq(p[0] + p[1] + p[2], 1, 1e-6);
	cr_assert_float_eq(p[2] / p[1], exp(1), 1e-5);
	cr_assert(p[3] == 0 && p[4] == 0.5f);
	softmax_rows(z, 2, 3, 2, z);
	cr_assert_float_eq(z[2] / z[1], exp(0.5), 1e-5);
}

Test(features, signals_are_standardised_and_dead_ones_borrow_a_scale)
{
	enum { N = 40, D = 3, P = 2, Q = 5 };
	float *u = draw(4, N * P, D, 2), phi[N * P * Q * D];
	struct signal_map map;
	for (int i = 0; i < N * P; i++)
		u[i * D + 1] = 7;
	cr_assert_eq(signal_map_create(&map, D, P, Q, u, D, N, 1, NULL), TAMIS_OK);
	signal_map_apply(&map, u, D, N, P, phi);
	for (int j = 0; j < D; j++) {
		double sum = 0, square = 0;
		for (int row = 0; row < N * P; row++) {
			double x = phi[row * Q * D + j];
			sum += x, square += x * x;
			for (int k = 1; k < Q; k++)
				cr_assert_float_eq(
						phi[(row * Q + k) * D + j], sqrt(0.5) * cos(map.omega[k] * x + map.phase[k]), 1e-5);
		}
		cr_assert_float_eq(sum / (N * P), 0, 1e-5);
		cr_assert_float_eq(square / (N * P), j == 1 ? 0 : 1, 1e-5);
	}
	cr_assert(map.scale[1] > 0 && isfinite(map.scale[1]));
	signal_map_free(&map);
	u[0] = INFINITY;
	cr_assert_eq(signal_map_create(&map, D, P, Q, u, D, N, 1, NULL), TAMIS_E_INVALID);
	cr_assert_eq(signal_map_create(&map, D, P, SIGNAL_MAX_Q + 1, u, D, N, 1, NULL), TAMIS_E_USAGE);
	free(u);
}
