/* SPDX-License-Identifier: Apache-2.0 */
/* Names for values that slimming adds to a graph. */
#ifndef SLIM_NAMING_H
#define SLIM_NAMING_H

#include "base/memory.h"
#include "graph/graph.h"
#include "graph/names.h"

struct naming {
	struct name_index taken; /* of the graph, and given since */
	struct arena arena;      /* owns them all: edits of the document free the graph's own strings */
};

/* Copies the names of all values. False when out of memory. O(values). */
bool naming_open(struct naming *n, const struct graph *g);

/* base followed by suffix, and by a number where that name is taken. NULL when out of memory. */
const char *naming_fresh(struct naming *n, const char *base, const char *suffix);
void naming_close(struct naming *n); /* also of a zeroed struct */

#endif
