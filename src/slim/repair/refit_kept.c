/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/refit_kept.h"

#include <stdlib.h>
#include <string.h>

enum tamis_status refit_kept_open(struct refit_kept *k, int n, size_t most, struct arena *arena, struct tamis_error *err)
{
	*k = (struct refit_kept){ .of = arena_array(arena, (size_t)n + 1, sizeof *k->of), .n = n, .most = most };
	return k->of ? TAMIS_OK : tm_no_memory(err, "refitting");
}

void refit_kept_restart(struct refit_kept *k, int part)
{
	struct refit_blocks *b = &k->of[part];

	for (int64_t i = 0; i < b->chunks; i++)
		free(b->block[i]);
	free(b->block);
	k->floats -= b->floats;
	b->block = NULL;
	b->cap = b->floats = 0;
	b->chunks = 0;
	b->whole = false;
}

void refit_kept_refuse(struct refit_kept *k, int part)
{
	refit_kept_restart(k, part);
	k->of[part].refused = true;
}

/* What is whole is settled. */
static int largest(const struct refit_kept *k, int best)
{
	for (int i = 0; i < k->n; i++)
		best = !k->of[i].whole && k->of[i].floats > k->of[best].floats ? i : best;
	return best;
}

void refit_kept_add(struct refit_kept *k, int part, float *block, int64_t n)
{
	struct refit_blocks *b = &k->of[part];

	if (b->refused || (n && !block) || !tm_grow((void **)&b->block, &b->cap, (size_t)b->chunks + 1, sizeof *b->block)) {
		free(block);
		refit_kept_refuse(k, part);
		return;
	}
	b->block[b->chunks++] = block;
	b->floats += (size_t)n;
	k->floats += (size_t)n;
	while (k->floats > k->most && !b->refused)
		refit_kept_refuse(k, largest(k, part));
}

void refit_kept_close(struct refit_kept *k, int part)
{
	k->of[part].whole = !k->of[part].refused && k->of[part].every;
}

bool refit_kept_whole(const struct refit_kept *k, int part)
{
	return k->of[part].whole;
}

const float *refit_kept_of(const struct refit_kept *k, int part, int64_t nth)
{
	return k->of[part].block[nth];
}

float *refit_kept_outputs(const struct runner *r, int n, int64_t *floats)
{
	float *all;
	int64_t at = 0;

	*floats = 0;
	for (int i = 0; i < n; i++)
		*floats += runner_output(r, i)->count;
	all = tm_array_uninit((size_t)*floats + 1, sizeof *all);
	for (int i = 0; all && i < n; i++) {
		const struct tensor *y = runner_output(r, i);

		if (y->type != DT_FLOAT) {
			free(all);
			return NULL;
		}
		memcpy(all + at, y->data, tensor_bytes(y));
		at += y->count;
	}
	return all;
}

void refit_kept_free(struct refit_kept *k)
{
	for (int i = 0; k->of && i < k->n; i++)
		refit_kept_restart(k, i);
}
