/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/settle.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/edit.h"
#include "onnx/payload.h"

/* Operators that only say where elements lie; the first input is what they move. */
static const char *const movers[] = { "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze" };

static bool moves(const struct node *n)
{
	for (size_t i = 0; !*n->op->domain && i < sizeof movers / sizeof *movers; i++)
		if (!strcmp(n->op->name, movers[i]))
			return !n->inlined;
	return false;
}

static bool is_weight_of(const struct graph *g, const struct use *u)
{
	const struct node *n = &g->nodes[u->node];

	return n->op->linear && u->input == 1 && !n->inlined;
}

/* All that read it are linear nodes, as their weight, or further movers. */
static bool only_for_weights(const struct graph *g, const struct value *v)
{
	if (v->is_output || !v->n_uses)
		return false;
	for (int i = 0; i < v->n_uses; i++)
		if (!is_weight_of(g, &v->uses[i]) && !(moves(&g->nodes[v->uses[i].node]) && v->uses[i].input == 0))
			return false;
	return true;
}

static bool can_settle(const struct graph *g, const struct node *n)
{
	const struct value *w = n->n_in && n->in[0] != GRAPH_NONE ? &g->values[n->in[0]] : NULL;

	if (!w || w->kind != VALUE_CONSTANT || !w->tensor_proto || w->n_uses != 1 || w->is_output
	    || w->overridable || !dtype_is_float((int)w->constant.type))
		return false;
	for (int k = 1; k < n->n_in; k++)
		if (n->in[k] != GRAPH_NONE && g->values[n->in[k]].kind != VALUE_CONSTANT)
			return false;
	return moves(n) && n->n_out == 1 && only_for_weights(g, &g->values[n->out[0]]);
}

static enum tamis_status write_moved(struct document *doc, const struct graph *g, const struct node *n,
                                     struct tamis_error *err)
{
	const struct tensor **in = tm_array((size_t)n->n_in + 1, sizeof *in);
	struct tensor out = { 0 };
	enum tamis_status s = in ? TAMIS_OK : tm_no_memory(err, "moving a weight");

	for (int k = 0; in && k < n->n_in; k++)
		in[k] = n->in[k] == GRAPH_NONE ? NULL : &g->values[n->in[k]].constant;
	if (s == TAMIS_OK)
		s = node_eval_within(n, in, &out, doc->max_memory, err);
	if (s == TAMIS_OK)
		s = payload_write(doc, g->values[n->in[0]].tensor_proto, &out, err);
	tensor_free(&out);
	free(in);
	return s;
}

static enum tamis_status reconnect(struct document *doc, const struct graph *g, const struct node *n,
                                   struct tamis_error *err)
{
	const struct value *from = &g->values[n->out[0]];
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < from->n_uses; i++) {
		const struct use *u = &from->uses[i];

		s = edit_string(doc, &g->nodes[u->node].proto->input[u->input], g->values[n->in[0]].name, err);
	}
	return s;
}

static bool is_named(const Onnx__ValueInfoProto *v, const char *name)
{
	return v->name && !strcmp(v->name, name);
}

/* What the document says of a value that is gone, or that has another shape now. */
static void forget(struct document *doc, Onnx__GraphProto *g, const char *name)
{
	for (size_t i = g->n_value_info; i-- > 0;)
		if (is_named(g->value_info[i], name))
			edit_remove_value_info(doc, g, i);
}

/* Marks what nothing reads any more: the node's output, and shapes and axes that it alone read. */
static void mark_gone(const struct graph *g, const struct node *n, bool *gone)
{
	gone[n->out[0]] = true;
	for (int k = 1; k < n->n_in; k++)
		if (n->in[k] != GRAPH_NONE && g->values[n->in[k]].n_uses == 1 && !g->values[n->in[k]].is_output
		    && !g->values[n->in[k]].overridable)
			gone[n->in[k]] = true;
}

static enum tamis_status settle_node(struct document *doc, const struct graph *g, const struct node *n, bool *gone,
                                     struct tamis_error *err)
{
	enum tamis_status s = write_moved(doc, g, n, err);

	if (s == TAMIS_OK)
		s = reconnect(doc, g, n, err);
	if (s != TAMIS_OK)
		return s;
	forget(doc, doc->model->graph, g->values[n->in[0]].name);
	forget(doc, doc->model->graph, g->values[n->out[0]].name);
	mark_gone(g, n, gone);
	return TAMIS_OK;
}

static bool is_gone(const struct graph *g, const bool *gone, const char *name)
{
	int id = name && *name ? graph_find(g, name) : GRAPH_NONE;

	return id != GRAPH_NONE && gone[id];
}

static enum tamis_status drop_gone(struct document *doc, const struct graph *g, const bool *gone, struct tamis_error *err)
{
	Onnx__GraphProto *p = doc->model->graph;
	bool *node = tm_array(p->n_node + 1, sizeof *node), *constant = tm_array(p->n_initializer + 1, sizeof *constant);
	bool ok = node && constant;

	for (size_t i = 0; ok && i < p->n_node; i++)
		node[i] = p->node[i]->n_output == 1 && is_gone(g, gone, p->node[i]->output[0]);
	for (size_t i = 0; ok && i < p->n_initializer; i++)
		constant[i] = is_gone(g, gone, p->initializer[i]->name);
	if (ok) {
		edit_filter(doc, &p->n_node, &p->node, node);
		edit_filter(doc, &p->n_initializer, &p->initializer, constant);
	}
	free(node);
	free(constant);
	return ok ? TAMIS_OK : tm_no_memory(err, "moving weights");
}

enum tamis_status weights_settle(struct document *doc, const struct graph *g, int *settled, struct tamis_error *err)
{
	bool *gone = tm_array((size_t)g->n_values + 1, sizeof *gone); /* by value */
	enum tamis_status s = gone ? TAMIS_OK : tm_no_memory(err, "moving weights");

	*settled = 0;
	for (int i = 0; s == TAMIS_OK && i < g->n_nodes; i++)
		if (can_settle(g, &g->nodes[i])) {
			s = settle_node(doc, g, &g->nodes[i], gone, err);
			*settled += s == TAMIS_OK;
		}
	if (s == TAMIS_OK && *settled)
		s = drop_gone(doc, g, gone, err);
	free(gone);
	return s;
}
