/* SPDX-License-Identifier: Apache-2.0 */
/* Functions in place of their calls: names, attributes, ends, and the calls that are refused. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "nested.h"
#include "ops/table.h"

#define FLOAT_ATTRIBUTE ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT

/* t = Relu(a), b = LeakyRelu(t) with alpha from the call. */
static struct document *leaky_body(void)
{
	struct document *b = model_new(17);

	model_input(b, "a", DT_FLOAT, DIMS(-1));
	model_node(b, "Relu", "a", "t");
	node_reference(b, model_node(b, "LeakyRelu", "t", "b"), "alpha", "slope", FLOAT_ATTRIBUTE);
	model_output(b, "b");
	return b;
}

static struct document *with_input(void)
{
	struct document *d = model_new(17);

	model_input(d, "x", DT_FLOAT, DIMS(-1));
	return d;
}

static double alpha_of(const struct graph *g, int node)
{
	const Onnx__NodeProto *p = g->nodes[node].proto;

	return p->n_attribute ? p->attribute[0]->f : -1;
}

Test(functions, calls_are_replaced_by_nodes_of_their_own_names)
{
	struct document *d = with_input();
	struct graph *g;

	model_function(d, "Leaky", leaky_body());
	model_call(d, "Leaky", "x", "t");
	model_call(d, "Leaky", "t", "y");
	model_output(d, "y");
	g = model_graph(d);
	cr_assert_eq(g->n_nodes, 4);
	for (int i = 0; i < 4; i++) {
		cr_expect(g->nodes[i].inlined);
		cr_expect_str_eq(g->nodes[i].op->name, i % 2 ? "LeakyRelu" : "Relu");
	}
	cr_expect_str_eq(g->values[g->nodes[1].out[0]].name, "t", "the caller's name");
	cr_expect_str_neq(g->values[g->nodes[0].out[0]].name, g->values[g->nodes[2].out[0]].name);
	cr_expect_eq(g->nodes[2].in[0], g->nodes[1].out[0]);
	cr_expect_eq(d->model->graph->n_node, 2, "the document keeps the calls");
	graph_free(g);
	doc_free(d);
}

Test(functions, attributes_come_from_the_call_or_the_default_or_nowhere)
{
	const struct { bool given, preset; double want; } cases[] = { { true, true, 0.5 }, { true, false, 0.5 },
		{ false, true, 0.25 }, { false, false, -1 } };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct document *d = with_input();
		Onnx__FunctionProto *f = model_function(d, "Leaky", leaky_body());
		Onnx__NodeProto *n = model_call(d, "Leaky", "x", "y");
		struct graph *g;

		if (cases[i].given)
			node_float(d, n, "slope", 0.5);
		if (cases[i].preset)
			function_default(d, f, "slope", 0.25);
		model_output(d, "y");
		g = model_graph(d);
		cr_expect_eq(alpha_of(g, 1), cases[i].want, "case %zu: %g", i, alpha_of(g, 1));
		graph_free(g);
		doc_free(d);
	}
}

Test(functions, attributes_pass_through_calls_of_calls)
{
	struct document *d = with_input(), *outer = model_new(17);
	struct graph *g;

	model_input(outer, "a", DT_FLOAT, DIMS(-1));
	node_reference(outer, model_call(outer, "Leaky", "a", "b"), "slope", "bend", FLOAT_ATTRIBUTE);
	model_output(outer, "b");
	model_function(d, "Leaky", leaky_body());
	model_function(d, "Outer", outer);
	node_float(d, model_call(d, "Outer", "x", "y"), "bend", 0.75);
	model_output(d, "y");
	g = model_graph(d);
	cr_assert_eq(g->n_nodes, 2);
	cr_expect_eq(alpha_of(g, 1), 0.75);
	graph_free(g);
	doc_free(d);
}

/* Outputs that are inputs, the same value twice, or not wanted; an input that is not given. */
Test(functions, ends)
{
	struct document *d = with_input(), *b = model_new(17);
	struct graph *g;

	model_input(b, "a", DT_FLOAT, DIMS(-1));
	model_input(b, "low", DT_FLOAT, 0, NULL);
	model_node(b, "Clip", "a low", "c");
	model_output(b, "a");
	model_output(b, "c");
	model_output(b, "c");
	model_output(b, "low");
	model_function(d, "Ends", b);
	model_call(d, "Ends", "x", "p q r");
	model_call(d, "Ends", "x", "- - s");
	model_output(d, "p");
	model_output(d, "r");
	model_output(d, "s");
	g = model_graph(d);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(g->values[g->outputs[i]].kind, VALUE_NODE);
	cr_expect_eq(g->nodes[0].in[1], GRAPH_NONE, "what the call leaves out is absent");
	cr_expect_eq(g->nodes[g->values[graph_find(g, "p")].producer].in[0], graph_find(g, "x"));
	cr_expect_eq(g->nodes[g->values[graph_find(g, "r")].producer].in[0], graph_find(g, "q"));
	graph_free(g);
	doc_free(d);
}

Test(functions, a_kernel_comes_before_a_function_of_its_name)
{
	struct document *d = with_input();
	Onnx__FunctionProto *f = model_function(d, "Relu", leaky_body());
	struct graph *g;

	f->domain[0] = '\0';
	model_node(d, "Relu", "x", "y");
	model_output(d, "y");
	g = model_graph(d);
	cr_expect_eq(g->n_nodes, 1);
	cr_expect_not(g->nodes[0].inlined);
	graph_free(g);
	doc_free(d);
}

/* A body that calls `callee` n times in a row. */
static struct document *caller(const char *callee, int n)
{
	struct document *b = model_new(17);
	char from[16] = "a", to[16];

	model_input(b, "a", DT_FLOAT, DIMS(-1));
	for (int i = 0; i < n; i++) {
		snprintf(to, sizeof to, "v%d", i);
		model_call(b, callee, from, to);
		memcpy(from, to, sizeof from);
	}
	model_output(b, from);
	return b;
}

static void expect_refused(struct document *d, enum tamis_status status, const char *words)
{
	struct tamis_error err = { 0 };
	struct graph *g;

	cr_expect_eq(graph_build(d, &op_table, &g, &err), status, "%s", err.message);
	cr_expect_null(g);
	cr_expect(strstr(err.message, words), "%s", err.message);
	doc_free(d);
}

Test(functions, calls_that_never_end_are_refused)
{
	struct document *d = with_input();

	model_function(d, "Self", caller("Self", 1));
	model_call(d, "Self", "x", "y");
	model_output(d, "y");
	expect_refused(d, TAMIS_E_UNSUPPORTED, "or themselves");
}

/* 8^0 + ... + 8^8 nodes from a file of a few lines. */
Test(functions, calls_that_grow_too_much_are_refused)
{
	struct document *d = with_input();
	char name[16], next[16];

	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof name, "F%d", i);
		snprintf(next, sizeof next, "F%d", i + 1);
		model_function(d, name, caller(next, 8));
	}
	model_function(d, "F8", leaky_body());
	model_call(d, "F0", "x", "y");
	model_output(d, "y");
	expect_refused(d, TAMIS_E_UNSUPPORTED, "expand to more than 1000000 nodes and values");
}

Test(functions, wrong_calls_are_refused)
{
	struct document *d = with_input(), *e = with_input();

	model_function(d, "Leaky", leaky_body());
	model_call(d, "Leaky", "x x", "y");
	model_output(d, "y");
	expect_refused(d, TAMIS_E_INVALID, "1 inputs and 1 outputs, not 2 and 1");
	model_function(e, "Leaky", leaky_body());
	model_call(e, "Leaky", "-", "y");
	model_output(e, "y");
	expect_refused(e, TAMIS_E_INVALID, "whose name is empty");
}
