/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/names.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* FNV-1a, then mixed: names differ mostly in their last digits. */
static size_t hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	h ^= h >> 32;
	return (size_t)(h * 0x9e3779b97f4a7c15u >> 20);
}

static struct name_entry *slot(const struct name_index *x, const char *name)
{
	size_t i = hash(name) & (x->n_slots - 1);

	while (x->slots[i].name && strcmp(x->slots[i].name, name))
		i = (i + 1) & (x->n_slots - 1);
	return &x->slots[i];
}

static bool resize(struct name_index *x)
{
	struct name_index bigger = { .n_slots = x->n_slots ? 2 * x->n_slots : 64, .used = x->used };

	bigger.slots = tm_array(bigger.n_slots, sizeof *bigger.slots);
	if (!bigger.slots)
		return false;
	for (size_t i = 0; i < x->n_slots; i++)
		if (x->slots[i].name)
			*slot(&bigger, x->slots[i].name) = x->slots[i];
	free(x->slots);
	*x = bigger;
	return true;
}

bool names_put(struct name_index *x, const char *name, int id)
{
	struct name_entry *e;

	if (2 * (x->used + 1) > x->n_slots && !resize(x))
		return false;
	e = slot(x, name);
	x->used += e->name == NULL;
	*e = (struct name_entry){ name, id };
	return true;
}

int names_get(const struct name_index *x, const char *name)
{
	const struct name_entry *e;

	if (!x->n_slots)
		return -1;
	e = slot(x, name);
	return e->name ? e->id : -1;
}

void names_free(struct name_index *x)
{
	free(x->slots);
	*x = (struct name_index){ 0 };
}
