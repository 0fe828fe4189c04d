/* SPDX-License-Identifier: Apache-2.0 */
#include "nets.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/check.h"
#include "onnx/edit.h"
#include "onnx/payload.h"
#include "ops/table.h"

void must(enum tamis_status s, const struct tamis_error *err, const char *what)
{
	cr_assert_eq(s, TAMIS_OK, "%s: %s: %s: %s (%d)", what, err->node, err->tensor, err->message, s);
}

/* ---- items -------------------------------------------------------------------------------------------------- */

void shelf_fill(struct shelf *s, const struct graph *g, int64_t items, uint64_t seed)
{
	*s = (struct shelf){ .n = g->n_inputs, .items = items };
	cr_assert(s->n <= 4);
	for (int i = 0; i < s->n; i++) {
		const struct value_type *t = &g->values[g->inputs[i]].declared;
		struct rng r = rng_make(seed, (uint64_t)i);
		int64_t dims[TENSOR_MAX_RANK];

		memcpy(dims, t->dims, sizeof dims);
		dims[0] = items;
		cr_assert_eq(tensor_shape(&s->in[i], t->type, t->rank, dims, NULL), TAMIS_OK);
		cr_assert_eq(tensor_alloc(&s->in[i], NULL), TAMIS_OK);
		for (int64_t k = 0; k < s->in[i].count; k++)
			tensor_set(&s->in[i], k, rng_normal(&r));
	}
}

static enum tamis_status next(void *self, int64_t max_items, struct batch *b, struct tamis_error *err)
{
	struct shelf *s = self;
	int64_t n = s->items - s->at < max_items ? s->items - s->at : max_items;

	if (s->fail_at && ++s->calls == s->fail_at)
		return tm_fail(err, s->fail_with, "the shelf fails");
	*b = (struct batch){ .first = s->at, .items = n, .n = s->n, .in = s->lent };
	for (int i = 0; i < s->n; i++) {
		size_t each = tensor_bytes(&s->in[i]) / (size_t)s->items;

		s->lent[i] = s->in[i];
		s->lent[i].dims[0] = n;
		s->lent[i].count = s->in[i].count / s->items * n;
		s->lent[i].data = (char *)s->in[i].data + (size_t)s->at * each;
	}
	s->at += n;
	return TAMIS_OK;
}

static enum tamis_status back(void *self, struct tamis_error *err)
{
	(void)err;
	((struct shelf *)self)->at = 0;
	return TAMIS_OK;
}

static int64_t count(void *self)
{
	const struct shelf *s = self;

	return s->uncounted ? -1 : s->items;
}

struct feed_reader shelf_reader(struct shelf *s)
{
	return (struct feed_reader){ .self = s, .next = next, .rewind = back, .count = count };
}

void shelf_free(struct shelf *s)
{
	for (int i = 0; i < s->n; i++)
		tensor_free(&s->in[i]);
}

/* ---- a model laid open -------------------------------------------------------------------------------------- */

static void one_item(const struct shelf *s, struct tensor *in)
{
	for (int i = 0; i < s->n; i++) {
		in[i] = s->in[i];
		in[i].dims[0] = 1;
		in[i].count /= s->items;
	}
}

void lab_open_filtered(struct lab *l, struct document *d, int64_t items, uint64_t seed, const struct layer_filter *f)
{
	const struct program_options options = { .training = true };
	struct tamis_error err = { 0 };
	struct tensor in[4];

	*l = (struct lab){ .doc = d };
	must(check_or_fail(d, &err), &err, "check");
	must(graph_build(d, &op_table, &l->graph, &err), &err, "graph");
	must(graph_build(d, &op_table, &l->original, &err), &err, "graph");
	shelf_fill(&l->shelf, l->graph, items, seed);
	l->reader = shelf_reader(&l->shelf);
	must(program_create(l->graph, &options, &l->program, &err), &err, "program");
	one_item(&l->shelf, in);
	must(plan_create(l->program, in, &l->plan, &err), &err, "plan");
	must(layers_find(l->graph, l->plan, f, &l->layers, &err), &err, "layers");
}

void lab_open(struct lab *l, struct document *d, int64_t items, uint64_t seed)
{
	const struct layer_filter all = { .only = NULL };

	lab_open_filtered(l, d, items, seed, &all);
}

void lab_close(struct lab *l)
{
	layers_free(&l->layers);
	plan_free(l->plan);
	program_free(l->program);
	graph_free(l->graph);
	graph_free(l->original);
	shelf_free(&l->shelf);
	doc_free(l->doc);
}

int lab_layer(const struct lab *l, const char *weight)
{
	for (int i = 0; i < l->layers.n; i++)
		if (!strcmp(l->graph->values[l->layers.list[i].weight].name, weight))
			return i;
	cr_assert_fail("no layer has the weight '%s'", weight);
	return -1;
}

struct tensor *lab_constant(struct graph *g, const char *name)
{
	int id = graph_find(g, name);

	cr_assert(id != GRAPH_NONE && g->values[id].kind == VALUE_CONSTANT, "there is no constant '%s'", name);
	return &g->values[id].constant;
}

double *lab_outputs(const struct lab *l, const struct graph *g, int i, int64_t *n)
{
	const struct program_options options = { .merge_norms = false };
	struct tamis_error err = { 0 };
	struct program *p = NULL;
	struct runner *r = NULL;
	const struct tensor *out;
	double *copy;

	must(program_create(g, &options, &p, &err), &err, "program");
	must(runner_create(p, &r, &err), &err, "runner");
	must(runner_run(r, l->shelf.in, NULL, &err), &err, "run");
	out = runner_output(r, i);
	*n = out->count;
	copy = malloc((size_t)(out->count + 1) * sizeof *copy);
	for (int64_t k = 0; k < out->count; k++)
		copy[k] = tensor_get(out, k);
	runner_free(r);
	program_free(p);
	return copy;
}

static void retype_all(Onnx__ValueInfoProto **list, size_t n, enum dtype type)
{
	for (size_t i = 0; i < n; i++)
		if (list[i]->type->tensor_type->elem_type == DT_FLOAT)
			list[i]->type->tensor_type->elem_type = (int)type;
}

void nets_retype(struct document *d, enum dtype type)
{
	Onnx__GraphProto *g = d->model->graph;

	retype_all(g->input, g->n_input, type);
	retype_all(g->output, g->n_output, type);
	retype_all(g->value_info, g->n_value_info, type);
	for (size_t i = 0; i < g->n_initializer; i++) {
		struct tensor from, to;

		if (g->initializer[i]->data_type != DT_FLOAT)
			continue;
		cr_assert_eq(payload_read(d, g->initializer[i], &from, NULL), TAMIS_OK);
		to = from;
		to.type = type;
		cr_assert_eq(tensor_alloc(&to, NULL), TAMIS_OK);
		cr_assert_eq(tensor_convert(&from, &to, NULL), TAMIS_OK);
		cr_assert_eq(payload_write(d, g->initializer[i], &to, NULL), TAMIS_OK);
		tensor_free(&from);
		tensor_free(&to);
	}
}

/* ---- nets --------------------------------------------------------------------------------------------------- */

static void set_real(struct document *d, Onnx__NodeProto *n, const char *name, float value)
{
	Onnx__AttributeProto *a;

	build_number(d, n, name, 0);
	a = n->attribute[n->n_attribute - 1];
	a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
	a->has_i = 0;
	a->has_f = 1;
	a->f = value;
}

struct document *net_logits(uint64_t seed)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 1);
	Onnx__NodeProto *n;

	build_input(d, "x", 4, DIMS(-1, 2, 5, 5));
	build_output(d, "y", 2, DIMS(-1, 3));
	build_floats(d, "w1", 4, DIMS(4, 1, 3, 3), 0.5, &r);
	build_floats(d, "b1", 1, DIMS(4), 0.3, &r);
	build_floats(d, "w2", 2, DIMS(3, 100), 0.3, &r);
	build_floats(d, "b2", 1, DIMS(3), 0.3, &r);
	n = build_node(d, "Conv", "x w1 b1", "c");
	build_attribute(d, n, "pads", 4, DIMS(1, 1, 1, 1));
	build_number(d, n, "group", 2);
	build_node(d, "Relu", "c", "a");
	build_node(d, "Flatten", "a", "f");
	n = build_node(d, "Gemm", "f w2 b2", "y");
	build_number(d, n, "transB", 1);
	set_real(d, n, "alpha", 0.5f);
	return d;
}

struct document *net_probabilities(uint64_t seed)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 2);

	build_input(d, "x", 3, DIMS(-1, 3, 4));
	build_output(d, "y", 2, DIMS(-1, 3));
	build_floats(d, "w1", 2, DIMS(4, 5), 0.7, &r);
	build_floats(d, "b1", 1, DIMS(5), 0.3, &r);
	build_floats(d, "w2", 2, DIMS(15, 3), 0.5, &r);
	build_floats(d, "b2", 1, DIMS(3), 0.3, &r);
	build_node(d, "MatMul", "x w1", "m");
	build_node(d, "Add", "m b1", "c");
	build_node(d, "Relu", "c", "a");
	build_node(d, "Flatten", "a", "f");
	set_real(d, build_node(d, "Gemm", "f w2 b2", "z"), "beta", 0.5f);
	build_node(d, "Softmax", "z", "y");
	return d;
}

struct document *net_general(uint64_t seed)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 3);

	build_input(d, "x", 2, DIMS(-1, 6));
	build_output(d, "y1", 2, DIMS(-1, 2));
	build_output(d, "y2", 2, DIMS(-1, 3));
	build_floats(d, "w1", 2, DIMS(6, 5), 0.5, &r);
	build_floats(d, "w2", 2, DIMS(5, 2), 0.7, &r);
	build_floats(d, "b2", 1, DIMS(2), 0.3, &r);
	build_floats(d, "w3", 2, DIMS(5, 3), 0.7, &r);
	build_node(d, "Gemm", "x w1", "c");
	build_node(d, "Tanh", "c", "h");
	build_node(d, "Gemm", "h w2 b2", "y1");
	build_node(d, "MatMul", "h w3", "y2");
	return d;
}

struct document *net_deep(uint64_t seed)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 4);

	build_input(d, "x", 2, DIMS(-1, 20));
	build_output(d, "y", 2, DIMS(-1, 4));
	build_floats(d, "w1", 2, DIMS(20, 24), 0.3, &r);
	build_floats(d, "b1", 1, DIMS(24), 0.2, &r);
	build_floats(d, "w2", 2, DIMS(24, 24), 0.3, &r);
	build_floats(d, "b2", 1, DIMS(24), 0.2, &r);
	build_floats(d, "w3", 2, DIMS(24, 4), 1, &r);
	build_floats(d, "b3", 1, DIMS(4), 0.2, &r);
	build_node(d, "Gemm", "x w1 b1", "c1");
	build_node(d, "Relu", "c1", "a1");
	build_node(d, "Gemm", "a1 w2 b2", "c2");
	build_node(d, "Relu", "c2", "a2");
	build_node(d, "Gemm", "a2 w3 b3", "y");
	return d;
}

static void linear(struct document *d, const char *from, const char *name, int64_t in, int64_t out, struct rng *r)
{
	char w[16], b[16], sum[16], inputs[48];

	snprintf(w, sizeof w, "w_%s", name);
	snprintf(b, sizeof b, "b_%s", name);
	snprintf(sum, sizeof sum, "m_%s", name);
	build_floats(d, w, 2, DIMS(in, out), 0.4, r);
	build_floats(d, b, 1, &out, 0.2, r);
	snprintf(inputs, sizeof inputs, "%s %s", from, w);
	build_node(d, "MatMul", inputs, sum);
	snprintf(inputs, sizeof inputs, "%s %s", sum, b);
	build_node(d, "Add", inputs, name);
}

struct document *net_block(uint64_t seed)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 5);

	build_input(d, "x", 3, DIMS(-1, 6, 8));
	build_output(d, "y", 3, DIMS(-1, 6, 8));
	linear(d, "x", "q", 8, 8, &r);
	linear(d, "x", "k", 8, 8, &r);
	linear(d, "x", "v", 8, 8, &r);
	build_attribute(d, build_node(d, "Transpose", "k", "kt"), "perm", 3, DIMS(0, 2, 1));
	build_node(d, "MatMul", "q kt", "s");
	build_number(d, build_node(d, "Softmax", "s", "a"), "axis", -1);
	build_node(d, "MatMul", "a v", "c");
	linear(d, "c", "o", 8, 8, &r);
	build_node(d, "Add", "x o", "h");
	build_floats(d, "scale", 1, DIMS(8), 1, &r);
	build_floats(d, "shift", 1, DIMS(8), 1, &r);
	build_node(d, "LayerNormalization", "h scale shift", "n");
	linear(d, "n", "f", 8, 16, &r);
	build_node(d, "Relu", "f", "g");
	linear(d, "g", "z", 16, 8, &r);
	build_node(d, "Add", "h z", "y");
	return d;
}

struct document *net_foldable(uint64_t seed)
{
	static const struct { const char *name; float value; } numbers[] = { { "a", 0.3f }, { "b", 0.1f }, { "three", 3 }, { "zero", 0 },
		{ "six", 6 } };
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 46);

	build_input(d, "x", 4, DIMS(-1, 2, 5, 5));
	build_output(d, "y", 2, DIMS(-1, 3));
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		build_floats(d, numbers[i].name, 0, NULL, 0, &r)[0] = numbers[i].value;
	build_floats(d, "w1", 4, DIMS(8, 2, 3, 3), 1, &r);
	build_floats(d, "w2", 4, DIMS(8, 8, 1, 1), 1, &r);
	build_floats(d, "w3", 4, DIMS(8, 8, 1, 1), 0, &r);
	build_floats(d, "b3", 1, DIMS(8), 0.3, &r);
	build_floats(d, "w4", 2, DIMS(3, 72), 1, &r);
	build_node(d, "Mul", "x a", "m");
	build_node(d, "Sub", "m b", "n");
	build_node(d, "Conv", "n w1", "z");
	build_node(d, "Add", "z three", "p");
	build_node(d, "Clip", "p zero six", "q");
	build_node(d, "Mul", "z q", "g");
	build_node(d, "Div", "g six", "t");
	build_node(d, "Conv", "t w2", "c");
	build_node(d, "Relu", "c", "e");
	build_node(d, "Conv", "e w3 b3", "h");
	build_node(d, "Add", "t h", "s");
	build_node(d, "Flatten", "s", "f");
	build_number(d, build_node(d, "Gemm", "f w4", "y"), "transB", 1);
	return d;
}
