/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers by name: a hash table whose look-ups compare whole names. */
#ifndef GRAPH_NAMES_H
#define GRAPH_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct name_entry { const char *name; int id; };
struct name_index {
	struct name_entry *slots; /* a power of two of them, at most half full */
	size_t n_slots, used;
};

/* Names are not copied. False when out of memory. Expected O(1). */
bool names_put(struct name_index *x, const char *name, int id); /* replaces the id of a name it has */
int names_get(const struct name_index *x, const char *name);    /* -1 when absent */
void names_free(struct name_index *x);

#endif
