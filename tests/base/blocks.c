/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void __wrap_free(void *p);

#define SLOTS (1 << 20) /* an open-addressed set of the blocks that are out; a freed one leaves a mark */
#define MARK ((void *)1)

static void **out;
static long live, calls, fail_at, fail_for;
static bool watching;

static size_t slot_of(const void *p)
{
	return (size_t)(((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u >> 44);
}

static void *note(void *p)
{
	size_t i = slot_of(p);

	if (!p || !watching)
		return p;
	while (out[i] && out[i] != MARK)
		i = (i + 1) % SLOTS;
	out[i] = p;
	live++;
	return p;
}

static void forget(const void *p)
{
	size_t i = slot_of(p);

	while (p && out && out[i]) {
		if (out[i] == p) {
			out[i] = MARK;
			live--;
			return;
		}
		i = (i + 1) % SLOTS;
	}
}

static bool refuse(void)
{
	if (!watching)
		return false;
	calls++;
	return fail_at && calls >= fail_at && (fail_for < 0 || calls < fail_at + fail_for);
}

void *__wrap_malloc(size_t size)
{
	return refuse() ? NULL : note(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return refuse() ? NULL : note(__real_calloc(n, size));
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return refuse() ? NULL : note(__real_aligned_alloc(align, size));
}

void *__wrap_realloc(void *p, size_t size)
{
	void *q;

	if (refuse())
		return NULL;
	q = __real_realloc(p, size);
	if (q) {
		forget(p);
		note(q);
	}
	return q;
}

void __wrap_free(void *p)
{
	forget(p);
	__real_free(p);
}

void blocks_watch(long at, long in_a_row)
{
	out = out ? out : __real_calloc(SLOTS, sizeof *out);
	if (!out)
		abort();
	memset(out, 0, SLOTS * sizeof *out);
	live = calls = 0;
	fail_at = at;
	fail_for = in_a_row;
	watching = true;
}

void blocks_rest(void)
{
	watching = false;
}

bool blocks_watching(void)
{
	return watching;
}

long blocks_live(void)
{
	return live;
}

long blocks_calls(void)
{
	return calls;
}
