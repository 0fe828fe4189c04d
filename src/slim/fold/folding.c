/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/fold/folding.h"

#include <stdlib.h>

static bool list_layers(struct folding *f)
{
	f->made_by = carry_makers(f->graph, f->layers);
	f->read_by = tm_array((size_t)f->graph->n_nodes + 1, sizeof *f->read_by);
	for (int n = 0; f->read_by && n < f->graph->n_nodes; n++)
		f->read_by[n] = -1;
	for (int i = 0; f->read_by && i < f->layers->n; i++)
		f->read_by[f->layers->list[i].node] = i;
	return f->made_by && f->read_by;
}

enum tamis_status folding_open(struct folding *f, struct document *doc)
{
	enum tamis_status s = rewrite_open(&f->rewrite, doc, f->graph, f->err);
	enum tamis_status opened = connect_open(&f->connections, doc, f->graph, f->err);

	s = s == TAMIS_OK ? opened : s;
	return s == TAMIS_OK && !list_layers(f) ? tm_no_memory(f->err, "folding") : s;
}

enum tamis_status folding_close(struct folding *f, enum tamis_status s, int *gone)
{
	if (s == TAMIS_OK && f->gone)
		s = rewrite_apply(&f->rewrite, f->err);
	*gone = f->gone;
	rewrite_close(&f->rewrite);
	connect_close(&f->connections);
	free(f->made_by);
	free(f->read_by);
	return s;
}
