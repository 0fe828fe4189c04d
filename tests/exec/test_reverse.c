/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients of whole random networks, for inputs, constants and everything between, against central differences of
 * evaluation node by node; which paths are walked; what happens where a gradient cannot pass. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exec/runner.h"
#include "nested.h"
#include "ops/table.h"
#include "random.h"

struct rig {
	struct document *d;
	struct graph *g;
	struct program *p;
	struct runner *r;
	struct tamis_error err;
	struct tensor *seed;  /* by graph output */
	struct tensor *grad;  /* by value, copied from the hook */
	int *order, n_order;  /* of the hook's calls */
	bool *watch;
	int stopped[8], n_stopped;
	enum tamis_status answer;
};

static void must(enum tamis_status s, const struct rig *k)
{
	cr_assert_eq(s, TAMIS_OK, "%s: %s: %s", k->err.node, k->err.tensor, k->err.message);
}

static struct rig start(struct document *d)
{
	struct program_options options = { .training = true };
	struct rig k = { .d = d, .g = model_graph(d) };

	must(program_create(k.g, &options, &k.p, &k.err), &k);
	must(runner_create(k.p, &k.r, &k.err), &k);
	k.seed = calloc((size_t)k.g->n_outputs, sizeof *k.seed);
	k.grad = calloc((size_t)k.g->n_values, sizeof *k.grad);
	k.order = calloc((size_t)k.g->n_values, sizeof *k.order);
	k.watch = calloc((size_t)k.g->n_values, sizeof *k.watch);
	return k;
}

static void drop_gradients(struct rig *k)
{
	for (int v = 0; v < k->g->n_values; v++)
		tensor_free(&k->grad[v]);
	k->n_order = k->n_stopped = 0;
}

static void drop_seeds(struct rig *k)
{
	for (int i = 0; i < k->g->n_outputs; i++)
		tensor_free(&k->seed[i]);
}

static void finish(struct rig *k)
{
	drop_gradients(k);
	drop_seeds(k);
	free(k->seed);
	free(k->grad);
	free(k->order);
	free(k->watch);
	runner_free(k->r);
	program_free(k->p);
	graph_free(k->g);
	doc_free(k->d);
}

static enum tamis_status keep(void *ctx, int value, const struct tensor *gradient, struct tamis_error *err)
{
	struct rig *k = ctx;
	struct tensor *copy = &k->grad[value];

	cr_assert(k->watch[value], "'%s' is not watched", k->g->values[value].name);
	cr_assert_null(copy->data, "'%s' is reported twice", k->g->values[value].name);
	*copy = *gradient;
	copy->data = NULL;
	cr_assert_eq(tensor_alloc(copy, NULL), TAMIS_OK);
	memcpy(copy->data, gradient->data, tensor_bytes(gradient));
	k->order[k->n_order++] = value;
	return k->answer == TAMIS_OK ? TAMIS_OK : tm_fail(err, k->answer, "enough");
}

static void stopped(void *ctx, int node)
{
	struct rig *k = ctx;

	k->stopped[k->n_stopped++ % 8] = node;
}

static struct run_hooks hooks(struct rig *k, bool tolerant)
{
	return (struct run_hooks){ .ctx = k, .watch_grad = k->watch, .grad = keep, .no_reverse = tolerant ? stopped : NULL };
}

/* Forward, then random seeds at all outputs, then back. */
static void run(struct rig *k, const struct tensor *in, uint64_t seed)
{
	struct run_hooks h = hooks(k, false);
	struct rng r = rng_make(seed, 3);

	must(runner_run(k->r, in, NULL, &k->err), k);
	drop_seeds(k);
	for (int i = 0; i < k->g->n_outputs; i++) {
		const struct tensor *out = runner_output(k->r, i);

		k->seed[i] = tensor_make(out->type, out->rank, out->dims, NULL, &r);
	}
	drop_gradients(k);
	must(runner_reverse(k->r, k->seed, &h, &k->err), k);
}

/* ---- against central differences ------------------------------------------------------------------------------ */

static double loss(const struct rig *k, const struct tensor *in, const struct nudge *nudge)
{
	bool *owned;
	struct tensor *values = evaluate(k->g, in, nudge, &owned);
	double sum = 0;

	for (int i = 0; i < k->g->n_outputs; i++)
		for (int64_t e = 0; e < k->seed[i].count; e++)
			sum += tensor_get(&k->seed[i], e) * tensor_get(&values[k->g->outputs[i]], e);
	evaluated_free(k->g, values, owned);
	return sum;
}

/* What a caller can change directly: an input or a constant; NULL for what nodes make. */
static struct tensor *source(const struct rig *k, struct tensor *in, int v)
{
	for (int i = 0; i < k->g->n_inputs; i++)
		if (k->g->inputs[i] == v)
			return &in[i];
	return k->g->values[v].kind == VALUE_CONSTANT ? &k->g->values[v].constant : NULL;
}

static double difference(const struct rig *k, struct tensor *in, int v, int64_t element)
{
	struct tensor *t = source(k, in, v);
	double h = 1e-5, at[2], old = t ? tensor_get(t, element) : 0;

	for (int i = 0; i < 2; i++) {
		struct nudge n = { v, element, i ? -h : h };

		if (t)
			tensor_set(t, element, old + n.by);
		at[i] = loss(k, in, t ? NULL : &n);
	}
	if (t)
		tensor_set(t, element, old);
	return (at[0] - at[1]) / (2 * h);
}

static void check_value(const struct rig *k, struct tensor *in, int v, uint64_t seed)
{
	const struct tensor *g = &k->grad[v], *t = runner_value(k->r, v);
	struct rng r = rng_make(seed, (uint64_t)v);

	if (!t || t->type != DT_DOUBLE || !t->count)
		return;
	cr_assert(!g->data || (g->type == DT_DOUBLE && tensor_same_shape(g, t)), "seed %llu", (unsigned long long)seed);
	for (int i = 0; i < 2; i++) {
		int64_t e = (int64_t)rng_below(&r, (uint64_t)t->count);
		double got = g->data ? tensor_get(g, e) : 0, want = difference(k, in, v, e);

		cr_assert(fabs(got - want) <= 2e-7 * fmax(1, fabs(want)), "seed %llu: gradient of '%s'[%lld] is %.12g, not %.12g",
		          (unsigned long long)seed, k->g->values[v].name, (long long)e, got, want);
	}
}

/* Made values are complete when their producer is reached, from the last to the first; the rest come in order of id. */
static void check_order(const struct rig *k)
{
	int i = 1;

	for (; i < k->n_order && k->g->values[k->order[i]].kind == VALUE_NODE; i++)
		cr_assert_leq(k->g->values[k->order[i]].producer, k->g->values[k->order[i - 1]].producer);
	for (i++; i < k->n_order; i++) {
		cr_assert_neq(k->g->values[k->order[i]].kind, VALUE_NODE);
		cr_assert_gt(k->order[i], k->order[i - 1]);
	}
}

Test(reverse, random_networks)
{
	int watched = 0;

	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct rig k = start(random_model(seed, 3 + (int)(seed % 22), DT_DOUBLE, true));
		struct tensor in[2];

		random_inputs(seed, DT_DOUBLE, 2, in);
		memset(k.watch, true, (size_t)k.g->n_values);
		run(&k, in, seed);
		check_order(&k);
		watched += k.n_order;
		for (int v = 0; v < k.g->n_values; v++)
			check_value(&k, in, v, seed);
		tensor_free(&in[0]);
		tensor_free(&in[1]);
		finish(&k);
	}
	cr_expect_gt(watched, 600, "only %d gradients", watched);
}

/* Watching little gives the same bits as watching everything, also when the list changes in place between calls. */
Test(reverse, gradients_do_not_depend_on_what_else_is_watched)
{
	for (uint64_t seed = 100; seed < 130; seed++) {
		struct rig k = start(random_model(seed, 12, DT_FLOAT, true));
		struct rng r = rng_make(seed, 9);
		struct tensor in[2], *all;

		random_inputs(seed, DT_FLOAT, 3, in);
		memset(k.watch, true, (size_t)k.g->n_values);
		run(&k, in, seed);
		all = k.grad;
		k.grad = calloc((size_t)k.g->n_values, sizeof *k.grad);
		for (int round = 0; round < 4; round++) {
			for (int v = 0; v < k.g->n_values; v++)
				k.watch[v] = round && rng_below(&r, 4) == 0;
			run(&k, in, seed);
			for (int v = 0; v < k.g->n_values; v++) {
				cr_assert_eq(k.grad[v].data != NULL, k.watch[v] && all[v].data, "seed %llu", (unsigned long long)seed);
				cr_assert(!k.grad[v].data || tensor_equal(&k.grad[v], &all[v]), "seed %llu", (unsigned long long)seed);
			}
		}
		for (int v = 0; v < k.g->n_values; v++)
			tensor_free(&all[v]);
		free(all);
		tensor_free(&in[0]);
		tensor_free(&in[1]);
		finish(&k);
	}
}

/* ---- where gradients do not pass ------------------------------------------------------------------------------- */

/* y = NonReversible(x) * w + x */
static struct rig stubborn(const char *op)
{
	struct document *d = model_new(13);
	struct rng r = rng_make(1, 0);

	cr_assert_null(op_find(&op_table, "", op, 13)->reverse, "%s has a reverse now: take another operator", op);
	model_input(d, "x", DT_FLOAT, DIMS(2, 3));
	model_constant(d, "w", DT_FLOAT, DIMS(2, 3), NULL, &r);
	model_node(d, op, "x", "a");
	model_node(d, "Mul", "a w", "b");
	model_node(d, "Add", "b x", "y");
	model_output(d, "y");
	return start(d);
}

#define NO_REVERSE "Hardmax"

Test(reverse, unwatched_paths_are_not_walked)
{
	struct rig k = stubborn(NO_REVERSE);
	struct tensor in[1] = { tensor_make(DT_FLOAT, DIMS(2, 3), NULL, &(struct rng){ 3, 0 }) };
	int w = graph_find(k.g, "w");

	k.watch[w] = true;
	run(&k, in, 1);
	cr_expect_eq(k.n_order, 1);
	for (int64_t i = 0; i < 6; i++)
		cr_expect_eq(tensor_get(&k.grad[w], i), tensor_get(&k.seed[0], i) * tensor_get(runner_value(k.r, graph_find(k.g, "a")), i));
	finish(&k);
	tensor_free(in);
}

Test(reverse, operators_without_reverse)
{
	struct rig k = stubborn(NO_REVERSE);
	struct tensor in[1] = { tensor_make(DT_FLOAT, DIMS(2, 3), NULL, &(struct rng){ 3, 0 }) };
	struct run_hooks strict = hooks(&k, false), tolerant = hooks(&k, true);
	struct tamis_error err = { 0 };
	int w = graph_find(k.g, "w"), x = graph_find(k.g, "x");

	k.watch[w] = true;
	run(&k, in, 1);
	k.watch[x] = true;
	drop_gradients(&k);
	cr_expect_eq(runner_reverse(k.r, k.seed, &strict, &err), TAMIS_E_UNSUPPORTED);
	cr_expect_str_eq(err.message, NO_REVERSE " has no reverse");
	cr_expect_str_eq(err.node, "#0 (" NO_REVERSE ")");
	drop_gradients(&k);
	must(runner_reverse(k.r, k.seed, &tolerant, &k.err), &k);
	cr_expect(k.n_stopped == 1 && k.stopped[0] == 0);
	cr_expect(tensor_equal(&k.grad[x], &k.seed[0]), "what comes by the other way is all there is");
	cr_expect_not_null(k.grad[w].data);
	finish(&k);
	tensor_free(in);
}

/* An integer on the way ends it silently: there is nothing to differentiate, so no reverse is missed. */
Test(reverse, integers_end_a_path)
{
	struct document *d = model_new(17);
	struct tensor in[1] = { tensor_make(DT_FLOAT, DIMS(5), (double[]){ 1, 2, 0, 9, 3 }, NULL) };
	struct rig k;

	model_input(d, "x", DT_FLOAT, DIMS(5));
	model_constant(d, "w", DT_FLOAT, DIMS(1), (double[]){ 2 }, NULL);
	node_int(d, model_node(d, "ArgMax", "x", "i"), "keepdims", 0);
	model_node(d, "HannWindow", "i", "g");
	cr_assert_null(op_find(&op_table, "", "HannWindow", 17)->reverse, "take another operator");
	model_node(d, "Mul", "g w", "y");
	model_output(d, "y");
	k = start(d);
	k.watch[graph_find(k.g, "x")] = k.watch[graph_find(k.g, "w")] = true;
	run(&k, in, 1);
	cr_expect_eq(k.seed[0].count, 3);
	cr_expect_eq(k.n_order, 1);
	cr_expect_not_null(k.grad[graph_find(k.g, "w")].data);
	finish(&k);
	tensor_free(in);
}

Test(reverse, outputs_that_are_inputs_constants_and_read_on)
{
	struct document *d = model_new(13);
	struct tensor in[1] = { tensor_make(DT_FLOAT, DIMS(3), NULL, &(struct rng){ 3, 0 }) };
	struct rig k;

	model_input(d, "x", DT_FLOAT, DIMS(3));
	model_constant(d, "w", DT_FLOAT, DIMS(3), NULL, &(struct rng){ 1, 0 });
	model_node(d, "Mul", "x x", "y");
	model_node(d, "Mul", "y w", "z");
	for (int i = 0; i < 4; i++)
		model_output(d, (const char *[]){ "x", "w", "y", "z" }[i]);
	k = start(d);
	memset(k.watch, true, (size_t)k.g->n_values);
	run(&k, in, 1);
	for (int64_t i = 0; i < 3; i++) {
		double x = tensor_get(in, i), w = tensor_get(&k.g->values[graph_find(k.g, "w")].constant, i), s[4];

		for (int o = 0; o < 4; o++)
			s[o] = tensor_get(&k.seed[o], i);
		cr_expect_float_eq(tensor_get(&k.grad[graph_find(k.g, "y")], i), s[2] + w * s[3], 1e-6);
		cr_expect_float_eq(tensor_get(&k.grad[graph_find(k.g, "x")], i), s[0] + 2 * x * (s[2] + w * s[3]), 1e-6);
		cr_expect_float_eq(tensor_get(&k.grad[graph_find(k.g, "w")], i), s[1] + x * x * s[3], 1e-6);
	}
	drop_gradients(&k);
	tensor_free(&k.seed[3]); /* no data = zero */
	struct run_hooks h = hooks(&k, false);
	must(runner_reverse(k.r, k.seed, &h, &k.err), &k);
	cr_expect_float_eq(tensor_get(&k.grad[graph_find(k.g, "y")], 0), tensor_get(&k.seed[2], 0), 1e-6);
	finish(&k);
	tensor_free(in);
}

/* Half values have FLOAT gradients, those of the float model up to the rounding of the values. */
Test(reverse, half_values)
{
	struct tensor grad[3];
	static const enum dtype types[] = { DT_FLOAT, DT_FLOAT16, DT_BFLOAT16 };

	for (int i = 0; i < 3; i++) {
		struct document *d = model_new(13);
		struct tensor in[1] = { tensor_make(types[i], DIMS(4, 5), NULL, &(struct rng){ 3, 0 }) };
		struct run_hooks h;
		struct rig k;

		model_input(d, "x", types[i], DIMS(4, 5));
		model_constant(d, "w", types[i], DIMS(5, 6), NULL, &(struct rng){ 1, 0 });
		model_node(d, "MatMul", "x w", "a");
		model_node(d, "Tanh", "a", "b");
		model_node(d, "Identity", "b", "y");
		model_output(d, "y");
		k = start(d);
		k.watch[graph_find(k.g, "w")] = true;
		must(runner_run(k.r, in, NULL, &k.err), &k);
		k.seed[0] = tensor_make(DT_FLOAT, DIMS(4, 6), NULL, &(struct rng){ 8, 0 });
		h = hooks(&k, false);
		must(runner_reverse(k.r, k.seed, &h, &k.err), &k);
		grad[i] = k.grad[graph_find(k.g, "w")];
		cr_assert_eq(grad[i].type, DT_FLOAT);
		k.grad[graph_find(k.g, "w")].data = NULL;
		finish(&k);
		tensor_free(in);
	}
	for (int64_t e = 0; e < grad[0].count; e++) {
		cr_expect_float_eq(tensor_get(&grad[1], e), tensor_get(&grad[0], e), 0.01);
		cr_expect_float_eq(tensor_get(&grad[2], e), tensor_get(&grad[0], e), 0.08);
	}
	for (int i = 0; i < 3; i++)
		tensor_free(&grad[i]);
}

Test(reverse, misuse_and_errors)
{
	struct rig k = start(random_model(7, 10, DT_FLOAT, true));
	struct program_options forward = { .merge_norms = false };
	struct run_hooks h = hooks(&k, false);
	struct tamis_error err = { 0 };
	struct tensor in[2], kept;
	struct program *p = NULL;
	struct runner *r = NULL;
	int first;

	cr_expect_eq(runner_reverse(k.r, k.seed, &h, &err), TAMIS_E_INTERNAL, "nothing has run yet");
	random_inputs(1, DT_FLOAT, 2, in);
	memset(k.watch, true, (size_t)k.g->n_values);
	run(&k, in, 1);
	first = k.n_order;
	must(program_create(k.g, &forward, &p, &k.err), &k);
	must(runner_create(p, &r, &k.err), &k);
	must(runner_run(r, in, NULL, &k.err), &k);
	cr_expect_eq(runner_reverse(r, k.seed, &h, &err), TAMIS_E_INTERNAL, "values are gone in a forward program");
	cr_expect_eq(runner_reverse(k.r, k.seed, NULL, NULL), TAMIS_OK, "nobody watches");
	cr_expect_eq(runner_reverse(k.r, k.seed, &(struct run_hooks){ .ctx = NULL }, NULL), TAMIS_OK);
	kept = k.seed[0];
	k.seed[0].count++;
	drop_gradients(&k);
	cr_expect_eq(runner_reverse(k.r, k.seed, &h, &err), TAMIS_E_INTERNAL, "a seed of another size");
	k.seed[0] = kept;
	k.answer = TAMIS_E_CANCELLED;
	drop_gradients(&k);
	memset(&err, 0, sizeof err);
	cr_expect_eq(runner_reverse(k.r, k.seed, &h, &err), TAMIS_E_CANCELLED);
	cr_expect_str_eq(err.message, "enough");
	cr_expect_eq(k.n_order, 1);
	k.answer = TAMIS_OK;
	drop_gradients(&k);
	must(runner_reverse(k.r, k.seed, &h, &k.err), &k);
	cr_expect_eq(k.n_order, first, "a reverse pass that failed leaves nothing behind");
	runner_free(r);
	program_free(p);
	tensor_free(&in[0]);
	tensor_free(&in[1]);
	finish(&k);
}

/* ---- through bodies --------------------------------------------------------------------------------------------- */

static struct document *branch(const char *op, const char *inputs)
{
	struct document *b = model_new(17);

	model_node(b, op, inputs, "made");
	model_node(b, "Sigmoid", "made", "t");
	model_output(b, "t");
	return b;
}

/* y = exp(c ? sigmoid(tanh(x) w) : sigmoid(tanh(x) / w)). */
static struct document *choice(void)
{
	struct document *d = model_new(17);
	Onnx__NodeProto *n;

	model_input(d, "c", DT_BOOL, SCALAR);
	model_input(d, "x", DT_DOUBLE, DIMS(-1));
	model_input(d, "w", DT_DOUBLE, DIMS(-1));
	model_node(d, "Tanh", "x", "n");
	n = model_node(d, "If", "c", "z");
	node_graph(d, n, "then_branch", branch("Mul", "n w"));
	node_graph(d, n, "else_branch", branch("Div", "n w"));
	model_node(d, "Exp", "z", "y");
	model_output(d, "y");
	return d;
}

static double weighed(struct rig *k, const struct tensor *in)
{
	double sum = 0;

	must(runner_run(k->r, in, NULL, &k->err), k);
	for (int i = 0; i < k->g->n_outputs; i++)
		for (int64_t e = 0; e < k->seed[i].count; e++)
			sum += tensor_get(&k->seed[i], e) * tensor_get(runner_output(k->r, i), e);
	return sum;
}

/* The gradients of all inputs of type DOUBLE against central differences of the run itself; frees everything. */
static void check_inputs(struct document *d, struct tensor *in, const char *what)
{
	struct rig k = start(d);

	memset(k.watch, true, (size_t)k.g->n_values);
	run(&k, in, 5);
	for (int i = 0; i < k.g->n_inputs; i++) {
		const struct tensor *g = &k.grad[k.g->inputs[i]];

		for (int64_t e = 0; in[i].type == DT_DOUBLE && e < in[i].count; e++) {
			double old = tensor_get(&in[i], e), h = 1e-5, rise;

			tensor_set(&in[i], e, old + h);
			rise = weighed(&k, in);
			tensor_set(&in[i], e, old - h);
			rise -= weighed(&k, in);
			tensor_set(&in[i], e, old);
			cr_expect_float_eq(g->data ? tensor_get(g, e) : 0, rise / (2 * h), 1e-8, "%s: input %d", what, i);
		}
	}
	for (int i = 0; i < k.g->n_inputs; i++)
		tensor_free(&in[i]);
	finish(&k);
}

static struct tensor doubles(int n, const double *values)
{
	return tensor_make(DT_DOUBLE, 1, (int64_t[]){ n }, values, NULL);
}

Test(reverse, passes_the_branch_that_ran)
{
	for (int c = 0; c < 2; c++) {
		struct tensor in[3] = { tensor_make(DT_BOOL, SCALAR, (double[]){ c }, NULL),
			doubles(3, (double[]){ 0.3, -0.7, 1.1 }), doubles(3, (double[]){ 1.5, 0.6, -0.9 }) };

		check_inputs(choice(), in, c ? "then" : "else");
	}
}

/* s = tanh(s w) + x is carried, and a list of all s, longer with each trip; sin(s) is stacked. Ends when max(s) is at
 * the limit. */
static struct document *loop(void)
{
	struct document *d = model_new(17), *b = model_new(17);

	model_input(b, "i", DT_INT64, SCALAR);
	model_input(b, "go", DT_BOOL, SCALAR);
	model_input(b, "s", DT_DOUBLE, DIMS(-1));
	model_input(b, "list", DT_DOUBLE, DIMS(-1));
	model_node(b, "Mul", "s w", "p");
	model_node(b, "Tanh", "p", "q");
	model_node(b, "Add", "q x", "next");
	node_int(b, model_node(b, "Concat", "list next", "longer"), "axis", 0);
	model_node(b, "Sin", "next", "seen");
	node_int(b, model_node(b, "ReduceMax", "next", "most"), "keepdims", 0);
	model_node(b, "Less", "most limit", "on");
	for (int i = 0; i < 4; i++)
		model_output(b, (const char *[]){ "on", "next", "longer", "seen" }[i]);
	model_input(d, "m", DT_INT64, SCALAR);
	model_input(d, "limit", DT_DOUBLE, SCALAR);
	model_input(d, "x", DT_DOUBLE, DIMS(-1));
	model_input(d, "w", DT_DOUBLE, DIMS(-1));
	node_graph(d, model_node(d, "Loop", "m - x w", "end list all"), "body", b);
	model_output(d, "end");
	model_output(d, "list");
	model_output(d, "all");
	return d;
}

Test(reverse, passes_every_trip_of_a_loop)
{
	static const struct { double trips, limit; const char *what; } cases[] = { { 0, 9, "no trip" }, { 1, 9, "one trip" },
		{ 4, 9, "four trips" }, { 100, 1.6, "as long as it says" } };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct tensor in[4] = { tensor_make(DT_INT64, SCALAR, &cases[i].trips, NULL),
			tensor_make(DT_DOUBLE, SCALAR, &cases[i].limit, NULL), doubles(3, (double[]){ 0.3, -0.7, 1.1 }),
			doubles(3, (double[]){ 1.5, 0.6, -0.9 }) };

		check_inputs(loop(), in, cases[i].what);
	}
}

/* s = tanh(s c) + w over the columns c of a, cos(s) stacked as columns; both ways. */
static struct document *scan(int64_t back_in, int64_t back_out)
{
	struct document *d = model_new(17), *b = model_new(17);
	Onnx__NodeProto *n;

	model_input(b, "s", DT_DOUBLE, DIMS(-1));
	model_input(b, "c", DT_DOUBLE, DIMS(-1));
	model_node(b, "Mul", "s c", "p");
	model_node(b, "Tanh", "p", "q");
	model_node(b, "Add", "q w", "next");
	model_node(b, "Cos", "next", "seen");
	model_output(b, "next");
	model_output(b, "seen");
	model_input(d, "s0", DT_DOUBLE, DIMS(-1));
	model_input(d, "a", DT_DOUBLE, DIMS(-1, -1));
	model_input(d, "w", DT_DOUBLE, DIMS(-1));
	n = model_node(d, "Scan", "s0 a", "end all");
	node_graph(d, n, "body", b);
	node_int(d, n, "num_scan_inputs", 1);
	node_ints(d, n, "scan_input_axes", 1, (int64_t[]){ -1 });
	node_ints(d, n, "scan_input_directions", 1, &back_in);
	node_ints(d, n, "scan_output_axes", 1, (int64_t[]){ 1 });
	node_ints(d, n, "scan_output_directions", 1, &back_out);
	model_output(d, "end");
	model_output(d, "all");
	return d;
}

Test(reverse, passes_every_part_of_a_scan)
{
	for (int k = 0; k < 4; k++) {
		struct tensor in[3] = { doubles(2, (double[]){ 0.4, -1.2 }),
			tensor_make(DT_DOUBLE, DIMS(2, 3), (double[]){ 0.3, -0.7, 1.1, 0.9, 1.4, -0.2 }, NULL),
			doubles(2, (double[]){ 0.8, -0.5 }) };

		check_inputs(scan(k % 2, k / 2), in, k % 2 ? "backwards" : "forwards");
	}
}
