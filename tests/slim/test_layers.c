/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes are layers, where their weights lie, where means can go, and why some are left alone. */
#include <criterion/criterion.h>
#include <string.h>

#include "nets.h"
#include "onnx/edit.h"

/* ---- weights ------------------------------------------------------------------------------------------------ */

/* The offset as the operator's definition has it. */
static void check_conv(const struct linear_view *v, int64_t outs, int64_t channels, int64_t kernel)
{
	for (int64_t o = 0; o < outs; o++)
		for (int64_t c = 0; c < channels; c++)
			for (int64_t k = 0; k < kernel; k++)
				cr_assert_eq(layer_offset(v, o, c * kernel + k), (o * channels + c) * kernel + k);
}

Test(layers, conv_strides_with_groups)
{
	static const int64_t groups[] = { 1, 2, 6 };

	for (int i = 0; i < 3; i++) {
		struct document *d = build_model(17);
		struct rng r = rng_make(1, 0);
		struct lab l;
		const struct layer *x;

		build_input(d, "x", 4, DIMS(-1, 6, 7, 5));
		build_output(d, "y", 4, DIMS(-1, 12, 5, 4));
		build_floats(d, "w", 4, DIMS(12, 6 / groups[i], 3, 2), 1, &r);
		build_number(d, build_node(d, "Conv", "x w", "y"), "group", groups[i]);
		lab_open(&l, d, 3, 1);
		x = &l.layers.list[0];
		cr_assert_eq(l.layers.n, 1);
		cr_assert_null(x->note);
		cr_assert_eq(x->positions, 20);
		cr_assert_eq(x->view.groups, groups[i]);
		cr_assert_eq(x->features, 6 * 6);
		cr_assert_eq(x->entries, 12 * 6 / groups[i] * 6);
		cr_assert_eq(x->macs, (double)x->entries * 20);
		check_conv(&x->view, 12, 6 / groups[i], 6);
		lab_close(&l);
	}
}

/* W is [channels in, channels out a group, kernel]. */
Test(layers, transposed_conv_strides_with_groups)
{
	for (int64_t g = 1; g <= 2; g++) {
		struct document *d = build_model(17);
		struct rng r = rng_make(2, 0);
		struct lab l;
		const struct linear_view *v;
		int64_t per = 6 / g;

		build_input(d, "x", 4, DIMS(-1, 4, 3, 3));
		build_output(d, "y", 4, DIMS(-1, 6, 4, 4));
		build_floats(d, "w", 4, DIMS(4, per, 2, 2), 1, &r);
		build_number(d, build_node(d, "ConvTranspose", "x w", "y"), "group", g);
		lab_open(&l, d, 3, 1);
		v = &l.layers.list[0].view;
		cr_assert_eq(l.layers.list[0].positions, 16);
		for (int64_t o = 0; o < 6; o++)
			for (int64_t c = 0; c < 4 / g; c++)
				for (int64_t k = 0; k < 4; k++)
					cr_assert_eq(layer_offset(v, o, c * 4 + k), ((o / per * (4 / g) + c) * per + o % per) * 4 + k);
		lab_close(&l);
	}
}

Test(layers, gemm_and_matmul_strides)
{
	for (int trans = 0; trans <= 2; trans++) {
		struct document *d = build_model(17);
		struct rng r = rng_make(3, 0);
		struct lab l;
		const struct linear_view *v;

		build_input(d, "x", 2, DIMS(-1, 5));
		build_output(d, "y", 2, DIMS(-1, 3));
		build_floats(d, "w", 2, trans == 1 ? DIMS(3, 5) : DIMS(5, 3), 1, &r);
		if (trans == 2)
			build_node(d, "MatMul", "x w", "y");
		else
			build_number(d, build_node(d, "Gemm", "x w", "y"), "transB", trans);
		lab_open(&l, d, 3, 1);
		v = &l.layers.list[0].view;
		cr_assert_eq(l.layers.list[0].positions, 1);
		for (int64_t o = 0; o < 3; o++)
			for (int64_t k = 0; k < 5; k++)
				cr_assert_eq(layer_offset(v, o, k), trans == 1 ? o * 5 + k : k * 3 + o);
		lab_close(&l);
	}
}

Test(layers, not_every_product_is_a_layer)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(4, 0);
	struct lab l;

	build_input(d, "x", 2, DIMS(-1, 4));
	build_input(d, "m", 2, DIMS(-1, 4));
	build_output(d, "y", 2, DIMS(-1, 4));
	build_floats(d, "v", 1, DIMS(4), 1, &r);
	build_floats(d, "batched", 3, DIMS(1, 4, 4), 1, &r);
	build_attribute(d, build_node(d, "Transpose", "m", "t"), "perm", 2, DIMS(1, 0));
	build_node(d, "MatMul", "x t", "p");          /* no constant side */
	build_node(d, "MatMul", "x v", "q");          /* a vector has no channel axis */
	build_node(d, "MatMul", "x batched", "s");
	build_node(d, "ReduceSum", "p", "rp");
	build_node(d, "ReduceSum", "q", "rq");
	build_node(d, "ReduceSum", "s", "rs");
	build_node(d, "Sum", "rp rq rs x", "y");
	lab_open(&l, d, 3, 1);
	cr_assert_eq(l.layers.n, 0);
	lab_close(&l);
}

/* ---- notes -------------------------------------------------------------------------------------------------- */

static void expect_note(struct document *d, const struct layer_filter *f, const char *weight, const char *note)
{
	struct lab l;
	const char *got;

	lab_open_filtered(&l, d, 3, 1, f);
	got = l.layers.list[lab_layer(&l, weight)].note;
	if (note)
		cr_assert(got && !strcmp(got, note), "the note is '%s', not '%s'", got ? got : "(none)", note);
	else
		cr_assert_null(got, "the note is '%s'", got);
	lab_close(&l);
}

/* x[N,4] -> Gemm w1 4 (named "first") -> Gemm w2 4 -> y */
static struct document *pair(void)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(5, 0);

	build_input(d, "x", 2, DIMS(-1, 4));
	build_output(d, "y", 2, DIMS(-1, 4));
	build_floats(d, "w1", 2, DIMS(4, 4), 1, &r);
	build_floats(d, "w2", 2, DIMS(4, 4), 1, &r);
	cr_assert_eq(edit_string(d, &build_node(d, "Gemm", "x w1", "h")->name, "first", NULL), TAMIS_OK);
	build_node(d, "Gemm", "h w2", "y");
	return d;
}

Test(layers, only_and_skip_match_nodes_and_weights)
{
	regex_t node, weight;
	struct layer_filter f = { .only = &node };

	cr_assert_eq(regcomp(&node, "^fi", REG_EXTENDED | REG_NOSUB), 0);
	cr_assert_eq(regcomp(&weight, "w2|nothing", REG_EXTENDED | REG_NOSUB), 0);
	expect_note(pair(), &f, "w1", NULL);
	expect_note(pair(), &f, "w2", "not named by --only");
	f = (struct layer_filter){ .skip = &weight };
	expect_note(pair(), &f, "w1", NULL);
	expect_note(pair(), &f, "w2", "named by --skip");
	f = (struct layer_filter){ .only = &weight, .skip = &weight };
	expect_note(pair(), &f, "w2", "named by --skip");
	regfree(&node);
	regfree(&weight);
}

Test(layers, overridable_weights)
{
	struct layer_filter f = { .only = NULL };
	struct document *d = pair();

	build_input(d, "w2", 2, DIMS(4, 4));
	expect_note(d, &f, "w2", "its weight is also a graph input");
	f.mutable_initializers = true;
	d = pair();
	build_input(d, "w2", 2, DIMS(4, 4));
	expect_note(d, &f, "w2", NULL);
}

Test(layers, weights_that_are_read_elsewhere)
{
	struct layer_filter f = { .only = NULL };
	struct document *d = pair();

	build_output(d, "w2", 2, DIMS(4, 4));
	expect_note(d, &f, "w2", "its weight is a graph output");
	d = pair();
	build_output(d, "z", 2, DIMS(-1, 4));
	build_node(d, "Gemm", "y w1", "z");
	expect_note(d, &f, "w1", "its weight is read by other nodes too");
	d = pair();
	build_output(d, "z", 2, DIMS(4, 4));
	build_node(d, "Relu", "w2", "z");
	expect_note(d, &f, "w2", "its weight is read by other nodes too");
}

Test(layers, computed_bias)
{
	struct layer_filter f = { .only = NULL };
	struct document *d = build_model(17);
	struct rng r = rng_make(6, 0);
	Onnx__NodeProto *n;

	build_input(d, "x", 4, DIMS(-1, 3, 4, 4));
	build_output(d, "y", 4, DIMS(-1, 3, 4, 4));
	build_floats(d, "w", 4, DIMS(3, 3, 1, 1), 1, &r);
	n = build_node(d, "ReduceMean", "x", "b");
	build_attribute(d, n, "axes", 3, DIMS(0, 2, 3));
	build_number(d, n, "keepdims", 0);
	build_node(d, "Conv", "x w b", "y");
	expect_note(d, &f, "w", "its bias is not a constant vector");
}

/* A node whose output nobody reads never runs: there is nothing to test it on. */
Test(layers, unread_output)
{
	struct layer_filter f = { .only = NULL };
	struct document *d = pair();
	struct rng r = rng_make(7, 0);

	build_floats(d, "w3", 2, DIMS(4, 2), 1, &r);
	build_node(d, "Gemm", "h w3", "unread");
	expect_note(d, &f, "w3", "nothing reads its output");
}

Test(layers, constant_signals)
{
	struct layer_filter f = { .only = NULL };
	struct document *d = pair();
	struct rng r = rng_make(8, 0);

	build_floats(d, "c", 2, DIMS(1, 4), 1, &r);
	build_floats(d, "w3", 2, DIMS(4, 4), 1, &r);
	build_output(d, "z", 2, DIMS(-1, 4));
	build_node(d, "Gemm", "c w3", "k");
	build_node(d, "Add", "k y", "z");
	expect_note(d, &f, "w3", "its output is constant");
}

/* ---- biases ------------------------------------------------------------------------------------------------- */

static void expect_bias(struct document *d, enum bias_kind kind, const char *name)
{
	struct lab l;
	const struct layer *x;

	lab_open(&l, d, 3, 1);
	x = &l.layers.list[0];
	cr_assert_null(x->note, "%s", x->note);
	cr_assert_eq(x->bias_kind, kind, "the bias is of kind %d, not %d", x->bias_kind, kind);
	if (name)
		cr_assert_str_eq(l.graph->values[x->bias].name, name);
	else
		cr_assert_eq(x->bias, GRAPH_NONE);
	lab_close(&l);
}

/* x[N,4] -> Gemm (beta, transB 0) with c -> y[N,3] */
static struct document *gemm(int rank, const int64_t *dims, float beta)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(9, 0);
	Onnx__NodeProto *n;
	Onnx__AttributeProto *a;

	build_input(d, "x", 2, DIMS(-1, 4));
	build_output(d, "y", 2, DIMS(-1, 3));
	build_floats(d, "w", 2, DIMS(4, 3), 1, &r);
	build_floats(d, "c", rank, dims, 1, &r);
	n = build_node(d, "Gemm", "x w c", "y");
	build_number(d, n, "beta", 0);
	a = n->attribute[0];
	a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
	a->has_i = 0;
	a->has_f = 1;
	a->f = beta;
	return d;
}

Test(layers, bias_inputs)
{
	expect_bias(gemm(1, DIMS(3), 2), BIAS_INPUT, "c");
	expect_bias(gemm(2, DIMS(1, 3), 2), BIAS_INPUT, "c");
	expect_bias(gemm(1, DIMS(1), 2), BIAS_NONE, NULL);
	expect_bias(gemm(1, DIMS(3), 0), BIAS_NONE, NULL); /* what is multiplied by zero takes no mean */
}

/* A bias that is said in a Constant's value_floats has no tensor to be written to: the layer gets a bias of its own. */
Test(layers, bias_in_an_attribute)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(12, 0);
	Onnx__NodeProto *n;
	Onnx__AttributeProto *a;
	float *values;

	build_input(d, "x", 2, DIMS(-1, 4));
	build_output(d, "y", 2, DIMS(-1, 3));
	build_floats(d, "w", 2, DIMS(4, 3), 1, &r);
	n = build_node(d, "Constant", "", "c");
	build_attribute(d, n, "value_floats", 3, DIMS(1, 2, 3));
	a = n->attribute[0];
	doc_release(d, a->ints);
	a->ints = NULL;
	a->n_ints = 0;
	values = doc_alloc(d, 3 * sizeof *values);
	a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS;
	a->floats = values;
	a->n_floats = 3;
	build_node(d, "Gemm", "x w c", "y");
	expect_bias(d, BIAS_NONE, NULL);
}

static struct document *product(int rank, const int64_t *dims, bool swap)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(10, 0);

	build_input(d, "x", 3, DIMS(-1, 3, 4));
	build_output(d, "y", 3, DIMS(-1, 3, 3));
	build_floats(d, "w", 2, DIMS(4, 3), 1, &r);
	build_floats(d, "b", rank, dims, 1, &r);
	build_node(d, "MatMul", "x w", "m");
	build_node(d, "Add", swap ? "b m" : "m b", "y");
	return d;
}

Test(layers, added_biases)
{
	struct document *d;

	expect_bias(product(1, DIMS(3), false), BIAS_ADD, "b");
	expect_bias(product(1, DIMS(3), true), BIAS_ADD, "b");
	expect_bias(product(3, DIMS(1, 1, 3), true), BIAS_ADD, "b");
	expect_bias(product(2, DIMS(3, 1), false), BIAS_NONE, NULL); /* along the other axis */
	expect_bias(product(2, DIMS(3, 3), false), BIAS_NONE, NULL);
	d = product(1, DIMS(3), false);
	build_output(d, "m", 3, DIMS(-1, 3, 3)); /* the sum is not all that is seen of it */
	expect_bias(d, BIAS_NONE, NULL);
	d = product(1, DIMS(3), false);
	build_output(d, "b", 1, DIMS(3));
	expect_bias(d, BIAS_NONE, NULL);
}

static struct document *normed(bool rows, bool shared)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(11, 0);

	build_input(d, "x", 3, DIMS(-1, 3, 4));
	build_output(d, "y", 3, DIMS(-1, 3, 3));
	build_floats(d, "w", rows ? 2 : 3, rows ? DIMS(4, 3) : DIMS(3, 3, 2), 1, &r);
	for (int i = 0; i < 4; i++) {
		static const char *const names[] = { "s", "t", "mean", "var" };
		float *p = build_floats(d, names[i], 1, DIMS(3), 1, &r);

		for (int k = 0; i == 3 && k < 3; k++)
			p[k] = 0.5f + p[k] * p[k];
	}
	build_node(d, rows ? "MatMul" : "Conv", "x w", "m");
	build_node(d, "BatchNormalization", shared ? "m mean t mean var" : "m s t mean var", "y");
	return d;
}

Test(layers, means_of_norms)
{
	expect_bias(normed(false, false), BIAS_MEAN, "mean");
	expect_bias(normed(false, true), BIAS_NONE, NULL);
	expect_bias(normed(true, false), BIAS_NONE, NULL); /* the norm runs over axis 1, the product's channels over axis 2 */
}
