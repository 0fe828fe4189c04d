/* SPDX-License-Identifier: Apache-2.0 */
#include "random.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_VALUES 256

/* What the maker knows of a value. Axis 0 is the items unless `free`: then nothing is known but the rank. */
struct made { char name[16]; int rank; int64_t dims[4]; bool free; };

struct maker {
	struct document *d;
	struct rng r;
	enum dtype type;
	bool smooth;
	struct made v[MAX_VALUES];
	int n, names;
};

static int below(struct maker *m, int n)
{
	return (int)rng_below(&m->r, (uint64_t)n);
}

static const char *fresh_name(struct maker *m, char buf[16])
{
	snprintf(buf, 16, "t%d", m->names++);
	return buf;
}

static struct made *add(struct maker *m, const char *name, int rank, const int64_t *dims)
{
	struct made *v = &m->v[m->n++];

	snprintf(v->name, sizeof v->name, "%s", name);
	v->rank = rank;
	v->free = !dims;
	for (int i = 0; dims && i < rank; i++)
		v->dims[i] = dims[i];
	return v;
}

/* A new node with one new output of this shape. */
static Onnx__NodeProto *emit(struct maker *m, const char *op, const char *inputs, int rank, const int64_t *dims)
{
	char name[16];

	fresh_name(m, name);
	add(m, name, rank, dims);
	return model_node(m->d, op, inputs, name);
}

static const char *constant(struct maker *m, char name[16], int rank, const int64_t *dims)
{
	fresh_name(m, name);
	model_constant(m->d, name, m->type, rank, dims, NULL, &m->r);
	return name;
}

static const char *ints(struct maker *m, char name[16], int n, const int64_t *values)
{
	fresh_name(m, name);
	model_ints(m->d, name, n, values);
	return name;
}

/* ---- operators: each takes value x and makes others ---------------------------------------------------------- */

static void unary(struct maker *m, const struct made *x)
{
	static const char *const smooth[] = { "Sigmoid", "Tanh", "Neg", "Identity", "Softplus", "Erf" };
	static const char *const others[] = { "Relu", "Abs", "LeakyRelu", "Ceil", "HardSigmoid", "Identity" };

	emit(m, m->smooth || below(m, 2) ? smooth[below(m, 6)] : others[below(m, 6)], x->name, x->rank, x->free ? NULL : x->dims);
}

/* Another value of the same shape, often x itself. */
static const struct made *partner(struct maker *m, const struct made *x)
{
	for (int tries = 0; tries < 8 && !x->free; tries++) {
		const struct made *y = &m->v[below(m, m->n)];

		if (!y->free && y->rank == x->rank && !memcmp(y->dims, x->dims, (size_t)x->rank * sizeof *x->dims))
			return y;
	}
	return x;
}

static void binary(struct maker *m, const struct made *x)
{
	static const char *const ops[] = { "Add", "Sub", "Mul", "Sum" };
	char in[64];

	snprintf(in, sizeof in, "%s %s", x->name, partner(m, x)->name);
	emit(m, ops[below(m, 4)], in, x->rank, x->free ? NULL : x->dims);
}

static void with_constant(struct maker *m, const struct made *x)
{
	char in[64], c[16];
	int64_t one = 1;

	constant(m, c, below(m, 2), &one);
	if (below(m, 2))
		snprintf(in, sizeof in, "%s %s", x->name, c);
	else
		snprintf(in, sizeof in, "%s %s", c, x->name);
	emit(m, below(m, 2) ? "Add" : "Mul", in, x->rank ? x->rank : 1, x->free || !x->rank ? NULL : x->dims);
}

static void conv(struct maker *m, const struct made *x)
{
	int64_t outs = 1 + below(m, 4), k = 1 + 2 * below(m, 2);
	int64_t w[4] = { outs, x->dims[1], k, k }, y[4] = { 0, outs, x->dims[2], x->dims[3] };
	char in[64], a[16], b[16];

	constant(m, a, 4, w);
	if (below(m, 2))
		snprintf(in, sizeof in, "%s %s", x->name, a);
	else
		snprintf(in, sizeof in, "%s %s %s", x->name, a, constant(m, b, 1, &outs));
	node_ints(m->d, emit(m, "Conv", in, 4, y), "pads", 4, (int64_t[]){ k / 2, k / 2, k / 2, k / 2 });
}

static void norm(struct maker *m, const struct made *x)
{
	char in[96], p[4][16];
	double var[512];

	for (int i = 0; i < 3; i++)
		constant(m, p[i], 1, &x->dims[1]);
	cr_assert_leq(x->dims[1], 512);
	for (int i = 0; i < 512; i++)
		var[i] = 0.2 + 0.1 * below(m, 10);
	model_constant(m->d, fresh_name(m, p[3]), m->type, 1, &x->dims[1], var, NULL);
	snprintf(in, sizeof in, "%s %s %s %s %s", x->name, p[0], p[1], p[2], p[3]);
	emit(m, "BatchNormalization", in, 4, x->dims);
}

static void pool(struct maker *m, const struct made *x)
{
	int64_t y[4] = { 0, x->dims[1], x->dims[2] - 1, x->dims[3] - 1 };
	Onnx__NodeProto *n;

	if (y[2] < 1 || y[3] < 1 || below(m, 3) == 0) {
		y[2] = y[3] = 1;
		emit(m, "GlobalAveragePool", x->name, 4, y);
		return;
	}
	n = emit(m, m->smooth || below(m, 2) ? "AveragePool" : "MaxPool", x->name, 4, y);
	node_ints(m->d, n, "kernel_shape", 2, (int64_t[]){ 2, 2 });
}

/* Sums and products of an image with one number a channel, on either side. */
static void broadcast(struct maker *m, const struct made *x)
{
	char in[64], mean[16];

	fresh_name(m, mean);
	node_ints(m->d, model_node(m->d, "ReduceMean", x->name, mean), "axes", 2, (int64_t[]){ 2, 3 });
	if (below(m, 2))
		snprintf(in, sizeof in, "%s %s", mean, x->name);
	else
		snprintf(in, sizeof in, "%s %s", x->name, mean);
	emit(m, below(m, 2) ? "Add" : "Mul", in, 4, x->dims);
}

static void concat(struct maker *m, const struct made *x)
{
	const struct made *y = partner(m, x);
	int64_t dims[4];
	char in[64];

	memcpy(dims, x->dims, sizeof dims);
	dims[1] *= 2;
	if (dims[1] > 12)
		return;
	snprintf(in, sizeof in, "%s %s", x->name, y->name);
	node_int(m->d, emit(m, "Concat", in, x->rank, dims), "axis", 1);
}

static void split(struct maker *m, const struct made *x)
{
	int64_t dims[4], first = x->dims[1] / 2;
	char a[16], b[16], c[16], in[64], out[64];

	if (x->dims[1] < 2)
		return;
	memcpy(dims, x->dims, sizeof dims);
	snprintf(in, sizeof in, "%s %s", x->name, ints(m, c, 2, (int64_t[]){ first, x->dims[1] - first }));
	snprintf(out, sizeof out, "%s %s", fresh_name(m, a), fresh_name(m, b));
	node_int(m->d, model_node(m->d, "Split", in, out), "axis", 1);
	dims[1] = first;
	add(m, a, x->rank, dims);
	dims[1] = x->dims[1] - first;
	add(m, b, x->rank, dims);
}

static void flatten(struct maker *m, const struct made *x)
{
	int64_t dims[4] = { 0, tensor_extent(&(struct tensor){ .rank = 4, .dims = { 1, x->dims[1], x->dims[2], x->dims[3] } }, 0, 4) };
	char in[64], c[16];

	if (below(m, 2)) {
		emit(m, "Flatten", x->name, 2, dims);
		return;
	}
	snprintf(in, sizeof in, "%s %s", x->name, ints(m, c, 2, (int64_t[]){ 0, -1 }));
	emit(m, "Reshape", in, 2, dims);
}

/* The shape is computed by the model: Shape, Gather, Concat and Reshape, all known while planning. */
static void reshape_by_shape(struct maker *m, const struct made *x)
{
	char s[16], zero[16], first[16], rest[16], shape[16], in[64];

	model_node(m->d, "Shape", x->name, fresh_name(m, s));
	ints(m, zero, 1, (int64_t[]){ 0 });
	snprintf(in, sizeof in, "%s %s", s, zero);
	model_node(m->d, "Gather", in, fresh_name(m, first));
	ints(m, rest, 1, (int64_t[]){ -1 });
	snprintf(in, sizeof in, "%s %s", first, rest);
	node_int(m->d, model_node(m->d, "Concat", in, fresh_name(m, shape)), "axis", 0);
	snprintf(in, sizeof in, "%s %s", x->name, shape);
	emit(m, "Reshape", in, 2, (int64_t[]){ 0, tensor_extent(&(struct tensor){ .rank = 4, .dims = { 1, x->dims[1],
	     x->rank > 2 ? x->dims[2] : 1, x->rank > 2 ? x->dims[3] : 1 } }, 0, 4) });
}

static void unflatten(struct maker *m, const struct made *x)
{
	char in[64], c[16];

	snprintf(in, sizeof in, "%s %s", x->name, ints(m, c, 2, (int64_t[]){ 2, 3 }));
	emit(m, "Unsqueeze", in, 4, (int64_t[]){ 0, x->dims[1], 1, 1 });
}

static void gemm(struct maker *m, const struct made *x)
{
	int64_t outs = 1 + below(m, 6);
	char in[64], a[16], b[16];

	constant(m, a, 2, (int64_t[]){ x->dims[1], outs });
	if (below(m, 2)) {
		snprintf(in, sizeof in, "%s %s", x->name, a);
		emit(m, "MatMul", in, 2, (int64_t[]){ 0, outs });
	} else {
		snprintf(in, sizeof in, "%s %s %s", x->name, a, constant(m, b, 1, &outs));
		emit(m, "Gemm", in, 2, (int64_t[]){ 0, outs });
	}
}

static void transpose(struct maker *m, const struct made *x)
{
	int64_t dims[4] = { 0, x->dims[1], x->dims[3], x->dims[2] };

	node_ints(m->d, emit(m, "Transpose", x->name, 4, dims), "perm", 4, (int64_t[]){ 0, 1, 3, 2 });
}

static void softmax(struct maker *m, const struct made *x)
{
	node_int(m->d, emit(m, "Softmax", x->name, x->rank, x->dims), "axis", 1);
}

/* The parameter-free form passes its input on; the mask is a second output, sometimes wanted. */
static void dropout(struct maker *m, const struct made *x)
{
	char a[16], b[16], out[64];

	fresh_name(m, a);
	fresh_name(m, b);
	snprintf(out, sizeof out, below(m, 2) ? "%s %s" : "%s -", a, b);
	model_node(m->d, "Dropout", x->name, out);
	add(m, a, x->rank, x->dims);
}

/* Rows with a positive sum: how many there are depends on the data. */
static void dynamic(struct maker *m, const struct made *x)
{
	char axes[16], sums[16], zero[16], mask[16], in[64];

	fresh_name(m, sums);
	snprintf(in, sizeof in, "%s %s", x->name, ints(m, axes, 1, (int64_t[]){ 1 }));
	node_int(m->d, model_node(m->d, "ReduceSum", in, sums), "keepdims", 0);
	model_constant(m->d, fresh_name(m, zero), m->type, 0, NULL, (double[]){ 0 }, NULL);
	snprintf(in, sizeof in, "%s %s", sums, zero);
	model_node(m->d, "Greater", in, fresh_name(m, mask));
	snprintf(in, sizeof in, "%s %s", x->name, mask);
	node_int(m->d, emit(m, "Compress", in, 2, NULL), "axis", 0);
}

static void non_zero(struct maker *m, const struct made *x)
{
	char raw[16];

	model_node(m->d, "NonZero", x->name, fresh_name(m, raw));
	node_int(m->d, emit(m, "Cast", raw, 2, NULL), "to", m->type);
}

/* Constants only: folded while the program is made, and small ones of known shape while planning. */
static void filled(struct maker *m, const struct made *x)
{
	char s[16], c[16], f[16], in[64];

	model_node(m->d, "Shape", x->name, fresh_name(m, s));
	constant(m, c, 0, NULL);
	model_node(m->d, "Neg", c, fresh_name(m, f));
	snprintf(in, sizeof in, "%s %s", f, s);
	emit(m, "Expand", in, x->rank, x->free ? NULL : x->dims);
}

static void step_any(struct maker *m, const struct made *x)
{
	switch (below(m, m->smooth ? 3 : 4)) {
	case 0: unary(m, x); break;
	case 1: binary(m, x); break;
	case 2: with_constant(m, x); break;
	default: filled(m, x);
	}
}

static void step_image(struct maker *m, const struct made *x)
{
	static void (*const steps[])(struct maker *, const struct made *) = { conv, norm, pool, concat, split, flatten,
		reshape_by_shape, transpose, softmax, dropout, conv, broadcast };

	steps[below(m, 12)](m, x);
}

static void step_rows(struct maker *m, const struct made *x)
{
	static void (*const steps[])(struct maker *, const struct made *) = { gemm, concat, split, reshape_by_shape, unflatten,
		softmax, gemm, dropout, dynamic, non_zero };

	steps[below(m, m->smooth ? 8 : 10)](m, x);
}

static void outputs(struct maker *m)
{
	int some = 0;

	for (int i = 0; i < m->n; i++)
		if (i == m->n - 1 || below(m, 6) == 0) {
			model_output(m->d, m->v[i].name);
			some++;
		}
	if (below(m, 2) && !m->smooth) { /* a constant, and something twice removed from anything that runs */
		char c[16];

		model_output(m->d, constant(m, c, 1, &(int64_t){ 3 }));
	}
	cr_assert_gt(some, 0);
}

struct document *random_model(uint64_t seed, int nodes, enum dtype type, bool smooth)
{
	struct maker m = { .d = model_new(13), .r = rng_make(seed, 0), .type = type, .smooth = smooth };

	model_input(m.d, "x", type, DIMS(-1, 3, 6, 6));
	model_input(m.d, "v", type, DIMS(-1, 5));
	add(&m, "x", 4, (int64_t[]){ 0, 3, 6, 6 });
	add(&m, "v", 2, (int64_t[]){ 0, 5 });
	for (int i = 0; i < nodes; i++) {
		struct made x = m.v[below(&m, 3) ? m.n - 1 - below(&m, m.n < 4 ? m.n : 4) : below(&m, m.n)];

		if (x.free || below(&m, 3) == 0)
			step_any(&m, &x);
		else if (x.rank == 4)
			step_image(&m, &x);
		else
			step_rows(&m, &x);
	}
	outputs(&m);
	return m.d;
}

void random_inputs(uint64_t seed, enum dtype type, int64_t items, struct tensor in[2])
{
	struct rng r = rng_make(seed, 77);

	in[0] = tensor_make(type, DIMS(items, 3, 6, 6), NULL, &r);
	in[1] = tensor_make(type, DIMS(items, 5), NULL, &r);
}

/* ---- node by node -------------------------------------------------------------------------------------------- */

static void evaluate_node(const struct graph *g, int id, struct tensor *values, bool *owned)
{
	const struct node *n = &g->nodes[id];
	const struct tensor *in[16] = { NULL };
	struct tensor out[16];
	struct tamis_error err = { 0 };

	cr_assert(n->n_in <= 16 && n->n_out <= 16);
	for (int i = 0; i < n->n_in; i++)
		in[i] = n->in[i] == GRAPH_NONE ? NULL : &values[n->in[i]];
	cr_assert_eq(node_eval(n, in, out, &err), TAMIS_OK, "%s: %s", err.node, err.message);
	for (int i = 0; i < n->n_out; i++)
		if (n->out[i] != GRAPH_NONE) {
			values[n->out[i]] = out[i];
			owned[n->out[i]] = true;
		}
}

struct tensor *evaluate(const struct graph *g, const struct tensor *in, const struct nudge *nudge, bool **owned)
{
	struct tensor *values = calloc((size_t)g->n_values + 1, sizeof *values);

	*owned = calloc((size_t)g->n_values + 1, sizeof **owned);
	for (int i = 0; i < g->n_values; i++)
		if (g->values[i].kind == VALUE_CONSTANT)
			values[i] = g->values[i].constant;
	for (int i = 0; i < g->n_inputs; i++)
		values[g->inputs[i]] = in[i];
	for (int i = 0; i < g->n_nodes; i++) {
		if (!g->nodes[i].constant)
			evaluate_node(g, i, values, *owned);
		if (nudge && g->values[nudge->value].producer == i)
			tensor_set(&values[nudge->value], nudge->element, tensor_get(&values[nudge->value], nudge->element) + nudge->by);
	}
	return values;
}

void evaluated_free(const struct graph *g, struct tensor *values, bool *owned)
{
	for (int i = 0; i < g->n_values; i++)
		if (owned[i])
			tensor_free(&values[i]);
	free(values);
	free(owned);
}
