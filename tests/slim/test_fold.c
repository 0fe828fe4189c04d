/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes fold into others, and the outputs stay. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coupled.h"
#include "nets.h"
#include "onnx/check.h"
#include "onnx/edit.h"
#include "slim/biases.h"
#include "slim/fold/fold.h"

#define TOLERANCE 1e-5

/* What may change, now. */
static struct layer_filter filter;

typedef enum tamis_status (*folder)(struct document *d, struct coupled *c, int *gone, struct tamis_error *err);

static enum tamis_status hard_sigmoids(struct document *d, struct coupled *c, int *gone, struct tamis_error *err)
{
	return fold_hard_sigmoids(d, c->graph, c->plan, &filter, gone, err);
}

static enum tamis_status numbers(struct document *d, struct coupled *c, int *gone, struct tamis_error *err)
{
	return fold_numbers(d, c->graph, c->plan, &c->layers, &filter, gone, err);
}

static void give_biases(struct document *d)
{
	struct tamis_error err = { 0 };
	struct coupled c;
	int added;

	couple(d, &c);
	must(biases_add(d, c.graph, &c.layers, &added, &err), &err, "biases");
	uncouple(&c);
}

/* Until nothing folds, as the pass does; how many nodes went. */
static int fold(struct document *d, folder how)
{
	struct tamis_error err = { 0 };
	int all = 0, gone;

	give_biases(d);
	do {
		struct coupled c;

		couple(d, &c);
		must(how(d, &c, &gone, &err), &err, "fold");
		uncouple(&c);
		must(check_or_fail(d, &err), &err, "check");
		all += gone;
	} while (gone);
	must(biases_drop(d, &err), &err, "drop");
	return all;
}

/* The same, with the outputs compared. */
static int fold_and_compare(struct document *d, folder how)
{
	float largest = 0, *before, *after;
	int64_t n, m;
	int gone;

	before = build_run(d, 3, 7, &n);
	gone = fold(d, how);
	after = build_run(d, 3, 7, &m);
	cr_assert_eq(n, m);
	for (int64_t i = 0; i < n; i++)
		largest = fmaxf(largest, fabsf(before[i]));
	for (int64_t i = 0; i < n; i++)
		cr_assert(fabsf(before[i] - after[i]) <= (float)TOLERANCE * largest, "element %lld was %g, now %g", (long long)i,
		          before[i], after[i]);
	free(before);
	free(after);
	return gone;
}

static size_t count_nodes(const struct document *d, const char *op)
{
	size_t n = 0;

	for (size_t i = 0; i < d->model->graph->n_node; i++)
		n += !strcmp(d->model->graph->node[i]->op_type, op);
	return n;
}

static void number(struct document *d, const char *name, double value)
{
	struct rng r = rng_make(1, 0);

	build_floats(d, name, 0, NULL, 0, &r)[0] = (float)value;
}

/* ---- HardSigmoid ------------------------------------------------------------------------------------------------ */

/* x[N,3,4,4] -> s = x + 3 -> Clip to 0..six -> times x where `product` -> by six -> Relu y; the bounds are attributes before
 * opset 11. */
static struct document *net_swish(int64_t opset, bool product, bool divides, double six)
{
	struct document *d = build_model(opset);
	Onnx__NodeProto *clip;

	build_input(d, "x", 4, DIMS(-1, 3, 4, 4));
	build_output(d, "y", 4, DIMS(-1, 3, 4, 4));
	build_value_info(d, "c", 4, DIMS(-1, 3, 4, 4));
	build_value_info(d, "o", 4, DIMS(-1, 3, 4, 4));
	number(d, "three", 3);
	number(d, "zero", 0);
	number(d, "six", six);
	number(d, "by", divides ? 6 : 1 / 6.0);
	build_node(d, "Add", product ? "three x" : "x three", "s");
	clip = build_node(d, "Clip", opset < 11 ? "s" : "s zero six", "c");
	if (opset < 11) {
		cr_assert_eq(edit_attribute_float(d, clip, "min", 0, NULL), TAMIS_OK);
		cr_assert_eq(edit_attribute_float(d, clip, "max", (float)six, NULL), TAMIS_OK);
	}
	if (product)
		build_node(d, "Mul", divides ? "x c" : "c x", "p");
	build_node(d, divides ? "Div" : "Mul", product ? "p by" : "c by", "o");
	build_node(d, "Relu", "o", "y");
	return d;
}

Test(fold, hard_sigmoids_take_one_node)
{
	for (int i = 0; i < 8; i++) {
		struct document *d = net_swish(i & 1 ? 9 : 17, i & 2, i & 4, 6);

		cr_assert_eq(fold_and_compare(d, hard_sigmoids), 2);
		cr_assert_eq(count_nodes(d, "HardSigmoid"), 1);
		cr_assert_eq(d->model->graph->n_node, i & 2 ? 3 : 2);
		cr_assert_eq(d->model->graph->n_value_info, 1);
		cr_assert_eq(d->model->graph->n_initializer, i & 1 ? 2 : 0, "%zu", d->model->graph->n_initializer);
		doc_free(d);
	}
}

Test(fold, other_bounds_stay)
{
	struct document *d = net_swish(17, true, true, 5);

	cr_assert_eq(fold_and_compare(d, hard_sigmoids), 0);
	doc_free(d);
}

/* A node that is named by what is to be left alone. */
Test(fold, skipped_nodes_stay)
{
	struct document *d = net_swish(17, true, true, 6);
	regex_t skip;

	cr_assert_eq(edit_string(d, &d->model->graph->node[1]->name, "six", NULL), TAMIS_OK);
	cr_assert_eq(regcomp(&skip, "^six$", REG_EXTENDED), 0);
	filter.skip = &skip;
	cr_assert_eq(fold_and_compare(d, hard_sigmoids), 0);
	filter.skip = NULL;
	cr_assert_eq(fold_and_compare(d, hard_sigmoids), 2);
	regfree(&skip);
	doc_free(d);
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

/* x[N,3,6,6] -> a x + b, or a x - b where `less` -> Conv 4 (3x3, pads `pad`) -> c z - d -> / e -> Relu -> y */
static struct document *net_numbers(int64_t pad, bool less)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(5, 0);

	build_input(d, "x", 4, DIMS(-1, 3, 6, 6));
	build_output(d, "y", 4, DIMS(-1, 4, 4 + 2 * pad, 4 + 2 * pad));
	number(d, "a", 0.3);
	number(d, "b", -0.7);
	number(d, "c", -2);
	number(d, "d", 0.4);
	number(d, "e", 1.7);
	build_floats(d, "w", 4, DIMS(4, 3, 3, 3), 1, &r);
	build_node(d, "Mul", "a x", "s");
	build_node(d, less ? "Sub" : "Add", "s b", "t");
	build_attribute(d, build_node(d, "Conv", "t w", "z"), "pads", 4, DIMS(pad, pad, pad, pad));
	build_node(d, "Mul", "z c", "u");
	build_node(d, "Sub", "u d", "v");
	build_node(d, "Div", "v e", "q");
	build_node(d, "Relu", "q", "y");
	return d;
}

/* Before a padded convolution the sum stays, and is another one. */
Test(fold, numbers_go_into_a_convolution)
{
	for (int i = 0; i < 4; i++) {
		bool pad = i & 1, less = i & 2;
		struct document *d = net_numbers(pad, less);

		cr_assert_eq(fold_and_compare(d, numbers), pad ? 4 : 5);
		cr_assert_eq(count_nodes(d, less ? "Sub" : "Add"), (size_t)pad);
		cr_assert_eq(d->model->graph->n_initializer, pad ? 3 : 2);
		doc_free(d);
	}
}

/* A number that a caller may replace, one with an axis more, zero, and the product that is a graph output: all stay. */
Test(fold, what_cannot_go_stays)
{
	static const char *const why[] = { "overridable", "rank", "zero", "output", "shared" };

	for (size_t i = 0; i < sizeof why / sizeof *why; i++) {
		struct document *d = build_model(17);
		struct rng r = rng_make(6, 0);

		build_input(d, "x", 2, DIMS(-1, 6));
		build_floats(d, "w", 2, DIMS(6, 4), 1, &r);
		build_floats(d, "c", i == 1 ? 3 : 0, DIMS(1, 1, 1), 1, &r)[0] = i == 2 ? 0 : 2;
		if (i == 0)
			build_input(d, "c", 0, NULL);
		build_node(d, "MatMul", "x w", "z");
		build_node(d, "Mul", "z c", i == 3 ? "y" : "u");
		if (i == 4)
			build_node(d, "MatMul", "x w", "v");
		if (i != 3)
			build_node(d, i == 4 ? "Add" : "Relu", i == 4 ? "u v" : "u", "y");
		build_output(d, "y", i == 1 ? 3 : 2, i == 1 ? DIMS(1, -1, 4) : DIMS(-1, 4));
		if (i == 0)
			cr_assert_eq(fold(d, numbers), 0, "%s", why[i]);
		else
			cr_assert_eq(fold_and_compare(d, numbers), 0, "%s", why[i]);
		doc_free(d);
	}
}

/* ---- vectors ---------------------------------------------------------------------------------------------------- */

static enum tamis_status vectors(struct document *d, struct coupled *c, int *gone, struct tamis_error *err)
{
	return fold_vectors(d, c->graph, c->plan, &c->layers, &filter, gone, err);
}

/* x[N,6,6,6] -> Conv 6 (3x3, pads 1) -> BatchNormalization where `norm` -> plus x where `residual` -> plus v -> Relu y */
static struct document *net_vector(bool norm, bool residual, int rank, const int64_t *dims)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(8, 0);
	float *var;

	build_input(d, "x", 4, DIMS(-1, 6, 6, 6));
	build_output(d, "y", 4, DIMS(-1, 6, 6, 6));
	build_floats(d, "w", 4, DIMS(6, 6, 3, 3), 0.3, &r);
	build_floats(d, "v", rank, dims, 1, &r);
	build_attribute(d, build_node(d, "Conv", "x w", "z"), "pads", 4, DIMS(1, 1, 1, 1));
	if (norm) {
		build_floats(d, "s", 1, DIMS(6), 1, &r);
		build_floats(d, "b", 1, DIMS(6), 1, &r);
		build_floats(d, "m", 1, DIMS(6), 1, &r);
		var = build_floats(d, "u", 1, DIMS(6), 0, &r);
		for (int i = 0; i < 6; i++)
			var[i] = 1 + (float)i;
		build_node(d, "BatchNormalization", "z s b m u", "n");
	}
	if (residual)
		build_node(d, "Add", norm ? "x n" : "z x", "t");
	build_node(d, "Add", residual ? "v t" : norm ? "n v" : "z v", "p");
	build_node(d, "Relu", "p", "y");
	return d;
}

Test(fold, vectors_go_into_biases)
{
	for (int i = 0; i < 4; i++) {
		struct document *d = net_vector(i & 1, i & 2, 4, DIMS(1, 6, 1, 1));

		cr_assert_eq(fold_and_compare(d, vectors), 1);
		cr_assert_eq(count_nodes(d, "Add"), i & 2 ? 1 : 0);
		doc_free(d);
		d = net_vector(i & 1, i & 2, 3, DIMS(6, 1, 1));
		cr_assert_eq(fold_and_compare(d, vectors), 1);
		doc_free(d);
	}
}

/* One element a column, a row or an item is none a channel. */
Test(fold, vectors_along_other_axes_stay)
{
	static const struct { int rank; int64_t dims[4]; } other[] = { { 1, { 6 } }, { 2, { 6, 1 } }, { 4, { 1, 1, 6, 1 } },
		{ 4, { 1, 6, 1, 6 } } };

	for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
		struct document *d = net_vector(false, true, other[i].rank, other[i].dims);

		cr_assert_eq(fold_and_compare(d, vectors), 0);
		doc_free(d);
	}
}

/* A norm whose shift another node makes has nothing to change. */
Test(fold, made_shifts_stay)
{
	struct document *d = net_vector(true, false, 4, DIMS(1, 6, 1, 1));
	Onnx__NodeProto *n = d->model->graph->node[1];

	cr_assert_str_eq(n->op_type, "BatchNormalization");
	cr_assert_eq(edit_string(d, &n->input[2], "made", NULL), TAMIS_OK);
	build_node(d, "Identity", "b", "made");
	n = d->model->graph->node[4];
	memmove(d->model->graph->node + 1, d->model->graph->node, 4 * sizeof n);
	d->model->graph->node[0] = n;
	cr_assert_eq(fold_and_compare(d, vectors), 0);
	cr_assert_eq(fold_and_compare(d, numbers), 0);
	doc_free(d);
}

/* What silent branches of a linear stream leave behind. */
Test(fold, branches_leave_no_sum)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(9, 0);

	build_input(d, "x", 3, DIMS(-1, 4, 5));
	build_output(d, "y", 3, DIMS(-1, 4, 3));
	build_floats(d, "w1", 2, DIMS(5, 6), 1, &r);
	build_floats(d, "b1", 1, DIMS(6), 1, &r);
	build_floats(d, "w2", 2, DIMS(6, 7), 1, &r);
	build_floats(d, "w3", 2, DIMS(7, 6), 0, &r);
	build_floats(d, "b3", 1, DIMS(6), 1, &r);
	build_floats(d, "w4", 2, DIMS(6, 3), 1, &r);
	build_node(d, "MatMul", "x w1", "a");
	build_node(d, "Add", "a b1", "t");
	build_node(d, "MatMul", "t w2", "c");
	build_node(d, "Relu", "c", "e");
	build_node(d, "MatMul", "e w3", "g");
	build_node(d, "Add", "g b3", "h");
	build_node(d, "Add", "t h", "s");
	build_node(d, "MatMul", "s w4", "y");
	cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 13);
	cr_assert_eq(fold_and_compare(d, vectors), 1);
	cr_assert_eq(d->model->graph->n_node, 3);
	doc_free(d);
}

/* ---- at random -------------------------------------------------------------------------------------------------- */

struct growing {
	struct document *d;
	struct rng r;
	int n, steps;
	char at[32], also[32];
	int64_t channels, also_channels, side, also_side;
	bool image;
};

static const char *fresh(struct growing *g, char out[32])
{
	snprintf(out, 32, "v%d", g->n++);
	return out;
}

static void step(struct growing *g, const char *op, const char *inputs)
{
	char out[32];

	build_node(g->d, op, inputs, fresh(g, out));
	strcpy(g->at, out);
}

static void grow_numbers(struct growing *g)
{
	static const char *const ops[] = { "Add", "Sub", "Mul", "Div" };
	int n = (int)rng_below(&g->r, 4);

	for (int i = 0; i < n; i++) {
		size_t op = rng_below(&g->r, 4);
		bool turned = op < 3 && rng_below(&g->r, 2);
		char c[32], inputs[80];

		number(g->d, fresh(g, c), (rng_below(&g->r, 2) ? 1 : -1) * (0.5 + rng_uniform(&g->r)));
		snprintf(inputs, sizeof inputs, turned ? "%s %s" : "%2$s %1$s", c, g->at);
		step(g, ops[op], inputs);
		g->steps++;
	}
}

static void grow_norm(struct growing *g)
{
	char names[4][32], inputs[200];

	for (int i = 0; i < 4; i++) {
		float *p = build_floats(g->d, fresh(g, names[i]), 1, &g->channels, 1, &g->r);

		for (int64_t k = 0; i == 3 && k < g->channels; k++)
			p[k] = 0.5f + p[k] * p[k];
	}
	snprintf(inputs, sizeof inputs, "%s %s %s %s %s", g->at, names[0], names[1], names[2], names[3]);
	step(g, "BatchNormalization", inputs);
}

static void grow_conv(struct growing *g)
{
	bool wide = rng_below(&g->r, 2), biased = rng_below(&g->r, 2), depthwise = rng_below(&g->r, 3) == 0;
	int64_t outs = depthwise ? g->channels : 2 + (int64_t)rng_below(&g->r, 4), side = wide ? 3 : 1;
	int64_t pad = wide && (g->side < 4 || rng_below(&g->r, 2));
	char w[32], b[32], inputs[120];
	Onnx__NodeProto *n;

	build_floats(g->d, fresh(g, w), 4, DIMS(outs, depthwise ? 1 : g->channels, side, side), 0.5, &g->r);
	snprintf(inputs, sizeof inputs, biased ? "%s %s %s" : "%s %s", g->at, w, biased ? fresh(g, b) : "");
	if (biased)
		build_floats(g->d, b, 1, &outs, 1, &g->r);
	step(g, "Conv", inputs);
	n = g->d->model->graph->node[g->d->model->graph->n_node - 1];
	build_attribute(g->d, n, "pads", 4, DIMS(pad, pad, pad, pad));
	build_number(g->d, n, "group", depthwise ? g->channels : 1);
	g->channels = outs;
	g->side += 2 * pad - side + 1;
	if (rng_below(&g->r, 3) == 0)
		grow_norm(g);
}

static void grow_dense(struct growing *g)
{
	bool gemm = rng_below(&g->r, 2);
	int64_t outs = 2 + (int64_t)rng_below(&g->r, 5);
	char w[32], b[32], inputs[120];
	Onnx__NodeProto *n;

	build_floats(g->d, fresh(g, w), 2, DIMS(g->channels, outs), 0.5, &g->r);
	build_floats(g->d, fresh(g, b), 1, &outs, 1, &g->r);
	snprintf(inputs, sizeof inputs, gemm ? "%s %s %s" : "%s %s", g->at, w, b);
	step(g, gemm ? "Gemm" : "MatMul", inputs);
	n = g->d->model->graph->node[g->d->model->graph->n_node - 1];
	if (gemm) {
		cr_assert_eq(edit_attribute_float(g->d, n, "alpha", 0.7f, NULL), TAMIS_OK);
		cr_assert_eq(edit_attribute_float(g->d, n, "beta", -0.4f, NULL), TAMIS_OK);
	} else if (rng_below(&g->r, 2)) {
		snprintf(inputs, sizeof inputs, "%s %s", g->at, b);
		step(g, "Add", inputs);
	}
	g->channels = outs;
}

static void grow_output(const struct growing *g, const char *name, int64_t channels, int64_t side)
{
	build_output(g->d, name, g->image ? 4 : 2, DIMS(-1, channels, side, side));
}

/* Layers with sums and products of numbers before and behind, activations between, and now and then an output among them. */
static struct document *grow(uint64_t seed, int *steps)
{
	struct growing g = { .d = build_model(17), .r = rng_make(seed, 71), .at = "x", .channels = 3, .side = 5 };
	int layers = 1 + (int)rng_below(&g.r, 4);

	g.image = rng_below(&g.r, 2);
	build_input(g.d, "x", g.image ? 4 : 2, DIMS(-1, 3, 5, 5));
	for (int i = 0; i < layers; i++) {
		grow_numbers(&g);
		if (i && rng_below(&g.r, 6) == 0) {
			strcpy(g.also, g.at);
			g.also_channels = g.channels;
			g.also_side = g.side;
		}
		(g.image ? grow_conv : grow_dense)(&g);
		grow_numbers(&g);
		step(&g, rng_below(&g.r, 2) ? "Tanh" : "Relu", g.at);
	}
	grow_output(&g, g.at, g.channels, g.side);
	if (g.also[0])
		grow_output(&g, g.also, g.also_channels, g.also_side);
	*steps = g.steps;
	return g.d;
}

Test(fold, random_numbers_go)
{
	int gone = 0, all = 0;

	for (uint64_t seed = 1; seed <= 400; seed++) {
		int steps;
		struct document *d = grow(seed, &steps);

		gone += fold_and_compare(d, numbers);
		all += steps;
		doc_free(d);
	}
	cr_log_info("%d of %d nodes with a number folded", gone, all);
	cr_assert_gt(gone, all / 2);
}
