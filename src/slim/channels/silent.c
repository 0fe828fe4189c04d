/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/channels/silent.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "slim/channels/constants.h"
#include "slim/channels/rewrite.h"

#define BROADCAST_OPSET 7 /* from here on sums repeat what is of extent 1 */

static bool is(const struct node *n, const char *name)
{
	return !*n->op->domain && !strcmp(n->op->name, name);
}

/* ---- where it leads --------------------------------------------------------------------------------------------- */

/* Makes a constant of a constant, value by value or channel by channel. */
static bool passes_on(const struct graph *g, const struct node *n, int input)
{
	if (n->op->channels != channels_elementwise && !(is(n, "BatchNormalization") && input == 0))
		return false;
	for (int i = 0; i < n->n_in; i++)
		if (i != input && n->in[i] != GRAPH_NONE && g->values[n->in[i]].kind != VALUE_CONSTANT)
			return false;
	return true;
}

/* Its result has the shape of the other input, whatever comes in at this one. */
static bool adds_to_another(const struct channel_groups *g, const struct node *n, int input)
{
	int other = n->n_in == 2 ? n->in[1 - input] : GRAPH_NONE;
	const struct tensor *x, *y;

	if (!(is(n, "Add") || is(n, "Sub") || is(n, "Mul")) || n->opset < BROADCAST_OPSET || other == GRAPH_NONE
	    || other == n->in[input] || g->graph->values[other].kind == VALUE_CONSTANT)
		return false;
	x = g->coupling.shape[other];
	y = g->coupling.shape[n->out[0]];
	return x && y && tensor_same_shape(x, y);
}

/* The one reader of a value that a constant may stand for; GRAPH_NONE = there is none. */
static struct use reader_of(const struct graph *g, int value)
{
	const struct value *v = &g->values[value];
	struct use none = { GRAPH_NONE, 0 };

	if (v->is_output || v->n_uses != 1 || g->nodes[v->uses[0].node].inlined || g->nodes[v->uses[0].node].n_out != 1)
		return none;
	return v->uses[0];
}

/* The sum or product that the layer's result comes to, through what makes constants of constants. */
static bool find_sum(const struct channel_groups *g, const struct layer *l, struct use *sum)
{
	int value = g->graph->nodes[l->node].out[0];

	if (l->note || g->graph->nodes[l->node].inlined || !g->coupling.shape[value])
		return false;
	for (;;) {
		const struct node *n;

		*sum = reader_of(g->graph, value);
		if (sum->node == GRAPH_NONE)
			return false;
		n = &g->graph->nodes[sum->node];
		if (!passes_on(g->graph, n, sum->input))
			return adds_to_another(g, n, sum->input);
		value = n->out[0];
	}
}

/* ---- groups ----------------------------------------------------------------------------------------------------- */

/* The only group that a reader's weight meets; -1 = there are several, or something else. */
static int only_group(const struct channel_groups *g, const struct group_reader *r)
{
	for (int64_t c = 0; c < r->extent; c++)
		if (r->unit[c] < 0 || g->group_of[r->unit[c]] != g->group_of[r->unit[0]])
			return -1;
	return r->extent ? g->group_of[r->unit[0]] : -1;
}

static void close_groups_of(const struct channel_groups *g, const struct group_reader *r, bool *whole)
{
	for (int64_t c = 0; c < r->extent; c++)
		if (r->unit[c] >= 0)
			whole[g->group_of[r->unit[c]]] = false;
}

/* By node: 1 + the input that would become a constant; 0 = none. The first reader whose silence comes to a sum claims its side. */
static bool claim(int *claimed, struct use sum)
{
	if (!claimed[sum.node])
		claimed[sum.node] = 1 + sum.input;
	return claimed[sum.node] == 1 + sum.input;
}

enum tamis_status silent_groups(const struct channel_groups *g, bool *whole, struct tamis_error *err)
{
	int *claimed = tm_array((size_t)g->graph->n_nodes + 1, sizeof *claimed);
	struct use sum;

	if (!claimed)
		return tm_no_memory(err, "looking for branches");
	for (int i = 0; i < g->n; i++)
		whole[i] = !g->list[i].why && g->list[i].readers;
	for (int i = 0; i < g->n_readers; i++) {
		const struct group_reader *r = &g->readers[i];
		bool silent = r->layer >= 0 && find_sum(g, &g->layers->list[r->layer], &sum) && claim(claimed, sum);

		if (!silent || only_group(g, r) < 0)
			close_groups_of(g, r, whole);
	}
	free(claimed);
	return TAMIS_OK;
}

/* ---- removal ---------------------------------------------------------------------------------------------------- */

static bool is_silent(const struct graph *g, const struct layer *l)
{
	const struct tensor *w = &g->values[l->weight].constant;

	for (int64_t i = 0; i < w->count; i++)
		if (tensor_get(w, i) != 0)
			return false;
	return true;
}

/* What the layer puts out at one position: extent 1 on each axis but that of the channels. */
static enum tamis_status start(const struct channel_groups *g, const struct layer *l, struct tensor *out,
                               struct tamis_error *err)
{
	const struct tensor *z = g->coupling.shape[g->graph->nodes[l->node].out[0]];
	int axis = l->view.out_axis < 0 ? l->view.out_axis + z->rank : l->view.out_axis;
	int64_t dims[TENSOR_MAX_RANK];
	enum tamis_status s;

	for (int i = 0; i < z->rank; i++)
		dims[i] = i == axis ? l->view.outs : 1;
	s = tensor_shape(out, z->type, z->rank, dims, err);
	if (s == TAMIS_OK)
		s = tensor_alloc(out, err);
	for (int64_t o = 0; s == TAMIS_OK && o < l->view.outs; o++)
		tensor_set(out, o, constants_own_bias(g->graph, l, o));
	return s;
}

/* *t becomes what the node makes of it. */
static enum tamis_status pass_on(const struct graph *g, const struct use *u, struct tensor *t, struct tamis_error *err)
{
	const struct node *n = &g->nodes[u->node];
	const struct tensor **in = tm_array((size_t)n->n_in + 1, sizeof *in);
	struct tensor out = { .type = DT_UNDEFINED };
	enum tamis_status s;

	if (!in)
		return tm_no_memory(err, "taking silent layers out");
	for (int i = 0; i < n->n_in; i++)
		in[i] = i == u->input ? t : n->in[i] == GRAPH_NONE ? NULL : &g->values[n->in[i]].constant;
	s = node_eval(n, in, &out, err);
	free(in);
	tensor_free(t);
	*t = out;
	return s;
}

static enum tamis_status follow(const struct channel_groups *g, const struct layer *l, struct use sum, struct tensor *out,
                                struct tamis_error *err)
{
	int value = g->graph->nodes[l->node].out[0];
	enum tamis_status s = start(g, l, out, err);

	while (s == TAMIS_OK && g->graph->values[value].uses[0].node != sum.node) {
		const struct use *u = &g->graph->values[value].uses[0];

		s = pass_on(g->graph, u, out, err);
		value = g->graph->nodes[u->node].out[0];
	}
	return s;
}

static bool is_finite(const struct tensor *t)
{
	for (int64_t i = 0; i < t->count; i++)
		if (!isfinite(tensor_get(t, i)))
			return false;
	return true;
}

/* The last one first: what is silent before it may go with it. */
static int find_last(const struct channel_groups *g, struct use *sum)
{
	int i = g->layers->n - 1;

	while (i >= 0 && !(is_silent(g->graph, &g->layers->list[i]) && find_sum(g, &g->layers->list[i], sum)))
		i--;
	return i;
}

static enum tamis_status replace(struct document *doc, const struct channel_groups *g, struct use sum,
                                 const struct tensor *by, int64_t *removed, struct tamis_error *err)
{
	struct rewrite r;
	enum tamis_status s = rewrite_open(&r, doc, g->graph, err);

	if (s == TAMIS_OK)
		s = rewrite_constant(&r, sum.node, sum.input, by, err);
	if (s == TAMIS_OK)
		s = rewrite_apply(&r, err);
	for (int i = 0; s == TAMIS_OK && i < g->layers->n; i++)
		*removed += r.drop_node[g->layers->list[i].node] ? g->layers->list[i].view.outs : 0;
	rewrite_close(&r);
	return s;
}

enum tamis_status silent_remove(struct document *doc, const struct channel_groups *g, int64_t *removed,
                                struct tamis_error *err)
{
	struct tensor by = { .type = DT_UNDEFINED };
	struct use sum;
	int layer = find_last(g, &sum);
	enum tamis_status s = layer < 0 ? TAMIS_OK : follow(g, &g->layers->list[layer], sum, &by, err);

	*removed = 0;
	if (s == TAMIS_OK && layer >= 0 && is_finite(&by))
		s = replace(doc, g, sum, &by, removed, err);
	tensor_free(&by);
	return s;
}
