/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation. Plain malloc underneath, so that tests can wrap it at link time and fail each call in turn. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* n zeroed elements of `size` bytes, 64-byte aligned; NULL when out of memory or when n * size overflows.
 * n * size == 0 gives a pointer that may be freed. Free with free(). */
void *tm_array(size_t n, size_t size);

/* The same without zeroing, for buffers that are about to be written whole. */
void *tm_array_uninit(size_t n, size_t size);

/* Bytes that are about to be written whole, for buffers that may be large: those are put on large pages where the
 * system has some to give, since faults of small ones cost as much as using them. As tm_array_uninit otherwise. */
void *tm_pages_uninit(size_t bytes);

/* Makes room for `want` elements of `size` bytes in *array, growing *cap geometrically. Contents are kept; on
 * failure everything is left as it was and false comes back. The array is released with free(). */
bool tm_grow(void **array, size_t *cap, size_t want, size_t size);

/* A copy of a string, to be released with free(); NULL when out of memory. */
char *tm_strdup(const char *s);

/* Many small allocations with one lifetime. Zero-initialise, allocate, then free everything at once. */
struct arena {
	struct arena_block *head;
	size_t used; /* bytes handed out, all blocks together */
	size_t cap;  /* most bytes it may hand out; 0 = no limit */
};

/* `size` zeroed bytes, 64-byte aligned, valid until arena_free; NULL when out of memory or past the cap.
 * Amortised O(size). Pointers stay valid while the arena grows. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_array(struct arena *a, size_t n, size_t size); /* NULL also when n * size overflows */
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_free(struct arena *a); /* leaves it zeroed, ready for use */

#endif
