/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/channels/rewrite.h"

#include <stdlib.h>
#include <string.h>

#include "onnx/edit.h"
#include "onnx/payload.h"

#define OWN_SUFFIX "_tamis_own"

struct rewrite_port {
	int input;
	struct tensor values;         /* full size; data released by rewrite_close */
	bool *drop[TENSOR_MAX_RANK];  /* by axis, dims[axis] each; NULL = all stay */
	bool owned;                   /* written where it lies */
	struct rewrite_port *next;
};

/* Whether a constant may be rewritten where it lies: one reader, no graph output, no other name. */
static bool owned(const struct value *v)
{
	return v->n_uses == 1 && !v->overridable && !v->is_output && (v->tensor_proto || v->sparse_proto);
}

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "rewriting constants");
}

enum tamis_status rewrite_open(struct rewrite *r, struct document *doc, const struct graph *g,
                               struct tamis_error *err)
{
	*r = (struct rewrite){ .doc = doc, .graph = g };
	r->ports = tm_array((size_t)g->n_nodes + 1, sizeof(struct rewrite_port *));
	r->narrowed = tm_array((size_t)g->n_values + 1, sizeof *r->narrowed);
	r->uses = tm_array((size_t)g->n_values + 1, sizeof *r->uses);
	r->unread = tm_array((size_t)g->n_values + 1, sizeof *r->unread);
	r->drop_node = tm_array((size_t)g->n_nodes + 1, sizeof *r->drop_node);
	if (!naming_open(&r->names, g) || !r->ports || !r->narrowed || !r->uses || !r->unread || !r->drop_node)
		return no_memory(err);
	for (int v = 0; v < g->n_values; v++)
		r->uses[v] = g->values[v].n_uses;
	return TAMIS_OK;
}

void rewrite_close(struct rewrite *r)
{
	for (int i = 0; r->ports && i < r->graph->n_nodes; i++)
		for (struct rewrite_port *p = r->ports[i]; p; p = p->next)
			tensor_free(&p->values);
	free(r->ports);
	free(r->narrowed);
	free(r->uses);
	free(r->unread);
	free(r->drop_node);
	naming_close(&r->names);
	arena_free(&r->arena);
}

/* ---- gathering ----------------------------------------------------------------------------------------- */

static struct rewrite_port *find_port(const struct rewrite *r, int node, int input)
{
	struct rewrite_port *p = r->ports[node];

	while (p && p->input != input)
		p = p->next;
	return p;
}

/* Empty values like `as`. */
static struct rewrite_port *add_port(struct rewrite *r, int node, int input, const struct tensor *as)
{
	struct rewrite_port *p = arena_alloc(&r->arena, sizeof *p);

	if (!p)
		return NULL;
	p->input = input;
	p->values = *as;
	p->values.data = NULL;
	if (tensor_alloc(&p->values, NULL) != TAMIS_OK)
		return NULL;
	p->next = r->ports[node];
	r->ports[node] = p;
	return p;
}

static struct rewrite_port *port_of(struct rewrite *r, int node, int input)
{
	const struct tensor *c = &r->graph->values[r->graph->nodes[node].in[input]].constant;
	struct rewrite_port *p = find_port(r, node, input);

	if (p)
		return p;
	p = add_port(r, node, input, c);
	if (p && p->values.count)
		memcpy(p->values.data, c->data, tensor_bytes(&p->values));
	return p;
}

struct tensor *rewrite_values(struct rewrite *r, int node, int input)
{
	struct rewrite_port *p = port_of(r, node, input);

	return p ? &p->values : NULL;
}

struct tensor *rewrite_number(struct rewrite *r, int node, int input, int rank)
{
	struct rewrite_port *p = find_port(r, node, input);
	struct tensor one = { .type = DT_UNDEFINED };

	if (!p && tensor_shape(&one, DT_INT64, rank, (const int64_t[]){ 1 }, NULL) == TAMIS_OK)
		p = add_port(r, node, input, &one);
	return p ? &p->values : NULL;
}

enum tamis_status rewrite_constant(struct rewrite *r, int node, int input, const struct tensor *t, struct tamis_error *err)
{
	struct rewrite_port *p = add_port(r, node, input, t);

	if (!p)
		return no_memory(err);
	memcpy(p->values.data, t->data, tensor_bytes(t));
	return TAMIS_OK;
}

enum tamis_status rewrite_drop(struct rewrite *r, int node, int input, int axis, const bool *drop,
                               struct tamis_error *err)
{
	struct rewrite_port *p = port_of(r, node, input);

	if (p)
		p->drop[axis] = arena_array(&r->arena, (size_t)p->values.dims[axis] + 1, sizeof(bool));
	if (!p || !p->drop[axis])
		return no_memory(err);
	memcpy(p->drop[axis], drop, (size_t)p->values.dims[axis] * sizeof *drop);
	return TAMIS_OK;
}

void rewrite_extent(struct rewrite *r, int value, int axis, int64_t extent)
{
	struct tensor *t = &r->narrowed[value];

	if (!t->rank) {
		for (int i = 0; i < TENSOR_MAX_RANK; i++)
			t->dims[i] = -1;
		t->rank = TENSOR_MAX_RANK;
	}
	t->dims[axis] = extent;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static int64_t kept_of(const struct rewrite_port *p, int axis)
{
	int64_t n = p->values.dims[axis];

	for (int64_t i = 0; p->drop[axis] && i < p->values.dims[axis]; i++)
		n -= p->drop[axis][i];
	return n;
}

/* Leaves out entries along one axis: a copy of the stretches that stay. Types of whole bytes only. */
static enum tamis_status narrow(struct tensor *t, int axis, const bool *drop, int64_t kept,
                                struct tamis_error *err)
{
	int64_t outer = tensor_extent(t, 0, axis), dims[TENSOR_MAX_RANK];
	size_t each = (size_t)tensor_extent(t, axis + 1, t->rank) * (size_t)dtype_bits((int)t->type) / 8;
	struct tensor out = { .type = DT_UNDEFINED };
	enum tamis_status s;
	const char *from = t->data;
	char *to;

	memcpy(dims, t->dims, sizeof dims);
	dims[axis] = kept;
	s = tensor_shape(&out, t->type, t->rank, dims, err);
	if (s == TAMIS_OK)
		s = tensor_alloc(&out, err);
	if (s != TAMIS_OK)
		return s;
	to = out.data;
	for (int64_t o = 0; o < outer; o++)
		for (int64_t i = 0; i < t->dims[axis]; i++, from += each)
			if (!drop[i]) {
				memcpy(to, from, each);
				to += each;
			}
	tensor_free(t);
	*t = out;
	return TAMIS_OK;
}

/* One node less reads a value: whether nobody does any more, and a node makes it. */
static bool last_read(struct rewrite *r, int value)
{
	const struct value *v = value == GRAPH_NONE ? NULL : &r->graph->values[value];

	return v && !--r->uses[value] && !v->is_output && v->producer != GRAPH_NONE;
}

/* What nobody reads any more goes: constants, and what is computed from them or from lengths. A list instead of
 * recursion: chains may be as long as the graph. */
void rewrite_unread(struct rewrite *r, int value)
{
	size_t n = 0;

	if (last_read(r, value))
		r->unread[n++] = value;
	while (n) {
		int producer = r->graph->values[r->unread[--n]].producer;
		const struct node *node = &r->graph->nodes[producer];

		r->drop_node[producer] = node->n_out == 1;
		for (int i = 0; node->n_out == 1 && !node->constant && i < node->n_in; i++)
			if (last_read(r, node->in[i]))
				r->unread[n++] = node->in[i];
	}
}

void rewrite_drop_node(struct rewrite *r, int node)
{
	const struct node *n = &r->graph->nodes[node];

	r->drop_node[node] = true;
	for (int i = 0; i < n->n_out; i++)
		if (n->out[i] != GRAPH_NONE)
			r->uses[n->out[i]] = 0;
	for (int i = 0; i < n->n_in; i++)
		if (n->in[i] != GRAPH_NONE && r->graph->values[n->in[i]].kind == VALUE_CONSTANT)
			rewrite_unread(r, n->in[i]);
}

static enum tamis_status write_copy(struct rewrite *r, int node, int input, const struct tensor *t,
                                    struct tamis_error *err)
{
	const struct node *n = &r->graph->nodes[node];
	int old = n->in[input];
	const char *name = naming_fresh(&r->names, r->graph->values[old].name, OWN_SUFFIX);
	Onnx__TensorProto *made = NULL;
	enum tamis_status s = name ? payload_new(r->doc, name, t, &made, err) : no_memory(err);

	if (s == TAMIS_OK)
		s = edit_add_initializer(r->doc, r->graph->proto, made, err);
	if (s != TAMIS_OK) {
		edit_free(r->doc, made);
		return s;
	}
	s = edit_string(r->doc, &n->proto->input[input], name, err);
	if (s == TAMIS_OK)
		rewrite_unread(r, old);
	return s;
}

/* Brings a port's values to their new size, and writes them where the port needs a constant of its own. */
static enum tamis_status settle_port(struct rewrite *r, int node, struct rewrite_port *p,
                                     struct tamis_error *err)
{
	int value = r->graph->nodes[node].in[p->input];
	enum tamis_status s = TAMIS_OK;

	for (int a = 0; s == TAMIS_OK && a < p->values.rank; a++)
		if (p->drop[a])
			s = narrow(&p->values, a, p->drop[a], kept_of(p, a), err);
	if (s != TAMIS_OK)
		return s;
	p->owned = owned(&r->graph->values[value]);
	for (int i = 0; p->owned && i < p->values.rank; i++)
		rewrite_extent(r, value, i, p->values.dims[i]);
	return p->owned ? TAMIS_OK : write_copy(r, node, p->input, &p->values, err);
}

static enum tamis_status write_owned(struct rewrite *r, int node, const struct rewrite_port *p,
                                     struct tamis_error *err)
{
	const struct value *v = &r->graph->values[r->graph->nodes[node].in[p->input]];

	if (!p->owned)
		return TAMIS_OK;
	return v->tensor_proto ? payload_write(r->doc, v->tensor_proto, &p->values, err)
	                       : sparse_write(r->doc, v->sparse_proto, &p->values, err);
}

static void write_extents(struct rewrite *r, Onnx__ValueInfoProto *info)
{
	int id = graph_find(r->graph, info->name);
	Onnx__TypeProto *t = info->type;
	Onnx__TensorShapeProto *shape;

	if (id == GRAPH_NONE || !r->narrowed[id].rank || !t
	    || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE
	    || !t->tensor_type || !t->tensor_type->shape)
		return;
	shape = t->tensor_type->shape;
	for (size_t i = 0; i < shape->n_dim && i < TENSOR_MAX_RANK; i++)
		if (r->narrowed[id].dims[i] >= 0
		    && shape->dim[i]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
			shape->dim[i]->dim_value = r->narrowed[id].dims[i];
}

static bool is_gone(const struct rewrite *r, const char *name)
{
	int id = graph_find(r->graph, name);
	const struct value *v = id == GRAPH_NONE ? NULL : &r->graph->values[id];

	return v && v->n_uses && !r->uses[id] && !v->is_output && !v->overridable
		&& (v->producer == GRAPH_NONE ? v->kind == VALUE_CONSTANT : r->drop_node[v->producer]);
}

/* What goes, by its place in the document. */
struct marks { bool *dense, *sparse, *info; };

static enum tamis_status mark_gone(const struct rewrite *r, struct marks *m, struct tamis_error *err)
{
	const Onnx__GraphProto *p = r->graph->proto;

	m->dense = tm_array(p->n_initializer + 1, sizeof *m->dense);
	m->sparse = tm_array(p->n_sparse_initializer + 1, sizeof *m->sparse);
	m->info = tm_array(p->n_value_info + 1, sizeof *m->info);
	if (!m->dense || !m->sparse || !m->info)
		return no_memory(err);
	for (size_t i = 0; i < p->n_initializer; i++)
		m->dense[i] = is_gone(r, p->initializer[i]->name);
	for (size_t i = 0; i < p->n_sparse_initializer; i++)
		m->sparse[i] = is_gone(r, p->sparse_initializer[i]->values->name);
	for (size_t i = 0; i < p->n_value_info; i++)
		m->info[i] = is_gone(r, p->value_info[i]->name);
	return TAMIS_OK;
}

static void sweep(struct rewrite *r, const struct marks *m)
{
	Onnx__GraphProto *p = r->graph->proto;

	edit_filter(r->doc, &p->n_initializer, &p->initializer, m->dense);
	edit_filter(r->doc, &p->n_sparse_initializer, &p->sparse_initializer, m->sparse);
	edit_filter(r->doc, &p->n_value_info, &p->value_info, m->info);
	edit_filter(r->doc, &p->n_node, &p->node, r->drop_node);
}

static enum tamis_status settle(struct rewrite *r, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < r->graph->n_nodes; i++)
		for (struct rewrite_port *p = r->ports[i]; s == TAMIS_OK && p; p = p->next)
			s = settle_port(r, i, p, err);
	return s;
}

/* The graph's names are the document's strings: all that looks names up comes before what may replace or free
 * them. */
enum tamis_status rewrite_apply(struct rewrite *r, struct tamis_error *err)
{
	struct marks m = { 0 };
	enum tamis_status s = settle(r, err);

	for (size_t i = 0; s == TAMIS_OK && i < r->graph->proto->n_value_info; i++)
		write_extents(r, r->graph->proto->value_info[i]);
	if (s == TAMIS_OK)
		s = mark_gone(r, &m, err);
	for (int i = 0; s == TAMIS_OK && i < r->graph->n_nodes; i++)
		for (struct rewrite_port *p = r->ports[i]; s == TAMIS_OK && p; p = p->next)
			s = write_owned(r, i, p, err);
	if (s == TAMIS_OK)
		sweep(r, &m);
	free(m.dense);
	free(m.sparse);
	free(m.info);
	return s;
}
