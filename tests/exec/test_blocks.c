/* SPDX-License-Identifier: Apache-2.0 */
/* Programs laid out in blocks give what the plain ones give, but for rounding: on random image networks that use
 * every way a convolution meets what follows it, and on the written-out forms that exporters make. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model.h"
#include "ops/blocked.h"
#include "programs.h"

#define TOLERANCE 1e-4 /* of the largest output: inner values may be larger */

/* ---- comparing ------------------------------------------------------------------------------------------------- */

static struct program *prepare(const struct graph *g, bool blocks)
{
	return program_of(g, (struct program_options){ .merge_norms = blocks });
}

static int count(const struct program *p, const char *op, bool ours)
{
	int n = 0;

	for (int i = 0; i < p->n_steps; i++)
		n += !strcmp(p->steps[i].node->op->name, op) && (*p->steps[i].node->op->domain != '\0') == ours;
	return n;
}

static void compare(const struct graph *g, const struct program *plain, const struct program *blocks, int64_t extent,
                    uint64_t seed)
{
	static const int64_t items[] = { 2, 1, 5, 2 };
	const int64_t item[] = { g->values[g->inputs[0]].declared.dims[1], extent, extent + 1 };

	programs_compare(g, plain, blocks, &(struct programs_check){ items, 4, item, 3, TOLERANCE, seed });
}

/* ---- networks -------------------------------------------------------------------------------------------------- */

struct image { char name[16]; int64_t channels, shrink; };
struct maker {
	struct document *d;
	struct rng r;
	struct image v[64];
	int n, names;
};

static int below(struct maker *m, int n)
{
	return (int)rng_below(&m->r, (uint64_t)n);
}

static struct image *emit(struct maker *m, const char *op, const char *inputs, int64_t channels, int64_t shrink,
                          Onnx__NodeProto **node)
{
	struct image *v = &m->v[m->n++];

	snprintf(v->name, sizeof v->name, "t%d", m->names++);
	v->channels = channels;
	v->shrink = shrink;
	*node = model_node(m->d, op, inputs, v->name);
	return v;
}

static const char *constant(struct maker *m, char name[16], int rank, const int64_t *dims, const double *values)
{
	snprintf(name, 16, "c%d", m->names++);
	model_constant(m->d, name, DT_FLOAT, rank, dims, values, &m->r);
	return name;
}

/* Sometimes depthwise, dilated, strided, without bias. */
static void conv(struct maker *m, const struct image *x, int64_t outs)
{
	int64_t k = 1 + 2 * below(m, 3), stride = 1 + !below(m, 4), dilation = k == 3 ? 1 + below(m, 2) : 1;
	bool each = !below(m, 3), bias = below(m, 2);
	int64_t maps = each ? x->channels : outs, pad = (k - 1) / 2 * dilation;
	char w[16], b[16], inputs[64];
	Onnx__NodeProto *n;

	constant(m, w, DIMS(maps, each ? 1 : x->channels, k, k), NULL);
	snprintf(inputs, sizeof inputs, "%s %s %s", x->name, w, bias ? constant(m, b, DIMS(maps), NULL) : "-");
	emit(m, "Conv", inputs, maps, x->shrink * stride, &n);
	node_ints(m->d, n, "pads", DIMS(pad, pad, pad, pad));
	node_ints(m->d, n, "strides", DIMS(stride, stride));
	node_ints(m->d, n, "dilations", DIMS(dilation, dilation));
	node_int(m->d, n, "group", each ? x->channels : 1);
}

static void norm(struct maker *m, const struct image *x)
{
	char scale[16], shift[16], mean[16], var[16], inputs[128];
	double spread[64];
	Onnx__NodeProto *n;

	for (int64_t i = 0; i < x->channels; i++)
		spread[i] = 0.2 + rng_uniform(&m->r);
	snprintf(inputs, sizeof inputs, "%s %s %s %s %s", x->name, constant(m, scale, DIMS(x->channels), NULL),
	         constant(m, shift, DIMS(x->channels), NULL), constant(m, mean, DIMS(x->channels), NULL),
	         constant(m, var, DIMS(x->channels), spread));
	emit(m, "BatchNormalization", inputs, x->channels, x->shrink, &n);
}

static void pool(struct maker *m, const struct image *x)
{
	bool average = below(m, 2);
	Onnx__NodeProto *n;

	emit(m, average ? "AveragePool" : "MaxPool", x->name, x->channels, x->shrink * 2, &n);
	node_ints(m->d, n, "kernel_shape", DIMS(3, 2));
	node_ints(m->d, n, "strides", DIMS(2, 2));
	node_ints(m->d, n, "pads", DIMS(1, 0, 1, 1));
	if (average)
		node_int(m->d, n, "count_include_pad", below(m, 2));
}

static void scalar(struct maker *m, const struct image *x)
{
	static const char *const ops[] = { "Mul", "Add", "Sub", "Div" };
	double value = 0.5 + below(m, 8) * 0.25;
	char c[16], inputs[64];
	Onnx__NodeProto *n;

	constant(m, c, below(m, 2), (int64_t[]){ 1 }, &value);
	snprintf(inputs, sizeof inputs, below(m, 4) ? "%s %s" : "%2$s %1$s", x->name, c);
	emit(m, ops[below(m, 3)], inputs, x->channels, x->shrink, &n);
}

static void activation(struct maker *m, const struct image *x)
{
	static const char *const ops[] = { "Relu", "LeakyRelu", "Sigmoid", "HardSwish", "Tanh", "HardSigmoid", "Exp" };
	Onnx__NodeProto *n;

	emit(m, ops[below(m, 7)], x->name, x->channels, x->shrink, &n);
}

static void clip(struct maker *m, const struct image *x)
{
	char a[16], b[16], inputs[64];
	Onnx__NodeProto *n;

	constant(m, a, SCALAR, (double[]){ -0.5 });
	constant(m, b, SCALAR, (double[]){ 0.75 });
	snprintf(inputs, sizeof inputs, "%s %s %s", x->name, below(m, 2) ? a : "-", b);
	emit(m, "Clip", inputs, x->channels, x->shrink, &n);
}

/* x + 3, clip to 0..6, times x, over 6, with a scalar before and after: two scalars in one chain. */
static void written_hardswish(struct maker *m, const struct image *x)
{
	char three[16], zero[16], six[16], inputs[64];
	const struct image *gate, *scaled;
	Onnx__NodeProto *n;

	scalar(m, x);
	scaled = &m->v[m->n - 1];
	constant(m, three, SCALAR, (double[]){ 3 });
	constant(m, zero, SCALAR, (double[]){ 0 });
	constant(m, six, SCALAR, (double[]){ 6 });
	snprintf(inputs, sizeof inputs, "%s %s", scaled->name, three);
	gate = emit(m, "Add", inputs, x->channels, x->shrink, &n);
	snprintf(inputs, sizeof inputs, "%s %s %s", gate->name, zero, six);
	gate = emit(m, "Clip", inputs, x->channels, x->shrink, &n);
	snprintf(inputs, sizeof inputs, "%s %s", scaled->name, gate->name);
	gate = emit(m, "Mul", inputs, x->channels, x->shrink, &n);
	snprintf(inputs, sizeof inputs, "%s %s", gate->name, six);
	gate = emit(m, "Div", inputs, x->channels, x->shrink, &n);
	m->n -= 5; /* the inner values are read by this alone */
	m->v[m->n++] = *gate;
	scalar(m, &m->v[m->n - 1]);
}

static void swish(struct maker *m, const struct image *x)
{
	struct image gate;
	char inputs[64];
	Onnx__NodeProto *n;

	gate = *emit(m, below(m, 2) ? "Sigmoid" : "HardSigmoid", x->name, x->channels, x->shrink, &n);
	m->n--;
	snprintf(inputs, sizeof inputs, "%s %s", x->name, gate.name);
	emit(m, "Mul", inputs, x->channels, x->shrink, &n);
}

/* Sum, product, difference, concatenation with an image of the same extent. */
static void join(struct maker *m, const struct image *x)
{
	static const char *const ops[] = { "Add", "Mul", "Sub", "Add", "Concat" };
	const struct image *y = &m->v[below(m, m->n)];
	int which = below(m, 5);
	char inputs[64];
	Onnx__NodeProto *n;

	if (y->shrink != x->shrink || (which < 4 && y->channels != x->channels))
		return;
	snprintf(inputs, sizeof inputs, "%s %s", x->name, y->name);
	emit(m, ops[which], inputs, which < 4 ? x->channels : x->channels + y->channels, x->shrink, &n);
	if (which == 4)
		node_int(m->d, n, "axis", 1);
}

/* One number a channel from the mean of the image, times the image. */
static void squeeze(struct maker *m, const struct image *x)
{
	struct image mean, gate;
	char w[16], inputs[64];
	Onnx__NodeProto *n;

	mean = *emit(m, "GlobalAveragePool", x->name, x->channels, 0, &n);
	constant(m, w, DIMS(x->channels, x->channels, 1, 1), NULL);
	snprintf(inputs, sizeof inputs, "%s %s", mean.name, w);
	gate = *emit(m, "Conv", inputs, x->channels, 0, &n);
	m->n -= 2;
	snprintf(inputs, sizeof inputs, "%s %s", x->name, gate.name);
	emit(m, "Mul", inputs, x->channels, x->shrink, &n);
}

static void grow(struct maker *m)
{
	const struct image *x = &m->v[below(m, 3) ? m->n - 1 : below(m, m->n)];
	static void (*const others[])(struct maker *, const struct image *) = { scalar, activation, clip, written_hardswish,
		swish, join, join, squeeze, norm };

	if (below(m, 5) < 2)
		conv(m, x, below(m, 2) ? 16 : 4 + below(m, 40));
	else if (x->shrink < 4 && !below(m, 6))
		pool(m, x);
	else
		others[below(m, 9)](m, x);
}

static struct document *network(uint64_t seed, int64_t channels)
{
	struct maker m = { .d = model_new(17) };
	struct image x = { "x", channels, 1 };

	m.r = rng_make(seed, 0);
	model_input(m.d, "x", DT_FLOAT, DIMS(-1, channels, -1, -1));
	m.v[m.n++] = x;
	conv(&m, &x, 16);
	for (int i = 0; i < 3 + (int)(seed % 16); i++)
		grow(&m);
	model_output(m.d, m.v[m.n - 1].name);
	if (seed % 3 == 0)
		model_output(m.d, m.v[1 + below(&m, m.n - 1)].name);
	return m.d;
}

/* ---- tests ----------------------------------------------------------------------------------------------------- */

Test(blocks, random_networks_agree)
{
	int blocked = 0, plain_convs = 0, packs = 0, unpacks = 0;

	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct document *d = network(seed, seed % 2 ? 3 : 16);
		struct graph *g = model_graph(d);
		struct program *plain = prepare(g, false), *blocks = prepare(g, true);

		compare(g, plain, blocks, 11, seed);
		blocked += count(blocks, "Conv", true);
		plain_convs += count(blocks, "Conv", false);
		packs += count(blocks, "Pack", true);
		unpacks += count(blocks, "Unpack", true);
		program_free(plain);
		program_free(blocks);
		graph_free(g);
		doc_free(d);
	}
	if (blocked_width()) {
		cr_expect_gt(blocked, 300, "only %d convolutions on blocks, %d not", blocked, plain_convs);
		cr_expect(packs > 30 && unpacks > 100, "%d packs and %d unpacks: the networks are too tame", packs, unpacks);
	}
}

/* ---- energies of gradients --------------------------------------------------------------------------------------- */

enum { MOST_CHANNELS = 64 };
struct energies {
	const struct graph *g;
	double (*of)[MOST_CHANNELS]; /* by value */
	int told, hidden;
	bool undecided; /* rounding decides which element is the largest of a window */
};

static enum tamis_status take_gradient(void *ctx, int value, const struct tensor *t, struct tamis_error *err)
{
	struct energies *e = ctx;
	int64_t size = tensor_extent(t, 2, t->rank);

	(void)err;
	for (int64_t i = 0; i < t->count; i++)
		e->of[value][i / size % t->dims[1]] += tensor_get(t, i) * tensor_get(t, i);
	e->told++;
	return TAMIS_OK;
}

static enum tamis_status take_energy(void *ctx, int value, const double *energy, struct tamis_error *err)
{
	struct energies *e = ctx;
	const struct value *v = &e->g->values[value];
	const struct node *conv = &e->g->nodes[v->producer];
	int64_t outs = e->g->values[conv->in[1]].constant.dims[0];

	(void)err;
	for (int64_t i = 0; i < outs; i++)
		e->of[value][i] += energy[i];
	e->told++;
	e->hidden++;
	return TAMIS_OK;
}

/* Are neighbours along an axis nearly but not quite equal? */
static bool nearly_equal(const struct tensor *t, int64_t apart, double largest)
{
	for (int64_t i = apart; i < t->count; i++) {
		double d = fabs(tensor_get(t, i) - tensor_get(t, i - apart));

		if (d > 0 && d < 1e-5 * largest)
			return true;
	}
	return false;
}

/* Where a maximum is taken over a nearly constant image, gradients go where rounding sends them. */
static bool undecided(const struct runner *r, const struct graph *g)
{
	bool found = false;

	for (int i = 0; i < g->n_nodes; i++) {
		const struct tensor *t = runner_value(r, g->nodes[i].in[0]);
		double largest = 0;

		if (!t || strcmp(g->nodes[i].op->name, "MaxPool"))
			continue;
		for (int64_t k = 0; k < t->count; k++)
			largest = fmax(largest, fabs(tensor_get(t, k)));
		for (int64_t rows = 0; rows < 3; rows++)
			found |= nearly_equal(t, rows * t->dims[3] + !rows, largest);
	}
	return found;
}

/* Energies at every convolution's output, from the same seeds. */
static void reverse(const struct program *p, struct tensor *in, const bool *watch, uint64_t seed, struct energies *e)
{
	const struct graph *g = p->graph;
	struct run_hooks hooks = { .ctx = e, .watch_grad = watch, .grad = take_gradient, .energy = take_energy };
	struct tensor *seeds = calloc((size_t)g->n_outputs, sizeof *seeds);
	struct tamis_error err = { 0 };
	struct runner *r = NULL;
	struct rng draw;

	draw = rng_make(seed, 2);
	e->g = g;
	e->of = calloc((size_t)g->n_values, sizeof *e->of);
	cr_assert(!runner_create(p, &r, &err) && e->of && seeds);
	for (int k = 0; k < 2; k++) {
		cr_assert_eq(runner_run(r, &in[k], NULL, &err), TAMIS_OK, "%s: %s", err.node, err.message);
		e->undecided |= !p->options.energies && undecided(r, g);
		for (int i = 0; i < g->n_outputs; i++) {
			const struct tensor *y = runner_output(r, i);

			seeds[i] = tensor_make(DT_FLOAT, y->rank, y->dims, NULL, &draw);
		}
		cr_assert_eq(runner_reverse(r, seeds, &hooks, &err), TAMIS_OK, "%s: %s", err.node, err.message);
		for (int i = 0; i < g->n_outputs; i++)
			tensor_free(&seeds[i]);
	}
	runner_free(r);
	free(seeds);
}

static void compare_energies(const struct graph *g, struct program_options options, uint64_t seed, int *hidden)
{
	struct program *plain = program_of(g, (struct program_options){ .training = true });
	struct program *fast = program_of(g, options);
	bool *watch = calloc((size_t)g->n_values, sizeof *watch);
	struct energies want = { 0 }, got = { 0 };
	int64_t channels = g->values[g->inputs[0]].declared.dims[1];
	struct tensor in[2];
	struct rng r;

	r = rng_make(seed, 1);
	for (int i = 0; i < 2; i++)
		in[i] = tensor_make(DT_FLOAT, DIMS(3 - i, channels, 11, 12), NULL, &r);
	for (int i = 0; i < g->n_nodes; i++)
		watch[g->nodes[i].out[0]] = !strcmp(g->nodes[i].op->name, "Conv");
	reverse(plain, in, watch, seed, &want);
	reverse(fast, in, watch, seed, &got);
	cr_assert_eq(want.told, got.told, "seed %llu: %d energies, not %d", (unsigned long long)seed, got.told, want.told);
	for (int v = 0; v < g->n_values && !want.undecided; v++) {
		double all = 0;

		for (int c = 0; c < MOST_CHANNELS; c++)
			all += want.of[v][c];
		for (int c = 0; c < MOST_CHANNELS; c++)
			cr_assert(fabs(got.of[v][c] - want.of[v][c]) <= 1e-3 * all, "seed %llu: channel %d of %s is %g, not %g",
			          (unsigned long long)seed, c, g->values[v].name, got.of[v][c], want.of[v][c]);
	}
	*hidden += want.undecided ? 0 : got.hidden;
	for (int i = 0; i < 2; i++)
		tensor_free(&in[i]);
	free(want.of);
	free(got.of);
	free(watch);
	program_free(plain);
	program_free(fast);
}

Test(blocks, energies_agree)
{
	int hidden = 0;

	for (uint64_t seed = 1; seed <= 150; seed++) {
		struct document *d = network(seed, seed % 2 ? 3 : 16);
		struct graph *g = model_graph(d);

		compare_energies(g, (struct program_options){ .training = true, .energies = true }, seed, &hidden);
		graph_free(g);
		doc_free(d);
	}
	cr_expect_gt(hidden, 200, "only %d energies from inside a step", hidden);
}

/* What is written out in several steps is one; all else is as it was. */
Test(blocks, joined_programs_agree)
{
	int hidden = 0, steps = 0;

	for (uint64_t seed = 1; seed <= 150; seed++) {
		const struct program_options options = { .training = true, .joined = true };
		struct document *d = network(seed, seed % 2 ? 3 : 16);
		struct graph *g = model_graph(d);
		struct program *plain = program_of(g, (struct program_options){ .training = true }), *joined = program_of(g, options);

		steps += plain->n_steps - joined->n_steps;
		program_free(plain);
		program_free(joined);
		compare_energies(g, options, seed, &hidden);
		graph_free(g);
		doc_free(d);
	}
	cr_expect_eq(hidden, 0);
	cr_expect_gt(steps, 60, "only %d steps less", steps);
}

/* A convolution with its norm, the sum with its input and the activation are one step between Pack and Unpack. */
Test(blocks, residual_block_is_one_step)
{
	struct document *d = model_new(17);
	struct rng r;
	struct graph *g;
	struct program *p, *plain;

	r = rng_make(5, 1);
	model_input(d, "x", DT_FLOAT, DIMS(-1, 16, -1, -1));
	model_constant(d, "w", DT_FLOAT, DIMS(16, 16, 1, 1), NULL, &r);
	model_node(d, "Conv", "x w", "z");
	model_node(d, "Add", "x z", "s");
	model_node(d, "Relu", "s", "y");
	model_output(d, "y");
	g = model_graph(d);
	p = prepare(g, true);
	plain = prepare(g, false);
	compare(g, plain, p, 7, 5);
	if (blocked_width())
		cr_expect(p->n_steps == 3 && count(p, "Conv", true) == 1 && count(p, "Pack", true) == 1
		          && count(p, "Unpack", true) == 1, "%d steps", p->n_steps);
	program_free(p);
	program_free(plain);
	graph_free(g);
	doc_free(d);
}
