/* SPDX-License-Identifier: Apache-2.0 */
/* graph_verify finds each promise that is broken. */
#include <criterion/criterion.h>
#include <string.h>

#include "graph/names.h"
#include "model.h"

static struct graph *fresh(struct document **d)
{
	struct rng r = rng_make(1, 0);

	*d = model_new(13);
	model_input(*d, "x", DT_FLOAT, DIMS(2, 3));
	model_constant(*d, "w", DT_FLOAT, DIMS(2, 3), NULL, &r);
	model_node(*d, "Relu", "x", "a");
	model_node(*d, "Add", "a w", "b");
	model_node(*d, "Mul", "b a", "c");
	model_output(*d, "c");
	return model_graph(*d);
}

/* Values are numbered x w a b c, nodes Relu Add Mul. */
enum { X, W, A, B, C };

static void no_operator(struct graph *g) { g->nodes[1].op = NULL; }
static void input_id(struct graph *g) { g->nodes[1].in[0] = g->n_values; }
static void negative_input_id(struct graph *g) { g->nodes[1].in[0] = -2; }
static void output_id(struct graph *g) { g->nodes[1].out[0] = g->n_values; }
static void reads_later(struct graph *g) { g->nodes[1].in[0] = C; }
static void reads_itself(struct graph *g) { g->nodes[1].in[0] = B; }
static void other_producer(struct graph *g) { g->values[B].producer = 0; }
static void other_output(struct graph *g) { g->values[B].output = 1; }
static void no_producer(struct graph *g) { g->values[B].producer = GRAPH_NONE; }
static void producer_of_input(struct graph *g) { g->values[X].producer = 0; }
static void producer_out_of_range(struct graph *g) { g->values[X].producer = -7; }
static void kind_of_made(struct graph *g) { g->values[A].kind = VALUE_INPUT; }
static void kind_of_input(struct graph *g) { g->values[X].kind = VALUE_NODE; }
static void made_constant(struct graph *g) { g->values[A].kind = VALUE_CONSTANT; }
static void two_makers(struct graph *g) { g->nodes[2].out[0] = B; }
static void other_name(struct graph *g) { g->values[A].name = g->values[B].name; }
static void use_of_other(struct graph *g) { g->values[A].uses[0].input = 1; }
static void use_out_of_range(struct graph *g) { g->values[A].uses[1].node = 99; }
static void uses_unordered(struct graph *g)
{
	struct use u = g->values[A].uses[0];

	g->values[A].uses[0] = g->values[A].uses[1];
	g->values[A].uses[1] = u;
}
static void use_twice(struct graph *g) { g->values[A].uses[1] = g->values[A].uses[0]; }
static void use_missing(struct graph *g) { g->values[A].n_uses--; }
static void input_without_use(struct graph *g) { g->nodes[2].in[1] = X; }
static void no_data(struct graph *g) { tensor_free(&g->values[W].constant); g->values[W].constant.count = 6; }
static void graph_input_id(struct graph *g) { g->inputs[0] = W; }
static void graph_output_id(struct graph *g) { g->outputs[0] = 99; }
static void graph_output_mark(struct graph *g) { g->values[C].is_output = false; }

static const struct { const char *name; void (*breaks)(struct graph *g); const char *text; } promises[] = {
	{ "no operator", no_operator, "no operator" },
	{ "input id", input_id, "input id is out of range" },
	{ "negative input id", negative_input_id, "input id is out of range" },
	{ "output id", output_id, "output id is out of range" },
	{ "reads later", reads_later, "reads what a later one makes" },
	{ "reads itself", reads_itself, "reads what a later one makes" },
	{ "other producer", other_producer, "another producer" },
	{ "other output", other_output, "another producer" },
	{ "no producer", no_producer, "another producer" },
	{ "producer of an input", producer_of_input, "a node reads what a later one makes" },
	{ "producer out of range", producer_out_of_range, "not what its producer makes" },
	{ "kind of a made value", kind_of_made, "kind does not fit" },
	{ "kind of an input", kind_of_input, "no input" },
	{ "made constant", made_constant, "kind does not fit" },
	{ "two makers", two_makers, "another producer" },
	{ "other name", other_name, "a name leads to another value" },
	{ "use of another input", use_of_other, "a use is not an input" },
	{ "use out of range", use_out_of_range, "a use is not an input" },
	{ "uses out of order", uses_unordered, "uses are out of order" },
	{ "use twice", use_twice, "uses are out of order" },
	{ "use missing", use_missing, "in no list of uses" },
	{ "input without a use", input_without_use, "a use is not an input" },
	{ "constant without data", no_data, "has no data" },
	{ "graph input", graph_input_id, "graph input is no input" },
	{ "graph output", graph_output_id, "not marked as one" },
	{ "output mark", graph_output_mark, "not marked as one" },
};

Test(verify, each_promise)
{
	for (size_t i = 0; i < sizeof promises / sizeof *promises; i++) {
		struct tamis_error err = { 0 };
		struct document *d;
		struct graph *g = fresh(&d);

		promises[i].breaks(g);
		cr_expect_eq(graph_verify(g, &err), TAMIS_E_INTERNAL, "%s is not found", promises[i].name);
		cr_expect(strstr(err.message, promises[i].text), "%s: '%s'", promises[i].name, err.message);
		graph_free(g);
		doc_free(d);
	}
}
