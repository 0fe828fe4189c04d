/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/parameters.h"

#include <string.h>

#include "onnx/payload.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "listing the parameters");
}

/* ---- normalisations ------------------------------------------------------------------------------------------- */

/* Scale and shift are the inputs from 1 on. */
static const struct { const char *name; int last; } norms[] = {
	{ "BatchNormalization", 2 }, { "GroupNormalization", 2 }, { "InstanceNormalization", 2 },
	{ "LayerNormalization", 2 }, { "RMSNormalization", 1 }, { "SimplifiedLayerNormalization", 1 },
};

static int norm_inputs(const struct node *n)
{
	for (size_t i = 0; i < sizeof norms / sizeof *norms; i++)
		if (!strcmp(n->op->name, norms[i].name))
			return norms[i].last;
	return 0;
}

/* Only what one node of the document reads, and nobody outside can see or replace. */
static bool is_own(const struct graph *g, int id)
{
	const struct value *v = id == GRAPH_NONE ? NULL : &g->values[id];

	return v && v->kind == VALUE_CONSTANT && dtype_is_float((int)v->constant.type) && v->n_uses == 1 && !v->is_output
		&& !v->overridable && v->tensor_proto && (v->producer == GRAPH_NONE || !g->nodes[v->producer].inlined);
}

/* ---- finding ------------------------------------------------------------------------------------------------- */

enum mark { MARK_NONE, MARK_KEPT, MARK_TRAINED };

static void mark_layers(const struct layers *l, unsigned char *mark, int *layer)
{
	for (int i = 0; i < l->n; i++) {
		const struct layer *x = &l->list[i];

		if (x->note)
			continue;
		mark[x->weight] = MARK_TRAINED;
		layer[x->weight] = i;
		if (x->bias != GRAPH_NONE)
			mark[x->bias] = x->bias_kind == BIAS_MEAN ? MARK_KEPT : MARK_TRAINED;
	}
}

static void mark_norms(const struct graph *g, const struct layer_filter *f, unsigned char *mark)
{
	for (int i = 0; i < g->n_nodes; i++) {
		const struct node *n = &g->nodes[i];
		int last = norm_inputs(n);

		for (int k = 1; k <= last && k < n->n_in; k++)
			if (is_own(g, n->in[k]) && !mark[n->in[k]] && !layers_why_filtered(f, n->name, g->values[n->in[k]].name))
				mark[n->in[k]] = MARK_TRAINED;
	}
}

enum tamis_status parameters_find(const struct graph *g, const struct layers *l, const struct layer_filter *filter,
                                  struct parameters_kinds also, struct parameters *out, struct tamis_error *err)
{
	size_t n = (size_t)g->n_values + 1;
	unsigned char *mark;
	int *layer;

	*out = (struct parameters){ 0 };
	mark = arena_array(&out->arena, n, sizeof *mark);
	layer = arena_array(&out->arena, n, sizeof *layer);
	out->list = arena_array(&out->arena, n, sizeof *out->list);
	if (!mark || !layer || !out->list) {
		parameters_free(out);
		return no_memory(err);
	}
	for (int v = 0; v < g->n_values; v++)
		layer[v] = -1;
	mark_layers(l, mark, layer);
	if (also.norms)
		mark_norms(g, filter, mark);
	for (int i = 0; also.recurrent && i < l->n_recurrent; i++)
		mark[l->recurrent[i]] = MARK_KEPT;
	for (int v = 0; v < g->n_values; v++)
		if (mark[v])
			out->list[out->n++] =
				(struct parameter){ .value = v, .layer = layer[v], .trained = mark[v] == MARK_TRAINED };
	return TAMIS_OK;
}

void parameters_free(struct parameters *p)
{
	arena_free(&p->arena);
	*p = (struct parameters){ 0 };
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

static enum tamis_status write_value(const struct graph *g, struct document *doc, int id, struct tamis_error *err)
{
	const struct value *v = &g->values[id];

	if (v->sparse_proto)
		return sparse_write(doc, v->sparse_proto, &v->constant, err);
	if (!v->tensor_proto)
		return tm_fail(err, TAMIS_E_INTERNAL, "the weight '%.80s' has no place in the document", v->name);
	return payload_write(doc, v->tensor_proto, &v->constant, err);
}

enum tamis_status parameters_write(const struct graph *g, const struct parameters *p, struct document *doc,
                                   struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < p->n; i++)
		s = write_value(g, doc, p->list[i].value, err);
	return s;
}
