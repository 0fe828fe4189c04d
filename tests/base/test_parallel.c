/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/parallel.h"
#include "base/rng.h"

static const int sizes[] = {1, 2, 3, 8, 64};

struct tally {
	atomic_int *hits;
	atomic_int outside; /* workers beyond the pool's size */
	int size;
	int64_t fail_at, fail_step;
	uint64_t *sum;
};

static enum tamis_status count(void *ctx, int64_t index, int worker, struct tamis_error *err)
{
	struct tally *t = ctx;

	atomic_fetch_add(&t->hits[index], 1);
	if (worker < 0 || worker >= t->size)
		atomic_fetch_add(&t->outside, 1);
	if (t->fail_step && index >= t->fail_at && (index - t->fail_at) % t->fail_step == 0)
		return tm_fail(err, TAMIS_E_INVALID, "index %lld", (long long)index);
	return TAMIS_OK;
}

Test(parallel, every_index_runs_exactly_once)
{
	static const int64_t lengths[] = {0, 1, 2, 7, 1000, 100000};
	static atomic_int hits[100000];

	for (int s = 0; s < 5; s++) {
		struct tally t = {.hits = hits};
		struct pool *p;

		cr_assert_eq(pool_create(sizes[s], &p, NULL), TAMIS_OK);
		t.size = pool_size(p);
		cr_assert_eq(t.size, sizes[s]);
		for (int n = 0; n < 6; n++) {
			memset(hits, 0, sizeof hits);
			cr_assert_eq(pool_for(p, lengths[n], count, &t, NULL), TAMIS_OK);
			for (int64_t i = 0; i < 100000; i++)
				cr_assert_eq(hits[i], i < lengths[n]);
		}
		cr_assert_eq(t.outside, 0);
		pool_destroy(p);
	}
}

Test(parallel, many_short_loops_in_one_pool)
{
	static atomic_int hits[5];
	struct tally t = {.hits = hits, .size = 8};
	struct pool *p;

	cr_assert_eq(pool_create(8, &p, NULL), TAMIS_OK);
	for (int i = 0; i < 5000; i++)
		cr_assert_eq(pool_for(p, 5, count, &t, NULL), TAMIS_OK);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(hits[i], 5000);
	pool_destroy(p);
}

Test(parallel, the_lowest_failure_is_reported_whatever_the_timing)
{
	static atomic_int hits[2000];

	for (int s = 0; s < 5; s++) {
		struct pool *p;

		cr_assert_eq(pool_create(sizes[s], &p, NULL), TAMIS_OK);
		for (int64_t at = 0; at < 1000; at += 37) {
			struct tally t = {.hits = hits, .size = 64, .fail_at = at, .fail_step = 1 + at % 3};
			struct tamis_error e = {0};
			char want[64];

			memset(hits, 0, sizeof hits);
			snprintf(want, sizeof want, "index %lld", (long long)at);
			cr_assert_eq(pool_for(p, 2000, count, &t, &e), TAMIS_E_INVALID);
			cr_assert_str_eq(e.message, want);
			for (int64_t i = 0; i < 2000; i++)
				cr_assert(i <= at ? hits[i] == 1 : hits[i] <= 1);
			cr_assert_eq(hits[1999], 0, "indices were handed out after a failure");
		}
		pool_destroy(p);
	}
}

static enum tamis_status silent(void *ctx, int64_t index, int worker, struct tamis_error *err)
{
	(void)ctx, (void)worker, (void)err;
	return index == 3 ? TAMIS_E_CANCELLED : TAMIS_OK;
}

Test(parallel, a_failure_without_a_sentence_gets_one_and_an_older_error_stays)
{
	struct tamis_error e = {0};
	struct pool *p;

	cr_assert_eq(pool_create(4, &p, NULL), TAMIS_OK);
	cr_assert_eq(pool_for(p, 10, silent, NULL, &e), TAMIS_E_CANCELLED);
	cr_assert_str_eq(e.message, "cancelled");
	tamis_error_clear(&e);
	tm_fail(&e, TAMIS_E_GATE, "older");
	cr_assert_eq(pool_for(p, 10, silent, NULL, &e), TAMIS_E_CANCELLED);
	cr_assert_str_eq(e.message, "older");
	cr_assert_eq(pool_for(p, 10, silent, NULL, NULL), TAMIS_E_CANCELLED);
	cr_assert_eq(pool_for(NULL, 10, silent, NULL, NULL), TAMIS_E_CANCELLED);
	pool_destroy(p);
}

static enum tamis_status add_up(void *ctx, int64_t index, int worker, struct tamis_error *err)
{
	struct tally *t = ctx;
	struct rng r = rng_make(4, (uint64_t)index);

	(void)worker, (void)err;
	for (int i = 0; i < 100; i++)
		t->sum[index] += rng_next(&r);
	return TAMIS_OK;
}

Test(parallel, results_do_not_depend_on_the_number_of_workers)
{
	static uint64_t alone[500], shared[500];
	struct tally t = {.sum = alone};

	cr_assert_eq(pool_for(NULL, 500, add_up, &t, NULL), TAMIS_OK);
	for (int s = 0; s < 5; s++) {
		struct pool *p;

		memset(shared, 0, sizeof shared);
		t.sum = shared;
		cr_assert_eq(pool_create(sizes[s], &p, NULL), TAMIS_OK);
		cr_assert_eq(pool_for(p, 500, add_up, &t, NULL), TAMIS_OK);
		cr_assert_eq(memcmp(alone, shared, sizeof alone), 0);
		pool_destroy(p);
	}
}

Test(parallel, sizes_out_of_the_ordinary)
{
	struct tamis_error e = {0};
	struct pool *p;

	cr_assert_eq(pool_create(-1, &p, &e), TAMIS_E_USAGE);
	cr_assert_null(p);
	cr_assert_eq(pool_create(0, &p, NULL), TAMIS_OK);
	cr_assert_geq(pool_size(p), 1);
	pool_destroy(p);
	pool_destroy(NULL);
	cr_assert_eq(pool_size(NULL), 1);
	cr_assert_eq(pool_for(NULL, -5, silent, NULL, NULL), TAMIS_OK);
}

/* A process with no room for another thread's stack still gets its loop done. */
Test(parallel, works_without_threads_when_none_can_be_had)
{
	static atomic_int hits[100];
	struct tally t = {.hits = hits, .size = 16};
	struct rlimit limit;
	struct pool *p;

#ifdef __SANITIZE_ADDRESS__
	cr_skip_test("a sanitizer needs its own mappings");
#endif
	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = 1; /* nothing more can be mapped; small blocks still come from the heap */
	cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
	enum tamis_status status = pool_create(16, &p, NULL);
	int size = status == TAMIS_OK ? pool_size(p) : 0;
	enum tamis_status ran = status == TAMIS_OK ? pool_for(p, 100, count, &t, NULL) : status;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_AS, &limit);
	cr_assert_eq(status, TAMIS_OK);
	cr_assert_eq(size, 1);
	cr_assert_eq(ran, TAMIS_OK);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(hits[i], 1);
	pool_destroy(p);
}
