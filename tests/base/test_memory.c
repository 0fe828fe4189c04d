/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/rng.h"

Test(checked, arithmetic_reports_overflow_and_leaves_the_result)
{
	int64_t x = 7;
	size_t s = 7;

	cr_assert(tm_add(INT64_MAX - 1, (int64_t)1, &x) && x == INT64_MAX);
	x = 7;
	cr_assert(!tm_product((int64_t[]){INT64_MAX, 2}, 2, &x) && x == 7);
	cr_assert(!tm_add(INT64_MAX, (int64_t)1, &x));
	cr_assert(!tm_mul(SIZE_MAX, (size_t)2, &s));
	cr_assert(!tm_sub((size_t)1, (size_t)2, &s));
	cr_assert(tm_sub((int64_t)1, (int64_t)2, &x) && x == -1);
}

Test(checked, product_of_dimensions)
{
	static const struct {
		int64_t dims[4];
		int n;
		bool ok;
		int64_t product;
	} cases[] = {
		{{0}, 0, true, 1},
		{{5}, 1, true, 5},
		{{2, 3, 4}, 3, true, 24},
		{{0, INT64_MAX}, 2, true, 0},
		{{INT64_MAX, INT64_MAX, 0}, 3, true, 0},
		{{INT64_MAX, 1}, 2, true, INT64_MAX},
		{{INT64_MAX, 2}, 2, false, 0},
		{{1LL << 32, 1LL << 32}, 2, false, 0},
		{{1LL << 32, 1LL << 31}, 2, false, 0},
		{{1LL << 31, 1LL << 31}, 2, true, 1LL << 62},
		{{-1}, 1, false, 0},
		{{0, -1}, 2, false, 0},
		{{-1, -1}, 2, false, 0},
		{{INT64_MIN, 0}, 2, false, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int64_t out = -5;
		bool ok = tm_product(cases[i].dims, cases[i].n, &out);

		cr_assert_eq(ok, cases[i].ok, "case %zu", i);
		cr_assert_eq(out, ok ? cases[i].product : -5, "case %zu", i);
	}
}

Test(memory, arrays_are_aligned_zeroed_and_bounded)
{
	for (size_t n = 0; n < 300; n += 7) {
		unsigned char *p = tm_array(n, 3);

		cr_assert(p && (uintptr_t)p % 64 == 0);
		for (size_t i = 0; i < 3 * n; i++)
			cr_assert_eq(p[i], 0);
		free(p);
	}
	cr_assert_null(tm_array(SIZE_MAX, 2));
	cr_assert_null(tm_array(SIZE_MAX / 2 + 1, 2));
	cr_assert_null(tm_array_uninit(SIZE_MAX, 1));
	cr_assert_null(tm_array_uninit(SIZE_MAX - 10, 1));
}

Test(memory, grow_keeps_contents_and_fails_without_harm)
{
	int *p = NULL;
	void *array = NULL;
	size_t cap = 0;

	for (size_t n = 1; n <= 10000; n++) {
		cr_assert(tm_grow(&array, &cap, n, sizeof *p));
		cr_assert_geq(cap, n);
		p = array;
		p[n - 1] = (int)n;
	}
	cr_assert_lt(cap, 20000);
	cr_assert(!tm_grow(&array, &cap, SIZE_MAX / 2, sizeof *p));
	cr_assert(!tm_grow(&array, &cap, SIZE_MAX, 1));
	cr_assert_eq(array, p);
	for (int n = 1; n <= 10000; n++)
		cr_assert_eq(p[n - 1], n);
	free(array);
}

Test(memory, grow_gives_memory_even_for_nothing)
{
	void *array = NULL;
	size_t cap = 0;

	cr_assert(tm_grow(&array, &cap, 0, 8));
	cr_assert_not_null(array);
	free(array);
}

/* Each allocation is filled with its own number and checked at the end: overlap or movement would show. */
Test(arena, allocations_are_aligned_zeroed_disjoint_and_stay)
{
	enum { N = 3000 };
	static unsigned char *at[N];
	static size_t size[N];
	struct arena a = {0}, dirty = {0};
	struct rng r = rng_make(11, 0);
	size_t total = 0;

	for (int i = 0; i < 300; i++) { /* blocks of the same sizes, full of ones, for the allocator to hand out again */
		void *p = arena_alloc(&dirty, 1000 * (size_t)i);

		cr_assert_not_null(p);
		memset(p, 255, 1000 * (size_t)i);
	}
	arena_free(&dirty);
	for (int i = 0; i < N; i++) {
		size[i] = rng_below(&r, i % 100 == 0 ? 200000 : 300);
		at[i] = arena_alloc(&a, size[i]);
		cr_assert(at[i] && (uintptr_t)at[i] % 64 == 0);
		for (size_t k = 0; k < size[i]; k++)
			cr_assert_eq(at[i][k], 0);
		memset(at[i], i & 255, size[i]);
		total += size[i];
	}
	cr_assert_geq(a.used, total);
	for (int i = 0; i < N; i++)
		for (size_t k = 0; k < size[i]; k++)
			cr_assert_eq(at[i][k], i & 255, "allocation %d", i);
	arena_free(&a);
	cr_assert(a.head == NULL && a.used == 0);
	cr_assert_not_null(arena_alloc(&a, 1));
	arena_free(&a);
	arena_free(&a);
}

Test(arena, the_cap_is_exact_and_overflow_is_refused)
{
	struct arena a = {.cap = 1000};

	cr_assert_null(arena_alloc(&a, 1001));
	cr_assert_not_null(arena_alloc(&a, 1000));
	cr_assert_null(arena_alloc(&a, 1));
	arena_free(&a);
	cr_assert_null(arena_array(&a, SIZE_MAX / 2, 3));
	cr_assert_null(arena_alloc(&a, SIZE_MAX));
	cr_assert_null(arena_alloc(&a, SIZE_MAX - 64));
	cr_assert_eq(a.used, 0);
	arena_free(&a);
}

Test(arena, strings_are_copied_and_formatted)
{
	struct arena a = {0};
	char word[] = "sieve";
	char *copy = arena_strdup(&a, word), *empty = arena_strdup(&a, ""), *text;

	word[0] = '?';
	text = arena_printf(&a, "%s has %d meshes, %05.2f", copy, 64, 3.14159);
	cr_assert_str_eq(copy, "sieve");
	cr_assert_str_eq(empty, "");
	cr_assert_str_eq(text, "sieve has 64 meshes, 03.14");
	cr_assert_eq((uintptr_t)arena_alloc(&a, 1) % 64, 0);
	arena_free(&a);
}
