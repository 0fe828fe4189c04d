/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"
#include "graph/names.h"

static enum tamis_status broken(struct tamis_error *err, const char *what, const char *name)
{
	return tm_fail(err, TAMIS_E_INTERNAL, "the graph broke a promise: %s ('%.80s')", what, name);
}

static enum tamis_status verify_node(const struct graph *g, int id, struct tamis_error *err)
{
	const struct node *n = &g->nodes[id];

	if (!n->op || !n->proto)
		return broken(err, "a node has no operator", n->name);
	for (int i = 0; i < n->n_in; i++) {
		if (n->in[i] == GRAPH_NONE)
			continue;
		if (n->in[i] < 0 || n->in[i] >= g->n_values)
			return broken(err, "an input id is out of range", n->name);
		if (g->values[n->in[i]].producer >= id)
			return broken(err, "a node reads what a later one makes", n->name);
	}
	for (int i = 0; i < n->n_out; i++) {
		if (n->out[i] == GRAPH_NONE)
			continue;
		if (n->out[i] < 0 || n->out[i] >= g->n_values)
			return broken(err, "an output id is out of range", n->name);
		if (g->values[n->out[i]].producer != id || g->values[n->out[i]].output != i)
			return broken(err, "a value names another producer", g->values[n->out[i]].name);
	}
	return TAMIS_OK;
}

/* Nodes make VALUE_NODE and, where they are Constant nodes, VALUE_CONSTANT; nothing makes the others. */
static enum tamis_status verify_producer(const struct graph *g, int id, struct tamis_error *err)
{
	const struct value *v = &g->values[id];
	const struct node *n = v->producer >= 0 && v->producer < g->n_nodes ? &g->nodes[v->producer] : NULL;

	if (v->producer == GRAPH_NONE)
		return v->kind != VALUE_NODE ? TAMIS_OK : broken(err, "a value of no node claims to be one's", v->name);
	if (!n || v->output < 0 || v->output >= n->n_out || n->out[v->output] != id)
		return broken(err, "a value is not what its producer makes", v->name);
	if (v->kind == VALUE_INPUT || (v->kind == VALUE_CONSTANT) != n->constant)
		return broken(err, "a value's kind does not fit its producer", v->name);
	return TAMIS_OK;
}

static enum tamis_status verify_value(const struct graph *g, int id, struct tamis_error *err)
{
	const struct value *v = &g->values[id];

	if (names_get(g->names, v->name) != id)
		return broken(err, "a name leads to another value", v->name);
	for (int i = 0; i < v->n_uses; i++) {
		const struct use *u = &v->uses[i];

		if (u->node < 0 || u->node >= g->n_nodes || u->input < 0 || u->input >= g->nodes[u->node].n_in
		    || g->nodes[u->node].in[u->input] != id)
			return broken(err, "a use is not an input", v->name);
		if (i && (u->node < v->uses[i - 1].node
		          || (u->node == v->uses[i - 1].node && u->input <= v->uses[i - 1].input)))
			return broken(err, "uses are out of order", v->name);
	}
	if (v->kind == VALUE_CONSTANT && v->constant.count && !v->constant.data)
		return broken(err, "a constant has no data", v->name);
	return verify_producer(g, id, err);
}

static enum tamis_status verify_ends(const struct graph *g, struct tamis_error *err)
{
	for (int i = 0; i < g->n_inputs; i++)
		if (g->inputs[i] < 0 || g->inputs[i] >= g->n_values || g->values[g->inputs[i]].kind != VALUE_INPUT)
			return broken(err, "a graph input is no input", g->proto->name ? g->proto->name : "");
	for (int i = 0; i < g->n_outputs; i++)
		if (g->outputs[i] < 0 || g->outputs[i] >= g->n_values || !g->values[g->outputs[i]].is_output)
			return broken(err, "a graph output is not marked as one", g->proto->name ? g->proto->name : "");
	return TAMIS_OK;
}

static int64_t count_inputs(const struct graph *g)
{
	int64_t n = 0;

	for (int i = 0; i < g->n_nodes; i++)
		for (int k = 0; k < g->nodes[i].n_in; k++)
			n += g->nodes[i].in[k] != GRAPH_NONE;
	return n;
}

/* Every use is an input, no two are the same, and there are as many uses as inputs: so every input is a use. */
enum tamis_status graph_verify(const struct graph *g, struct tamis_error *err)
{
	enum tamis_status s = verify_ends(g, err);
	int64_t uses = 0;

	for (int i = 0; s == TAMIS_OK && i < g->n_nodes; i++)
		s = verify_node(g, i, err);
	for (int i = 0; s == TAMIS_OK && i < g->n_values; i++) {
		s = verify_value(g, i, err);
		uses += g->values[i].n_uses;
	}
	if (s == TAMIS_OK && uses != count_inputs(g))
		s = broken(err, "an input is in no list of uses", "");
	return s;
}
