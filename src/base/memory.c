/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"

enum { LINE = 64, FIRST_BLOCK = 16 << 10, LARGEST_STEP = 4 << 20, LARGE_PAGE = 2 << 20, LARGE = 4 << 20 };

/* A block's bytes start one cache line after the block, so that they are aligned as the block is. */
struct arena_block {
	struct arena_block *next;
	size_t size, used;
};
static_assert(sizeof(struct arena_block) <= LINE, "the header fits its line");

/* Rounded up to whole cache lines, at least one; 0 when that overflows. */
static size_t whole_lines(size_t bytes)
{
	if (bytes > SIZE_MAX / 2)
		return 0;
	return bytes ? (bytes + LINE - 1) / LINE * LINE : LINE;
}

void *tm_array_uninit(size_t n, size_t size)
{
	size_t bytes;

	if (!tm_mul(n, size, &bytes))
		return NULL;
	bytes = whole_lines(bytes);
	return bytes ? aligned_alloc(LINE, bytes) : NULL;
}

void *tm_pages_uninit(size_t bytes)
{
	void *p;

	if (bytes < LARGE || bytes > SIZE_MAX / 2)
		return tm_array_uninit(bytes, 1);
	bytes = (bytes + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
	p = aligned_alloc(LARGE_PAGE, bytes);
#ifdef MADV_HUGEPAGE
	if (p)
		madvise(p, bytes, MADV_HUGEPAGE); /* a hint: nothing is wrong where it is not followed */
#endif
	return p;
}

void *tm_array(size_t n, size_t size)
{
	void *p = tm_array_uninit(n, size);

	if (p)
		memset(p, 0, n * size);
	return p;
}

bool tm_grow(void **array, size_t *cap, size_t want, size_t size)
{
	size_t room = *cap < 8 ? 8 : *cap, bytes;
	void *grown;

	if (want <= *cap && *array)
		return true;
	while (room < want)
		if (!tm_add(room, room / 2, &room))
			return false;
	if (!tm_mul(room, size, &bytes) || bytes > PTRDIFF_MAX)
		return false;
	grown = realloc(*array, bytes ? bytes : 1);
	if (!grown)
		return false;
	*array = grown;
	*cap = room;
	return true;
}

char *tm_strdup(const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = malloc(size);

	return copy ? memcpy(copy, s, size) : NULL;
}

/* Blocks double up to LARGEST_STEP; a request larger than that gets a block of its own size. */
static struct arena_block *add_block(struct arena *a, size_t size)
{
	size_t room = a->head ? a->head->size : FIRST_BLOCK / 2, bytes;
	struct arena_block *b;

	room = room >= LARGEST_STEP / 2 ? LARGEST_STEP : room * 2;
	if (room < size)
		room = size;
	if (!tm_add(room, (size_t)LINE, &bytes))
		return NULL;
	b = tm_array_uninit(bytes, 1);
	if (!b)
		return NULL;
	b->size = room;
	b->used = 0;
	b->next = a->head;
	a->head = b;
	return b;
}

/* `align` is a power of two of at most LINE. The padding counts as used. */
static void *take(struct arena *a, size_t size, size_t align)
{
	struct arena_block *b = a->head;
	size_t pad = b ? (size_t)-b->used & (align - 1) : 0;
	bool fresh;
	size_t used;
	char *p;

	if (size > PTRDIFF_MAX - LINE)
		return NULL;
	fresh = !b || b->size - b->used < pad + size;
	if (fresh)
		pad = 0;
	if (!tm_add(a->used, size + pad, &used) || (a->cap && used > a->cap))
		return NULL;
	if (fresh && !(b = add_block(a, size)))
		return NULL;
	p = (char *)b + LINE + b->used + pad;
	b->used += size + pad;
	a->used = used;
	memset(p, 0, size);
	return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
	return take(a, size, LINE);
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	size_t bytes;

	return tm_mul(n, size, &bytes) ? arena_alloc(a, bytes) : NULL;
}

char *arena_strdup(struct arena *a, const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = take(a, size, 1);

	return copy ? memcpy(copy, s, size) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list args, again;
	char *text = NULL;
	int len;

	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, args);
	if (len >= 0)
		text = take(a, (size_t)len + 1, 1);
	if (text)
		vsnprintf(text, (size_t)len + 1, fmt, again);
	va_end(again);
	va_end(args);
	return text;
}

void arena_free(struct arena *a)
{
	struct arena_block *b = a->head;

	while (b) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
	*a = (struct arena){0};
}
