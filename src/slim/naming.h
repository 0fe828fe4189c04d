/* SPDX-License-Identifier: Apache-2.0 */
/* Names for values that slimming adds to a graph. */
#ifndef SLIM_NAMING_H
#define SLIM_NAMING_H

#include "base/memory.h"
#include "graph/graph.h"
#include "graph/names.h"

/* Zero-initialise but for the graph. */
struct naming {
	const struct graph *graph;
	struct name_index made; /* given so far */
	struct arena arena;     /* owns them */
};

/* base followed by suffix, and by a number where the graph has that name already. NULL when out of memory. */
const char *naming_fresh(struct naming *n, const char *base, const char *suffix);
void naming_free(struct naming *n);

#endif
