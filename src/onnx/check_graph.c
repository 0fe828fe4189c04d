/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of graphs: names, order, scopes. Graphs inside nodes are walked with a stack of frames of their own,
 * at most DOC_MAX_SUBGRAPHS deep, so that no input can exhaust the machine's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/checker.h"

enum {
	FROM_OUTSIDE = -1, /* producer of inputs and initializers; nodes are 0 ... */
	LABEL = 160        /* bytes of a node's label */
};

/* A graph (or a function's body) being walked. A name is visible from the node after its producer on. */
struct frame {
	Onnx__GraphProto *graph; /* NULL for a function */
	Onnx__NodeProto **nodes;
	size_t n_nodes;
	size_t node;             /* the current one */
	size_t attribute, item;  /* where the search for the current node's graphs stands */
	bool entered;            /* the current node itself is done */
	const char *label;
	struct name_table values;     /* name -> producer */
	struct name_table node_names;
};

struct stack {
	struct frame frames[DOC_MAX_SUBGRAPHS];
	int depth;
};

/* The current node's name, or "#12 (Conv)" in `buf`. */
static const char *node_label(const struct frame *f, char buf[LABEL])
{
	const Onnx__NodeProto *n = f->nodes[f->node];
	if (n->name && *n->name)
		return n->name;
	snprintf(buf, LABEL, "#%zu (%.100s)", f->node, check_or_empty(n->op_type));
	return buf;
}

static void check_name(struct checker *c, const char *name)
{
	for (const char *p = name; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			check_found(c, RULE_NAME_CHARACTERS, NULL, NULL, "the name '%.200s' has byte %d in it", name, *p);
			return;
		}
	}
}

/* --- declarations of a graph ---------------------------------------------------------------------------- */

/* Type of an input or output. Only those of the model itself must have one. */
static void check_declared(struct checker *c, const Onnx__ValueInfoProto *v, const char *what, bool required)
{
	const char *name = check_or_empty(v->name);
	if (!*name)
		check_found(c, RULE_VALUE_NAME, NULL, NULL, "%s of the graph has no name", what);
	check_name(c, name);
	if (v->type)
		check_type(c, v->type, v->name);
	else if (required)
		check_found(c, RULE_TYPE_MISSING, NULL, name, "%s '%.200s' of the model has no type", what, name);
	if (required && v->type && v->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE
	    && !v->type->tensor_type->shape)
		check_found(c, RULE_TYPE_SHAPE, NULL, name, "%s '%.200s' of the model has no shape", what, name);
}

static void declare_inputs(struct checker *c, struct frame *f, bool top)
{
	for (size_t i = 0; i < f->graph->n_input; i++) {
		const Onnx__ValueInfoProto *v = f->graph->input[i];
		check_declared(c, v, "an input", top);
		if (!check_add(c, &f->values, check_or_empty(v->name), FROM_OUTSIDE, NULL))
			check_found(c, RULE_VALUE_DUPLICATE, NULL, v->name, "input '%.200s' is declared twice",
			            check_or_empty(v->name));
	}
}

/* An initializer that is also an input must fit the input's type. */
static void check_default(struct checker *c, const Onnx__ValueInfoProto *v, const char *name, int32_t type,
                          const int64_t *dims, size_t rank)
{
	if (!v->type || v->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
		return;
	const Onnx__TypeProto__Tensor *t = v->type->tensor_type;
	bool fits = t->elem_type == type && (!t->shape || t->shape->n_dim == rank);
	for (size_t i = 0; fits && t->shape && i < rank; i++) {
		const Onnx__TensorShapeProto__Dimension *d = t->shape->dim[i];
		fits = d->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE || d->dim_value == dims[i];
	}
	if (!fits)
		check_found(c, RULE_INITIALIZER_TYPE, NULL, name,
		            "initializer '%.200s' has another type or shape than the input "
		            "of that name", name);
}

/* `seen`: initializers so far; `inputs`: position of each graph input by name. */
static void declare_initializer(struct checker *c, struct frame *f, struct name_table *seen,
                                struct name_table *inputs,
                                const char *name, int32_t type, const int64_t *dims, size_t rank)
{
	int64_t at;
	if (!*name) {
		check_found(c, RULE_INITIALIZER_NAME, NULL, NULL, "an initializer has no name");
		return;
	}
	check_name(c, name);
	if (!check_add(c, seen, name, 0, NULL))
		check_found(c, RULE_INITIALIZER_DUPLICATE, NULL, name, "initializer '%.200s' is given twice", name);
	if (name_table_get(inputs, name, &at))
		check_default(c, f->graph->input[at], name, type, dims, rank);
	else if (c->ir < 4)
		check_found(c, RULE_INITIALIZER_INPUT, NULL, name,
		            "initializer '%.200s' is not a graph input, which IR %lld "
		            "demands", name, (long long)c->ir);
	check_add(c, &f->values, name, FROM_OUTSIDE, NULL);
}

static void declare_initializers(struct checker *c, struct frame *f)
{
	const Onnx__GraphProto *g = f->graph;
	struct name_table seen = { 0 }, inputs = { 0 };
	for (size_t i = 0; i < g->n_input; i++)
		check_add(c, &inputs, check_or_empty(g->input[i]->name), (int64_t)i, NULL);
	for (size_t i = 0; i < g->n_initializer; i++) {
		const Onnx__TensorProto *t = g->initializer[i];
		declare_initializer(c, f, &seen, &inputs, check_or_empty(t->name), t->data_type, t->dims, t->n_dims);
		check_tensor(c, t, NULL);
	}
	for (size_t i = 0; i < g->n_sparse_initializer; i++) {
		const Onnx__SparseTensorProto *s = g->sparse_initializer[i];
		declare_initializer(c, f, &seen, &inputs, check_or_empty(s->values ? s->values->name : NULL),
		                    s->values ? s->values->data_type : 0, s->dims, s->n_dims);
		check_sparse(c, s, NULL);
	}
	name_table_free(&seen);
	name_table_free(&inputs);
}

static void check_value_info(struct checker *c, const Onnx__GraphProto *g)
{
	struct name_table seen = { 0 };
	for (size_t i = 0; i < g->n_value_info; i++) {
		const char *name = check_or_empty(g->value_info[i]->name);
		if (!check_add(c, &seen, name, 0, NULL))
			check_found(c, RULE_VALUE_INFO, NULL, name, "'%.200s' is described twice in value_info", name);
		if (g->value_info[i]->type)
			check_type(c, g->value_info[i]->type, name);
	}
	name_table_free(&seen);
}

/* --- scopes --------------------------------------------------------------------------------------------- */

/* Is the name declared in a graph around the innermost one? */
static bool known_around(const struct stack *s, const char *name)
{
	int64_t producer;
	for (int i = 0; i < s->depth - 1; i++)
		if (name_table_get(&s->frames[i].values, name, &producer))
			return true;
	return false;
}

/* Outputs are declared before the nodes are walked: a name that is read too early is then told from one that
 * does not exist. */
static void declare_outputs(struct checker *c, struct stack *s)
{
	struct frame *f = &s->frames[s->depth - 1];
	char buf[LABEL];
	for (f->node = 0; f->node < f->n_nodes; f->node++) {
		const Onnx__NodeProto *n = f->nodes[f->node];
		for (size_t i = 0; i < n->n_output; i++) {
			if (!*n->output[i])
				continue;
			check_name(c, n->output[i]);
			if (!check_add(c, &f->values, n->output[i], (int64_t)f->node, NULL))
				check_found(c, RULE_VALUE_DUPLICATE, node_label(f, buf), n->output[i], "value '%.200s' is assigned twice",
				            n->output[i]);
			else if (known_around(s, n->output[i]))
				check_found(c, RULE_VALUE_SHADOWED, node_label(f, buf), n->output[i],
				            "value '%.200s' has the name of a value around this graph", n->output[i]);
		}
	}
	f->node = 0;
}

enum sight { UNKNOWN, TOO_EARLY, VISIBLE };

static enum sight look_up(const struct stack *s, const char *name)
{
	int64_t producer;
	enum sight best = UNKNOWN;
	for (int i = s->depth - 1; i >= 0; i--) {
		const struct frame *f = &s->frames[i];
		if (!name_table_get(&f->values, name, &producer))
			continue;
		if (producer < (int64_t)f->node)
			return VISIBLE;
		best = TOO_EARLY;
	}
	return best;
}

static void check_inputs(struct checker *c, const struct stack *s, const char *label)
{
	const struct frame *f = &s->frames[s->depth - 1];
	const Onnx__NodeProto *n = f->nodes[f->node];
	for (size_t i = 0; i < n->n_input; i++) {
		const char *name = n->input[i];
		enum sight sight = *name ? look_up(s, name) : VISIBLE;
		if (sight == UNKNOWN)
			check_found(c, RULE_INPUT_UNDEFINED, label, name, "input %zu, '%.200s', is not the name of any value", i,
			            name);
		else if (sight == TOO_EARLY)
			check_found(c, RULE_NODE_ORDER, label, name,
			            "input %zu, '%.200s', is assigned by this node or a later one", i, name);
	}
}

/* --- nodes ---------------------------------------------------------------------------------------------- */

static void check_operator(struct checker *c, const Onnx__NodeProto *n, const char *label)
{
	int64_t ignored;
	const char *domain = check_domain(n->domain);
	if (!n->op_type || !*n->op_type)
		check_found(c, RULE_OP_TYPE, label, NULL, "the node names no operator");
	bool imported = name_table_get(&c->imports, domain, &ignored);
	if (!imported && !name_table_get(&c->function_domains, domain, &ignored))
		check_found(c, RULE_OPSET_UNIMPORTED, label, NULL, "domain '%.100s' of operator %.100s is not imported",
		            domain, check_or_empty(n->op_type));
	if (!c->calls)
		return;
	const char *key = function_key(c, n->domain, n->op_type, n->overload);
	int64_t callee;
	if (name_table_get(&c->functions, key, &callee))
		check_add(c, c->calls, key, callee, NULL);
}

static void check_attributes(struct checker *c, const Onnx__NodeProto *n, const char *label)
{
	struct name_table seen = { 0 };
	for (size_t i = 0; i < n->n_attribute; i++) {
		const Onnx__AttributeProto *a = n->attribute[i];
		check_attribute(c, a, label);
		if (n->n_attribute > 1 && !check_add(c, &seen, check_or_empty(a->name), 0, NULL))
			check_found(c, RULE_ATTRIBUTE_DUPLICATE, label, NULL, "attribute '%.100s' is given twice",
			            check_or_empty(a->name));
	}
	name_table_free(&seen);
}

static void check_node(struct checker *c, struct stack *s)
{
	struct frame *f = &s->frames[s->depth - 1];
	const Onnx__NodeProto *n = f->nodes[f->node];
	char buf[LABEL];
	const char *label = node_label(f, buf);
	bool any = false;
	if (label != buf && !check_add(c, &f->node_names, label, 0, NULL))
		check_found(c, RULE_NODE_NAME, label, NULL, "another node of the graph has this name");
	check_operator(c, n, label);
	check_inputs(c, s, label);
	for (size_t i = 0; i < n->n_output; i++)
		any = any || *n->output[i];
	if (!any)
		check_found(c, RULE_NODE_NO_OUTPUT, label, NULL, "the node has no output");
	check_attributes(c, n, label);
}

/* --- the walk ------------------------------------------------------------------------------------------- */

static void push(struct checker *c, struct stack *s, Onnx__GraphProto *g, const char *label)
{
	bool top = s->depth == 0 && c->function < 0;
	if (s->depth == DOC_MAX_SUBGRAPHS) {
		check_found(c, RULE_GRAPH_DEPTH, NULL, NULL, "graphs are nested deeper than %d", DOC_MAX_SUBGRAPHS);
		return;
	}
	struct frame *f = &s->frames[s->depth++];
	*f = (struct frame){ .graph = g, .nodes = g->node, .n_nodes = g->n_node, .label = label };
	c->graph = label;
	if (!g->name || !*g->name)
		check_found(c, RULE_GRAPH_NAME, NULL, NULL, "the graph has no name");
	check_metadata(c, g->metadata_props, g->n_metadata_props);
	declare_inputs(c, f, top);
	declare_initializers(c, f);
	check_value_info(c, g);
	declare_outputs(c, s);
}

static void check_graph_outputs(struct checker *c, const struct stack *s)
{
	const struct frame *f = &s->frames[s->depth - 1];
	struct name_table seen = { 0 };
	for (size_t i = 0; f->graph && i < f->graph->n_output; i++) {
		const Onnx__ValueInfoProto *v = f->graph->output[i];
		const char *name = check_or_empty(v->name);
		check_declared(c, v, "an output", s->depth == 1 && c->function < 0);
		if (*name && look_up(s, name) == UNKNOWN)
			check_found(c, RULE_OUTPUT_UNDEFINED, NULL, name, "output '%.200s' is not the name of any value", name);
		if (!check_add(c, &seen, name, 0, NULL))
			check_found(c, RULE_OUTPUT_DUPLICATE, NULL, name, "output '%.200s' is declared twice", name);
	}
	name_table_free(&seen);
}

static void pop(struct checker *c, struct stack *s)
{
	check_graph_outputs(c, s);
	struct frame *f = &s->frames[--s->depth];
	name_table_free(&f->values);
	name_table_free(&f->node_names);
	if (s->depth)
		c->graph = s->frames[s->depth - 1].label;
}

/* The next graph among the current node's attributes; NULL when there is none left. */
static Onnx__GraphProto *next_graph(struct frame *f, const char **attribute)
{
	const Onnx__NodeProto *n = f->nodes[f->node];
	for (; f->attribute < n->n_attribute; f->attribute++, f->item = 0) {
		const Onnx__AttributeProto *a = n->attribute[f->attribute];
		size_t single = a->g != NULL;
		*attribute = check_or_empty(a->name);
		if (f->item < single + a->n_graphs) {
			size_t i = f->item++;
			return i < single ? a->g : a->graphs[i - single];
		}
	}
	return NULL;
}

static void step(struct checker *c, struct stack *s)
{
	struct frame *f = &s->frames[s->depth - 1];
	const char *attribute;
	char buf[LABEL];
	if (f->node == f->n_nodes) {
		pop(c, s);
		return;
	}
	if (!f->entered)
		check_node(c, s);
	f->entered = true;
	Onnx__GraphProto *g = next_graph(f, &attribute);
	if (g) {
		push(c, s, g, check_text(c, "%.400s/%.*s.%.100s", f->label, LABEL, node_label(f, buf), attribute));
		return;
	}
	f->node++;
	f->attribute = f->item = 0;
	f->entered = false;
}

static void walk(struct checker *c, struct stack *s)
{
	while (s->depth > 0 && !c->no_memory)
		step(c, s);
	while (s->depth > 0)
		pop(c, s);
	free(s);
}

static struct stack *new_stack(struct checker *c)
{
	struct stack *s = calloc(1, sizeof *s);
	c->no_memory = c->no_memory || !s;
	return s;
}

void check_graph(struct checker *c, Onnx__GraphProto *g)
{
	struct stack *s = new_stack(c);
	if (!s)
		return;
	push(c, s, g, c->graph);
	walk(c, s);
}

void check_body(struct checker *c, Onnx__FunctionProto *p)
{
	struct stack *s = new_stack(c);
	if (!s)
		return;
	struct frame *f = &s->frames[s->depth++];
	*f = (struct frame){ .nodes = p->node, .n_nodes = p->n_node, .label = c->graph };
	for (size_t i = 0; i < p->n_input; i++)
		if (!check_add(c, &f->values, p->input[i], FROM_OUTSIDE, NULL))
			check_found(c, RULE_VALUE_DUPLICATE, NULL, p->input[i], "input '%.200s' is declared twice", p->input[i]);
	declare_outputs(c, s);
	for (size_t i = 0; i < p->n_output; i++)
		if (look_up(s, p->output[i]) == UNKNOWN)
			check_found(c, RULE_OUTPUT_UNDEFINED, NULL, p->output[i], "output '%.200s' is not the name of any value",
			            p->output[i]);
	walk(c, s);
}
