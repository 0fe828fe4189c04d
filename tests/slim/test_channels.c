/* SPDX-License-Identifier: Apache-2.0 */
/* Removed channels leave the outputs as they were; what is not understood stays. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "onnx/edit.h"
#include "onnx/payload.h"

#define DIMS(...) ((const int64_t[]){ __VA_ARGS__ })
#define TOLERANCE 1e-5

/* Sets `n` elements from p to v. */
static void set(float *p, int64_t n, float v)
{
	for (int64_t i = 0; i < n; i++)
		p[i] = v;
}

/* Zeroes what comes into channel c of a weight [outs, rest]. */
static void deafen(struct document *d, const char *weight, int64_t c)
{
	int64_t rest = 1;

	for (int i = 1; i < 4 && build_extent(d, weight, i) > 0 && i < 4; i++)
		rest *= build_extent(d, weight, i);
	set(build_elements(d, weight) + c * rest, rest, 0);
}

/* Zeroes what a weight [outs, ins, each] reads of input c. */
static void blind(struct document *d, const char *weight, int64_t outs, int64_t ins, int64_t each, int64_t c)
{
	for (int64_t o = 0; o < outs; o++)
		set(build_elements(d, weight) + (o * ins + c) * each, each, 0);
}

static void norm(struct document *d, const char *prefix, int64_t n, const char *from, const char *to,
                 struct rng *r)
{
	char names[4][32], inputs[200];
	static const char *const parts[] = { "scale", "shift", "mean", "var" };

	for (int i = 0; i < 4; i++) {
		float *p;

		snprintf(names[i], sizeof names[i], "%s_%s", prefix, parts[i]);
		p = build_floats(d, names[i], 1, &n, 1, r);
		for (int64_t k = 0; i == 3 && k < n; k++)
			p[k] = 0.5f + p[k] * p[k];
	}
	snprintf(inputs, sizeof inputs, "%s %s %s %s %s", from, names[0], names[1], names[2], names[3]);
	build_node(d, "BatchNormalization", inputs, to);
}

/* ---- convolutions -------------------------------------------------------------------------------------- */

/* x[N,3,8,8] -> Conv 6 (3x3, pad 1) -> norm -> Relu -> Conv 4 (3x3) -> y; value_info in between. */
static struct document *conv_norm_relu_conv(bool pad, uint64_t seed)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 0);
	int64_t side = pad ? 8 : 6;

	build_input(d, "x", 4, DIMS(-1, 3, 8, 8));
	build_output(d, "y", 4, DIMS(-1, 4, side, side));
	build_value_info(d, "c", 4, DIMS(-1, 6, 8, 8));
	build_value_info(d, "a", 4, DIMS(-1, 6, 8, 8));
	build_floats(d, "w1", 4, DIMS(6, 3, 3, 3), 1, &r);
	build_floats(d, "b1", 1, DIMS(6), 1, &r);
	build_floats(d, "w2", 4, DIMS(4, 6, 3, 3), 1, &r);
	build_floats(d, "b2", 1, DIMS(4), 1, &r);
	build_attribute(d, build_node(d, "Conv", "x w1 b1", "c"), "pads", 4, DIMS(1, 1, 1, 1));
	norm(d, "n", 6, "c", "z", &r);
	build_node(d, "Relu", "z", "a");
	build_attribute(d, build_node(d, "Conv", "a w2 b2", "y"), "pads", 4, DIMS(pad, pad, pad, pad));
	return d;
}

Test(channels, nothing_dead_nothing_removed)
{
	struct document *d = conv_norm_relu_conv(true, 1);

	cr_assert_eq(build_remove_and_compare(d, 0), 0);
	doc_free(d);
}

Test(channels, unread_channels_go)
{
	struct document *d = conv_norm_relu_conv(true, 2);

	blind(d, "w2", 4, 6, 9, 1);
	blind(d, "w2", 4, 6, 9, 5);
	cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 2);
	cr_assert_eq(build_extent(d, "w1", 0), 4);
	cr_assert_eq(build_extent(d, "b1", 0), 4);
	cr_assert_eq(build_extent(d, "n_var", 0), 4);
	cr_assert_eq(build_extent(d, "w2", 1), 4);
	for (size_t i = 0; i < d->model->graph->n_value_info; i++)
		cr_assert_eq(d->model->graph->value_info[i]->type->tensor_type->shape->dim[1]->dim_value, 4);
	cr_assert_eq(d->model->graph->output[0]->type->tensor_type->shape->dim[1]->dim_value, 4);
	doc_free(d);
}

/* A constant channel goes where its value meets no padding; else only if the norm and Relu make it zero. */
Test(channels, constant_channels_go_into_biases)
{
	for (int pad = 0; pad < 2; pad++) {
		struct document *d = conv_norm_relu_conv(pad, 3);

		deafen(d, "w1", 2);
		build_elements(d, "b1")[2] = 3;
		build_elements(d, "n_scale")[2] = 1;
		build_elements(d, "n_shift")[2] = 1;
		build_elements(d, "n_mean")[2] = 0;
		cr_assert_eq(build_remove_and_compare(d, TOLERANCE), !pad);
		cr_assert_eq(build_extent(d, "w2", 1), pad ? 6 : 5);
		doc_free(d);
	}
}

Test(channels, zero_channels_go_through_padding)
{
	struct document *d = conv_norm_relu_conv(true, 4);

	deafen(d, "w1", 0);
	build_elements(d, "b1")[0] = -3;
	build_elements(d, "n_scale")[0] = 1;
	build_elements(d, "n_shift")[0] = 1;
	build_elements(d, "n_mean")[0] = 0;
	cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 1);
	doc_free(d);
}

Test(channels, one_channel_stays)
{
	struct document *d = conv_norm_relu_conv(true, 5);

	set(build_elements(d, "w2"), 4 * 6 * 9, 0);
	cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 5);
	cr_assert_eq(build_extent(d, "w1", 0), 1);
	doc_free(d);
}

/* A reader without a bias cannot take a constant. */
Test(channels, constants_stay_without_a_bias)
{
	struct document *d = conv_norm_relu_conv(false, 6);
	Onnx__NodeProto *last = d->model->graph->node[3];

	edit_string_remove(d, &last->n_input, &last->input, 2);
	edit_remove_initializer(d, d->model->graph, 3);
	deafen(d, "w1", 2);
	build_elements(d, "n_shift")[2] = 40;
	cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 0);
	doc_free(d);
}

/* Conv -> pool -> Flatten or Reshape -> Gemm. kind: 0 Flatten, 1 Reshape [-1, 54], 2 Reshape [0, -1], 3 with
 * Shape. */
static struct document *conv_pool_gemm(int kind, const char *pool, uint64_t seed)
{
	struct document *d = build_model(13);
	struct rng r = rng_make(seed, 1);
	Onnx__NodeProto *p;

	build_input(d, "x", 4, DIMS(-1, 2, 8, 8));
	build_output(d, "y", 2, DIMS(-1, 5));
	build_value_info(d, "f", 2, DIMS(-1, 54));
	build_floats(d, "w1", 4, DIMS(6, 2, 3, 3), 1, &r);
	build_floats(d, "b1", 1, DIMS(6), 1, &r);
	build_floats(d, "w2", 2, DIMS(5, 54), 1, &r);
	build_floats(d, "b2", 1, DIMS(5), 1, &r);
	build_node(d, "Conv", "x w1 b1", "c");
	build_node(d, "Relu", "c", "a");
	p = build_node(d, pool, "a", "p");
	build_attribute(d, p, "kernel_shape", 2, DIMS(2, 2));
	build_attribute(d, p, "strides", 2, DIMS(2, 2));
	if (kind == 0) {
		build_node(d, "Flatten", "p", "f");
	} else if (kind == 3) {
		build_ints(d, "zero", 1, DIMS(0));
		build_ints(d, "rest", 1, DIMS(-1));
		build_node(d, "Shape", "p", "s");
		build_node(d, "Gather", "s zero", "n");
		build_number(d, build_node(d, "Concat", "n rest", "t"), "axis", 0);
		build_node(d, "Reshape", "p t", "f");
	} else {
		build_ints(d, "t", 2, kind == 1 ? DIMS(-1, 54) : DIMS(0, -1));
		build_node(d, "Reshape", "p t", "f");
	}
	build_number(d, build_node(d, "Gemm", "f w2 b2", "y"), "transB", 1);
	return d;
}

Test(channels, flattened_channels_go_as_blocks)
{
	for (int kind = 0; kind < 4; kind++) {
		for (int average = 0; average < 2; average++) {
			struct document *d = conv_pool_gemm(kind, average ? "AveragePool" : "MaxPool", 10);

			blind(d, "w2", 5, 6, 9, 4);
			deafen(d, "w1", 1);
			build_elements(d, "b1")[1] = 2;
			deafen(d, "w1", 2);
			build_elements(d, "b1")[2] = -2;
			cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 3, "kind %d", kind);
			cr_assert_eq(build_extent(d, "w2", 1), 27);
			cr_assert_eq(d->model->graph->value_info[0]->type->tensor_type->shape->dim[1]->dim_value, 27);
			doc_free(d);
		}
	}
}

/* An average over padding is not the constant any more. */
Test(channels, padded_averages_hold_constants_back)
{
	struct document *d = conv_pool_gemm(0, "AveragePool", 11);
	Onnx__NodeProto *pool = d->model->graph->node[2];

	build_attribute(d, pool, "pads", 4, DIMS(1, 1, 1, 1));
	build_number(d, pool, "count_include_pad", 1);
	build_attribute(d, pool, "strides", 2, DIMS(3, 3));
	deafen(d, "w1", 1);
	build_elements(d, "b1")[1] = 2;
	deafen(d, "w1", 2);
	build_elements(d, "b1")[2] = -2;
	cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 1);
	doc_free(d);
}

/* ---- matrices ------------------------------------------------------------------------------------------ */

Test(channels, gemm_relu_gemm)
{
	for (int transposed = 0; transposed < 2; transposed++) {
		struct document *d = build_model(13);
		struct rng r = rng_make(20, 0);

		build_input(d, "x", 2, DIMS(-1, 7));
		build_output(d, "y", 2, DIMS(-1, 4));
		build_floats(d, "w1", 2, DIMS(5, 7), 1, &r);
		build_floats(d, "b1", 1, DIMS(5), 1, &r);
		build_floats(d, "w2", 2, transposed ? DIMS(4, 5) : DIMS(5, 4), 1, &r);
		build_floats(d, "b2", 2, DIMS(1, 4), 1, &r);
		build_number(d, build_node(d, "Gemm", "x w1 b1", "h"), "transB", 1);
		build_node(d, "Relu", "h", "a");
		build_number(d, build_node(d, "Gemm", "a w2 b2", "y"), "transB", transposed);
		deafen(d, "w1", 3);
		build_elements(d, "b1")[3] = 1.5f;
		cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 1);
		cr_assert_eq(build_extent(d, "w2", transposed), 4);
		doc_free(d);
	}
}

/* What Gemm adds may be one number, a row, or one row an item: the last axis shrinks where there is one. */
Test(channels, gemm_adds_any_shape)
{
	static const struct { int rank; int64_t dims[2]; int64_t removed; } rows[] = { { 0, { 0 }, 2 }, { 1,
		{ 1 }, 2 },
		{ 2, { 1, 5 }, 2 }, { 2, { 3, 5 }, 1 }, { 2, { 3, 1 }, 1 } };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct document *d = build_model(13);
		struct rng r = rng_make(23, i);

		build_input(d, "x", 2, DIMS(3, 7));
		build_output(d, "y", 2, DIMS(3, 4));
		build_floats(d, "w1", 2, DIMS(5, 7), 1, &r);
		build_floats(d, "c", rows[i].rank, rows[i].dims, 1, &r);
		build_floats(d, "w2", 2, DIMS(5, 4), 1, &r);
		build_floats(d, "b2", 1, DIMS(4), 1, &r);
		build_number(d, build_node(d, "Gemm", "x w1 c", "h"), "transB", 1);
		build_node(d, "Tanh", "h", "a");
		build_node(d, "Gemm", "a w2 b2", "y");
		deafen(d, "w1", 3);
		set(build_elements(d, "w2"), 4, 0);
		cr_assert_eq(build_remove_and_compare(d, TOLERANCE), rows[i].removed, "row %zu", i);
		doc_free(d);
	}
}

/* MatMul [7,5] + b -> Mul -> PRelu -> MatMul [5,4] + c, on sequences [N,3,7]. */
Test(channels, matmul_add_chain)
{
	struct document *d = build_model(13);
	struct rng r = rng_make(21, 0);

	build_input(d, "x", 3, DIMS(-1, 3, 7));
	build_output(d, "y", 3, DIMS(-1, 3, 4));
	build_floats(d, "w1", 2, DIMS(7, 5), 1, &r);
	build_floats(d, "b1", 1, DIMS(5), 1, &r);
	build_floats(d, "m", 1, DIMS(5), 1, &r);
	build_floats(d, "half", 0, NULL, 1, &r);
	build_floats(d, "slope", 1, DIMS(5), 1, &r);
	build_floats(d, "w2", 2, DIMS(5, 4), 1, &r);
	build_floats(d, "b2", 1, DIMS(4), 1, &r);
	build_node(d, "MatMul", "x w1", "z");
	build_node(d, "Add", "b1 z", "h");
	build_node(d, "Mul", "h m", "k");
	build_node(d, "Sub", "k half", "q");
	build_node(d, "PRelu", "q slope", "a");
	build_node(d, "MatMul", "a w2", "o");
	build_node(d, "Add", "o b2", "y");
	for (int64_t i = 0; i < 7; i++)
		build_elements(d, "w1")[i * 5 + 2] = 0;
	set(build_elements(d, "w2") + 4 * 4, 4, 0);
	cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 2);
	cr_assert_eq(build_extent(d, "w1", 1), 3);
	cr_assert_eq(build_extent(d, "slope", 0), 3);
	doc_free(d);
}

/* Dead channels make dead channels: the second layer hears only what the first never says. */
Test(channels, death_spreads)
{
	struct document *d = build_model(13);
	struct rng r = rng_make(22, 0);

	build_input(d, "x", 2, DIMS(-1, 7));
	build_output(d, "y", 2, DIMS(-1, 4));
	build_floats(d, "w1", 2, DIMS(5, 7), 1, &r);
	build_floats(d, "b1", 1, DIMS(5), 1, &r);
	build_floats(d, "w2", 2, DIMS(6, 5), 1, &r);
	build_floats(d, "b2", 1, DIMS(6), 1, &r);
	build_floats(d, "w3", 2, DIMS(4, 6), 1, &r);
	build_floats(d, "b3", 1, DIMS(4), 1, &r);
	build_number(d, build_node(d, "Gemm", "x w1 b1", "h"), "transB", 1);
	build_node(d, "Relu", "h", "a");
	build_number(d, build_node(d, "Gemm", "a w2 b2", "k"), "transB", 1);
	build_node(d, "Tanh", "k", "t");
	build_number(d, build_node(d, "Gemm", "t w3 b3", "y"), "transB", 1);
	deafen(d, "w1", 0);
	deafen(d, "w2", 3);
	build_elements(d, "w2")[3 * 5] = 2;
	cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 2);
	cr_assert_eq(build_extent(d, "w2", 0), 5);
	cr_assert_eq(build_extent(d, "w2", 1), 4);
	doc_free(d);
}

/* ---- several readers, shared constants ----------------------------------------------------------------- */

Test(channels, two_readers_must_both_be_deaf)
{
	struct document *d = build_model(13);
	struct rng r = rng_make(30, 0);

	build_input(d, "x", 4, DIMS(-1, 3, 6, 6));
	build_output(d, "y", 4, DIMS(-1, 4, 6, 6));
	build_floats(d, "w1", 4, DIMS(5, 3, 1, 1), 1, &r);
	build_floats(d, "b1", 1, DIMS(5), 1, &r);
	build_floats(d, "w2", 4, DIMS(4, 5, 1, 1), 1, &r);
	build_floats(d, "b2", 1, DIMS(4), 1, &r);
	build_floats(d, "w3", 4, DIMS(4, 5, 3, 3), 1, &r);
	build_node(d, "Conv", "x w1 b1", "h");
	build_node(d, "Conv", "h w2 b2", "p");
	build_node(d, "Relu", "h", "a");
	build_attribute(d, build_node(d, "Conv", "a w3", "q"), "pads", 4, DIMS(1, 1, 1, 1));
	build_node(d, "Add", "p q", "y");
	blind(d, "w2", 4, 5, 1, 0);
	blind(d, "w2", 4, 5, 1, 1);
	blind(d, "w3", 4, 5, 9, 1);
	deafen(d, "w1", 3);
	build_elements(d, "b1")[3] = -2;
	cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 2);
	cr_assert_eq(build_extent(d, "w3", 1), 3);
	doc_free(d);
}

/* As torch exports equal tensors: the second norm's shift is an Identity of the first's, which keeps its
 * own. */
Test(channels, norm_parameters_through_identity)
{
	struct document *d = conv_norm_relu_conv(true, 31);
	Onnx__GraphProto *g = d->model->graph;
	Onnx__NodeProto *identity = NULL, *last = g->node[3];
	struct rng r = rng_make(31, 9);

	edit_node(d, "Identity", NULL, NULL, &identity, NULL);
	edit_string_insert(d, &identity->n_input, &identity->input, 0, "n_shift", NULL);
	edit_string_insert(d, &identity->n_output, &identity->output, 0, "shared", NULL);
	edit_insert(d, &g->n_node, &g->node, 0, identity, NULL);
	edit_string(d, &last->output[0], "u", NULL);
	build_floats(d, "w3", 4, DIMS(6, 4, 1, 1), 1, &r);
	build_node(d, "Conv", "u w3", "v");
	build_floats(d, "scale2", 1, DIMS(6), 1, &r);
	build_node(d, "BatchNormalization", "v scale2 shared n_mean n_var", "s");
	build_floats(d, "w4", 4, DIMS(4, 6, 1, 1), 1, &r);
	build_node(d, "Conv", "s w4", "y");
	blind(d, "w4", 4, 6, 1, 2);
	cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 1);
	cr_assert_eq(build_extent(d, "n_shift", 0), 6);
	doc_free(d);
}

/* ---- payloads ------------------------------------------------------------------------------------------ */

Test(channels, sparse_weights_shrink)
{
	struct document *d = conv_norm_relu_conv(true, 40);
	Onnx__GraphProto *g = d->model->graph;
	Onnx__SparseTensorProto *sparse = NULL;
	struct tensor t = { .type = DT_UNDEFINED };

	blind(d, "w2", 4, 6, 9, 1);
	for (size_t i = 0; i < g->n_initializer; i++) {
		if (strcmp(g->initializer[i]->name, "w2"))
			continue;
		cr_assert_eq(payload_read(d, g->initializer[i], &t, NULL), TAMIS_OK);
		cr_assert_eq(sparse_new(d, g->initializer[i], &t, &sparse, NULL), TAMIS_OK);
		cr_assert_eq(edit_add_sparse_initializer(d, g, sparse, NULL), TAMIS_OK);
		edit_remove_initializer(d, g, i);
	}
	tensor_free(&t);
	cr_assert_not_null(sparse);
	cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 1);
	cr_assert_eq(g->sparse_initializer[0]->dims[1], 5);
	doc_free(d);
}

/* Moves an initializer into a Constant node at the front. */
static void make_constant_node(struct document *d, const char *name)
{
	Onnx__GraphProto *g = d->model->graph;
	Onnx__AttributeProto *value = edit_new(d, &onnx__attribute_proto__descriptor);
	Onnx__NodeProto *n = NULL;

	edit_node(d, "Constant", NULL, NULL, &n, NULL);
	edit_string_insert(d, &n->n_output, &n->output, 0, name, NULL);
	value->name = doc_strdup(d, "value");
	value->has_type = 1;
	value->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
	for (size_t i = 0; i < g->n_initializer && !value->t; i++)
		if (!strcmp(g->initializer[i]->name, name))
			value->t = edit_take(&g->n_initializer, &g->initializer, i);
	cr_assert_not_null(value->t);
	edit_insert(d, &n->n_attribute, &n->attribute, 0, value, NULL);
	edit_insert(d, &g->n_node, &g->node, 0, n, NULL);
}

Test(channels, constant_nodes_shrink)
{
	struct document *d = conv_norm_relu_conv(true, 41);
	Onnx__GraphProto *g = d->model->graph;

	blind(d, "w2", 4, 6, 9, 1);
	make_constant_node(d, "w2");
	make_constant_node(d, "n_mean");
	cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 1);
	cr_assert_eq(g->node[0]->attribute[0]->t->dims[0], 5);
	cr_assert_eq(g->node[1]->attribute[0]->t->dims[1], 5);
	doc_free(d);
}

/* ---- what stays ---------------------------------------------------------------------------------------- */

/* x -> Conv -> (kind) -> Conv -> y, with one channel in between that nobody reads. */
static int64_t behind(int kind)
{
	struct document *d = build_model(13);
	struct rng r = rng_make(50, (uint64_t)kind);
	int64_t width = kind == 2 ? 8 : 4, removed;

	build_input(d, "x", 4, DIMS(-1, 4, 6, 6));
	build_output(d, "y", 4, DIMS(-1, 4, 6, 6));
	build_floats(d, "w1", 4, DIMS(4, 4, 1, 1), 1, &r);
	build_floats(d, "w2", 4, DIMS(4, width, 1, 1), 1, &r);
	build_node(d, "Conv", "x w1", "h");
	if (kind == 1) {
		build_node(d, "Add", "h x", "a");
	} else if (kind == 2) {
		build_number(d, build_node(d, "Concat", "h x", "a"), "axis", 1);
	} else if (kind == 3) {
		build_floats(d, "g", 4, DIMS(4, 2, 1, 1), 1, &r);
		build_number(d, build_node(d, "Conv", "h g", "a"), "group", 2);
		blind(d, "g", 4, 2, 1, 1);
	} else if (kind == 5) {
		build_number(d, build_node(d, "Softmax", "h", "a"), "axis", 1);
	} else {
		build_node(d, "Relu", "h", "a");
	}
	build_node(d, "Conv", "a w2", "y");
	blind(d, "w2", 4, width, 1, 1);
	if (kind == 4)
		build_output(d, "h", 4, DIMS(-1, 4, 6, 6));
	if (kind == 6) {
		build_floats(d, "w9", 4, DIMS(4, 4, 1, 1), 1, &r);
		build_node(d, "Conv", "x w1", "twin");
		build_output(d, "twin", 4, DIMS(-1, 4, 6, 6));
	}
	removed = build_remove_and_compare(d, TOLERANCE);
	doc_free(d);
	return removed;
}

Test(channels, barriers_hold)
{
	static const struct { int kind; int64_t removed; const char *what; } rows[] = { { 0, 1, "Relu" }, { 1, 0,
		"residual sum" },
		{ 2, 1, "Concat" }, { 3, 0, "groups" }, { 4, 0, "graph output" }, { 5, 0, "Softmax" }, { 6, 0,
		"tied weight" } };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		cr_assert_eq(behind(rows[i].kind), rows[i].removed, "%s", rows[i].what);
}

/* ---- any chain ----------------------------------------------------------------------------------------- */

struct chain {
	struct document *d;
	struct rng r;
	int64_t channels, side; /* of the value in hand; side 0 once flat */
	int64_t block;
	int n;
	char at[32], weight[32]; /* value in hand; the last weight, [outs, ...] */
};

static const char *name_of(struct chain *c, const char *stem, char *buf)
{
	snprintf(buf, 32, "%s%d", stem, c->n);
	return buf;
}

static Onnx__NodeProto *step(struct chain *c, const char *op, const char *more)
{
	char inputs[200], to[32];
	Onnx__NodeProto *n;

	snprintf(inputs, sizeof inputs, "%s %s", c->at, more);
	n = build_node(c->d, op, inputs, name_of(c, "v", to));
	strcpy(c->at, to);
	c->n++;
	return n;
}

static bool one_in(struct chain *c, uint64_t n)
{
	return rng_below(&c->r, n) == 0;
}

/* A linear layer; some of its rows and of the columns it reads are zeroed. */
static void add_layer(struct chain *c)
{
	int64_t outs = 2 + (int64_t)rng_below(&c->r, 5), k = c->side >= 3 && one_in(c, 2) ? 3 : 1;
	int64_t pad = k == 3 && one_in(c, 2), ins = c->channels * c->block;
	char w[32], b[32], more[80];
	int64_t each = k * k;
	float *weight;

	name_of(c, "w", w);
	name_of(c, "b", b);
	snprintf(more, sizeof more, one_in(c, 3) ? "%s" : "%s %s", w, b);
	weight = build_floats(c->d, w, c->side ? 4 : 2, DIMS(outs, ins, k, k), 0.5, &c->r);
	if (strchr(more, ' '))
		build_floats(c->d, b, 1, &outs, 1, &c->r);
	for (int64_t o = 0; o < outs; o++)
		if (one_in(c, 4))
			set(weight + o * ins * each, ins * each, 0);
	for (int64_t i = 0; i < c->channels; i++)
		if (one_in(c, 4))
			blind(c->d, w, outs, c->channels, c->block * each, i);
	if (c->side) {
		build_attribute(c->d, step(c, "Conv", more), "pads", 4, DIMS(pad, pad, pad, pad));
		c->side += 2 * pad - k + 1;
	} else {
		build_number(c->d, step(c, "Gemm", more), "transB", 1);
	}
	c->channels = outs;
	c->block = 1;
}

static void add_operand(struct chain *c)
{
	static const char *const ops[] = { "Add", "Mul", "Sub", "PRelu" };
	char name[32];
	int64_t dims[3] = { one_in(c, 3) ? 1 : c->channels * c->block, 1, 1 };

	name_of(c, "m", name);
	build_floats(c->d, name, c->side ? 3 : 1, dims, 1, &c->r);
	step(c, ops[rng_below(&c->r, 4)], name);
}

static void add_norm(struct chain *c)
{
	char prefix[32], to[32];

	if (c->block != 1)
		return;
	name_of(c, "n", prefix);
	norm(c->d, prefix, c->channels, c->at, name_of(c, "v", to), &c->r);
	strcpy(c->at, to);
	c->n++;
}

static void add_pool(struct chain *c)
{
	Onnx__NodeProto *n;
	bool average = one_in(c, 2);
	int64_t pad = one_in(c, 3);

	if (c->side < 2)
		return;
	n = step(c, average ? "AveragePool" : "MaxPool", "");
	build_attribute(c->d, n, "kernel_shape", 2, DIMS(2, 2));
	build_attribute(c->d, n, "pads", 4, DIMS(pad, pad, pad, pad));
	if (average)
		build_number(c->d, n, "count_include_pad", 1);
	c->side += 2 * pad - 1;
}

static void add_flatten(struct chain *c)
{
	char t[32];

	if (!c->side)
		return;
	c->block *= c->side * c->side;
	c->side = 0;
	if (one_in(c, 2)) {
		step(c, "Flatten", "");
		return;
	}
	build_ints(c->d, name_of(c, "t", t), 2, DIMS(-1, c->channels * c->block));
	step(c, "Reshape", t);
}

static void add_something(struct chain *c)
{
	static const char *const unary[] = { "Relu", "Sigmoid", "Tanh", "LeakyRelu", "Identity", "Abs" };

	switch (rng_below(&c->r, 7)) {
	case 0: add_operand(c); break;
	case 1: add_norm(c); break;
	case 2: add_pool(c); break;
	case 3: if (one_in(c, 3)) add_flatten(c); break;
	case 4: step(c, unary[rng_below(&c->r, 6)], ""); break;
	default: add_layer(c); break;
	}
}

Test(channels, any_chain_keeps_its_outputs)
{
	int64_t removed = 0;

	for (uint64_t seed = 1; seed <= 150; seed++) {
		struct chain c = { .d = build_model(13), .r = rng_make(seed, 99), .channels = 3, .side = 7,
			.block = 1, .at = "x" };
		int steps = 4 + (int)rng_below(&c.r, 12);

		build_input(c.d, "x", 4, DIMS(-1, 3, 7, 7));
		add_layer(&c);
		for (int i = 0; i < steps; i++)
			add_something(&c);
		add_layer(&c);
		build_output(c.d, c.at, c.side ? 4 : 2, DIMS(-1, c.channels, c.side, c.side));
		fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
		removed += build_remove_and_compare(c.d, TOLERANCE);
		doc_free(c.d);
	}
	cr_assert_gt(removed, 200, "only %lld channels were removed from all chains", (long long)removed);
}
