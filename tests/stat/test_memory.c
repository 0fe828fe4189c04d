/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation fails in turn: the call says so, frees what it had, and succeeds once there is enough. Linked with
 * --wrap=aligned_alloc, which is where the room's memory comes from. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "stat/dependence.h"
#include "stat/fdr.h"
#include "stat/features.h"
#include "stat/interval.h"

#define N 70
#define D 5

static int allowed = -1; /* allocations left before one fails; negative = no limit */

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	if (allowed == 0)
		return NULL;
	allowed -= allowed > 0;
	return __real_aligned_alloc(alignment, size);
}

static float rows[N * D], psi[N * 4];
static double values[N];

static enum tamis_status map_case(struct tamis_error *err)
{
	struct feature_map map;
	float out[N * 4];
	enum tamis_status st = feature_map_create(&map, HEAD_GENERAL, rows, N, D, 0, 4, 1, err);
	if (st == TAMIS_OK)
		st = feature_map_apply(&map, rows, N, out, err);
	feature_map_free(&map);
	return st;
}

static enum tamis_status signal_case(struct tamis_error *err)
{
	struct signal_map map;
	enum tamis_status st = signal_map_create(&map, D, 1, 3, rows, D, N, 1, err);
	signal_map_free(&map);
	return st;
}

static enum tamis_status dependence_case(struct tamis_error *err)
{
	struct comoment c = { 0 };
	struct output_moment m = { 0 };
	double p[D];
	enum tamis_status st = comoment_create(&c, D, 1, 4, err);
	if (st == TAMIS_OK)
		st = output_moment_create(&m, 4, err);
	if (st == TAMIS_OK)
		st = comoment_add(&c, rows, D, psi, N, err);
	if (st == TAMIS_OK)
		st = output_moment_add(&m, psi, N, err);
	if (st == TAMIS_OK)
		st = dependence_test(&c, &m, 1, NULL, p, err);
	if (st == TAMIS_OK)
		st = dependence_refine(&c, &m, 1, 0, 1, p, NULL, err);
	comoment_free(&c);
	output_moment_free(&m);
	return st;
}

static enum tamis_status interval_case(struct tamis_error *err)
{
	double out;
	enum tamis_status st = betting_upper(values, N, 0.05, &out, err);
	if (st == TAMIS_OK)
		st = bootstrap_upper(values, N, 0.05, 20, 1, &out, err);
	if (st == TAMIS_OK)
		st = fdr_adjust(FDR_BENJAMINI_HOCHBERG, values, N, 0.1, NULL, NULL, NULL, err);
	return st;
}

static enum tamis_status calibration_case(struct tamis_error *err)
{
	const float prob[2] = { 0.3f, 0.7f };
	const int64_t label = 1;
	double out;
	return expected_calibration_error(prob, &label, 1, 2, 15, &out, err);
}

Test(memory, every_allocation_may_fail)
{
	enum tamis_status (*const cases[])(struct tamis_error *) = { map_case, signal_case, dependence_case, interval_case,
		calibration_case };
	for (int i = 0; i < N * D; i++)
		rows[i] = (float)(i * 7 % 11);
	for (int i = 0; i < N * 4; i++)
		psi[i] = (float)(i * 5 % 13) / 13;
	for (int i = 0; i < N; i++)
		values[i] = i % 3 / 2.0;
	for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
		enum tamis_status st = TAMIS_E_MEMORY;
		int limit = 0;
		for (; limit < 100 && st == TAMIS_E_MEMORY; limit++) {
			struct tamis_error err = { 0 };
			allowed = limit;
			st = cases[k](&err);
			allowed = -1;
			cr_assert_eq(err.status, st, "case %zu with %d allocations", k, limit);
		}
		cr_assert(st == TAMIS_OK && limit > 1, "case %zu ended with %d after %d allocations", k, (int)st, limit);
	}
}
