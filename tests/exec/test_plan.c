/* SPDX-License-Identifier: Apache-2.0 */
/* Programs, plans and runners on models made by hand: how much memory, what is folded, what is watched, what is said
 * when a run fails, and that the next run is none the worse. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "exec/runner.h"
#include "random.h"

struct rig { struct document *d; struct graph *g; struct program *p; struct runner *r; struct tamis_error err; };

static void must(enum tamis_status s, const struct rig *k)
{
	cr_assert_eq(s, TAMIS_OK, "%s: %s: %s", k->err.node, k->err.tensor, k->err.message);
}

static struct rig start(struct document *d, struct program_options options)
{
	struct rig k = { .d = d, .g = model_graph(d) };

	must(program_create(k.g, &options, &k.p, &k.err), &k);
	must(runner_create(k.p, &k.r, &k.err), &k);
	return k;
}

static void finish(struct rig *k)
{
	runner_free(k->r);
	program_free(k->p);
	graph_free(k->g);
	doc_free(k->d);
}

static struct document *chain(int n, const char *op)
{
	struct document *d = model_new(13);
	char a[16] = "x", b[16];

	model_input(d, "x", DT_FLOAT, DIMS(-1, 1000));
	for (int i = 0; i < n; i++) {
		snprintf(b, sizeof b, "v%d", i);
		model_node(d, op, a, b);
		memcpy(a, b, sizeof a);
	}
	model_output(d, a);
	return d;
}

Test(plan, a_chain_needs_two_places)
{
	struct rig k = start(chain(60, "Relu"), (struct program_options){ .merge_norms = false });
	struct rig all = start(chain(60, "Relu"), (struct program_options){ .training = true });
	struct tensor in[1] = { tensor_make(DT_FLOAT, DIMS(2, 1000), NULL, &(struct rng){ 1, 0 }) };

	must(runner_run(k.r, in, NULL, &k.err), &k);
	cr_expect_leq(runner_bytes(k.r), 2 * 8064u + (1u << 20), "%zu bytes", runner_bytes(k.r));
	must(runner_run(all.r, in, NULL, &all.err), &all);
	cr_expect_geq(runner_bytes(all.r), 60 * 8000u, "%zu bytes", runner_bytes(all.r));
	finish(&k);
	finish(&all);
	tensor_free(&in[0]);
}

Test(plan, views_cost_nothing)
{
	struct rig k = start(chain(60, "Identity"), (struct program_options){ .merge_norms = false });
	struct tensor in[1] = { tensor_make(DT_FLOAT, DIMS(2, 1000), NULL, &(struct rng){ 1, 0 }) };

	must(runner_run(k.r, in, NULL, &k.err), &k);
	cr_expect_eq(runner_output(k.r, 0)->data, in[0].data);
	cr_expect_eq(runner_bytes(k.r), 0);
	finish(&k);
	tensor_free(&in[0]);
}

/* Values that come and go with sizes that do not fit each other: the block may not grow with their number. */
Test(plan, memory_is_bounded_by_what_lives)
{
	struct document *d = model_new(13);
	struct plan *plan = NULL;
	struct tensor in[1] = { { .type = DT_UNDEFINED } };
	char a[16] = "x", b[16], c[16], text[64];
	struct rig k;

	model_input(d, "x", DT_FLOAT, DIMS(1, 1000));
	for (int i = 0; i < 100; i++) {
		snprintf(b, sizeof b, "b%d", i);
		snprintf(text, sizeof text, "%s %s", a, a);
		node_int(d, model_node(d, "Concat", text, b), "axis", 1);
		snprintf(c, sizeof c, "s%d", i);
		model_ints(d, c, 2, (int64_t[]){ 1000, 1000 });
		snprintf(text, sizeof text, "%s %s", b, c);
		snprintf(a, sizeof a, "a%d", i);
		snprintf(c, sizeof c, "%s -", a);
		node_int(d, model_node(d, "Split", text, c), "axis", 1);
	}
	model_output(d, a);
	k = start(d, (struct program_options){ .merge_norms = false });
	cr_assert_eq(tensor_shape(&in[0], DT_FLOAT, DIMS(1, 1000), NULL), TAMIS_OK);
	must(plan_create(k.p, in, &plan, &k.err), &k);
	cr_expect_leq(plan->block_bytes, 6 * 4032u, "%zu bytes for values of 4000 and 8000", plan->block_bytes);
	plan_free(plan);
	finish(&k);
}

Test(plan, shapes_are_folded)
{
	struct document *d = model_new(13);
	struct tensor in[1] = { tensor_make(DT_FLOAT, DIMS(7, 2), NULL, &(struct rng){ 1, 0 }) };
	struct plan *plan = NULL;
	struct rig k;
	int s;

	model_input(d, "x", DT_FLOAT, DIMS(-1, 2));
	model_node(d, "Shape", "x", "s");
	model_node(d, "Mul", "s s", "t");
	model_output(d, "t");
	k = start(d, (struct program_options){ .merge_norms = false });
	must(plan_create(k.p, in, &plan, &k.err), &k);
	s = graph_find(k.g, "t");
	cr_expect(plan->value[s].place == PLACE_FOLDED && plan->folded[0] && plan->folded[1]);
	cr_expect_eq(tensor_get_int(&plan->value[s].shape, 0), 49);
	must(runner_run(k.r, in, NULL, &k.err), &k);
	cr_expect_eq(tensor_get_int(runner_output(k.r, 0), 0), 49);
	cr_expect_eq(plan->block_bytes, 0);
	plan_free(plan);
	finish(&k);
	tensor_free(&in[0]);
}

/* An elementwise step takes the place of what it alone reads. */
Test(plan, steps_in_place)
{
	struct rig k = start(chain(60, "Relu"), (struct program_options){ .merge_norms = false });
	struct tensor in[1] = { { .type = DT_UNDEFINED } };
	struct plan *plan = NULL;

	cr_assert_eq(tensor_shape(&in[0], DT_FLOAT, DIMS(2, 1000), NULL), TAMIS_OK);
	must(plan_create(k.p, in, &plan, &k.err), &k);
	cr_expect_eq(plan->block_bytes, 8000);
	plan_free(plan);
	finish(&k);
}

/* More shapes than plans are kept, in an order that drops each of them again and again. */
Test(plan, cache_of_shapes)
{
	struct rig k = start(chain(3, "Neg"), (struct program_options){ .merge_norms = false });

	for (int i = 0; i < 60; i++) {
		int64_t n = 1 + i * i % 7;
		struct rng r = rng_make((uint64_t)i, 0);
		struct tensor in[1] = { tensor_make(DT_FLOAT, DIMS(n, 1000), NULL, &r) };

		must(runner_run(k.r, in, NULL, &k.err), &k);
		cr_assert_eq(runner_output(k.r, 0)->dims[0], n);
		for (int64_t e = 0; e < in[0].count; e += 37)
			cr_assert_eq(tensor_get(runner_output(k.r, 0), e), -tensor_get(&in[0], e));
		tensor_free(&in[0]);
	}
	finish(&k);
}

static struct document *addition(void)
{
	struct document *d = model_new(13);

	model_input(d, "x", DT_FLOAT, DIMS(-1, 1000));
	model_constant(d, "c", DT_FLOAT, DIMS(2, 1000), NULL, &(struct rng){ 1, 0 });
	model_node(d, "Add", "x c", "y");
	model_output(d, "y");
	return d;
}

Test(plan, a_failed_run_leaves_the_runner_usable)
{
	struct rig k = start(addition(), (struct program_options){ .merge_norms = false });
	struct tensor good[1] = { tensor_make(DT_FLOAT, DIMS(2, 1000), NULL, &(struct rng){ 1, 0 }) };
	struct tensor shape[1] = { tensor_make(DT_FLOAT, DIMS(3, 1000), NULL, &(struct rng){ 1, 0 }) };
	struct tensor rank[1] = { tensor_make(DT_FLOAT, DIMS(1000), NULL, &(struct rng){ 1, 0 }) };
	struct tensor type[1] = { tensor_make(DT_DOUBLE, DIMS(2, 1000), NULL, &(struct rng){ 1, 0 }) };
	const struct { struct tensor *in; const char *node, *tensor; } bad[] = { { shape, "#0 (Add)", "" }, { rank, "", "x" },
		{ type, "", "x" } };

	for (size_t i = 0; i < 3; i++) {
		struct tamis_error err = { 0 };

		must(runner_run(k.r, good, NULL, &k.err), &k);
		cr_expect_eq(runner_run(k.r, bad[i].in, NULL, &err), TAMIS_E_INVALID);
		cr_expect_str_eq(err.node, bad[i].node);
		cr_expect_str_eq(err.tensor, bad[i].tensor);
	}
	must(runner_run(k.r, good, NULL, &k.err), &k);
	cr_expect_eq(runner_output(k.r, 0)->count, 2000);
	finish(&k);
	tensor_free(good);
	tensor_free(shape);
	tensor_free(rank);
	tensor_free(type);
}

/* A small file must not make a run take more than its limit, whether the shape is planned or depends on data. */
Test(plan, memory_limit)
{
	struct document *d = addition(), *e = model_new(13);
	struct tensor in[1] = { tensor_make(DT_FLOAT, DIMS(2, 1000), NULL, &(struct rng){ 1, 0 }) };
	struct tensor n[1] = { tensor_make(DT_INT64, DIMS(1), (double[]){ 1 << 20 }, NULL) };
	struct tamis_error err = { 0 };
	struct rig k, l;

	k = start(d, (struct program_options){ .merge_norms = false });
	d->max_memory = 7999;
	cr_expect_eq(runner_run(k.r, in, NULL, &err), TAMIS_E_MEMORY);
	cr_expect(strstr(err.message, "8000 bytes at once; the limit is 7999"), "%s", err.message);
	d->max_memory = 8000;
	must(runner_run(k.r, in, NULL, &k.err), &k);
	model_input(e, "n", DT_INT64, DIMS(1));
	model_node(e, "ConstantOfShape", "n", "y");
	model_output(e, "y");
	l = start(e, (struct program_options){ .merge_norms = false });
	must(runner_run(l.r, n, NULL, &l.err), &l);
	cr_expect_eq(runner_output(l.r, 0)->count, 1 << 20);
	cr_expect_geq(runner_bytes(l.r), 4u << 20);
	tensor_set(&n[0], 0, (double)((int64_t)1 << 40));
	memset(&err, 0, sizeof err);
	cr_expect_eq(runner_run(l.r, n, NULL, &err), TAMIS_E_MEMORY);
	cr_expect(strstr(err.message, "the limit is "), "%s", err.message);
	finish(&k);
	finish(&l);
	tensor_free(in);
	tensor_free(n);
}

struct seen { int calls, node; double first; enum tamis_status answer; };

static enum tamis_status note(void *ctx, int node, struct op_call *call, struct tamis_error *err)
{
	struct seen *s = ctx;

	s->calls++;
	s->node = node;
	s->first = tensor_get(call->in[0], 0) - tensor_get(call->out[0], 0);
	return s->answer == TAMIS_OK ? TAMIS_OK : tm_fail(err, s->answer, "enough");
}

Test(plan, watched_nodes)
{
	struct rig k = start(chain(4, "Neg"), (struct program_options){ .training = true });
	struct tensor in[1] = { tensor_make(DT_FLOAT, DIMS(1, 1000), NULL, &(struct rng){ 1, 0 }) };
	bool watch[4] = { false, true, false, false };
	struct seen s = { .answer = TAMIS_OK };
	struct run_hooks h = { .ctx = &s, .watch_node = watch, .node = note };

	must(runner_run(k.r, in, &h, &k.err), &k);
	cr_expect_eq(s.calls, 1);
	cr_expect_eq(s.node, 1);
	cr_expect_eq(s.first, -2 * tensor_get(&in[0], 0), "tensors are as the operator saw them");
	s.answer = TAMIS_E_CANCELLED;
	cr_expect_eq(runner_run(k.r, in, &h, &k.err), TAMIS_E_CANCELLED);
	cr_expect_str_eq(k.err.message, "enough");
	finish(&k);
	tensor_free(in);
}

/* Two convolutions and norms in a row, one norm in training form, one whose input is read twice, one for all. */
static struct document *norms(int64_t opset, const char *attribute, int64_t value, bool read_twice)
{
	struct document *d = model_new(opset);
	struct rng r = rng_make(5, 0);
	Onnx__NodeProto *n;

	model_input(d, "x", DT_FLOAT, DIMS(2, 3, 4, 4));
	model_constant(d, "w", DT_FLOAT, DIMS(3, 3, 1, 1), NULL, &r);
	model_constant(d, "p", DT_FLOAT, DIMS(3), NULL, &r);
	model_constant(d, "var", DT_FLOAT, DIMS(3), (double[]){ 1, 2, 3 }, NULL);
	model_node(d, "Conv", "x w", "a");
	n = model_node(d, "BatchNormalization", "a p p p var", "y");
	if (attribute)
		node_int(d, n, attribute, value);
	if (read_twice) {
		model_node(d, "Relu", "a", "z");
		model_output(d, "z");
	}
	model_output(d, "y");
	return d;
}

static int merged_steps(struct document *d, struct program_options options)
{
	struct rig k = start(d, options);
	int n = k.p->n_steps;

	finish(&k);
	return n;
}

Test(plan, which_norms_are_merged)
{
	struct program_options merge = { .merge_norms = true };

	cr_expect_eq(merged_steps(norms(13, NULL, 0, false), merge), 1);
	cr_expect_eq(merged_steps(norms(13, NULL, 0, true), merge), 3, "the convolution's own output is wanted");
	cr_expect_eq(merged_steps(norms(14, "training_mode", 1, false), merge), 2, "statistics of the batch are not constants");
	cr_expect_eq(merged_steps(norms(14, "training_mode", 0, false), merge), 1);
	cr_expect_eq(merged_steps(norms(8, "spatial", 0, false), merge), 2);
	cr_expect_eq(merged_steps(norms(8, "spatial", 1, false), merge), 1);
	cr_expect_eq(merged_steps(norms(13, NULL, 0, false), (struct program_options){ .merge_norms = true, .training = true }), 2,
	             "forward only");
}

/* A program for speed is laid out for shapes it guesses; the real ones must not surprise it: a summand of another open
 * shape may turn out to be broadcast. */
Test(plan, a_summand_may_be_broadcast)
{
	struct tensor got[2];

	for (int fast = 0; fast < 2; fast++) {
		struct document *d = model_new(13);
		struct rng r = rng_make(2, 0);
		struct tensor in[2] = { tensor_make(DT_FLOAT, DIMS(2, 16, 5, 5), NULL, &r),
			tensor_make(DT_FLOAT, DIMS(2, 16, 1, 1), NULL, &r) };
		struct rig k;

		model_input(d, "x", DT_FLOAT, DIMS(-1, 16, -1, -1));
		model_input(d, "s", DT_FLOAT, DIMS(-1, 16, -1, -1));
		for (int i = 0; i < 4; i++) { /* open axes without a name */
			Onnx__TensorShapeProto__Dimension *dim = d->model->graph->input[1]->type->tensor_type->shape->dim[i];

			if (i != 1)
				dim->dim_param[0] = 0;
		}
		model_constant(d, "w", DT_FLOAT, DIMS(16, 16, 1, 1), NULL, &r);
		model_node(d, "Conv", "x w", "a");
		model_node(d, "Add", "a s", "b");
		model_node(d, "Relu", "b", "y");
		model_output(d, "y");
		k = start(d, (struct program_options){ .merge_norms = fast });
		must(runner_run(k.r, in, NULL, &k.err), &k);
		got[fast] = tensor_make(DT_FLOAT, DIMS(2, 16, 5, 5), NULL, &r);
		memcpy(got[fast].data, runner_output(k.r, 0)->data, tensor_bytes(&got[fast]));
		finish(&k);
		tensor_free(&in[0]);
		tensor_free(&in[1]);
	}
	for (int64_t i = 0; i < got[0].count; i++)
		cr_expect_float_eq(tensor_get(&got[0], i), tensor_get(&got[1], i), 1e-5);
	tensor_free(&got[0]);
	tensor_free(&got[1]);
}
