/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/settle.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/edit.h"
#include "onnx/payload.h"

/* Says only where elements lie; the first input is what it moves. */
static bool moves(const struct node *n)
{
	bool transposes = !*n->op->domain && !strcmp(n->op->name, "Transpose");

	return !n->inlined && n->n_out == 1 && n->out[0] != GRAPH_NONE && (transposes || n->op->flags & OP_VIEW);
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

static bool can_change(const struct value *w)
{
	return w->kind == VALUE_CONSTANT && w->tensor_proto && w->n_uses == 1 && !w->is_output && !w->overridable
	       && dtype_is_float((int)w->constant.type);
}

/* May go: moves its first input in a way that is known now, for linear nodes alone. */
static bool is_link(const struct graph *g, const struct node *n)
{
	for (int k = 1; k < n->n_in; k++)
		if (n->in[k] != GRAPH_NONE && g->values[n->in[k]].kind != VALUE_CONSTANT)
			return false;
	return n->n_in && n->in[0] != GRAPH_NONE && moves(n) && only_for_weights(g, &g->values[n->out[0]]);
}

/* The link behind a link; NULL at the end of the chain. */
static const struct node *next_link(const struct graph *g, const struct node *n)
{
	const struct value *v = &g->values[n->out[0]];
	const struct node *next = v->n_uses == 1 ? &g->nodes[v->uses[0].node] : NULL;

	return next && v->uses[0].input == 0 && is_link(g, next) ? next : NULL;
}

/* What n makes of `from`; the caller frees *to. */
static enum tamis_status move(const struct graph *g, const struct node *n, const struct tensor *from, struct tensor *to,
                              struct tamis_error *err)
{
	const struct tensor **in = tm_array((size_t)n->n_in, sizeof *in);
	enum tamis_status s;

	if (!in)
		return tm_no_memory(err, "moving a weight");
	in[0] = from;
	for (int k = 1; k < n->n_in; k++)
		in[k] = n->in[k] == GRAPH_NONE ? NULL : &g->values[n->in[k]].constant;
	s = node_eval_within(n, in, to, g->doc->max_memory, err);
	free(in);
	return s;
}

/* All that read `from` read the weight instead. */
static enum tamis_status reconnect(struct document *doc, const struct graph *g, const struct value *from, const char *weight,
                                   struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < from->n_uses; i++) {
		const struct use *u = &from->uses[i];

		s = edit_string(doc, &g->nodes[u->node].proto->input[u->input], weight, err);
	}
	return s;
}

/* What the walk found, by value. */
struct settled {
	bool *gone;    /* nothing reads it any more */
	bool *changed; /* another shape than the document may say */
};

/* The node's output, and shapes and axes that it alone read. */
static void mark_gone(const struct graph *g, const struct node *n, struct settled *to)
{
	to->gone[n->out[0]] = true;
	for (int k = 1; k < n->n_in; k++)
		if (n->in[k] != GRAPH_NONE && g->values[n->in[k]].n_uses == 1 && !g->values[n->in[k]].is_output
		    && !g->values[n->in[k]].overridable)
			to->gone[n->in[k]] = true;
}

/* From its first link on. */
static enum tamis_status settle_chain(struct document *doc, const struct graph *g, const struct node *first,
                                      struct settled *to, int *links, struct tamis_error *err)
{
	const struct value *w = &g->values[first->in[0]];
	const struct tensor *from = &w->constant;
	struct tensor moved = { 0 }, next = { 0 };
	const struct node *last = first;
	enum tamis_status s = TAMIS_OK;

	for (const struct node *n = first; n && s == TAMIS_OK; n = next_link(g, n)) {
		s = move(g, n, from, &next, err);
		tensor_free(&moved);
		moved = next;
		next = (struct tensor){ 0 };
		from = &moved;
		mark_gone(g, n, to);
		last = n;
		++*links;
	}
	if (s == TAMIS_OK)
		s = payload_write(doc, w->tensor_proto, &moved, err);
	if (s == TAMIS_OK)
		s = reconnect(doc, g, &g->values[last->out[0]], w->name, err);
	tensor_free(&moved);
	to->changed[first->in[0]] = true;
	return s;
}

static bool is_marked(const struct graph *g, const bool *marked, const char *name)
{
	int id = name && *name ? graph_find(g, name) : GRAPH_NONE;

	return id != GRAPH_NONE && marked[id];
}

static enum tamis_status drop_gone(struct document *doc, const struct graph *g, const struct settled *of,
                                   struct tamis_error *err)
{
	Onnx__GraphProto *p = doc->model->graph;
	bool *node = tm_array(p->n_node + 1, sizeof *node), *constant = tm_array(p->n_initializer + 1, sizeof *constant);
	bool *info = tm_array(p->n_value_info + 1, sizeof *info);
	bool ok = node && constant && info;

	for (size_t i = 0; ok && i < p->n_node; i++)
		node[i] = p->node[i]->n_output == 1 && is_marked(g, of->gone, p->node[i]->output[0]);
	for (size_t i = 0; ok && i < p->n_initializer; i++)
		constant[i] = is_marked(g, of->gone, p->initializer[i]->name);
	for (size_t i = 0; ok && i < p->n_value_info; i++)
		info[i] = is_marked(g, of->gone, p->value_info[i]->name) || is_marked(g, of->changed, p->value_info[i]->name);
	if (ok) {
		edit_filter(doc, &p->n_node, &p->node, node);
		edit_filter(doc, &p->n_initializer, &p->initializer, constant);
		edit_filter(doc, &p->n_value_info, &p->value_info, info);
	}
	free(node);
	free(constant);
	free(info);
	return ok ? TAMIS_OK : tm_no_memory(err, "moving weights");
}

enum tamis_status weights_settle(struct document *doc, const struct graph *g, int *settled, struct tamis_error *err)
{
	struct settled to = { tm_array((size_t)g->n_values + 1, sizeof *to.gone),
		tm_array((size_t)g->n_values + 1, sizeof *to.changed) };
	enum tamis_status s = to.gone && to.changed ? TAMIS_OK : tm_no_memory(err, "moving weights");

	*settled = 0;
	for (int i = 0; s == TAMIS_OK && i < g->n_nodes; i++)
		if (is_link(g, &g->nodes[i]) && can_change(&g->values[g->nodes[i].in[0]]))
			s = settle_chain(doc, g, &g->nodes[i], &to, settled, err);
	if (s == TAMIS_OK && *settled)
		s = drop_gone(doc, g, &to, err);
	free(to.gone);
	free(to.changed);
	return s;
}
