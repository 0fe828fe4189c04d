/* SPDX-License-Identifier: Apache-2.0 */
/* Programs whose zeros are held give the outputs and gradients of plain ones: random stacks of convolutions and products,
 * most of whose weights are zero. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/runner.h"
#include "model.h"
#include "ops/sparse.h"

#define TOLERANCE 2e-5 /* of the largest element */

enum { SIDE = 9, DEEPEST = 4 };

struct maker {
	struct document *d;
	struct rng r;
	char x[16];
	int64_t channels, height, width;
	int names;
};

static int below(struct maker *m, int n)
{
	return (int)rng_below(&m->r, (uint64_t)n);
}

/* A constant, all of whose entries but one in `share` (0: none is) are zero. */
static const char *constant(struct maker *m, char name[16], int share, int rank, const int64_t *dims)
{
	struct tensor t = tensor_make(DT_FLOAT, rank, dims, NULL, &m->r);
	double *values = calloc((size_t)t.count, sizeof *values);

	for (int64_t i = 0; i < t.count; i++)
		values[i] = share == 0 || below(m, share) == 0 ? tensor_get(&t, i) : 0;
	snprintf(name, 16, "c%d", m->names++);
	model_constant(m->d, name, DT_FLOAT, rank, dims, values, &m->r);
	tensor_free(&t);
	free(values);
	return name;
}

static Onnx__NodeProto *apply(struct maker *m, const char *op, const char *second, const char *third)
{
	char in[64], out[16];
	Onnx__NodeProto *n;

	snprintf(in, sizeof in, "%s %s %s", m->x, second, third);
	snprintf(out, sizeof out, "t%d", m->names++);
	n = model_node(m->d, op, in, out);
	strcpy(m->x, out);
	return n;
}

static int share_of(struct maker *m)
{
	static const int shares[] = { 20, 20, 60, 1000, 3 };

	return shares[below(m, 5)];
}

static void convolve(struct maker *m)
{
	int64_t groups = m->channels % 2 == 0 && below(m, 3) == 0 ? 2 : 1, maps = groups * (1 + below(m, 7));
	int64_t k[2] = { 1 + below(m, 3), 1 + below(m, 3) }, by[2] = { 1 + below(m, 2), 1 + below(m, 2) };
	int64_t pads[4] = { below(m, 3), below(m, 3), below(m, 3), below(m, 3) }, stride = 1 + (below(m, 6) == 0);
	int64_t height = m->height + pads[0] + pads[2] - (k[0] - 1) * by[0];
	int64_t width = m->width + pads[1] + pads[3] - (k[1] - 1) * by[1];
	char w[16], b[16] = "";
	Onnx__NodeProto *n;

	if (height < 1 || width < 1)
		return;
	constant(m, w, share_of(m), DIMS(maps, m->channels / groups, k[0], k[1]));
	if (below(m, 2))
		constant(m, b, 0, DIMS(maps));
	n = apply(m, "Conv", w, b);
	node_ints(m->d, n, "pads", 4, pads);
	node_ints(m->d, n, "dilations", 2, by);
	node_ints(m->d, n, "strides", 2, (int64_t[]){ stride, stride });
	node_int(m->d, n, "group", groups);
	m->channels = maps;
	m->height = (height + stride - 1) / stride;
	m->width = (width + stride - 1) / stride;
}

static void gemm(struct maker *m)
{
	bool turned = below(m, 2);
	int64_t outs = 1 + below(m, 60);
	char w[16], b[16] = "";
	Onnx__NodeProto *n;

	constant(m, w, share_of(m), DIMS(turned ? outs : m->channels, turned ? m->channels : outs));
	if (below(m, 3))
		constant(m, b, 0, DIMS(outs));
	n = apply(m, "Gemm", w, b);
	node_int(m->d, n, "transB", turned);
	if (below(m, 8) == 0)
		node_float(m->d, n, "alpha", 0.5);
	m->channels = outs;
}

static void matmul(struct maker *m)
{
	int64_t outs = 1 + below(m, 60);
	char w[16];

	apply(m, "MatMul", constant(m, w, share_of(m), DIMS(m->channels, outs)), "");
	m->channels = outs;
}

/* Sums through sines: gradients that differ from item to item. */
static struct document *network(uint64_t seed)
{
	struct maker m = { .d = model_new(17), .x = "x", .channels = 3, .height = SIDE, .width = SIDE };

	m.r = rng_make(seed, 0);
	model_input(m.d, "x", DT_FLOAT, DIMS(-1, 3, SIDE, SIDE));
	for (int i = below(&m, DEEPEST); i > 0; i--) {
		convolve(&m);
		apply(&m, "Sin", "", "");
	}
	apply(&m, "Flatten", "", "");
	m.channels *= m.height * m.width;
	for (int i = 1 + below(&m, DEEPEST); i > 0; i--) {
		(below(&m, 2) ? gemm : matmul)(&m);
		apply(&m, "Sin", "", "");
	}
	model_output(m.d, m.x);
	return m.d;
}

/* ---- one run of each ------------------------------------------------------------------------------------------- */

struct side {
	const struct graph *graph;
	struct program *program;
	struct runner *runner;
	struct tensor *gradient; /* by value */
	struct tamis_error err;
};

static struct side open_side(const struct graph *g, bool held)
{
	struct program_options options = { .training = true, .held_zeros = held };
	struct side s = { .graph = g };

	cr_assert_eq(program_create(g, &options, &s.program, &s.err), TAMIS_OK, "%s", s.err.message);
	cr_assert_eq(runner_create(s.program, &s.runner, &s.err), TAMIS_OK, "%s", s.err.message);
	s.gradient = calloc((size_t)g->n_values, sizeof *s.gradient);
	return s;
}

static void drop_gradients(struct side *s)
{
	for (int v = 0; v < s->graph->n_values; v++)
		tensor_free(&s->gradient[v]);
}

static void close_side(struct side *s)
{
	drop_gradients(s);
	free(s->gradient);
	runner_free(s->runner);
	program_free(s->program);
}

static enum tamis_status keep(void *ctx, int value, const struct tensor *gradient, struct tamis_error *err)
{
	struct side *s = ctx;

	s->gradient[value] = *gradient;
	s->gradient[value].data = NULL;
	if (tensor_alloc(&s->gradient[value], err) == TAMIS_OK)
		memcpy(s->gradient[value].data, gradient->data, tensor_bytes(gradient));
	return TAMIS_OK;
}

static void must(enum tamis_status status, const struct side *s, uint64_t seed)
{
	cr_assert_eq(status, TAMIS_OK, "seed %llu: %s", (unsigned long long)seed, s->err.message);
}

static void run(struct side *s, const struct tensor *in, const bool *watch, uint64_t seed)
{
	struct run_hooks hooks = { .ctx = s, .watch_grad = watch, .grad = keep };
	struct rng r = rng_make(seed, 2);
	const struct tensor *y;
	struct tensor slope;

	drop_gradients(s);
	must(runner_run(s->runner, in, NULL, &s->err), s, seed);
	y = runner_output(s->runner, 0);
	slope = tensor_make(DT_FLOAT, y->rank, y->dims, NULL, &r);
	must(runner_reverse(s->runner, &slope, &hooks, &s->err), s, seed);
	tensor_free(&slope);
}

/* Where `weight` is zero only the plain program has a gradient. */
static void same(const struct tensor *want, const struct tensor *got, const struct tensor *weight, uint64_t seed)
{
	double largest = 1e-3;

	cr_assert(want->type == got->type && tensor_same_shape(want, got), "seed %llu", (unsigned long long)seed);
	for (int64_t i = 0; i < want->count; i++)
		largest = fmax(largest, fabs(tensor_get(want, i)));
	for (int64_t i = 0; i < want->count; i++) {
		double expected = tensor_get(want, i), is = tensor_get(got, i);

		if (weight && tensor_get(weight, i) == 0 && is == 0)
			continue;
		cr_assert(fabs(expected - is) <= TOLERANCE * largest, "seed %llu, element %lld: %g, not %g",
		          (unsigned long long)seed, (long long)i, is, expected);
	}
}

static void compare(struct side *plain, struct side *held, const bool *watch, int64_t items, uint64_t seed)
{
	const struct graph *g = plain->graph;
	struct rng r = rng_make(seed, 1);
	struct tensor in = tensor_make(DT_FLOAT, DIMS(items, 3, SIDE, SIDE), NULL, &r);

	run(plain, &in, watch, seed);
	run(held, &in, watch, seed);
	same(runner_output(plain->runner, 0), runner_output(held->runner, 0), NULL, seed);
	for (int v = 0; v < g->n_values; v++)
		if (plain->gradient[v].data)
			same(&plain->gradient[v], &held->gradient[v],
			     g->values[v].kind == VALUE_CONSTANT ? &g->values[v].constant : NULL, seed);
	tensor_free(&in);
}

static int replaced(const struct program *p)
{
	int n = 0;

	for (int i = 0; i < p->n_steps; i++)
		n += p->steps[i].node->op == &sparse_product;
	return n;
}

/* Values of a pattern change under a program that knows the pattern. */
static void change_values(struct graph *g)
{
	for (int v = 0; v < g->n_values; v++)
		for (int64_t i = 0; g->values[v].kind == VALUE_CONSTANT && i < g->values[v].constant.count; i++)
			tensor_set(&g->values[v].constant, i, -1.5 * tensor_get(&g->values[v].constant, i));
}

Test(sparse, random_stacks_agree)
{
	int steps = 0;

	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct document *d = network(seed);
		struct graph *g = model_graph(d);
		struct side plain = open_side(g, false), held = open_side(g, true);
		bool *watch = calloc((size_t)g->n_values, sizeof *watch);
		struct rng r = rng_make(seed, 3);

		for (int v = 0; v < g->n_values; v++)
			watch[v] = rng_below(&r, 4) > 0;
		compare(&plain, &held, watch, 1 + (int64_t)rng_below(&r, 200), seed);
		change_values(g);
		compare(&plain, &held, watch, 3, seed);
		steps += replaced(held.program);
		cr_expect_eq(replaced(plain.program), 0);
		free(watch);
		close_side(&plain);
		close_side(&held);
		graph_free(g);
		doc_free(d);
	}
	cr_expect(steps > 500, "%d products went entry by entry", steps);
}
