/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "graph/build.h"
#include "graph/names.h"
#include "graph/resolve.h"
#include "onnx/document.h"
#include "onnx/payload.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "building the graph");
}

/* ---- values ------------------------------------------------------------------------------------------------- */

/* What is captured comes on top, as it is met. */
static size_t count_values(const Onnx__GraphProto *p, const struct expanded *nodes, size_t n_nodes)
{
	size_t n = p->n_input + p->n_initializer + p->n_sparse_initializer;

	for (size_t i = 0; i < n_nodes; i++)
		n += nodes[i].proto->n_output;
	return n;
}

/* The value of that name, made if need be; NULL when out of memory. */
static struct value *intern(struct graph *g, const char *name, bool *fresh)
{
	int id = names_get(g->names, name);
	struct value *v;

	*fresh = id == GRAPH_NONE;
	if (!*fresh)
		return &g->values[id];
	if (!tm_grow((void **)&g->values, &g->cap_values, (size_t)g->n_values + 1, sizeof *g->values)
	    || !names_put(g->names, name, g->n_values))
		return NULL;
	v = &g->values[g->n_values++];
	*v = (struct value){ .name = name, .producer = GRAPH_NONE, .output = GRAPH_NONE };
	v->declared.rank = -1;
	return v;
}

static enum tamis_status duplicate(struct tamis_error *err, const char *name)
{
	tm_fail(err, TAMIS_E_INVALID, "the name is given to two values");
	return tm_in_tensor(err, name);
}

/* A missing field comes as NULL, one that is there but empty as "". */
static bool named(const char *name)
{
	return name && *name;
}

static enum tamis_status nameless(struct tamis_error *err, const char *what, size_t i)
{
	return tm_fail(err, TAMIS_E_INVALID, "%s %zu has no name", what, i);
}

static void read_dims(struct value_type *t, const Onnx__TensorShapeProto *shape)
{
	if (!shape || shape->n_dim > TENSOR_MAX_RANK)
		return;
	t->rank = (int)shape->n_dim;
	for (int i = 0; i < t->rank; i++) {
		const Onnx__TensorShapeProto__Dimension *d = shape->dim[i];
		bool fixed = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && d->dim_value >= 0;

		t->dims[i] = fixed ? d->dim_value : -1;
		t->symbol[i] = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && d->dim_param
			&& *d->dim_param ? d->dim_param : NULL;
	}
}

static void read_type(struct value *v, const Onnx__ValueInfoProto *info)
{
	const Onnx__TypeProto *t = info->type;

	if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->tensor_type)
		return;
	if (dtype_known(t->tensor_type->elem_type))
		v->declared.type = (enum dtype)t->tensor_type->elem_type;
	read_dims(&v->declared, t->tensor_type->shape);
}

static enum tamis_status add_inputs(struct graph *g, struct tamis_error *err)
{
	for (size_t i = 0; i < g->proto->n_input; i++) {
		const Onnx__ValueInfoProto *info = g->proto->input[i];
		struct value *v;
		bool fresh;

		if (!named(info->name))
			return nameless(err, "graph input", i);
		v = intern(g, info->name, &fresh);
		if (!v)
			return no_memory(err);
		if (!fresh)
			return duplicate(err, info->name);
		v->kind = VALUE_INPUT;
		read_type(v, info);
	}
	return TAMIS_OK;
}

/* An initializer under the name of a graph input is that input's default: the same value, now constant. */
static enum tamis_status add_constant(struct graph *g, const char *name, struct value **out, struct tamis_error *err)
{
	bool fresh;
	struct value *v = intern(g, name, &fresh);

	if (!v)
		return no_memory(err);
	if (!fresh && v->kind != VALUE_INPUT)
		return duplicate(err, name);
	v->overridable = !fresh;
	v->kind = VALUE_CONSTANT;
	*out = v;
	return TAMIS_OK;
}

static enum tamis_status add_dense(struct graph *g, struct tamis_error *err)
{
	for (size_t i = 0; i < g->proto->n_initializer; i++) {
		Onnx__TensorProto *t = g->proto->initializer[i];
		struct value *v = NULL;
		enum tamis_status s;

		if (!named(t->name))
			return nameless(err, "initializer", i);
		s = add_constant(g, t->name, &v, err);
		if (s == TAMIS_OK)
			s = g->view ? payload_view(g->doc, t, &v->constant, &v->borrowed, err)
			            : payload_read(g->doc, t, &v->constant, err);
		if (s != TAMIS_OK)
			return s;
		v->tensor_proto = t;
	}
	return TAMIS_OK;
}

static enum tamis_status add_sparse(struct graph *g, struct tamis_error *err)
{
	for (size_t i = 0; i < g->proto->n_sparse_initializer; i++) {
		Onnx__SparseTensorProto *t = g->proto->sparse_initializer[i];
		struct value *v = NULL;
		enum tamis_status s;

		if (!t->values || !named(t->values->name))
			return nameless(err, "sparse initializer", i);
		s = add_constant(g, t->values->name, &v, err);
		if (s == TAMIS_OK)
			s = sparse_read(g->doc, t, &v->constant, err);
		if (s != TAMIS_OK)
			return s;
		v->sparse_proto = t;
	}
	return TAMIS_OK;
}

/* ---- nodes -------------------------------------------------------------------------------------------------- */

static const char *node_name(struct graph *g, const Onnx__NodeProto *p, size_t i)
{
	if (named(p->name))
		return p->name;
	return arena_printf(&g->arena, "#%zu (%s)", i, p->op_type);
}

static enum tamis_status add_nodes(struct graph *g, const struct expanded *nodes, size_t n_nodes,
                                   struct tamis_error *err)
{
	for (size_t i = 0; i < n_nodes; i++) {
		Onnx__NodeProto *p = nodes[i].proto;
		struct node *n = &g->nodes[g->n_nodes++];

		if (!named(p->op_type))
			return tm_fail(err, TAMIS_E_INVALID, "node %zu names no operator", i);
		n->proto = p;
		n->opsets = nodes[i].opsets;
		n->inlined = nodes[i].inlined;
		n->n_in = (int)p->n_input;
		n->n_out = (int)p->n_output;
		n->in = arena_array(&g->arena, p->n_input + 1, sizeof *n->in);
		n->out = arena_array(&g->arena, p->n_output + 1, sizeof *n->out);
		n->name = node_name(g, p, i);
		if (!n->in || !n->out || !n->name)
			return no_memory(err);
	}
	return TAMIS_OK;
}

static const struct node *maker_of(const struct graph *g, const char *name)
{
	for (int i = 0; i < g->n_nodes; i++)
		for (int k = 0; k < g->nodes[i].n_out; k++)
			if (!strcmp(g->nodes[i].proto->output[k], name))
				return &g->nodes[i];
	return NULL;
}

/* A name that no earlier node made: nobody makes it, or a later node (or this one) does. */
static enum tamis_status unknown_input(const struct graph *g, const struct node *n, int i, struct tamis_error *err)
{
	const char *name = n->proto->input[i];
	const struct node *maker = maker_of(g, name);

	if (maker == n)
		tm_fail(err, TAMIS_E_INVALID, "input %d is an output of the same node", i);
	else if (maker)
		tm_fail(err, TAMIS_E_INVALID, "input %d is made by the later node '%.100s': the nodes are out of order or "
		        "form a cycle", i, maker->name);
	else
		tm_fail(err, TAMIS_E_INVALID, "input %d is made by no node, initializer or graph input", i);
	tm_in_tensor(err, name);
	return tm_in_node(err, n->name);
}

static enum tamis_status connect_inputs(struct graph *g, struct node *n, struct tamis_error *err)
{
	for (int i = 0; i < n->n_in; i++) {
		const char *name = n->proto->input[i];
		enum tamis_status s = TAMIS_OK;

		n->in[i] = GRAPH_NONE;
		if (*name)
			s = graph_capture(g, name, &n->in[i], err);
		if (s != TAMIS_OK)
			return s;
		if (*name && n->in[i] == GRAPH_NONE)
			return unknown_input(g, n, i, err);
	}
	return TAMIS_OK;
}

static enum tamis_status connect_outputs(struct graph *g, int id, struct tamis_error *err)
{
	struct node *n = &g->nodes[id];

	for (int i = 0; i < n->n_out; i++) {
		const char *name = n->proto->output[i];
		struct value *v;
		bool fresh;

		n->out[i] = GRAPH_NONE;
		if (!*name)
			continue;
		v = intern(g, name, &fresh);
		if (!v)
			return no_memory(err);
		if (!fresh) {
			duplicate(err, name);
			return tm_in_node(err, n->name);
		}
		v->kind = VALUE_NODE;
		v->producer = id;
		v->output = i;
		n->out[i] = (int)(v - g->values);
	}
	return TAMIS_OK;
}

/* Names are looked up node by node, so that a node can only see what comes before it: the order is proven by this. */
static enum tamis_status connect(struct graph *g, const struct op_table *ops, struct tamis_error *err)
{
	for (int i = 0; i < g->n_nodes; i++) {
		enum tamis_status s = connect_inputs(g, &g->nodes[i], err);

		if (s == TAMIS_OK)
			s = bodies_build(g, &g->nodes[i], ops, err);
		if (s == TAMIS_OK)
			s = connect_outputs(g, i, err);
		if (s != TAMIS_OK)
			return s;
	}
	return TAMIS_OK;
}

static enum tamis_status collect_uses(struct graph *g, struct tamis_error *err)
{
	size_t total = 0;
	struct use *next;

	for (int i = 0; i < g->n_nodes; i++)
		for (int k = 0; k < g->nodes[i].n_in; k++)
			if (g->nodes[i].in[k] != GRAPH_NONE) {
				g->values[g->nodes[i].in[k]].n_uses++;
				total++;
			}
	next = arena_array(&g->arena, total + 1, sizeof *next);
	if (!next)
		return no_memory(err);
	for (int v = 0; v < g->n_values; v++) {
		g->values[v].uses = next;
		next += g->values[v].n_uses;
		g->values[v].n_uses = 0;
	}
	for (int i = 0; i < g->n_nodes; i++)
		for (int k = 0; k < g->nodes[i].n_in; k++)
			if (g->nodes[i].in[k] != GRAPH_NONE) {
				struct value *v = &g->values[g->nodes[i].in[k]];

				v->uses[v->n_uses++] = (struct use){ i, k };
			}
	return TAMIS_OK;
}

static enum tamis_status parse_node(struct graph *g, struct node *n, struct tamis_error *err)
{
	struct op_parse p = { .node = n, .doc = g->doc, .arena = &g->arena, .err = err };
	enum tamis_status s = n->op->parse ? n->op->parse(&p, &n->attr) : TAMIS_OK;

	if (s != TAMIS_OK)
		tm_in_node(err, n->name);
	return s;
}

/* A Constant's output is a constant like an initializer; its tensor attribute is where the payload lives. */
static enum tamis_status evaluate_constant(struct graph *g, struct node *n, struct tamis_error *err)
{
	struct tensor out[1];
	struct value *v;
	enum tamis_status s;

	if (n->n_out != 1 || n->out[0] == GRAPH_NONE)
		return TAMIS_OK;
	v = &g->values[n->out[0]];
	s = node_eval_within(n, NULL, out, g->doc->max_memory, err);
	if (s != TAMIS_OK)
		return s;
	v->constant = out[0];
	v->kind = VALUE_CONSTANT;
	n->constant = true;
	if (n->inlined)
		return TAMIS_OK;
	for (size_t i = 0; i < n->proto->n_attribute; i++)
		if (n->proto->attribute[i]->name && !strcmp(n->proto->attribute[i]->name, "value"))
			v->tensor_proto = n->proto->attribute[i]->t;
	return TAMIS_OK;
}

static enum tamis_status parse_nodes(struct graph *g, struct tamis_error *err)
{
	for (int i = 0; i < g->n_nodes; i++) {
		struct node *n = &g->nodes[i];
		enum tamis_status s = parse_node(g, n, err);

		if (s == TAMIS_OK && !strcmp(n->op->name, "Constant") && !*n->op->domain)
			s = evaluate_constant(g, n, err);
		if (s != TAMIS_OK)
			return s;
	}
	return TAMIS_OK;
}

/* ---- the whole ---------------------------------------------------------------------------------------------- */

static enum tamis_status list_captured(struct graph *g, struct tamis_error *err)
{
	int *list = arena_array(&g->arena, (size_t)g->n_inputs + (size_t)g->n_captured + 1, sizeof *list);

	if (!list)
		return no_memory(err);
	memcpy(list, g->inputs, (size_t)g->n_inputs * sizeof *list);
	g->inputs = list;
	for (int i = 0; i < g->n_captured; i++)
		g->inputs[g->n_inputs++] = g->captured[i].id;
	return TAMIS_OK;
}

static enum tamis_status list_ends(struct graph *g, struct tamis_error *err)
{
	g->inputs = arena_array(&g->arena, g->proto->n_input + 1, sizeof *g->inputs);
	g->outputs = arena_array(&g->arena, g->proto->n_output + 1, sizeof *g->outputs);
	if (!g->inputs || !g->outputs)
		return no_memory(err);
	for (size_t i = 0; i < g->proto->n_input; i++) {
		int id = names_get(g->names, g->proto->input[i]->name);

		if (g->values[id].kind == VALUE_INPUT)
			g->inputs[g->n_inputs++] = id;
	}
	for (size_t i = 0; i < g->proto->n_output; i++) {
		const char *name = g->proto->output[i]->name;
		enum tamis_status s;
		int id;

		if (!named(name))
			return nameless(err, "graph output", i);
		s = graph_capture(g, name, &id, err);
		if (s != TAMIS_OK)
			return s;
		if (id == GRAPH_NONE) {
			tm_fail(err, TAMIS_E_INVALID, "the graph output is made by no node, initializer or graph input");
			return tm_in_tensor(err, name);
		}
		g->values[id].is_output = true;
		g->outputs[g->n_outputs++] = id;
	}
	return list_captured(g, err);
}

static void read_value_infos(struct graph *g)
{
	for (size_t i = 0; i < g->proto->n_value_info; i++) {
		const char *name = g->proto->value_info[i]->name;
		int id = named(name) ? names_get(g->names, name) : GRAPH_NONE;

		if (id != GRAPH_NONE && g->values[id].declared.rank < 0)
			read_type(&g->values[id], g->proto->value_info[i]);
	}
}

static enum tamis_status allocate(struct graph *g, const struct expanded *nodes, size_t n_nodes,
                                  struct tamis_error *err)
{
	size_t values = count_values(g->proto, nodes, n_nodes);

	if (values > INT32_MAX || n_nodes > INT32_MAX)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "the graph has %zu values; at most %d are supported", values,
		               INT32_MAX);
	g->values = tm_array(values + 1, sizeof *g->values);
	g->cap_values = values + 1;
	g->nodes = tm_array(n_nodes + 1, sizeof *g->nodes);
	g->names = tm_array(1, sizeof *g->names);
	return g->values && g->nodes && g->names ? TAMIS_OK : no_memory(err);
}

/* What is captured is known when all nodes are connected and the outputs found: uses are collected after that. */
static enum tamis_status link_nodes(struct graph *g, const struct op_table *ops, struct tamis_error *err)
{
	enum tamis_status (*const before[])(struct graph *, struct tamis_error *) = { add_inputs, add_dense, add_sparse };
	enum tamis_status (*const after[])(struct graph *, struct tamis_error *) = { list_ends, collect_uses,
		parse_nodes };
	enum tamis_status s = TAMIS_OK;

	for (size_t i = 0; s == TAMIS_OK && i < sizeof before / sizeof *before; i++)
		s = before[i](g, err);
	if (s == TAMIS_OK)
		s = connect(g, ops, err);
	for (size_t i = 0; s == TAMIS_OK && i < sizeof after / sizeof *after; i++)
		s = after[i](g, err);
	if (s == TAMIS_OK)
		read_value_infos(g);
	return s;
}

static enum tamis_status build(struct graph *g, const struct op_table *ops, const struct opsets *opsets, bool inlined,
                               struct tamis_error *err)
{
	struct expanded *nodes;
	size_t n;
	enum tamis_status s = functions_expand(g, ops, opsets, inlined, &nodes, &n, err);

	if (s == TAMIS_OK)
		s = allocate(g, nodes, n, err);
	if (s == TAMIS_OK)
		s = add_nodes(g, nodes, n, err);
	free(nodes);
	if (s == TAMIS_OK)
		s = resolve_operators(g, ops, err);
	return s == TAMIS_OK ? link_nodes(g, ops, err) : s;
}

enum tamis_status graph_build_body(struct graph *outer, const struct node *n, Onnx__GraphProto *proto,
                                   const struct op_table *ops, struct graph **out, struct tamis_error *err)
{
	struct graph *g;
	enum tamis_status s;

	*out = NULL;
	if (outer->depth + 1 == DOC_MAX_SUBGRAPHS)
		return tm_fail(err, TAMIS_E_UNSUPPORTED, "graphs are nested deeper than %d", DOC_MAX_SUBGRAPHS);
	g = tm_array(1, sizeof *g);
	if (!g)
		return no_memory(err);
	*g = (struct graph){ .doc = outer->doc, .proto = proto, .outer = outer, .depth = outer->depth + 1,
		.view = outer->view };
	s = build(g, ops, n->opsets, n->inlined, err);
	if (s != TAMIS_OK) {
		graph_free(g);
		return s;
	}
	*out = g;
	return TAMIS_OK;
}

/* What the model imports, in the graph's arena. */
static const struct opsets *model_opsets(struct graph *g)
{
	struct opsets *o = arena_alloc(&g->arena, sizeof *o);

	if (o)
		*o = (struct opsets){ g->doc->model->opset_import, g->doc->model->n_opset_import };
	return o;
}

static enum tamis_status build_model(struct document *doc, const struct op_table *ops, bool view, struct graph **out,
                                     struct tamis_error *err)
{
	struct graph *g = tm_array(1, sizeof *g);
	const struct opsets *opsets;
	enum tamis_status s;

	*out = NULL;
	if (!g)
		return no_memory(err);
	g->doc = doc;
	g->view = view;
	g->proto = doc->model->graph;
	opsets = model_opsets(g);
	s = opsets ? build(g, ops, opsets, false, err) : no_memory(err);
	if (s != TAMIS_OK) {
		tm_in_file(err, doc->path);
		graph_free(g);
		return s;
	}
	*out = g;
	return TAMIS_OK;
}

enum tamis_status graph_build(struct document *doc, const struct op_table *ops, struct graph **out,
                              struct tamis_error *err)
{
	return build_model(doc, ops, false, out, err);
}

enum tamis_status graph_view(struct document *doc, const struct op_table *ops, struct graph **out,
                             struct tamis_error *err)
{
	return build_model(doc, ops, true, out, err);
}

void graph_free(struct graph *g)
{
	if (!g)
		return;
	for (int i = 0; i < g->n_values; i++)
		if (!g->values[i].borrowed)
			tensor_free(&g->values[i].constant);
	for (int i = 0; i < g->n_nodes; i++)
		for (int k = 0; k < g->nodes[i].n_bodies; k++)
			graph_free(g->nodes[i].bodies[k].graph);
	free(g->captured);
	if (g->names)
		names_free(g->names);
	free(g->names);
	free(g->values);
	free(g->nodes);
	arena_free(&g->arena);
	free(g);
}

int graph_find(const struct graph *g, const char *name)
{
	return names_get(g->names, name);
}
