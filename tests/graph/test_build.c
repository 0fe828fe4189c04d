/* SPDX-License-Identifier: Apache-2.0 */
/* The graph of models made by hand: what it holds, and what it says of models that are wrong. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "graph/names.h"
#include "graph/resolve.h"
#include "model.h"
#include "onnx/edit.h"
#include "onnx/payload.h"
#include "ops/table.h"

static struct value *value(struct graph *g, const char *name)
{
	int id = graph_find(g, name);

	cr_assert_geq(id, 0, "%s", name);
	return &g->values[id];
}

/* graph_build must fail so, with this in the message, and name this node and tensor (NULL = any). */
static void refused(struct document *d, enum tamis_status status, const char *text, const char *node, const char *tensor)
{
	struct tamis_error err = { 0 };
	struct graph *g = NULL;
	enum tamis_status s = graph_build(d, &op_table, &g, &err);

	cr_expect_eq(s, status, "%d instead of %d: %s", s, status, err.message);
	cr_expect_eq(err.status, s);
	cr_expect_null(g);
	cr_expect(strstr(err.message, text), "'%s' instead of '%s'", err.message, text);
	cr_expect(!node || !strcmp(err.node, node), "node '%s' instead of '%s'", err.node, node);
	cr_expect(!tensor || !strcmp(err.tensor, tensor), "tensor '%s' instead of '%s'", err.tensor, tensor);
	graph_free(g);
	doc_free(d);
}

static struct document *start(void)
{
	struct document *d = model_new(13);

	model_input(d, "x", DT_FLOAT, DIMS(-1, 3));
	return d;
}

/* The document, packed and unpacked. */
static struct document *reload(struct document *d)
{
	struct document *again;
	uint8_t *bytes;
	size_t size;

	cr_assert_eq(doc_pack(d, &bytes, &size, NULL), TAMIS_OK);
	cr_assert_eq(doc_load_memory(bytes, size, ".", NULL, &again, NULL), TAMIS_OK);
	free(bytes);
	doc_free(d);
	return again;
}

Test(build, views_hold_large_weights_once)
{
	struct document *d = start();
	struct rng r = rng_make(1, 0);
	struct graph *own, *view;
	struct value *large;

	model_constant(d, "large", DT_FLOAT, DIMS(40, 50), NULL, &r);
	model_constant(d, "half", DT_FLOAT16, DIMS(3000), NULL, &r);
	model_constant(d, "small", DT_FLOAT, DIMS(4), NULL, &r);
	model_constant(d, "flags", DT_BOOL, DIMS(5000), NULL, &r);
	model_output(d, "x");
	d = reload(d);
	cr_assert_eq(graph_build(d, &op_table, &own, NULL), TAMIS_OK);
	cr_assert_eq(graph_view(d, &op_table, &view, NULL), TAMIS_OK);
	for (int i = 0; i < own->n_values; i++)
		cr_expect(own->values[i].kind != VALUE_CONSTANT
		          || tensor_equal(&own->values[i].constant, &view->values[i].constant), "%s", own->values[i].name);
	large = value(view, "large");
	cr_expect(large->borrowed);
	cr_expect_eq(large->constant.data, (void *)large->tensor_proto->raw_data.data);
	cr_expect(value(view, "half")->borrowed);
	cr_expect_not(value(view, "flags")->borrowed, "bools are normalised");
	cr_expect_not(value(own, "large")->borrowed);
	graph_free(view);
	graph_free(own);
	doc_free(d);
}

Test(build, structure)
{
	struct document *d = start();
	struct rng r = rng_make(1, 0);
	struct graph *g;
	struct value *v;

	model_constant(d, "w", DT_FLOAT, DIMS(3, 4), NULL, &r);
	model_node(d, "MatMul", "x w", "y")->name = doc_strdup(d, "first");
	model_node(d, "Mul", "y y", "z");
	model_output(d, "z");
	model_output(d, "x");
	g = model_graph(d);
	cr_assert_eq(g->n_nodes, 2);
	cr_assert_eq(g->n_values, 4);
	cr_assert_eq(g->n_inputs, 1);
	cr_assert_eq(g->n_outputs, 2);
	cr_expect_eq(g->inputs[0], graph_find(g, "x"));
	cr_expect_eq(g->outputs[0], graph_find(g, "z"));
	cr_expect_eq(g->outputs[1], graph_find(g, "x"));
	cr_expect_str_eq(g->nodes[0].name, "first");
	cr_expect_str_eq(g->nodes[1].name, "#1 (Mul)");
	cr_expect_eq(g->nodes[0].opset, 13);
	v = value(g, "x");
	cr_expect(v->kind == VALUE_INPUT && v->is_output && v->producer == GRAPH_NONE && v->n_uses == 1);
	cr_expect(v->declared.type == DT_FLOAT && v->declared.rank == 2 && v->declared.dims[0] == -1 && v->declared.dims[1] == 3);
	cr_expect_str_eq(v->declared.symbol[0], "N");
	cr_expect_null(v->declared.symbol[1]);
	v = value(g, "w");
	cr_expect(v->kind == VALUE_CONSTANT && !v->overridable && v->tensor_proto == d->model->graph->initializer[0]);
	cr_expect_eq(v->constant.count, 12);
	v = value(g, "y");
	cr_expect(v->kind == VALUE_NODE && v->producer == 0 && v->output == 0 && v->n_uses == 2 && !v->is_output);
	cr_expect(v->uses[0].node == 1 && v->uses[0].input == 0 && v->uses[1].node == 1 && v->uses[1].input == 1);
	cr_expect_eq(graph_find(g, "nobody"), GRAPH_NONE);
	graph_free(g);
	doc_free(d);
}

Test(build, absent_ports)
{
	struct document *d = start();
	struct graph *g;

	model_constant(d, "top", DT_FLOAT, SCALAR, (double[]){ 1 }, NULL);
	model_node(d, "Clip", "x - top", "y");
	model_node(d, "Dropout", "y", "z -");
	model_output(d, "z");
	g = model_graph(d);
	cr_expect_eq(g->nodes[0].n_in, 3);
	cr_expect_eq(g->nodes[0].in[1], GRAPH_NONE);
	cr_expect_eq(g->nodes[1].n_out, 2);
	cr_expect_eq(g->nodes[1].out[1], GRAPH_NONE);
	graph_free(g);
	doc_free(d);
}

Test(build, dangling_duplicate_and_cyclic_names)
{
	struct document *d = start();

	model_node(d, "Relu", "nobody", "y");
	refused(d, TAMIS_E_INVALID, "input 0 is made by no node, initializer or graph input", "#0 (Relu)", "nobody");
	d = start();
	model_node(d, "Add", "x y", "y");
	refused(d, TAMIS_E_INVALID, "input 1 is an output of the same node", "#0 (Add)", "y");
	d = start();
	model_node(d, "Add", "x b", "a");
	model_node(d, "Relu", "a", "b");
	refused(d, TAMIS_E_INVALID, "input 1 is made by the later node '#1 (Relu)'", "#0 (Add)", "b");
	d = start();
	model_node(d, "Relu", "x", "y");
	model_node(d, "Neg", "x", "y");
	refused(d, TAMIS_E_INVALID, "the name is given to two values", "#1 (Neg)", "y");
	d = start();
	model_node(d, "Relu", "x", "x");
	refused(d, TAMIS_E_INVALID, "the name is given to two values", "#0 (Relu)", "x");
	d = start();
	model_input(d, "x", DT_FLOAT, DIMS(2));
	refused(d, TAMIS_E_INVALID, "the name is given to two values", "", "x");
	d = start();
	model_ints(d, "k", 1, (int64_t[]){ 1 });
	model_ints(d, "k", 1, (int64_t[]){ 2 });
	refused(d, TAMIS_E_INVALID, "the name is given to two values", "", "k");
	d = start();
	model_output(d, "nobody");
	refused(d, TAMIS_E_INVALID, "the graph output is made by no node", "", "nobody");
}

Test(build, numbers_of_inputs_and_outputs)
{
	static const struct { const char *op, *in, *out, *text; } cases[] = {
		{ "Conv", "x x x x x", "y", "Conv takes 2 or 3 inputs, not 5" },
		{ "Conv", "x", "y", "Conv takes 2 or 3 inputs, not 1" },
		{ "Relu", "x x", "y", "Relu takes 1 input, not 2" },
		{ "Add", "x", "y", "Add takes 2 inputs, not 1" },
		{ "Concat", "", "y", "Concat takes at least 1 input, not 0" },
		{ "Slice", "x", "y", "Slice takes 3 to 5 inputs, not 1" },
		{ "Relu", "x", "y z", "Relu gives 1 output, not 2" },
		{ "Relu", "x", "", "Relu gives 1 output, not 0" },
		{ "Dropout", "x", "a b c", "Dropout gives 1 or 2 outputs, not 3" },
		{ "Relu", "-", "y", "Relu needs its input 0, whose name is empty" },
		{ "Add", "x -", "y", "Add needs its input 1, whose name is empty" },
		{ "Gemm", "- x x", "y", "Gemm needs its input 0, whose name is empty" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct document *d = start();

		model_node(d, cases[i].op, cases[i].in, cases[i].out);
		refused(d, TAMIS_E_INVALID, cases[i].text, NULL, NULL);
	}
}

Test(build, unsupported_operators_are_all_listed_once)
{
	struct document *d = start();
	struct tamis_error err = { 0 };
	struct graph *g = NULL;

	for (int i = 0; i < 3; i++) {
		model_node(d, "Wizard", "x", i == 0 ? "a" : i == 1 ? "b" : "c");
		model_node(d, "Relu", "x", i == 0 ? "d" : i == 1 ? "e" : "f");
	}
	model_node(d, "Gelu", "x", "h"); /* known, but not before opset 20 */
	model_node(d, "Relu", "x", "i")->domain = doc_strdup(d, "org.example");
	model_node(d, "Wizard", "never looked at", "");
	cr_assert_eq(graph_build(d, &op_table, &g, &err), TAMIS_E_UNSUPPORTED);
	cr_expect_str_eq(err.message, "the model needs operators that are not supported: Wizard, opset 13 (4 nodes); Gelu of "
	                 "opset 13 (1 node); org.example.Relu, opset 0 (1 node)");
	doc_free(d);
}

Test(build, many_unsupported_operators_fit_a_message)
{
	struct document *d = start();
	char name[256];

	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof name, "Op%d%0*d", i, i, 0);
		model_node(d, name, "x", "");
	}
	refused(d, TAMIS_E_UNSUPPORTED, " more kinds", NULL, NULL);
}

Test(build, opsets)
{
	static const int64_t versions[] = { 0, -1, RESOLVE_MAX_OPSET + 1, (int64_t)1 << 40, INT64_MAX, INT64_MIN };

	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
		struct document *d = model_new(versions[i]);

		model_input(d, "x", DT_FLOAT, DIMS(1));
		model_node(d, "Relu", "x", "y");
		refused(d, TAMIS_E_UNSUPPORTED, "Relu of opset ", NULL, NULL);
	}
	struct document *d = model_new(RESOLVE_MAX_OPSET);
	model_input(d, "x", DT_FLOAT, DIMS(1));
	model_node(d, "Relu", "x", "y");
	graph_free(model_graph(d));
	d->model->opset_import[0]->domain = doc_strdup(d, "ai.onnx"); /* another name of the default domain */
	graph_free(model_graph(d));
	doc_free(d);
}

Test(build, attributes_must_be_of_their_type_and_there_once)
{
	struct document *d = start();
	Onnx__NodeProto *n = model_node(d, "Concat", "x x", "y");

	node_float(d, n, "axis", 1);
	refused(d, TAMIS_E_INVALID, "attribute 'axis' of Concat should be of type int, not float", "#0 (Concat)", "");
	d = start();
	n = model_node(d, "LeakyRelu", "x", "y");
	node_float(d, n, "alpha", 1);
	node_float(d, n, "alpha", 2);
	refused(d, TAMIS_E_INVALID, "attribute 'alpha' of LeakyRelu is given twice", "#0 (LeakyRelu)", "");
}

Test(build, constant_nodes)
{
	struct document *d = start();
	struct tensor t = tensor_make(DT_DOUBLE, DIMS(2), (double[]){ 3, 4 }, NULL);
	Onnx__NodeProto *n = model_node(d, "Constant", "", "a");
	Onnx__AttributeProto *a = edit_new(d, &onnx__attribute_proto__descriptor);
	struct graph *g;
	struct value *v;

	a->name = doc_strdup(d, "value");
	a->has_type = 1;
	a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
	cr_assert_eq(payload_new(d, "", &t, &a->t, NULL), TAMIS_OK);
	cr_assert_eq(edit_insert(d, &n->n_attribute, &n->attribute, 0, a, NULL), TAMIS_OK);
	node_int(d, model_node(d, "Constant", "", "b"), "value_int", 7);
	node_ints(d, model_node(d, "Constant", "", "c"), "value_ints", 2, (int64_t[]){ 5, 6 });
	node_float(d, model_node(d, "Constant", "", "e"), "value_float", 0.5);
	model_output(d, "b");
	g = model_graph(d);
	v = value(g, "a");
	cr_expect(v->kind == VALUE_CONSTANT && v->producer == 0 && g->nodes[0].constant);
	cr_expect(tensor_equal(&v->constant, &t));
	cr_expect_eq(v->tensor_proto, a->t);
	v = value(g, "b");
	cr_expect(v->kind == VALUE_CONSTANT && v->constant.type == DT_INT64 && v->constant.rank == 0 && v->is_output);
	cr_expect_eq(tensor_get_int(&v->constant, 0), 7);
	cr_expect_null(v->tensor_proto);
	cr_expect_eq(tensor_get_int(&value(g, "c")->constant, 1), 6);
	cr_expect_eq(value(g, "e")->constant.type, DT_FLOAT);
	graph_free(g);
	doc_free(d);
	tensor_free(&t);
	d = start();
	model_node(d, "Constant", "", "a");
	refused(d, TAMIS_E_INVALID, "", "#0 (Constant)", NULL);
}

Test(build, sparse_and_overridable_initializers)
{
	struct document *d = start();
	struct tensor t = tensor_make(DT_FLOAT, DIMS(2, 3), (double[]){ 0, 2, 0, 0, 0, 5 }, NULL);
	Onnx__TensorProto *like = NULL;
	Onnx__SparseTensorProto *s = NULL;
	struct graph *g;
	struct value *v;

	model_input(d, "p", DT_INT64, DIMS(1));
	model_ints(d, "p", 1, (int64_t[]){ 9 });
	cr_assert_eq(payload_new(d, "s", &t, &like, NULL), TAMIS_OK);
	cr_assert_eq(sparse_new(d, like, &t, &s, NULL), TAMIS_OK);
	cr_assert_eq(edit_add_sparse_initializer(d, d->model->graph, s, NULL), TAMIS_OK);
	edit_free(d, like);
	model_node(d, "Neg", "s", "y");
	model_output(d, "y");
	model_output(d, "s");
	g = model_graph(d);
	cr_expect_eq(g->n_inputs, 1, "an input with a default is no input that callers must give");
	cr_expect_eq(g->inputs[0], graph_find(g, "x"));
	v = value(g, "p");
	cr_expect(v->kind == VALUE_CONSTANT && v->overridable && v->declared.type == DT_INT64);
	v = value(g, "s");
	cr_expect(v->kind == VALUE_CONSTANT && v->sparse_proto == s && !v->tensor_proto && v->is_output);
	cr_expect(tensor_equal(&v->constant, &t));
	graph_free(g);
	doc_free(d);
	tensor_free(&t);
}

Test(build, value_info_declares_what_nodes_make)
{
	struct document *d = start();
	Onnx__GraphProto *p = d->model->graph;
	struct graph *g;

	model_node(d, "Relu", "x", "y");
	model_input(d, "y", DT_FLOAT, DIMS(-1, 3));
	cr_assert_eq(edit_insert(d, &p->n_value_info, &p->value_info, 0, edit_take(&p->n_input, &p->input, 1), NULL), TAMIS_OK);
	g = model_graph(d);
	cr_expect_eq(value(g, "y")->declared.rank, 2);
	cr_expect_eq(value(g, "y")->kind, VALUE_NODE);
	graph_free(g);
	doc_free(d);
}

Test(build, long_chain)
{
	struct document *d = start();
	Onnx__GraphProto *p = d->model->graph;
	const int n = 30000;
	struct graph *g;
	char from[32] = "x", to[32];

	/* one array for all nodes: growing it node by node is quadratic in this test, not in the graph */
	p->node = doc_alloc(d, (size_t)n * sizeof(void *));
	for (int i = 0; i < n; i++) {
		struct tamis_error err = { 0 };
		Onnx__NodeProto *node = NULL;

		snprintf(to, sizeof to, "v%d", i);
		cr_assert_eq(edit_node(d, "Relu", NULL, NULL, &node, &err), TAMIS_OK);
		cr_assert_eq(edit_string_insert(d, &node->n_input, &node->input, 0, from, &err), TAMIS_OK);
		cr_assert_eq(edit_string_insert(d, &node->n_output, &node->output, 0, to, &err), TAMIS_OK);
		p->node[p->n_node++] = node;
		memcpy(from, to, sizeof from);
	}
	model_output(d, from);
	g = model_graph(d);
	cr_expect_eq(g->n_values, n + 1);
	cr_expect_eq(graph_find(g, "v12345"), 12346);
	graph_free(g);
	doc_free(d);
}

Test(names, many)
{
	enum { N = 20000 };
	static char text[N][16];
	struct name_index x = { 0 };

	cr_assert_eq(names_get(&x, "early"), -1);
	for (int i = 0; i < N; i++) {
		snprintf(text[i], sizeof text[i], "%x", i * 7919);
		cr_assert(names_put(&x, text[i], i));
	}
	cr_assert(names_put(&x, "", N));
	cr_assert_leq(2 * x.used, x.n_slots);
	cr_assert_eq(x.used, N + 1);
	for (int i = 0; i < N; i++) {
		char copy[16];

		memcpy(copy, text[i], sizeof copy);
		cr_assert_eq(names_get(&x, copy), i, "names are compared, not addresses");
	}
	cr_assert_eq(names_get(&x, ""), N);
	cr_assert_eq(names_get(&x, "absent"), -1);
	cr_assert(names_put(&x, text[5], 77));
	cr_assert_eq(names_get(&x, text[5]), 77);
	cr_assert_eq(x.used, N + 1);
	names_free(&x);
	names_free(&x);
}
