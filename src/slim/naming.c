/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/naming.h"

static bool taken(const struct naming *n, const char *name)
{
	return graph_find(n->graph, name) != GRAPH_NONE || names_get(&n->made, name) >= 0;
}

const char *naming_fresh(struct naming *n, const char *base, const char *suffix)
{
	const char *name = arena_printf(&n->arena, "%s%s", base, suffix);

	for (long long i = 2; name && taken(n, name); i++)
		name = arena_printf(&n->arena, "%s%s%lld", base, suffix, i);
	return name && names_put(&n->made, name, 0) ? name : NULL;
}

void naming_free(struct naming *n)
{
	names_free(&n->made);
	arena_free(&n->arena);
}
