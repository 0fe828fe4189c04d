/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/fold/fold.h"

#include <math.h>
#include <string.h>

#include "graph/attr.h"
#include "onnx/edit.h"
#include "slim/channels/rewrite.h"
#include "slim/fold/connect.h"
#include "slim/fold/step.h"

/* clip(x + 3, 0, 6), a product with x where there is one, and what divides it by six. */
struct form { int sum, clip, x, product, sixth; };

struct joining {
	const struct graph *graph;
	const struct plan *plan;
	const struct layer_filter *filter;
	struct rewrite rewrite;
	struct connections connections;
	int gone;
};

static bool is(const struct node *n, const char *name)
{
	return !*n->op->domain && !strcmp(n->op->name, name) && !n->inlined;
}

static bool near(double x, double wanted)
{
	return fabs(x - wanted) <= 1e-6 * wanted;
}

/* A bound that is an input from opset 11 on, and an attribute before. */
static bool bound_is(const struct graph *g, const struct node *n, int input, const char *name, double wanted)
{
	if (n->opset < 11) {
		for (size_t i = 0; i < n->proto->n_attribute; i++)
			if (!strcmp(n->proto->attribute[i]->name, name))
				return (double)n->proto->attribute[i]->f == wanted;
		return false;
	}
	if (input >= n->n_in || n->in[input] == GRAPH_NONE || g->values[n->in[input]].kind != VALUE_CONSTANT
	    || g->values[n->in[input]].overridable || g->values[n->in[input]].constant.count != 1)
		return false;
	return tensor_get(&g->values[n->in[input]].constant, 0) == wanted;
}

/* The node that alone reads a value; GRAPH_NONE = there is none. */
static int only_reader(const struct graph *g, int value)
{
	return step_read_once(g, value) ? g->values[value].uses[0].node : GRAPH_NONE;
}

/* A division by six of a value, whose result others can read elsewhere. */
static int find_sixth(const struct joining *j, int value)
{
	int node = only_reader(j->graph, value);
	double a, b;

	if (node == GRAPH_NONE || step_data(j->graph, j->plan, node, &a, &b) == GRAPH_NONE || b != 0 || !near(a, 1 / 6.0)
	    || !connect_can(j->graph, j->graph->nodes[node].out[0]))
		return GRAPH_NONE;
	return node;
}

static bool match(const struct joining *j, int clip, struct form *f)
{
	const struct graph *g = j->graph;
	const struct node *n = &g->nodes[clip], *by;
	int sum = n->n_in ? g->values[n->in[0]].producer : GRAPH_NONE, data, reader;
	double a, b;

	if (!is(n, "Clip") || layers_why_filtered(j->filter, n->name, "") || sum == GRAPH_NONE
	    || !bound_is(g, n, 1, "min", 0) || !bound_is(g, n, 2, "max", 6) || only_reader(g, n->in[0]) != clip)
		return false;
	data = step_data(g, j->plan, sum, &a, &b);
	if (data == GRAPH_NONE || a != 1 || !near(b, 3))
		return false;
	*f = (struct form){ .sum = sum, .clip = clip, .x = g->nodes[sum].in[data], .product = GRAPH_NONE };
	f->sixth = find_sixth(j, n->out[0]);
	reader = only_reader(g, n->out[0]);
	if (f->sixth != GRAPH_NONE || reader == GRAPH_NONE)
		return f->sixth != GRAPH_NONE;
	by = &g->nodes[reader];
	if (!is(by, "Mul") || (by->in[0] != f->x && by->in[1] != f->x))
		return false;
	f->product = reader;
	f->sixth = find_sixth(j, by->out[0]);
	return f->sixth != GRAPH_NONE;
}

/* The Clip becomes the HardSigmoid: its bounds go. */
static enum tamis_status turn(struct joining *j, struct document *doc, const struct form *f, struct tamis_error *err)
{
	const struct node *n = &j->graph->nodes[f->clip];
	Onnx__NodeProto *p = n->proto;
	enum tamis_status s = edit_string(doc, &p->op_type, "HardSigmoid", err);

	for (int i = 1; i < n->n_in; i++)
		if (n->in[i] != GRAPH_NONE)
			rewrite_unread(&j->rewrite, n->in[i]);
	while (s == TAMIS_OK && p->n_input > 1)
		edit_string_remove(doc, &p->n_input, &p->input, p->n_input - 1);
	for (size_t i = p->n_attribute; s == TAMIS_OK && i-- > 0;)
		edit_free(doc, edit_take(&p->n_attribute, &p->attribute, i));
	if (s == TAMIS_OK)
		s = edit_attribute_float(doc, p, "alpha", 1 / 6.0f, err);
	if (s == TAMIS_OK)
		s = edit_attribute_float(doc, p, "beta", 0.5f, err);
	return s == TAMIS_OK ? connect_input(&j->connections, f->clip, 0, f->x, err) : s;
}

static enum tamis_status join(struct joining *j, struct document *doc, const struct form *f, struct tamis_error *err)
{
	const struct graph *g = j->graph;
	int last = f->product == GRAPH_NONE ? f->clip : f->product;
	enum tamis_status s = connect_all(&j->connections, g->nodes[f->sixth].out[0], g->nodes[last].out[0], err);

	if (s == TAMIS_OK)
		s = turn(j, doc, f, err);
	rewrite_drop_node(&j->rewrite, f->sum);
	rewrite_drop_node(&j->rewrite, f->sixth);
	j->gone += 2;
	return s;
}

enum tamis_status fold_hard_sigmoids(struct document *doc, const struct graph *g, const struct plan *plan,
                                     const struct layer_filter *filter, int *gone, struct tamis_error *err)
{
	struct joining j = { .graph = g, .plan = plan, .filter = filter };
	enum tamis_status s = rewrite_open(&j.rewrite, doc, g, err), opened = connect_open(&j.connections, doc, g, err);
	struct form f;

	s = s == TAMIS_OK ? opened : s;
	for (int i = 0; s == TAMIS_OK && i < g->n_nodes; i++)
		if (match(&j, i, &f))
			s = join(&j, doc, &f, err);
	if (s == TAMIS_OK && j.gone)
		s = rewrite_apply(&j.rewrite, err);
	*gone = j.gone;
	rewrite_close(&j.rewrite);
	connect_close(&j.connections);
	return s;
}
