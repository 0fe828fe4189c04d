/* SPDX-License-Identifier: Apache-2.0 */
/* What the ways of folding into layers share: the document being changed, and the layers by what they make and read. */
#ifndef SLIM_FOLD_FOLDING_H
#define SLIM_FOLD_FOLDING_H

#include "slim/fold/carry.h"
#include "slim/fold/connect.h"
#include "slim/fold/step.h"

struct folding {
	const struct graph *graph;
	const struct plan *plan;
	const struct layer_filter *filter;
	const struct layers *layers;
	struct rewrite rewrite;
	struct connections connections;
	int *made_by;         /* by value: the layer whose result it is, as carry_makers tells */
	int *read_by;         /* by node: the layer that it is; -1 = none */
	int gone;             /* nodes */
	struct tamis_error *err;
};

/* Graph, plan, filter, layers and err are given. folding_close also after a failure. */
enum tamis_status folding_open(struct folding *f, struct document *doc);
/* Writes what was changed, where s is TAMIS_OK and nodes went. Returns s, or why that failed. */
enum tamis_status folding_close(struct folding *f, enum tamis_status s, int *gone);

#endif
