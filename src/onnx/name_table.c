/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/name_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"

struct name_slot {
	const char *name; /* NULL: free */
	uint64_t hash;
	int64_t value;
};

static uint64_t hash_of(uint64_t seed, const char *name)
{
	size_t n = strlen(name);
	uint64_t h = seed ^ n, word;
	for (; n >= sizeof word; n -= sizeof word, name += sizeof word) {
		memcpy(&word, name, sizeof word);
		h = rng_hash(h, word);
	}
	word = 0;
	memcpy(&word, name, n);
	return rng_hash(h, word);
}

/* The slot of the name, or the free one where it belongs: linear probing. */
static struct name_slot *find(const struct name_table *t, const char *name, uint64_t hash)
{
	for (size_t i = (size_t)hash & (t->cap - 1);; i = (i + 1) & (t->cap - 1)) {
		struct name_slot *s = &t->slots[i];
		if (!s->name || (s->hash == hash && strcmp(s->name, name) == 0))
			return s;
	}
}

static bool grow(struct name_table *t)
{
	struct name_table bigger = { .cap = t->cap ? 2 * t->cap : 64, .count = t->count };
	bigger.slots = tm_array(bigger.cap, sizeof *bigger.slots);
	if (!bigger.slots)
		return false;
	bigger.seed = t->cap ? t->seed : rng_hash((uint64_t)(uintptr_t)bigger.slots, (uint64_t)(uintptr_t)&bigger);
	for (size_t i = 0; i < t->cap; i++)
		if (t->slots[i].name)
			*find(&bigger, t->slots[i].name, t->slots[i].hash) = t->slots[i];
	free(t->slots);
	*t = bigger;
	return true;
}

enum name_table_result name_table_add(struct name_table *t, const char *name, int64_t value, int64_t *old)
{
	if (2 * (t->count + 1) > t->cap && !grow(t))
		return NAME_NO_MEMORY;
	uint64_t hash = hash_of(t->seed, name);
	struct name_slot *s = find(t, name, hash);
	if (s->name) {
		if (old)
			*old = s->value;
		return NAME_OLD;
	}
	*s = (struct name_slot){ name, hash, value };
	t->count++;
	return NAME_NEW;
}

bool name_table_get(const struct name_table *t, const char *name, int64_t *value)
{
	if (t->count == 0)
		return false;
	const struct name_slot *s = find(t, name, hash_of(t->seed, name));
	if (!s->name)
		return false;
	*value = s->value;
	return true;
}

bool name_table_at(const struct name_table *t, size_t i, int64_t *value)
{
	if (!t->slots[i].name)
		return false;
	*value = t->slots[i].value;
	return true;
}

void name_table_free(struct name_table *t)
{
	free(t->slots);
	*t = (struct name_table){ 0 };
}
