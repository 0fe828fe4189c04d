/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/biases.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/edit.h"
#include "onnx/payload.h"
#include "slim/naming.h"

#define SUFFIX "_tamis_bias"
#define COPY_SUFFIX "_tamis_own"
#define SUM_SUFFIX "_tamis_sum"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "adding biases");
}

/* ---- adding -------------------------------------------------------------------------------------------- */

/* A vector of `n` elements of the weight's type: zeros, or what `from` holds. */
static enum tamis_status make_vector(struct document *doc, const char *name, enum dtype type, int64_t n,
                                     const struct tensor *from, struct tamis_error *err)
{
	struct tensor t = { .type = type };
	Onnx__TensorProto *proto = NULL;
	enum tamis_status s = tensor_shape(&t, type, 1, &n, err);

	if (s == TAMIS_OK)
		s = tensor_alloc(&t, err);
	for (int64_t i = 0; s == TAMIS_OK && from && i < n; i++)
		tensor_set(&t, i, tensor_get(from, i));
	if (s == TAMIS_OK)
		s = payload_new(doc, name, &t, &proto, err);
	if (s == TAMIS_OK)
		s = edit_add_initializer(doc, doc->model->graph, proto, err);
	if (s != TAMIS_OK && proto)
		edit_free(doc, proto);
	tensor_free(&t);
	return s;
}

/* Names input `at` of a node; inputs between the last one and it are marked absent. */
static enum tamis_status set_input(struct document *doc, Onnx__NodeProto *p, size_t at, const char *name,
                                   struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	while (s == TAMIS_OK && p->n_input < at)
		s = edit_string_insert(doc, &p->n_input, &p->input, p->n_input, "", err);
	if (s != TAMIS_OK)
		return s;
	return at < p->n_input ? edit_string(doc, &p->input[at], name, err)
	                       : edit_string_insert(doc, &p->n_input, &p->input, at, name, err);
}

/* The vector that the node adds now: *from NULL = none; false = not a constant. */
static bool present_bias(const struct graph *g, const struct layer *l, const struct tensor **from)
{
	const struct node *n = &g->nodes[l->node];
	int id = l->view.bias < n->n_in ? n->in[l->view.bias] : GRAPH_NONE;
	const struct tensor *t;

	*from = NULL;
	if (id == GRAPH_NONE)
		return true;
	t = &g->values[id].constant;
	if (g->values[id].kind != VALUE_CONSTANT || t->count != l->view.outs)
		return false;
	*from = t;
	return true;
}

static enum tamis_status add_input(struct document *doc, const struct graph *g, const struct layer *l,
                                   struct naming *names, bool *done, struct tamis_error *err)
{
	const struct value *w = &g->values[l->weight];
	const struct tensor *from;
	const char *name;
	enum tamis_status s;

	if (!present_bias(g, l, &from))
		return TAMIS_OK;
	name = naming_fresh(names, w->name, from ? COPY_SUFFIX SUFFIX : SUFFIX);
	if (!name)
		return no_memory(err);
	s = make_vector(doc, name, w->constant.type, l->view.outs, from, err);
	if (s == TAMIS_OK)
		s = set_input(doc, g->nodes[l->node].proto, (size_t)l->view.bias, name, err);
	*done = s == TAMIS_OK;
	return s;
}

static enum tamis_status insert_add(struct document *doc, Onnx__NodeProto *linear, const char *sum,
                                    const char *bias, struct tamis_error *err)
{
	Onnx__GraphProto *g = doc->model->graph;
	Onnx__NodeProto *add = NULL;
	size_t at = 0;
	enum tamis_status s = edit_node(doc, "Add", NULL, bias, &add, err);

	while (at < g->n_node && g->node[at] != linear)
		at++;
	if (s == TAMIS_OK)
		s = edit_string_insert(doc, &add->n_input, &add->input, 0, sum, err);
	if (s == TAMIS_OK)
		s = edit_string_insert(doc, &add->n_input, &add->input, 1, bias, err);
	if (s == TAMIS_OK)
		s = edit_string_insert(doc, &add->n_output, &add->output, 0, linear->output[0], err);
	if (s == TAMIS_OK)
		s = edit_insert(doc, &g->n_node, &g->node, at + 1, add, err);
	if (s != TAMIS_OK) {
		edit_free(doc, add);
		return s;
	}
	return edit_string(doc, &linear->output[0], sum, err);
}

#define BROADCAST_OPSET 7 /* from here on Add repeats a vector */

/* The sum keeps the name of the product, so that every reader and graph output stays as it is. */
static enum tamis_status add_behind(struct document *doc, const struct graph *g, const struct layer *l,
                                    struct naming *names, bool *done, struct tamis_error *err)
{
	const struct value *w = &g->values[l->weight];
	const char *bias, *sum;
	enum tamis_status s;

	if (w->constant.rank < 2 || l->view.out_axis != -1 || g->nodes[l->node].opset < BROADCAST_OPSET)
		return TAMIS_OK;
	bias = naming_fresh(names, w->name, SUFFIX);
	sum = naming_fresh(names, g->values[g->nodes[l->node].out[0]].name, SUM_SUFFIX);
	if (!bias || !sum)
		return no_memory(err);
	s = make_vector(doc, bias, w->constant.type, l->view.outs, NULL, err);
	if (s == TAMIS_OK)
		s = insert_add(doc, g->nodes[l->node].proto, sum, bias, err);
	*done = s == TAMIS_OK;
	return s;
}

enum tamis_status biases_add(struct document *doc, const struct graph *g, const struct layers *l, int *added,
                             struct tamis_error *err)
{
	struct naming names;
	enum tamis_status s = naming_open(&names, g) ? TAMIS_OK : no_memory(err);

	*added = 0;
	for (int i = 0; s == TAMIS_OK && i < l->n; i++) {
		const struct layer *layer = &l->list[i];
		bool done = false;

		if (layer->note || layer->bias_kind != BIAS_NONE || g->nodes[layer->node].inlined)
			continue;
		s = layer->view.can_bias ? add_input(doc, g, layer, &names, &done, err)
		                         : add_behind(doc, g, layer, &names, &done, err);
		*added += done;
	}
	naming_close(&names);
	return s;
}

/* ---- dropping ------------------------------------------------------------------------------------------ */


/* A name of naming_fresh: the suffix, perhaps with a number behind it. */
static bool is_ours(const char *name)
{
	size_t n = strlen(name);
	char stem[sizeof SUFFIX];

	while (n && name[n - 1] >= '0' && name[n - 1] <= '9')
		n--;
	if (n < sizeof SUFFIX - 1)
		return false;
	memcpy(stem, name + n - (sizeof SUFFIX - 1), sizeof SUFFIX - 1);
	stem[sizeof SUFFIX - 1] = '\0';
	return !strcmp(stem, SUFFIX);
}

static enum tamis_status is_zero(const struct document *doc, const Onnx__TensorProto *t, bool *zero,
                                 struct tamis_error *err)
{
	struct tensor v = { .type = DT_UNDEFINED };
	enum tamis_status s = payload_read(doc, t, &v, err);

	*zero = s == TAMIS_OK;
	for (int64_t i = 0; *zero && i < v.count; i++)
		*zero = tensor_get(&v, i) == 0;
	tensor_free(&v);
	return s;
}

static size_t count_readers(const Onnx__GraphProto *g, const char *name, size_t *node, size_t *input)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n_node; i++)
		for (size_t k = 0; k < g->node[i]->n_input; k++)
			if (!strcmp(g->node[i]->input[k], name)) {
				*node = i;
				*input = k;
				n++;
			}
	return n;
}

/* The Add that biases_add put behind a MatMul: its first input is the sum's name, made by the node before
 * it. */
static bool is_behind(const Onnx__GraphProto *g, size_t i)
{
	const Onnx__NodeProto *add = g->node[i];

	return i > 0 && !strcmp(add->op_type, "Add") && add->n_input == 2 && g->node[i - 1]->n_output == 1
		&& !strcmp(g->node[i - 1]->output[0], add->input[0]) && strstr(add->input[0], SUM_SUFFIX);
}

static enum tamis_status unlink_bias(struct document *doc, const char *name, bool *unlinked,
                                     struct tamis_error *err)
{
	Onnx__GraphProto *g = doc->model->graph;
	Onnx__NodeProto *p;
	size_t node = 0, input = 0, n = count_readers(g, name, &node, &input);
	enum tamis_status s;

	*unlinked = false;
	if (n > 1)
		return TAMIS_OK;
	*unlinked = true;
	if (n == 0)
		return TAMIS_OK;
	p = g->node[node];
	if (is_behind(g, node) && input == 1) {
		s = edit_string(doc, &g->node[node - 1]->output[0], p->output[0], err);
		if (s == TAMIS_OK)
			edit_remove_node(doc, g, node);
		return s;
	}
	*unlinked = input == 2 && p->n_input == 3;
	if (*unlinked)
		edit_string_remove(doc, &p->n_input, &p->input, 2);
	return TAMIS_OK;
}

enum tamis_status biases_drop(struct document *doc, struct tamis_error *err)
{
	Onnx__GraphProto *g = doc->model->graph;
	enum tamis_status s = TAMIS_OK;

	for (size_t i = g->n_initializer; s == TAMIS_OK && i-- > 0;) {
		const Onnx__TensorProto *t = g->initializer[i];
		bool drop = false;

		if (!is_ours(t->name))
			continue;
		s = is_zero(doc, t, &drop, err);
		if (s == TAMIS_OK && drop)
			s = unlink_bias(doc, t->name, &drop, err);
		if (s == TAMIS_OK && drop)
			edit_remove_initializer(doc, g, i);
	}
	return s;
}
