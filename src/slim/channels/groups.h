/* SPDX-License-Identifier: Apache-2.0 */
/* The units of a graph's coupling, and the groups that they form: units that lie on the same axes of the same values are
 * alike, and any of them may go before the others. */
#ifndef SLIM_CHANNELS_GROUPS_H
#define SLIM_CHANNELS_GROUPS_H

#include "exec/plan.h"
#include "graph/coupling.h"
#include "slim/layers.h"

struct channel_group {
	int first, width; /* units first .. first + width - 1 */
	const char *why;  /* why none may go, constant text or the layers'; NULL = they may */
	int why_node;     /* the node that it is said of; GRAPH_NONE: the graph's edge */
	int makers, readers; /* layers */
	int64_t each;     /* output channels of its first maker that a unit stands for; 1 without makers */
};

/* A constant that reads units: index i of its axis belongs to unit[i], -1 = none. */
struct group_reader {
	struct coupled_read read;
	int layer;        /* whose weight it is; -1: the node is no layer, or its weight no plain one */
	bool recurrent;   /* a weight of a recurrent node that may be zeroed */
	int64_t extent;
	int32_t *unit;
};

struct channel_groups {
	const struct graph *graph;
	const struct plan *plan;
	const struct layers *layers;
	struct coupling coupling;
	int32_t *unit_of;             /* by position: the unit of a root, -1 = none; ask groups_unit */
	int n_units;
	int *group_of;                /* by unit */
	struct channel_group *list;
	int n;
	int32_t **made;               /* by layer: the unit of each output channel, -1 = none */
	struct group_reader *readers; /* in the order of nodes */
	int n_readers;
	struct arena arena;
};

/* Couples the graph and sorts the units that layers make or that are read: by group, within a group by position. plan: of
 * one item. The graph, plan and layers must outlive the groups. O(positions of all values). */
enum tamis_status groups_find(const struct graph *g, const struct plan *plan, const struct layers *l,
                              struct channel_groups *out, struct tamis_error *err);
void groups_free(struct channel_groups *g);

/* The unit of a position, -1 = none. */
int32_t groups_unit(const struct channel_groups *g, int64_t position);

/* Per layer, the output channels and the input channels (of all groups of the node) that no dead unit owns. */
struct layer_width { int64_t outs, ins; };
/* width: one per layer. dead: by unit. */
void groups_widths(const struct channel_groups *g, const bool *dead, struct layer_width *width);
/* Connections of a layer at a width. Times positions: its MACs. */
double groups_entries(const struct layer *l, struct layer_width w);

#endif
