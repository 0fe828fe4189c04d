/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/checked.h"
#include "graph/op.h"

#define ALIGN 64
#define FIRST_BLOCK (1u << 20)

struct scratch_block {
	struct scratch_block *next;
	size_t size, used;
	unsigned char *data;
};

static struct scratch_block *new_block(size_t size)
{
	struct scratch_block *b = malloc(sizeof *b);

	if (!b)
		return NULL;
	*b = (struct scratch_block){ .size = size, .data = tm_array_uninit(size, 1) };
	if (!b->data) {
		free(b);
		return NULL;
	}
	return b;
}

static bool fits(const struct scratch *s, size_t bytes)
{
	size_t held = scratch_bytes(s);

	return s->limit == 0 || (held <= s->limit && bytes <= s->limit - held);
}

/* The newest block comes first and is at least as large as all before it together, so the search is short. */
void *scratch_alloc(struct scratch *s, size_t n, size_t size)
{
	struct scratch_block *b;
	size_t bytes, want;
	void *p;

	if (!tm_mul(n, size, &bytes) || !tm_add(bytes, (size_t)ALIGN - 1, &bytes))
		return NULL;
	bytes &= ~(size_t)(ALIGN - 1);
	b = s->blocks;
	if (!b || b->size - b->used < bytes) {
		want = b ? 2 * b->size : FIRST_BLOCK;
		want = want > bytes && fits(s, want) ? want : bytes;
		b = fits(s, want) ? new_block(want) : NULL;
		if (!b)
			return NULL;
		b->next = s->blocks;
		s->blocks = b;
	}
	p = b->data + b->used;
	b->used += bytes;
	s->used += bytes;
	return p;
}

/* Keeps the newest block, the largest, and lets the others go: after a few nodes one block serves them all. */
void scratch_reset(struct scratch *s)
{
	struct scratch_block *b = s->blocks;

	s->used = 0;
	if (!b)
		return;
	b->used = 0;
	while (b->next) {
		struct scratch_block *old = b->next;

		b->next = old->next;
		free(old->data);
		free(old);
	}
}

size_t scratch_bytes(const struct scratch *s)
{
	size_t bytes = 0;

	for (const struct scratch_block *b = s->blocks; b; b = b->next)
		bytes += b->size;
	return bytes;
}

void scratch_free(struct scratch *s)
{
	while (s->blocks) {
		struct scratch_block *b = s->blocks;

		s->blocks = b->next;
		free(b->data);
		free(b);
	}
	s->used = 0;
}
