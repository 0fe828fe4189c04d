/* SPDX-License-Identifier: Apache-2.0 */
/* Programs made for speed give what the plain ones give on rows of vectors: random chains of products with and without
 * what they take along, and operators written out the way exporters do and in ways that only look like it. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model.h"
#include "programs.h"

#define TOLERANCE 1e-5 /* of the largest output */

enum { WIDTH = 24 };

struct maker {
	struct document *d;
	struct rng r;
	char x[16];  /* the value in hand, [..., width] */
	int64_t width, opset;
	int names;
};

static int below(struct maker *m, int n)
{
	return (int)rng_below(&m->r, (uint64_t)n);
}

/* A node of the value in hand (%s in `inputs`) and other inputs; its output becomes the value in hand. */
static Onnx__NodeProto *apply(struct maker *m, const char *op, const char *inputs)
{
	char in[64], out[16];
	Onnx__NodeProto *n;

	snprintf(in, sizeof in, inputs, m->x);
	snprintf(out, sizeof out, "t%d", m->names++);
	n = model_node(m->d, op, in, out);
	strcpy(m->x, out);
	return n;
}

/* "%s NAME" or "NAME %s", with a new constant. */
static const char *beside(struct maker *m, char to[32], bool first, int rank, const int64_t *dims, const double *values)
{
	char name[16];

	snprintf(name, sizeof name, "c%d", m->names++);
	model_constant(m->d, name, DT_FLOAT, rank, dims, values, &m->r);
	snprintf(to, 32, first ? "%s %%s" : "%%s %s", name);
	return to;
}

static const char *number(struct maker *m, char to[32], bool first, double value)
{
	return beside(m, to, first, SCALAR, &value);
}

static void matmul(struct maker *m)
{
	int64_t outs = below(m, 3) ? WIDTH : 1 + below(m, 40);
	char in[32];

	apply(m, "MatMul", beside(m, in, false, DIMS(m->width, outs), NULL));
	m->width = outs;
}

static void bias(struct maker *m)
{
	static const char *const ops[] = { "Add", "Add", "Add", "Sub", "Mul" };
	char in[32];

	apply(m, ops[below(m, 5)], beside(m, in, below(m, 2), DIMS(below(m, 4) ? m->width : 1), NULL));
}

static void activation(struct maker *m)
{
	static const char *const ops[] = { "Relu", "Tanh", "Sigmoid", "HardSwish", "LeakyRelu", "Neg", "Gelu" };

	apply(m, ops[below(m, m->opset < 20 ? 6 : 7)], "%s");
}

/* x clip(x + 3, 0, 6) / 6, or x times HardSigmoid; one in four is not quite HardSwish. */
static void hardswish(struct maker *m)
{
	char in[64], product[64];
	double six = below(m, 4) ? 6 : 5;
	int bounds = m->names;

	snprintf(product, sizeof product, below(m, 2) ? "%s %%s" : "%%s %s", m->x);
	if (below(m, 2)) {
		node_float(m->d, apply(m, "HardSigmoid", "%s"), "alpha", 1 / six);
		apply(m, "Mul", product);
		return;
	}
	number(m, in, false, 0);
	number(m, in, false, six);
	apply(m, "Add", number(m, in, below(m, 2), 3));
	snprintf(in, sizeof in, "%%s c%d c%d", bounds, bounds + 1);
	apply(m, "Clip", in);
	apply(m, "Mul", product);
	if (below(m, 2))
		apply(m, "Div", number(m, in, false, 6));
	else
		apply(m, "Mul", number(m, in, below(m, 2), 1 / 6.0));
}

/* The axes are an attribute until opset 17. */
static void mean(struct maker *m)
{
	char name[16], in[32];

	if (m->opset < 18) {
		node_ints(m->d, apply(m, "ReduceMean", "%s"), "axes", DIMS(-1));
		return;
	}
	snprintf(name, sizeof name, "c%d", m->names++);
	model_ints(m->d, name, 1, (int64_t[]){ -1 });
	snprintf(in, sizeof in, "%%s %s", name);
	apply(m, "ReduceMean", in);
}

/* One in four is not quite Gelu. */
static void gelu(struct maker *m)
{
	char x[16], in[32], product[64];
	double one = below(m, 4) ? 1 : 1.5;

	strcpy(x, m->x);
	if (below(m, 2))
		apply(m, "Div", number(m, in, false, sqrt(2)));
	else
		apply(m, "Mul", number(m, in, false, sqrt(0.5)));
	apply(m, "Erf", "%s");
	apply(m, "Add", number(m, in, below(m, 2), one));
	snprintf(product, sizeof product, below(m, 2) ? "%s %%s" : "%%s %s", x);
	apply(m, "Mul", product);
	apply(m, "Mul", number(m, in, below(m, 2), 0.5));
}

/* One in four ends without its bias, or leaves the deviations for others. */
static void norm(struct maker *m)
{
	char x[16], d[16], in[64];

	strcpy(x, m->x);
	mean(m);
	snprintf(in, sizeof in, "%s %%s", x);
	apply(m, "Sub", in);
	strcpy(d, m->x);
	if (below(m, 2))
		apply(m, "Pow", number(m, in, false, 2));
	else
		apply(m, "Mul", "%1$s %1$s");
	mean(m);
	apply(m, "Add", number(m, in, below(m, 2), 1e-4));
	apply(m, "Sqrt", "%s");
	snprintf(in, sizeof in, "%s %%s", d);
	apply(m, "Div", in);
	apply(m, "Mul", beside(m, in, below(m, 2), DIMS(m->width), NULL));
	if (below(m, 4))
		apply(m, "Add", beside(m, in, below(m, 2), DIMS(m->width), NULL));
	else if (below(m, 2))
		apply(m, "Add", (snprintf(in, sizeof in, "%s %%s", d), in));
}

static void reuse(struct maker *m)
{
	if (!below(m, 4))
		model_output(m->d, m->x);
}

static struct document *network(uint64_t seed)
{
	static void (*const parts[])(struct maker *) = { matmul, matmul, bias, bias, activation, activation, gelu, norm, hardswish, reuse };
	int64_t opset = seed % 2 ? 17 : 20;
	struct maker m = { .d = model_new(opset), .x = "x", .width = WIDTH, .opset = opset };

	m.r = rng_make(seed, 0);
	model_input(m.d, "x", DT_FLOAT, DIMS(-1, 3, WIDTH));
	for (int i = 0; i < 4 + below(&m, 16); i++)
		parts[below(&m, 10)](&m);
	apply(&m, "Neg", "%s");
	model_output(m.d, m.x);
	return m.d;
}

static struct program *prepare(const struct graph *g, bool speed)
{
	return program_of(g, (struct program_options){ .merge_norms = speed });
}

static int count(const struct program *p, const char *op)
{
	int n = 0;

	for (int i = 0; i < p->n_steps; i++)
		n += !strcmp(p->steps[i].node->op->name, op);
	return n;
}

static void compare(const struct graph *g, const struct program *plain, const struct program *fast, const int64_t *item,
                    int rank, uint64_t seed)
{
	static const int64_t items[] = { 2, 1, 40 };

	programs_compare(g, plain, fast, &(struct programs_check){ items, 3, item, rank, TOLERANCE, seed });
}

/* ---- tests ----------------------------------------------------------------------------------------------------- */

Test(rows, random_chains_agree)
{
	int products = 0, norms = 0, erfs = 0, gates = 0, steps = 0, before = 0;

	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct document *d = network(seed);
		struct graph *g = model_graph(d);
		struct program *plain = prepare(g, false), *fast = prepare(g, true);

		compare(g, plain, fast, (int64_t[]){ 3, WIDTH }, 2, seed);
		products += count(fast, "Dense");
		norms += count(fast, "LayerNormalization");
		erfs += count(plain, "Erf") - count(fast, "Erf");
		gates += count(plain, "HardSigmoid") + count(plain, "Clip") - count(fast, "HardSigmoid") - count(fast, "Clip");
		steps += fast->n_steps;
		before += plain->n_steps;
		program_free(plain);
		program_free(fast);
		graph_free(g);
		doc_free(d);
	}
	cr_expect(products > 100 && norms > 50 && erfs > 50 && gates > 50, "%d products, %d norms, %d Gelus, %d HardSwishes",
	          products, norms, erfs, gates);
	cr_expect_lt(2 * steps, before + steps, "%d steps of %d", steps, before);
}

/* Gemm as torch writes linear layers: the matrix [out, in], bias and activation are one step. */
Test(rows, linear_layers_are_one_step)
{
	struct document *d = model_new(17);
	struct program *plain, *fast;
	struct graph *g;
	struct rng r;

	r = rng_make(7, 1);
	model_input(d, "x", DT_FLOAT, DIMS(-1, WIDTH));
	model_constant(d, "w", DT_FLOAT, DIMS(300, WIDTH), NULL, &r);
	model_constant(d, "b", DT_FLOAT, DIMS(300), NULL, &r);
	model_constant(d, "v", DT_FLOAT, DIMS(300, 10), NULL, &r);
	node_int(d, model_node(d, "Gemm", "x w b", "z"), "transB", 1);
	model_node(d, "Relu", "z", "h");
	model_node(d, "Gemm", "h v -", "y");
	model_output(d, "y");
	g = model_graph(d);
	plain = prepare(g, false);
	fast = prepare(g, true);
	compare(g, plain, fast, (int64_t[]){ WIDTH }, 1, 7);
	cr_expect_eq(fast->n_steps, 2, "%d steps", fast->n_steps);
	cr_expect_eq(count(fast, "Dense"), 1);
	program_free(plain);
	program_free(fast);
	graph_free(g);
	doc_free(d);
}
