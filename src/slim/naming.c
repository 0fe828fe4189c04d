/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/naming.h"

bool naming_open(struct naming *n, const struct graph *g)
{
	bool ok = true;

	*n = (struct naming){ .taken = { 0 } };
	for (int i = 0; ok && i < g->n_values; i++) {
		const char *name = arena_strdup(&n->arena, g->values[i].name);

		ok = name && names_put(&n->taken, name, i);
	}
	return ok;
}

const char *naming_fresh(struct naming *n, const char *base, const char *suffix)
{
	const char *name = arena_printf(&n->arena, "%s%s", base, suffix);

	for (long long i = 2; name && names_get(&n->taken, name) >= 0; i++)
		name = arena_printf(&n->arena, "%s%s%lld", base, suffix, i);
	return name && names_put(&n->taken, name, 0) ? name : NULL;
}

void naming_close(struct naming *n)
{
	names_free(&n->taken);
	arena_free(&n->arena);
}
