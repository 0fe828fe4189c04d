/* SPDX-License-Identifier: Apache-2.0 */
/* If, Loop and Scan against what they stand for, with values from around their bodies; and what is refused. */
#include <criterion/criterion.h>
#include <string.h>

#include "exec/runner.h"
#include "nested.h"
#include "ops/table.h"

struct rig { struct document *d; struct graph *g; struct program *p; struct runner *r; struct tamis_error err; };

static struct rig start(struct document *d)
{
	const struct program_options options = { .merge_norms = false };
	struct rig k = { .d = d, .g = model_graph(d) };

	cr_assert_eq(program_create(k.g, &options, &k.p, &k.err), TAMIS_OK, "%s", k.err.message);
	cr_assert_eq(runner_create(k.p, &k.r, &k.err), TAMIS_OK, "%s", k.err.message);
	return k;
}

static void finish(struct rig *k)
{
	runner_free(k->r);
	program_free(k->p);
	graph_free(k->g);
	doc_free(k->d);
}

static void run(struct rig *k, const struct tensor *in)
{
	cr_assert_eq(runner_run(k->r, in, NULL, &k->err), TAMIS_OK, "%s: %s", k->err.node, k->err.message);
}

static void expect_values(const struct rig *k, int output, int rank, const int64_t *dims, const double *values)
{
	const struct tensor *t = runner_output(k->r, output);

	cr_assert_eq(t->rank, rank, "rank %d", t->rank);
	for (int i = 0; i < rank; i++)
		cr_assert_eq(t->dims[i], dims[i], "output %d: axis %d is %lld long", output, i, (long long)t->dims[i]);
	for (int64_t i = 0; i < t->count; i++)
		cr_expect_eq(tensor_get(t, i), values[i], "output %d: element %lld is %g", output, (long long)i,
		             tensor_get(t, i));
}

static struct tensor scalar(enum dtype type, double value)
{
	return tensor_make(type, SCALAR, &value, NULL);
}

static struct document *branch(const char *op, const char *inputs, const char *output)
{
	struct document *b = model_new(17);

	model_node(b, op, inputs, output);
	model_output(b, output);
	return b;
}

static Onnx__NodeProto *choice(struct document *d, const char *cond, const char *out, struct document *yes,
                               struct document *no)
{
	Onnx__NodeProto *n = model_node(d, "If", cond, out);

	node_graph(d, n, "then_branch", yes);
	node_graph(d, n, "else_branch", no);
	return n;
}

Test(control, if_runs_the_branch_that_is_meant)
{
	struct document *d = model_new(17);
	struct tensor in[3] = { scalar(DT_BOOL, 0), tensor_make(DT_FLOAT, DIMS(2), (double[]){ 3, -4 }, NULL),
		tensor_make(DT_FLOAT, DIMS(2), (double[]){ 10, 20 }, NULL) };
	struct rig k;

	model_input(d, "c", DT_BOOL, SCALAR);
	model_input(d, "x", DT_FLOAT, DIMS(-1));
	model_input(d, "w", DT_FLOAT, DIMS(-1));
	model_node(d, "Neg", "x", "n");
	choice(d, "c", "z", branch("Add", "n w", "t"), branch("Concat", "n w n", "e"));
	node_int(d, d->model->graph->node[1]->attribute[1]->g->node[0], "axis", 0);
	model_node(d, "Abs", "z", "y");
	model_output(d, "y");
	k = start(d);
	for (int i = 0; i < 4; i++) {
		tensor_set(&in[0], 0, i % 2);
		run(&k, in);
		if (i % 2)
			expect_values(&k, 0, DIMS(2), (double[]){ 7, 24 });
		else
			expect_values(&k, 0, DIMS(6), (double[]){ 3, 4, 10, 20, 3, 4 });
	}
	finish(&k);
	for (int i = 0; i < 3; i++)
		tensor_free(&in[i]);
}

/* Carried: s = s + i * x. Stacked: s. Goes on while s[0] < limit, which is a value from around. */
static struct document *sum_body(void)
{
	struct document *b = model_new(17);

	model_input(b, "i", DT_INT64, SCALAR);
	model_input(b, "go", DT_BOOL, SCALAR);
	model_input(b, "s", DT_FLOAT, DIMS(-1));
	model_node(b, "Cast", "i", "f");
	node_int(b, b->model->graph->node[0], "to", DT_FLOAT);
	model_node(b, "Mul", "f x", "p");
	model_node(b, "Add", "s p", "next");
	model_node(b, "ReduceMax", "next", "most");
	node_int(b, b->model->graph->node[3], "keepdims", 0);
	model_node(b, "Less", "most limit", "less");
	model_node(b, "Identity", "next", "seen");
	model_output(b, "less");
	model_output(b, "next");
	model_output(b, "seen");
	return b;
}

static struct rig sum_loop(void)
{
	struct document *d = model_new(17);

	model_input(d, "m", DT_INT64, SCALAR);
	model_input(d, "x", DT_FLOAT, DIMS(-1));
	model_input(d, "limit", DT_FLOAT, SCALAR);
	node_graph(d, model_node(d, "Loop", "m - x", "end all"), "body", sum_body());
	model_output(d, "end");
	model_output(d, "all");
	return start(d);
}

Test(control, loop_carries_stacks_and_stops)
{
	struct rig k = sum_loop();
	struct tensor in[3] = { scalar(DT_INT64, 3), tensor_make(DT_FLOAT, DIMS(2), (double[]){ 1, 2 }, NULL),
		scalar(DT_FLOAT, 1000) };

	run(&k, in);
	expect_values(&k, 0, DIMS(2), (double[]){ 4, 8 });
	expect_values(&k, 1, DIMS(3, 2), (double[]){ 1, 2, 2, 4, 4, 8 });
	tensor_set(&in[2], 0, 3);
	run(&k, in);
	expect_values(&k, 0, DIMS(2), (double[]){ 2, 4 });
	expect_values(&k, 1, DIMS(2, 2), (double[]){ 1, 2, 2, 4 });
	tensor_set(&in[0], 0, 0);
	run(&k, in);
	expect_values(&k, 0, DIMS(2), (double[]){ 1, 2 });
	cr_expect_eq(runner_output(k.r, 1)->dims[0], 0);
	finish(&k);
	for (int i = 0; i < 3; i++)
		tensor_free(&in[i]);
}

/* Carried values may change their shape from trip to trip; a body inside the body reads what is two graphs out. */
Test(control, loop_of_growing_values_around_a_choice)
{
	struct document *d = model_new(17), *b = model_new(17);
	struct tensor in[2] = { scalar(DT_INT64, 3), tensor_make(DT_FLOAT, DIMS(1), (double[]){ 5 }, NULL) };
	struct rig k;

	model_input(b, "i", DT_INT64, SCALAR);
	model_input(b, "go", DT_BOOL, SCALAR);
	model_input(b, "s", DT_FLOAT, DIMS(-1));
	model_node(b, "Cast", "i", "odd");
	node_int(b, b->model->graph->node[0], "to", DT_BOOL);
	choice(b, "odd", "piece", branch("Identity", "x", "t"), branch("Neg", "x", "e"));
	model_node(b, "Concat", "s piece", "longer");
	node_int(b, b->model->graph->node[2], "axis", 0);
	model_node(b, "Identity", "go", "on");
	model_output(b, "on");
	model_output(b, "longer");
	model_input(d, "m", DT_INT64, SCALAR);
	model_input(d, "x", DT_FLOAT, DIMS(-1));
	node_graph(d, model_node(d, "Loop", "m - x", "y"), "body", b);
	model_output(d, "y");
	k = start(d);
	run(&k, in);
	expect_values(&k, 0, DIMS(4), (double[]){ 5, -5, 5, 5 });
	finish(&k);
	tensor_free(&in[0]);
	tensor_free(&in[1]);
}

/* Running sums of the columns of a, from the last on, stacked as columns from the last on. */
Test(control, scan_along_any_axis_either_way)
{
	struct document *d = model_new(17), *b = model_new(17);
	struct tensor in[2] = { tensor_make(DT_FLOAT, DIMS(2), (double[]){ 0, 100 }, NULL),
		tensor_make(DT_FLOAT, DIMS(2, 3), (double[]){ 1, 2, 3, 4, 5, 6 }, NULL) };
	Onnx__NodeProto *n;
	struct rig k;

	model_input(b, "s", DT_FLOAT, DIMS(-1));
	model_input(b, "c", DT_FLOAT, DIMS(-1));
	model_node(b, "Add", "s c", "next");
	model_node(b, "Identity", "next", "seen");
	model_output(b, "next");
	model_output(b, "seen");
	model_input(d, "s0", DT_FLOAT, DIMS(-1));
	model_input(d, "a", DT_FLOAT, DIMS(-1, -1));
	n = model_node(d, "Scan", "s0 a", "end all");
	node_graph(d, n, "body", b);
	node_int(d, n, "num_scan_inputs", 1);
	node_ints(d, n, "scan_input_axes", 1, (int64_t[]){ -1 });
	node_ints(d, n, "scan_input_directions", 1, (int64_t[]){ 1 });
	node_ints(d, n, "scan_output_axes", 1, (int64_t[]){ 1 });
	node_ints(d, n, "scan_output_directions", 1, (int64_t[]){ 1 });
	model_output(d, "end");
	model_output(d, "all");
	k = start(d);
	run(&k, in);
	expect_values(&k, 0, DIMS(2), (double[]){ 6, 115 });
	expect_values(&k, 1, DIMS(2, 3), (double[]){ 6, 5, 3, 115, 111, 106 });
	finish(&k);
	tensor_free(&in[0]);
	tensor_free(&in[1]);
}

/* A function whose body chooses: names of the function reach into the branches. */
Test(control, graphs_inside_functions)
{
	struct document *d = model_new(17), *f = model_new(17);
	struct tensor in[2] = { scalar(DT_BOOL, 1), tensor_make(DT_FLOAT, DIMS(2), (double[]){ 3, -4 }, NULL) };
	struct rig k;

	model_input(f, "c", DT_BOOL, SCALAR);
	model_input(f, "a", DT_FLOAT, DIMS(-1));
	model_node(f, "Mul", "a a", "q");
	choice(f, "c", "b", branch("Neg", "q", "t"), branch("Identity", "a", "e"));
	model_output(f, "b");
	model_function(d, "Choose", f);
	model_input(d, "c", DT_BOOL, SCALAR);
	model_input(d, "x", DT_FLOAT, DIMS(-1));
	model_call(d, "Choose", "c x", "q");
	model_call(d, "Choose", "c q", "y");
	model_output(d, "y");
	k = start(d);
	run(&k, in);
	expect_values(&k, 0, DIMS(2), (double[]){ -81, -256 });
	tensor_set(&in[0], 0, 0);
	run(&k, in);
	expect_values(&k, 0, DIMS(2), (double[]){ 3, -4 });
	finish(&k);
	tensor_free(&in[0]);
	tensor_free(&in[1]);
}

Test(control, runs_that_do_not_fit_are_refused)
{
	struct rig k = sum_loop();
	struct tensor in[3] = { scalar(DT_INT64, 1 << 20), tensor_make(DT_FLOAT, DIMS(1000), NULL, &(struct rng){ 1, 0 }),
		scalar(DT_FLOAT, 1e30) };

	k.d->max_memory = 1 << 20;
	cr_expect_eq(runner_run(k.r, in, NULL, &k.err), TAMIS_E_MEMORY, "%s", k.err.message);
	cr_expect(strstr(k.err.message, "the limit on memory"), "%s", k.err.message);
	finish(&k);
	for (int i = 0; i < 3; i++)
		tensor_free(&in[i]);
}

/* A Scan over a batch makes `made` for each of the two steps of an item that has `longest` of none. */
static struct rig batch_scan(const char *op, const char *made, int64_t longest, struct tensor *in)
{
	struct document *d = model_new(8), *b = model_new(8);
	Onnx__NodeProto *n;

	in[0] = tensor_make(DT_INT64, DIMS(1), (double[]){ 2 }, NULL);
	in[1] = tensor_make(DT_FLOAT, DIMS(1, longest, 0), (double[]){ 0 }, NULL);
	in[2] = tensor_make(DT_FLOAT, DIMS(1000), NULL, &(struct rng){ 1, 0 });
	model_input(b, "c", DT_FLOAT, DIMS(-1));
	model_node(b, op, made, "t");
	model_output(b, "t");
	model_input(d, "l", DT_INT64, DIMS(1));
	model_input(d, "a", DT_FLOAT, DIMS(1, -1, 0));
	model_input(d, "x", DT_FLOAT, DIMS(-1));
	n = model_node(d, "Scan", "l a", "y");
	node_graph(d, n, "body", b);
	node_int(d, n, "num_scan_inputs", 1);
	model_output(d, "y");
	return start(d);
}

/* What is made is as long as the longest item could be, which holds nothing and may have any length. */
Test(control, items_without_end_are_refused)
{
	static const struct { int64_t longest; enum tamis_status status; } rows[] = {
		{ 3, TAMIS_OK }, { (int64_t)1 << 30, TAMIS_E_MEMORY }, { (int64_t)1 << 62, TAMIS_E_INVALID },
		{ INT64_MAX, TAMIS_E_INVALID },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct tensor in[3];
		struct rig k = batch_scan("Identity", "x", rows[i].longest, in);

		k.d->max_memory = 1 << 20;
		cr_expect_eq(runner_run(k.r, in, NULL, &k.err), rows[i].status, "row %zu: %s", i, k.err.message);
		finish(&k);
		for (int j = 0; j < 3; j++)
			tensor_free(&in[j]);
	}
}

/* Values of no elements are stacked behind any number of nothing. */
Test(control, stacks_of_nothing_take_no_time)
{
	struct document *d = model_new(17), *b = model_new(17);
	struct tensor in[2] = { tensor_make(DT_FLOAT, DIMS(2, 1), (double[]){ 1, 2 }, NULL),
		tensor_make(DT_FLOAT, DIMS((int64_t)1 << 40, 0), (double[]){ 0 }, NULL) };
	Onnx__NodeProto *n;
	struct rig k;

	model_input(b, "c", DT_FLOAT, DIMS(-1));
	model_node(b, "Identity", "e", "t");
	model_output(b, "t");
	model_input(d, "a", DT_FLOAT, DIMS(-1, -1));
	model_input(d, "e", DT_FLOAT, DIMS(-1, -1));
	n = model_node(d, "Scan", "a", "y");
	node_graph(d, n, "body", b);
	node_int(d, n, "num_scan_inputs", 1);
	node_ints(d, n, "scan_output_axes", 1, (int64_t[]){ 1 });
	model_output(d, "y");
	k = start(d);
	run(&k, in);
	expect_values(&k, 0, DIMS((int64_t)1 << 40, 2, 0), NULL);
	finish(&k);
	tensor_free(&in[0]);
	tensor_free(&in[1]);
}

static void expect_unbuildable(struct document *d, enum tamis_status status, const char *words)
{
	struct tamis_error err = { 0 };
	struct graph *g;

	cr_expect_eq(graph_build(d, &op_table, &g, &err), status, "%s", err.message);
	cr_expect(strstr(err.message, words), "%s", err.message);
	doc_free(d);
}

Test(control, bodies_that_do_not_fit_are_refused)
{
	struct document *d = model_new(17), *e = model_new(17), *f = model_new(17), *b;

	model_input(d, "c", DT_BOOL, SCALAR);
	node_graph(d, model_node(d, "If", "c", "y"), "then_branch", branch("Not", "c", "t"));
	model_output(d, "y");
	expect_unbuildable(d, TAMIS_E_INVALID, "needs the attribute 'else_branch'");
	model_input(e, "m", DT_INT64, SCALAR);
	model_input(e, "x", DT_FLOAT, DIMS(-1));
	b = sum_body();
	node_graph(e, model_node(e, "Loop", "m -", "y"), "body", b);
	model_output(e, "y");
	expect_unbuildable(e, TAMIS_E_INVALID, "made by no node");
	model_input(f, "c", DT_BOOL, SCALAR);
	choice(f, "c", "y", branch("Not", "c", "t"), branch("Frobnicate", "c", "t"));
	model_output(f, "y");
	expect_unbuildable(f, TAMIS_E_UNSUPPORTED, "Frobnicate");
}

/* Carries one value through as it is; goes on for ever. */
static struct document *idle_body(void)
{
	struct document *b = model_new(17);

	model_input(b, "i", DT_INT64, SCALAR);
	model_input(b, "go", DT_BOOL, SCALAR);
	model_input(b, "s", DT_FLOAT, SCALAR);
	return b;
}

/* 600 trips of 600 each: neither loop is long alone. */
Test(control, trips_of_all_loops_together_are_bounded)
{
	struct document *d = model_new(17), *outer = idle_body(), *inner = idle_body();
	struct tensor in[2] = { scalar(DT_INT64, 600), scalar(DT_FLOAT, 1) };
	struct rig k;

	model_node(inner, "Identity", "go", "on");
	model_node(inner, "Neg", "s", "t");
	model_output(inner, "on");
	model_output(inner, "t");
	model_node(outer, "Identity", "go", "on");
	node_graph(outer, model_node(outer, "Loop", "m - s", "t"), "body", inner);
	model_output(outer, "on");
	model_output(outer, "t");
	model_input(d, "m", DT_INT64, SCALAR);
	model_input(d, "x", DT_FLOAT, SCALAR);
	node_graph(d, model_node(d, "Loop", "m - x", "y"), "body", outer);
	model_output(d, "y");
	k = start(d);
	cr_expect_eq(runner_run(k.r, in, NULL, &k.err), TAMIS_E_UNSUPPORTED);
	cr_expect(strstr(k.err.message, "has not ended after 262144 trips"), "%s", k.err.message);
	tensor_set(&in[0], 0, 3);
	run(&k, in);
	expect_values(&k, 0, SCALAR, (double[]){ -1 });
	cr_expect_eq(runner_trips(k.r), 3 + 9);
	finish(&k);
	tensor_free(&in[0]);
	tensor_free(&in[1]);
}

Test(control, nesting_is_bounded)
{
	struct document *b = branch("Not", "c", "t");

	for (int i = 0; i < 40; i++) {
		struct document *outer = model_new(17);

		choice(outer, "c", "t", b, branch("Not", "c", "t"));
		model_output(outer, "t");
		b = outer;
	}
	model_input(b, "c", DT_BOOL, SCALAR);
	expect_unbuildable(b, TAMIS_E_UNSUPPORTED, "nested deeper than 32");
}
