/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/channels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "slim/channel_trace.h"
#include "slim/channel_values.h"
#include "slim/rewrite.h"

/* One call: what is dead is found on the graph as it is and written at the end, so that no finding stands on
 * another. */
struct removal {
	struct channel_model model;
	struct channel_trace trace; /* of the layer in hand */
	struct rewrite rewrite;
	int64_t removed;
};

/* The channels of the layer in hand. */
struct channels {
	int layer;
	int64_t n;
	bool *dead;
	bool *constant;  /* no signal comes in: the channel is its bias on every input */
	double *z;       /* that bias */
	bool *unread;    /* readers x n: all weights of the reader for it are zero */
	double *value;   /* readers x n: what a constant channel is worth there */
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "looking for dead channels");
}

static const struct layer *layer_at(const struct removal *r, int i)
{
	return &r->model.layers->list[i];
}

static const struct tensor *weight_of(const struct removal *r, int layer)
{
	return &r->model.graph->values[layer_at(r, layer)->weight].constant;
}

/* ---- which are dead ------------------------------------------------------------------------------------ */

/* The input that a layer adds: a view leaves out those of Gemm that are no vectors. GRAPH_NONE = none. */
static int bias_input(const struct removal *r, const struct layer *l)
{
	const struct node *n = &r->model.graph->nodes[l->node];
	int input = l->view.bias >= 0 ? l->view.bias : 2;

	return input < n->n_in && n->in[input] != GRAPH_NONE ? input : GRAPH_NONE;
}

/* The layer's own constants can be cut along their output axis. *bias NULL = none. */
static bool makes_channels(const struct removal *r, const struct layer *l, const struct value **bias)
{
	const struct graph *g = r->model.graph;
	const struct node *n = &g->nodes[l->node];
	const struct value *w = &g->values[l->weight];
	const struct tensor *b;
	int input = bias_input(r, l);

	*bias = NULL;
	if (l->view.groups != 1 || l->view.outs < 2 || !channel_owned(w) || !dtype_is_float((int)w->constant.type)
	    || channel_axis(&w->constant, l->view.outs, l->view.stride_out) < 0)
		return false;
	if (input == GRAPH_NONE)
		return true;
	*bias = channel_constant(g, n->in[input]);
	b = *bias ? &(*bias)->constant : NULL;
	return b && (b->count == 1 || (b->rank > 0 && b->dims[b->rank - 1] == l->view.outs));
}

static bool hears_nothing(const struct removal *r, const struct layer *l, int64_t o)
{
	const struct tensor *w = &r->model.graph->values[l->weight].constant;

	for (int64_t d = 0; d < l->view.fan_in; d++)
		if (tensor_get(w, layer_offset(&l->view, o, d)) != 0)
			return false;
	return true;
}

static void find_constant(const struct removal *r, const struct value *bias, struct channels *c)
{
	const struct layer *l = layer_at(r, c->layer);

	for (int64_t o = 0; o < c->n; o++) {
		bool known = !bias || bias->constant.count == 1 || bias->constant.count == c->n;

		c->constant[o] = known && hears_nothing(r, l, o);
		if (bias && c->constant[o])
			c->z[o] = l->view.bias_scale * tensor_get(&bias->constant, bias->constant.count == 1 ? 0 : o);
	}
}

/* Features of the reader that channel c becomes: per * c .. per * (c + 1) - 1. */
static int64_t features_each(const struct removal *r, const struct channel_reader *reader, int64_t channels)
{
	return layer_at(r, reader->layer)->view.fan_in / channels;
}

static bool reads_nothing(const struct removal *r, const struct channel_reader *reader, int64_t c,
                          int64_t channels)
{
	const struct linear_view *v = &layer_at(r, reader->layer)->view;
	const struct tensor *w = weight_of(r, reader->layer);
	int64_t per = features_each(r, reader, channels);

	for (int64_t o = 0; o < v->outs; o++)
		for (int64_t d = c * per; d < (c + 1) * per; d++)
			if (tensor_get(w, layer_offset(v, o, d)) != 0)
				return false;
	return true;
}

/* Whether w * f can be moved into the reader's bias without an error that padding or half precision would
 * make: every position must meet every kernel element. */
static bool takes_constants(const struct removal *r, const struct channel_reader *reader)
{
	const struct layer *l = layer_at(r, reader->layer);
	const struct node *n = &r->model.graph->nodes[l->node];
	enum dtype type = weight_of(r, reader->layer)->type;

	return l->view.exact_mean && channel_unpadded(n) && strcmp(n->op->name, "ConvTranspose")
		&& l->bias_kind != BIAS_NONE && (type == DT_FLOAT || type == DT_DOUBLE)
		&& (l->bias_kind != BIAS_INPUT || l->view.bias_scale != 0);
}

static void judge(const struct removal *r, struct channels *c)
{
	for (int64_t k = 0; k < c->n; k++) {
		bool dead = true;

		for (size_t i = 0; dead && i < r->trace.n_readers; i++) {
			int64_t at = (int64_t)i * c->n + k;

			dead = c->unread[at] || (c->constant[k]
			       && (c->value[at] == 0 || takes_constants(r, &r->trace.readers[i])));
		}
		c->dead[k] = dead;
	}
}

static void leave_one(struct channels *c)
{
	for (int64_t k = 0; k < c->n; k++)
		if (!c->dead[k])
			return;
	c->dead[0] = false;
}

static enum tamis_status find_dead(struct removal *r, const struct value *bias, struct channels *c,
                                   struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;
	bool any = false;

	for (size_t i = 0; i < r->trace.n_readers; i++)
		for (int64_t k = 0; k < c->n; k++)
			c->unread[(int64_t)i * c->n + k] = reads_nothing(r, &r->trace.readers[i], k, c->n);
	find_constant(r, bias, c);
	for (int64_t k = 0; k < c->n; k++)
		any |= c->constant[k];
	if (any)
		s = channel_values(&r->model, c->layer, &r->trace, c->z, c->constant, c->value, err);
	if (s != TAMIS_OK)
		return s;
	judge(r, c);
	leave_one(c);
	return TAMIS_OK;
}

/* ---- taking them out ----------------------------------------------------------------------------------- */

static bool folded(const struct channels *c, const double *value, int64_t k)
{
	return c->dead[k] && c->constant[k] && value[k] != 0;
}

/* Adds a constant channel's part, scaled as the bias wants it. */
static enum tamis_status fold(struct removal *r, const struct channel_reader *reader, const double *value,
                              const struct channels *c, struct tamis_error *err)
{
	const struct layer *l = layer_at(r, reader->layer);
	const struct tensor *w = weight_of(r, reader->layer);
	struct use port;
	int64_t per = features_each(r, reader, c->n);
	double scale = l->bias_kind == BIAS_MEAN ? -l->view.weight_scale : l->view.weight_scale;
	struct tensor *b;

	if (l->bias == GRAPH_NONE)
		return TAMIS_OK;
	port = r->model.graph->values[l->bias].uses[0];
	if (l->bias_kind == BIAS_INPUT)
		scale /= l->view.bias_scale;
	b = rewrite_values(&r->rewrite, port.node, port.input);
	if (!b)
		return no_memory(err);
	for (int64_t o = 0; o < l->view.outs; o++) {
		double sum = 0;

		for (int64_t k = 0; k < c->n; k++)
			for (int64_t d = k * per; folded(c, value, k) && d < (k + 1) * per; d++)
				sum += value[k] * tensor_get(w, layer_offset(&l->view, o, d));
		if (sum != 0)
			tensor_set(b, o, tensor_get(b, o) + scale * sum);
	}
	return TAMIS_OK;
}

static bool folds(const struct channels *c, const double *value, const bool *unread)
{
	for (int64_t k = 0; k < c->n; k++)
		if (folded(c, value, k) && !unread[k])
			return true;
	return false;
}

static enum tamis_status cut_reader(struct removal *r, size_t i, const struct channels *c,
                                    struct tamis_error *err)
{
	const struct channel_reader *reader = &r->trace.readers[i];
	const struct layer *l = layer_at(r, reader->layer);
	int64_t at = (int64_t)i * c->n;
	enum tamis_status s = TAMIS_OK;

	if (folds(c, c->value + at, c->unread + at))
		s = fold(r, reader, c->value + at, c, err);
	if (s != TAMIS_OK)
		return s;
	return rewrite_drop(&r->rewrite, l->node, l->view.weight, reader->weight_axis, c->dead, c->n,
	                    r->trace.places[reader->place].block, err);
}

static enum tamis_status cut_link(struct removal *r, const struct channel_link *l, const struct channels *c,
                                  int64_t kept, struct tamis_error *err)
{
	int64_t block = r->trace.places[l->to].block;
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < l->n_vectors; i++)
		s = rewrite_drop(&r->rewrite, l->node, l->vectors[i], l->vector_axis[i], c->dead, c->n, block, err);
	if (s == TAMIS_OK && l->width_at >= 0) {
		struct tensor *asked = rewrite_values(&r->rewrite, l->node, 1);

		if (!asked)
			return no_memory(err);
		tensor_set(asked, l->width_at, (double)(kept * block));
	}
	return s;
}

static enum tamis_status cut_maker(struct removal *r, const struct value *bias, const struct channels *c,
                                   struct tamis_error *err)
{
	const struct layer *l = layer_at(r, c->layer);
	int axis = channel_axis(weight_of(r, c->layer), c->n, l->view.stride_out);
	enum tamis_status s = rewrite_drop(&r->rewrite, l->node, l->view.weight, axis, c->dead, c->n, 1, err);

	if (s == TAMIS_OK && bias && bias->constant.count > 1)
		s = rewrite_drop(&r->rewrite, l->node, bias_input(r, l), bias->constant.rank - 1, c->dead, c->n, 1,
		                 err);
	return s;
}

static enum tamis_status cut_channels(struct removal *r, const struct value *bias, const struct channels *c,
                                      struct tamis_error *err)
{
	enum tamis_status s;
	int64_t kept = 0;

	for (int64_t k = 0; k < c->n; k++)
		kept += !c->dead[k];
	if (kept == c->n)
		return TAMIS_OK;
	r->removed += c->n - kept;
	s = cut_maker(r, bias, c, err);
	for (size_t i = 0; s == TAMIS_OK && i < r->trace.n_links; i++)
		s = cut_link(r, &r->trace.links[i], c, kept, err);
	for (size_t i = 0; s == TAMIS_OK && i < r->trace.n_readers; i++)
		s = cut_reader(r, i, c, err);
	for (size_t i = 0; i < r->trace.n_places; i++)
		rewrite_extent(&r->rewrite, r->trace.places[i].value, r->trace.places[i].axis,
		               kept * r->trace.places[i].block);
	return s;
}

/* ---- layer by layer ------------------------------------------------------------------------------------ */

static enum tamis_status remove_of(struct removal *r, int layer, struct tamis_error *err)
{
	struct channels c = { .layer = layer, .n = layer_at(r, layer)->view.outs };
	struct arena a = { 0 };
	const struct value *bias;
	size_t n = (size_t)c.n, all;
	enum tamis_status s;

	if (!makes_channels(r, layer_at(r, layer), &bias))
		return TAMIS_OK;
	s = channel_trace(&r->model, layer, &r->trace, err);
	if (s != TAMIS_OK || !r->trace.understood)
		return s;
	all = n * r->trace.n_readers;
	c.dead = arena_array(&a, n, sizeof *c.dead);
	c.constant = arena_array(&a, n, sizeof *c.constant);
	c.z = arena_array(&a, n, sizeof *c.z);
	c.unread = arena_array(&a, all, sizeof *c.unread);
	c.value = arena_array(&a, all, sizeof *c.value);
	s = c.dead && c.constant && c.z && c.unread && c.value ? find_dead(r, bias, &c, err) : no_memory(err);
	if (s == TAMIS_OK)
		s = cut_channels(r, bias, &c, err);
	arena_free(&a);
	return s;
}

/* Bodies of If and Loop may read any value by name: channels are left alone then. */
static bool has_bodies(const Onnx__GraphProto *g)
{
	for (size_t i = 0; i < g->n_node; i++)
		for (size_t k = 0; k < g->node[i]->n_attribute; k++)
			if (g->node[i]->attribute[k]->g || g->node[i]->attribute[k]->n_graphs)
				return true;
	return false;
}

/* Nodes of functions are in the document once for all calls. */
static bool has_inlined(const struct graph *g)
{
	for (int i = 0; i < g->n_nodes; i++)
		if (g->nodes[i].inlined)
			return true;
	return false;
}

static enum tamis_status remove_all(struct removal *r, struct document *doc, struct tamis_error *err)
{
	const struct channel_model *m = &r->model;
	enum tamis_status s = rewrite_open(&r->rewrite, doc, m->graph, err);

	for (int i = 0; i < m->graph->n_nodes; i++)
		m->layer_of[i] = -1;
	for (int i = 0; i < m->layers->n; i++)
		m->layer_of[m->layers->list[i].node] = i;
	for (int i = 0; s == TAMIS_OK && i < m->layers->n; i++)
		s = remove_of(r, i, err);
	if (s == TAMIS_OK && r->removed)
		s = rewrite_apply(&r->rewrite, err);
	rewrite_close(&r->rewrite);
	channel_trace_free(&r->trace);
	return s;
}

enum tamis_status channels_remove(struct document *doc, const struct graph *g, const struct plan *plan,
                                  const struct layers *l, int64_t *removed, struct tamis_error *err)
{
	struct removal r = { .model = { .graph = g, .plan = plan, .layers = l } };
	enum tamis_status s;

	*removed = 0;
	if (has_bodies(g->proto) || has_inlined(g))
		return TAMIS_OK;
	r.model.layer_of = tm_array((size_t)g->n_nodes + 1, sizeof *r.model.layer_of);
	if (!r.model.layer_of)
		return no_memory(err);
	s = remove_all(&r, doc, err);
	free(r.model.layer_of);
	if (s == TAMIS_OK)
		*removed = r.removed;
	return s;
}
