/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/fold/fold.h"

#include <math.h>
#include <string.h>

#include "onnx/edit.h"
#include "slim/channels/constants.h"
#include "slim/fold/folding.h"

/* Nodes one after the other that make y = a x + b. */
struct chain {
	int first, last;      /* nodes; each but the last is read by the next alone */
	int x, y;             /* values */
	int sum;              /* a node among them that adds its number to the data, or takes it off; GRAPH_NONE = there is none */
	int n;
	double a, b;
};

static enum tamis_status no_memory(const struct folding *f)
{
	return tm_no_memory(f->err, "folding numbers");
}

/* ---- chains ------------------------------------------------------------------------------------------------------ */

static bool is(const struct node *n, const char *name)
{
	return !*n->op->domain && !strcmp(n->op->name, name);
}

static int data_of(const struct folding *f, int node, double *a, double *b)
{
	if (layers_why_filtered(f->filter, f->graph->nodes[node].name, ""))
		return GRAPH_NONE;
	return step_data(f->graph, f->plan, node, a, b);
}

static void take_step(const struct folding *f, struct chain *c, int node, double a, double b)
{
	const struct node *n = &f->graph->nodes[node];

	c->last = node;
	c->y = n->out[0];
	c->a *= a;
	c->b = a * c->b + b;
	c->sum = is(n, "Add") || (is(n, "Sub") && a > 0) ? node : c->sum;
	c->n++;
}

/* The longest chain from a node; false where it starts none. */
static bool find_chain(const struct folding *f, int node, struct chain *c)
{
	const struct graph *g = f->graph;
	double a, b;
	int data = data_of(f, node, &a, &b), before;

	if (data == GRAPH_NONE)
		return false;
	*c = (struct chain){ .first = node, .x = g->nodes[node].in[data], .sum = GRAPH_NONE, .a = 1 };
	before = g->values[c->x].producer;
	take_step(f, c, node, a, b);
	if (before != GRAPH_NONE && step_read_once(g, c->x) && data_of(f, before, &a, &b) != GRAPH_NONE)
		return false;
	while (step_read_once(g, c->y) && data_of(f, node = g->values[c->y].uses[0].node, &a, &b) != GRAPH_NONE)
		take_step(f, c, node, a, b);
	return connect_can(g, c->y) && isfinite(c->a) && isfinite(c->b) && c->a != 0;
}

/* ---- into the layers behind -------------------------------------------------------------------------------------- */

static const struct layer *reader(const struct folding *f, const struct use *u)
{
	int i = f->read_by[u->node];
	const struct layer *l = i < 0 ? NULL : &f->layers->list[i];

	return l && u->input == l->view.data && carry_can(f->graph, l) ? l : NULL;
}

static bool all_layers(const struct folding *f, int value)
{
	const struct value *v = &f->graph->values[value];

	for (int i = 0; i < v->n_uses; i++)
		if (!reader(f, &v->uses[i]))
			return false;
	return v->n_uses > 0;
}

/* What is added to all of the data is met by every weight at every position. */
static bool takes_sums(const struct folding *f, int value)
{
	const struct value *v = &f->graph->values[value];

	for (int i = 0; i < v->n_uses; i++) {
		const struct layer *l = reader(f, &v->uses[i]);
		const struct node *n = &f->graph->nodes[l->node];

		if (!l->view.exact_mean || !constants_unpadded(n) || is(n, "ConvTranspose"))
			return false;
	}
	return true;
}

/* W (a x + b) = (a W) x + b W 1. */
static enum tamis_status fold_into(struct folding *f, const struct layer *l, double a, double b)
{
	struct use at = f->graph->values[l->bias].uses[0];
	struct tensor *w = rewrite_values(&f->rewrite, l->node, l->view.weight);
	struct tensor *bias = w && b != 0 ? rewrite_values(&f->rewrite, at.node, at.input) : NULL;
	static const double none = 0;
	double by = b * l->view.weight_scale / (l->bias_kind == BIAS_INPUT ? l->view.bias_scale : 1);

	if (!w || (b != 0 && !bias))
		return no_memory(f);
	for (int64_t o = 0; bias && o < l->view.outs; o++) {
		double sum = 0;

		for (int64_t d = 0; d < l->view.fan_in; d++)
			sum += tensor_get(w, layer_offset(&l->view, o, d));
		tensor_set(bias, o, tensor_get(bias, o) + (l->bias_kind == BIAS_MEAN ? -by : by) * sum);
	}
	return carry_port(&f->rewrite, l->node, l->view.weight, a, &none, false, 1, f->err);
}

static enum tamis_status fold_into_all(struct folding *f, int value, double a, double b)
{
	const struct value *v = &f->graph->values[value];
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < v->n_uses; i++)
		s = fold_into(f, reader(f, &v->uses[i]), a, b);
	return s;
}

/* ---- one chain --------------------------------------------------------------------------------------------------- */

/* All nodes of a chain but one, GRAPH_NONE: all. */
static void drop(struct folding *f, const struct chain *c, int but)
{
	int node = c->first;

	for (int i = 0; i < c->n; i++) {
		int next = i + 1 < c->n ? f->graph->values[f->graph->nodes[node].out[0]].uses[0].node : GRAPH_NONE;

		if (node != but) {
			rewrite_drop_node(&f->rewrite, node);
			f->gone++;
		}
		node = next;
	}
}

/* a x + b = a (x + b / a): the sum stays, and the layers take the factor. */
static enum tamis_status keep_sum(struct folding *f, const struct chain *c)
{
	const struct node *n = &f->graph->nodes[c->sum];
	double ignored[2];
	int data = data_of(f, c->sum, &ignored[0], &ignored[1]);
	struct tensor *t = rewrite_values(&f->rewrite, c->sum, 1 - data);
	enum tamis_status s;

	if (!t)
		return no_memory(f);
	tensor_set(t, 0, (is(n, "Sub") ? -c->b : c->b) / c->a);
	s = connect_input(&f->connections, c->sum, data, c->x, f->err);
	if (s == TAMIS_OK)
		s = connect_all(&f->connections, c->y, n->out[0], f->err);
	if (s == TAMIS_OK)
		s = fold_into_all(f, c->y, c->a, 0);
	drop(f, c, c->sum);
	return s;
}

static enum tamis_status fold_chain(struct folding *f, const struct chain *c)
{
	const struct layer *before = f->made_by[c->x] < 0 ? NULL : &f->layers->list[f->made_by[c->x]];
	bool behind = all_layers(f, c->y);
	enum tamis_status s;

	if (before && step_read_once(f->graph, c->x) && carry_can(f->graph, before))
		s = carry(&f->rewrite, before, c->a, &c->b, false, f->err);
	else if (behind && (c->b == 0 || takes_sums(f, c->y)))
		s = fold_into_all(f, c->y, c->a, c->b);
	else
		return behind && c->n > 1 && c->sum != GRAPH_NONE && isfinite(c->b / c->a) ? keep_sum(f, c) : TAMIS_OK;
	if (s == TAMIS_OK)
		s = connect_all(&f->connections, c->y, c->x, f->err);
	drop(f, c, GRAPH_NONE);
	return s;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

enum tamis_status fold_numbers(struct document *doc, const struct graph *g, const struct plan *plan, const struct layers *l,
                               const struct layer_filter *filter, int *gone, struct tamis_error *err)
{
	struct folding f = { .graph = g, .plan = plan, .filter = filter, .layers = l, .err = err };
	enum tamis_status s = folding_open(&f, doc);
	struct chain c;

	for (int i = 0; s == TAMIS_OK && i < g->n_nodes; i++)
		if (find_chain(&f, i, &c))
			s = fold_chain(&f, &c);
	return folding_close(&f, s, gone);
}
