/* SPDX-License-Identifier: Apache-2.0 */
/* Model functions, put in place of their calls. The document keeps the calls: copies of the body's nodes live in the
 * graph's arena, with names of their own and attribute references resolved. A stack of calls stands in for recursion;
 * graphs inside nodes are copied from a list of those still to do. */
#include "graph/build.h"

#include <stdlib.h>
#include <string.h>

#include "graph/names.h"
#include "graph/resolve.h"
#include "onnx/document.h"

/* A function's body being walked; the graph's own nodes are the bottom one. */
struct call {
	const Onnx__FunctionProto *function; /* NULL at the bottom */
	const Onnx__NodeProto *node;         /* the call, its names and attributes those of the caller */
	Onnx__NodeProto **nodes;
	size_t n, at;
	const struct opsets *opsets;
	struct name_index names;             /* name in the body -> position in `to` */
	const char **to;
	size_t n_to, cap_to;
};

struct expander {
	struct graph *g;
	const struct op_table *ops;
	struct name_index functions;     /* identity -> index in the model */
	struct name_index taken;         /* names of values, made by whoever */
	long long serial;                /* last number that made a name fresh */
	struct call calls[DOC_MAX_SUBGRAPHS];
	int depth;
	struct expanded *out;
	size_t n, cap;
	Onnx__GraphProto ***todo;        /* where graphs to be copied hang */
	size_t n_todo, cap_todo;
	struct tamis_error *err;
};

static enum tamis_status no_memory(struct expander *x)
{
	return tm_no_memory(x->err, "expanding functions");
}

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

/* ---- finding functions -------------------------------------------------------------------------------------- */

static const char *identity(struct arena *a, const char *domain, const char *name, const char *overload)
{
	if (!domain || !strcmp(domain, "ai.onnx"))
		domain = "";
	return arena_printf(a, "%s\1%s\1%s", domain, or_empty(name), or_empty(overload));
}

static enum tamis_status list_functions(struct expander *x)
{
	const Onnx__ModelProto *m = x->g->doc->model;

	for (size_t i = 0; i < m->n_functions; i++) {
		const Onnx__FunctionProto *f = m->functions[i];
		const char *key = identity(&x->g->arena, f->domain, f->name, f->overload);

		if (!key || !names_put(&x->functions, key, (int)i))
			return no_memory(x);
	}
	return TAMIS_OK;
}

/* The format leaves open which of an operator and a function of one name is meant: kernels are faster. */
static enum tamis_status find_function(struct expander *x, const Onnx__NodeProto *n, const struct opsets *opsets,
                                       const Onnx__FunctionProto **out)
{
	const Onnx__ModelProto *m = x->g->doc->model;
	const char *key;
	int id;

	*out = NULL;
	if (!m->n_functions || op_find(x->ops, n->domain, or_empty(n->op_type), opsets_version(opsets, n->domain)))
		return TAMIS_OK;
	key = identity(&x->g->arena, n->domain, n->op_type, n->overload);
	if (!key)
		return no_memory(x);
	id = names_get(&x->functions, key);
	*out = id < 0 ? NULL : m->functions[id];
	return TAMIS_OK;
}

/* ---- names -------------------------------------------------------------------------------------------------- */

static const char *label(const Onnx__NodeProto *n)
{
	return n->name && *n->name ? n->name : or_empty(n->op_type);
}

static bool bind(struct call *c, const char *name, const char *to)
{
	if (!tm_grow((void **)&c->to, &c->cap_to, c->n_to + 1, sizeof *c->to)
	    || !names_put(&c->names, name, (int)c->n_to))
		return false;
	c->to[c->n_to++] = to;
	return true;
}

/* A name that no value of the graph has. Numbers are never tried twice, so that many calls of one name stay linear;
 * long names are cut, so that calls of calls stay short. */
static const char *fresh(struct expander *x, const struct call *c, const char *name)
{
	const char *made = arena_printf(&x->g->arena, "%.200s/%.200s", label(c->node), name);

	while (made && names_get(&x->taken, made) >= 0)
		made = arena_printf(&x->g->arena, "%.200s/%.200s_%lld", label(c->node), name, ++x->serial);
	return made && names_put(&x->taken, made, 0) ? made : NULL;
}

/* What a name of the body is called in the graph; NULL when out of memory. */
static const char *renamed(struct expander *x, struct call *c, const char *name)
{
	const char *to;
	int id;

	if (!name || !*name)
		return "";
	id = names_get(&c->names, name);
	if (id >= 0)
		return c->to[id];
	to = fresh(x, c, name);
	return to && bind(c, name, to) ? to : NULL;
}

static enum tamis_status rename_list(struct expander *x, struct call *c, size_t n, char ***list)
{
	char **copy = arena_array(&x->g->arena, n + 1, sizeof *copy);

	if (!copy)
		return no_memory(x);
	for (size_t i = 0; i < n; i++) {
		copy[i] = (char *)renamed(x, c, (*list)[i]);
		if (!copy[i])
			return no_memory(x);
	}
	*list = copy;
	return TAMIS_OK;
}

static void take_names(struct name_index *taken, char **list, size_t n, bool *ok)
{
	for (size_t i = 0; *ok && i < n; i++)
		*ok = names_put(taken, list[i], 0);
}

static enum tamis_status take_all(struct expander *x)
{
	bool ok = true;

	for (const struct graph *g = x->g; ok && g; g = g->outer) {
		for (size_t i = 0; i < g->proto->n_node; i++)
			take_names(&x->taken, g->proto->node[i]->output, g->proto->node[i]->n_output, &ok);
		for (size_t i = 0; ok && i < g->proto->n_input; i++)
			ok = names_put(&x->taken, or_empty(g->proto->input[i]->name), 0);
		for (size_t i = 0; ok && i < g->proto->n_initializer; i++)
			ok = names_put(&x->taken, or_empty(g->proto->initializer[i]->name), 0);
	}
	return ok ? TAMIS_OK : no_memory(x);
}

/* ---- copies ------------------------------------------------------------------------------------------------- */

/* All that is made counts against one budget of the whole model, so that calls of calls end. */
static enum tamis_status charge(struct expander *x, size_t parts)
{
	struct graph *root = x->g;

	while (root->outer)
		root = root->outer;
	root->expanded += (int64_t)parts;
	if (root->expanded <= BUILD_MAX_EXPANDED)
		return TAMIS_OK;
	return tm_fail(x->err, TAMIS_E_UNSUPPORTED, "the model's functions expand to more than %d nodes and values",
	               BUILD_MAX_EXPANDED);
}

static Onnx__AttributeProto *find_attribute(Onnx__AttributeProto **list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (list[i]->name && !strcmp(list[i]->name, name))
			return list[i];
	return NULL;
}

/* What the call says of an attribute, or the function by default; NULL: neither. */
static Onnx__AttributeProto *referenced(const struct call *c, const char *name)
{
	Onnx__AttributeProto *a = find_attribute(c->node->attribute, c->node->n_attribute, name);

	return a ? a : find_attribute(c->function->attribute_proto, c->function->n_attribute_proto, name);
}

static bool later(struct expander *x, Onnx__GraphProto **slot)
{
	if (!tm_grow((void **)&x->todo, &x->cap_todo, x->n_todo + 1, sizeof *x->todo))
		return false;
	x->todo[x->n_todo++] = slot;
	return true;
}

static enum tamis_status copy_graphs(struct expander *x, Onnx__AttributeProto *a)
{
	Onnx__GraphProto **list = arena_array(&x->g->arena, a->n_graphs + 1, sizeof *list);
	bool ok = list != NULL && (!a->g || later(x, &a->g));

	for (size_t i = 0; ok && i < a->n_graphs; i++) {
		list[i] = a->graphs[i];
		ok = later(x, &list[i]);
	}
	a->graphs = list;
	return ok ? TAMIS_OK : no_memory(x);
}

/* *out NULL: a reference to what nobody states. Graphs that the call states belong to the caller's names. */
static enum tamis_status copy_attribute(struct expander *x, const struct call *c, Onnx__AttributeProto *a,
                                        Onnx__AttributeProto **out)
{
	bool reference = a->ref_attr_name && *a->ref_attr_name;
	Onnx__AttributeProto *from = reference ? referenced(c, a->ref_attr_name) : a;

	*out = NULL;
	if (!from)
		return TAMIS_OK;
	if (!reference && !a->g && !a->n_graphs) {
		*out = a;
		return TAMIS_OK;
	}
	*out = arena_alloc(&x->g->arena, sizeof **out);
	if (!*out)
		return no_memory(x);
	**out = *from;
	(*out)->name = a->name;
	(*out)->ref_attr_name = NULL;
	return reference ? TAMIS_OK : copy_graphs(x, *out);
}

static enum tamis_status copy_attributes(struct expander *x, const struct call *c, Onnx__NodeProto *n)
{
	Onnx__AttributeProto **list = arena_array(&x->g->arena, n->n_attribute + 1, sizeof *list);
	size_t kept = 0;

	if (!list)
		return no_memory(x);
	for (size_t i = 0; i < n->n_attribute; i++) {
		enum tamis_status s = copy_attribute(x, c, n->attribute[i], &list[kept]);

		if (s != TAMIS_OK)
			return s;
		kept += list[kept] != NULL;
	}
	n->attribute = list;
	n->n_attribute = kept;
	return TAMIS_OK;
}

static enum tamis_status copy_node(struct expander *x, struct call *c, const Onnx__NodeProto *n,
                                   Onnx__NodeProto **out)
{
	enum tamis_status s = charge(x, 1 + n->n_input + n->n_output + n->n_attribute);
	Onnx__NodeProto *copy;

	if (s != TAMIS_OK)
		return s;
	copy = arena_alloc(&x->g->arena, sizeof *copy);
	if (!copy)
		return no_memory(x);
	*copy = *n;
	copy->name = arena_printf(&x->g->arena, "%.200s/%.200s", label(c->node), label(n));
	if (!copy->name)
		return no_memory(x);
	s = rename_list(x, c, n->n_input, &copy->input);
	if (s == TAMIS_OK)
		s = rename_list(x, c, n->n_output, &copy->output);
	*out = copy;
	return s == TAMIS_OK ? copy_attributes(x, c, copy) : s;
}

/* ---- copies of graphs inside nodes -------------------------------------------------------------------------- */

static enum tamis_status copy_ends(struct expander *x, struct call *c, size_t n, Onnx__ValueInfoProto ***list)
{
	Onnx__ValueInfoProto **copy = arena_array(&x->g->arena, n + 1, sizeof *copy);

	for (size_t i = 0; copy && i < n; i++) {
		copy[i] = arena_alloc(&x->g->arena, sizeof **copy);
		if (!copy[i])
			return no_memory(x);
		*copy[i] = *(*list)[i];
		copy[i]->name = (char *)renamed(x, c, (*list)[i]->name);
		if (!copy[i]->name)
			return no_memory(x);
	}
	*list = copy;
	return copy ? TAMIS_OK : no_memory(x);
}

static Onnx__TensorProto *copy_tensor(struct expander *x, struct call *c, const Onnx__TensorProto *t)
{
	Onnx__TensorProto *copy = arena_alloc(&x->g->arena, sizeof *copy);

	if (!copy)
		return NULL;
	*copy = *t;
	copy->name = (char *)renamed(x, c, t->name);
	return copy->name ? copy : NULL;
}

static enum tamis_status copy_dense(struct expander *x, struct call *c, Onnx__GraphProto *g)
{
	Onnx__TensorProto **list = arena_array(&x->g->arena, g->n_initializer + 1, sizeof *list);

	for (size_t i = 0; list && i < g->n_initializer; i++) {
		list[i] = copy_tensor(x, c, g->initializer[i]);
		if (!list[i])
			return no_memory(x);
	}
	g->initializer = list;
	return list ? TAMIS_OK : no_memory(x);
}

static enum tamis_status copy_sparse(struct expander *x, struct call *c, Onnx__GraphProto *g)
{
	Onnx__SparseTensorProto **list = arena_array(&x->g->arena, g->n_sparse_initializer + 1, sizeof *list);

	for (size_t i = 0; list && i < g->n_sparse_initializer; i++) {
		list[i] = arena_alloc(&x->g->arena, sizeof **list);
		if (!list[i])
			return no_memory(x);
		*list[i] = *g->sparse_initializer[i];
		list[i]->values = list[i]->values ? copy_tensor(x, c, list[i]->values) : NULL;
		if (g->sparse_initializer[i]->values && !list[i]->values)
			return no_memory(x);
	}
	g->sparse_initializer = list;
	return list ? TAMIS_OK : no_memory(x);
}

static enum tamis_status copy_nodes(struct expander *x, struct call *c, Onnx__GraphProto *g)
{
	Onnx__NodeProto **list = arena_array(&x->g->arena, g->n_node + 1, sizeof *list);
	enum tamis_status s = list ? TAMIS_OK : no_memory(x);

	for (size_t i = 0; s == TAMIS_OK && i < g->n_node; i++)
		s = copy_node(x, c, g->node[i], &list[i]);
	g->node = list;
	return s;
}

static enum tamis_status copy_graph(struct expander *x, struct call *c, Onnx__GraphProto **slot)
{
	const Onnx__GraphProto *from = *slot;
	enum tamis_status s = charge(x, from->n_input + from->n_output + from->n_initializer + from->n_sparse_initializer);
	Onnx__GraphProto *g;

	if (s != TAMIS_OK)
		return s;
	g = arena_alloc(&x->g->arena, sizeof *g);
	if (!g)
		return no_memory(x);
	*g = *from;
	*slot = g;
	g->n_value_info = 0;
	s = copy_ends(x, c, g->n_input, &g->input);
	if (s == TAMIS_OK)
		s = copy_ends(x, c, g->n_output, &g->output);
	if (s == TAMIS_OK)
		s = copy_dense(x, c, g);
	if (s == TAMIS_OK)
		s = copy_sparse(x, c, g);
	return s == TAMIS_OK ? copy_nodes(x, c, g) : s;
}

/* A node of a body as it stands in the graph, with all graphs inside it. */
static enum tamis_status instantiate(struct expander *x, struct call *c, const Onnx__NodeProto *n,
                                     Onnx__NodeProto **out)
{
	enum tamis_status s = copy_node(x, c, n, out);

	while (s == TAMIS_OK && x->n_todo)
		s = copy_graph(x, c, x->todo[--x->n_todo]);
	return s;
}

/* ---- the walk ----------------------------------------------------------------------------------------------- */

static enum tamis_status emit(struct expander *x, Onnx__NodeProto *n, const struct opsets *opsets, bool inlined)
{
	if (!tm_grow((void **)&x->out, &x->cap, x->n + 1, sizeof *x->out))
		return no_memory(x);
	x->out[x->n++] = (struct expanded){ n, opsets, inlined };
	return TAMIS_OK;
}

/* Where the call leaves an output out, the body's value gets a name of its own when it comes up. */
static bool bind_ends(struct call *c)
{
	bool ok = true;

	for (size_t i = 0; ok && i < c->function->n_input; i++)
		ok = bind(c, c->function->input[i], i < c->node->n_input ? c->node->input[i] : "");
	for (size_t i = 0; ok && i < c->function->n_output && i < c->node->n_output; i++)
		if (*c->node->output[i] && names_get(&c->names, c->function->output[i]) < 0)
			ok = bind(c, c->function->output[i], c->node->output[i]);
	return ok;
}

static enum tamis_status function_opsets(struct expander *x, struct call *c, const struct opsets *outside)
{
	struct opsets *own = arena_alloc(&x->g->arena, sizeof *own);

	if (!own)
		return no_memory(x);
	*own = (struct opsets){ c->function->opset_import, c->function->n_opset_import };
	c->opsets = own->n ? own : outside;
	return TAMIS_OK;
}

static enum tamis_status enter(struct expander *x, const Onnx__NodeProto *n, const Onnx__FunctionProto *f,
                               const struct opsets *outside)
{
	struct call *c;
	enum tamis_status s = charge(x, 1 + f->n_input + f->n_output);

	if (s != TAMIS_OK)
		return s;
	if (n->n_input > f->n_input || n->n_output > f->n_output) {
		tm_fail(x->err, TAMIS_E_INVALID, "the function %.100s has %zu inputs and %zu outputs, not %zu and %zu",
		        f->name, f->n_input, f->n_output, n->n_input, n->n_output);
		return tm_in_node(x->err, label(n));
	}
	if (x->depth == DOC_MAX_SUBGRAPHS) {
		tm_fail(x->err, TAMIS_E_UNSUPPORTED, "functions call each other deeper than %d, or themselves",
		        DOC_MAX_SUBGRAPHS - 1);
		return tm_in_node(x->err, label(n));
	}
	c = &x->calls[x->depth++];
	*c = (struct call){ .function = f, .node = n, .nodes = f->node, .n = f->n_node };
	s = function_opsets(x, c, outside);
	return s == TAMIS_OK && !bind_ends(c) ? no_memory(x) : s;
}

static enum tamis_status emit_copy_of(struct expander *x, struct call *c, const char *from, const char *to)
{
	Onnx__NodeProto *n = arena_alloc(&x->g->arena, sizeof *n);
	char **ports = arena_array(&x->g->arena, 2, sizeof *ports);

	if (!n || !ports)
		return no_memory(x);
	onnx__node_proto__init(n);
	ports[0] = (char *)from;
	ports[1] = (char *)to;
	n->op_type = (char *)"Identity";
	n->name = arena_printf(&x->g->arena, "%s/%s", label(c->node), to);
	n->n_input = n->n_output = 1;
	n->input = ports;
	n->output = ports + 1;
	return n->name ? emit(x, n, c->opsets, true) : no_memory(x);
}

/* Outputs that are inputs as well, or one value twice, are copied to the names that the caller wants. */
static enum tamis_status leave(struct expander *x, struct call *c)
{
	enum tamis_status s = TAMIS_OK;

	for (size_t i = 0; s == TAMIS_OK && c->function && i < c->node->n_output; i++) {
		const char *wanted = c->node->output[i];
		const char *has = *wanted ? renamed(x, c, c->function->output[i]) : wanted;

		if (!has)
			return no_memory(x);
		if (strcmp(has, wanted))
			s = emit_copy_of(x, c, has, wanted);
	}
	names_free(&c->names);
	free(c->to);
	c->to = NULL;
	x->depth--;
	return s;
}

static enum tamis_status step(struct expander *x, bool inlined)
{
	struct call *c = &x->calls[x->depth - 1];
	const Onnx__FunctionProto *f = NULL;
	Onnx__NodeProto *n;
	enum tamis_status s = TAMIS_OK;

	if (c->at == c->n)
		return leave(x, c);
	n = c->nodes[c->at++];
	if (c->function)
		s = instantiate(x, c, n, &n);
	if (s == TAMIS_OK)
		s = find_function(x, n, c->opsets, &f);
	if (s != TAMIS_OK)
		return s;
	return f ? enter(x, n, f, c->opsets) : emit(x, n, c->opsets, inlined || c->function);
}

static enum tamis_status expand(struct expander *x, const struct opsets *opsets, bool inlined)
{
	enum tamis_status s = x->g->doc->model->n_functions ? list_functions(x) : TAMIS_OK;

	if (s == TAMIS_OK && x->g->doc->model->n_functions)
		s = take_all(x);
	x->calls[x->depth++] = (struct call){ .nodes = x->g->proto->node, .n = x->g->proto->n_node, .opsets = opsets };
	while (s == TAMIS_OK && x->depth)
		s = step(x, inlined);
	return s;
}

enum tamis_status functions_expand(struct graph *g, const struct op_table *ops, const struct opsets *opsets,
                                   bool inlined, struct expanded **out, size_t *n, struct tamis_error *err)
{
	struct expander *x = tm_array(1, sizeof *x);
	enum tamis_status s;

	*out = NULL;
	*n = 0;
	if (!x)
		return tm_no_memory(err, "expanding functions");
	*x = (struct expander){ .g = g, .ops = ops, .err = err };
	s = expand(x, opsets, inlined);
	while (x->depth) {
		x->depth--;
		names_free(&x->calls[x->depth].names);
		free(x->calls[x->depth].to);
	}
	names_free(&x->functions);
	names_free(&x->taken);
	free(x->todo);
	if (s == TAMIS_OK) {
		*out = x->out;
		*n = x->n;
	} else {
		free(x->out);
	}
	free(x);
	return s;
}
