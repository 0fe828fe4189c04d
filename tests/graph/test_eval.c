/* SPDX-License-Identifier: Apache-2.0 */
/* Calling one node: half types against float, views, bounds, scratch memory. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "model.h"

/* y of one operator on inputs of `type`, whose values are those of the half type in either case. */
static struct tensor run_as(enum dtype type, enum dtype half, const char *op, int n_in)
{
	struct document *d = model_new(17);
	struct rng r = rng_make(11, 0);
	struct tensor in[3], out[2] = { { .type = DT_UNDEFINED } };
	const struct tensor *list[3] = { &in[0], &in[1], &in[2] };
	static const char *const names[] = { "a", "a b", "a b c" };
	struct tamis_error err = { 0 };
	struct graph *g;

	for (int i = 0; i < n_in; i++) {
		struct tensor rounded = tensor_make(half, DIMS(4, 4), NULL, &r);

		in[i] = tensor_make(type, DIMS(4, 4), (double[16]){ 0 }, NULL);
		cr_assert_eq(tensor_convert(&rounded, &in[i], &err), TAMIS_OK);
		model_input(d, i == 0 ? "a" : i == 1 ? "b" : "c", type, DIMS(4, 4));
		tensor_free(&rounded);
	}
	model_node(d, op, names[n_in - 1], "y");
	g = model_graph(d);
	cr_assert_eq(node_eval(&g->nodes[0], list, out, &err), TAMIS_OK, "%s: %s", op, err.message);
	cr_expect_eq(out[0].type, type, "%s", op);
	for (int i = 0; i < n_in; i++)
		tensor_free(&in[i]);
	graph_free(g);
	doc_free(d);
	return out[0];
}

static void check_half(enum dtype half, const char *op, int n_in)
{
	struct tensor want = run_as(DT_FLOAT, half, op, n_in), got = run_as(half, half, op, n_in);
	struct tensor rounded = { .type = DT_UNDEFINED };

	cr_assert_eq(tensor_shape(&rounded, got.type, want.rank, want.dims, NULL), TAMIS_OK);
	cr_assert_eq(tensor_alloc(&rounded, NULL), TAMIS_OK);
	cr_assert_eq(tensor_convert(&want, &rounded, NULL), TAMIS_OK);
	cr_expect(tensor_equal(&rounded, &got), "%s of %s is not the rounded float result", op, dtype_name((int)half));
	tensor_free(&want);
	tensor_free(&got);
	tensor_free(&rounded);
}

Test(half, is_float_rounded_once)
{
	static const struct { const char *op; int n_in; } cases[] = { { "Relu", 1 }, { "Exp", 1 }, { "Add", 2 }, { "Mul", 2 },
		{ "MatMul", 2 }, { "Gemm", 3 }, { "Softmax", 1 }, { "Sum", 3 }, { "Identity", 1 }, { "Transpose", 1 },
		{ "ReduceMean", 1 }, { "Max", 3 } };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (int b = 0; b < 2; b++)
			check_half(b ? DT_BFLOAT16 : DT_FLOAT16, cases[i].op, cases[i].n_in);
}

Test(half, results_that_are_no_floats_keep_their_type)
{
	struct document *d = model_new(17);
	struct tensor a = tensor_make(DT_FLOAT16, DIMS(3), (double[]){ 1, 5, 2 }, NULL), out[1];
	const struct tensor *two[] = { &a, &a }, *one[] = { &a };
	struct graph *g;

	model_input(d, "a", DT_FLOAT16, DIMS(3));
	model_node(d, "Less", "a a", "b");
	model_node(d, "ArgMax", "a", "c");
	model_node(d, "Shape", "a", "s");
	node_int(d, model_node(d, "Cast", "a", "f"), "to", DT_FLOAT);
	g = model_graph(d);
	cr_assert_eq(node_eval(&g->nodes[0], two, out, NULL), TAMIS_OK);
	cr_expect_eq(out[0].type, DT_BOOL);
	tensor_free(&out[0]);
	cr_assert_eq(node_eval(&g->nodes[1], one, out, NULL), TAMIS_OK);
	cr_expect(out[0].type == DT_INT64 && tensor_get_int(&out[0], 0) == 1);
	tensor_free(&out[0]);
	cr_assert_eq(node_eval(&g->nodes[2], one, out, NULL), TAMIS_OK);
	cr_expect(out[0].type == DT_INT64 && tensor_get_int(&out[0], 0) == 3);
	tensor_free(&out[0]);
	cr_assert_eq(node_eval(&g->nodes[3], one, out, NULL), TAMIS_OK);
	cr_expect(out[0].type == DT_FLOAT && tensor_get(&out[0], 1) == 5, "a half that is cast becomes what was asked for");
	tensor_free(&out[0]);
	graph_free(g);
	doc_free(d);
	tensor_free(&a);
}

Test(half, shapes_without_data)
{
	struct document *d = model_new(17);
	struct tensor a = { .type = DT_UNDEFINED }, out = { .type = DT_UNDEFINED };
	const struct tensor *in[] = { &a, &a };
	struct tensor *list[] = { &out };
	struct scratch s = { 0 };
	bool unknown = true;
	struct graph *g;

	cr_assert_eq(tensor_shape(&a, DT_BFLOAT16, DIMS(4, 4), NULL), TAMIS_OK);
	model_input(d, "a", DT_BFLOAT16, DIMS(4, 4));
	model_input(d, "k", DT_INT64, DIMS(1));
	model_node(d, "MatMul", "a a", "b");
	model_node(d, "Reshape", "a k", "c");
	g = model_graph(d);
	cr_assert_eq(node_shape(&g->nodes[0], in, list, &s, &unknown, NULL), TAMIS_OK);
	cr_expect(!unknown && out.type == DT_BFLOAT16 && out.rank == 2 && !out.data);
	struct tensor k = { .type = DT_INT64, .rank = 1, .dims = { 1 }, .count = 1 };
	in[1] = &k;
	out = (struct tensor){ .type = DT_UNDEFINED };
	cr_assert_eq(node_shape(&g->nodes[1], in, list, &s, &unknown, NULL), TAMIS_OK);
	cr_expect(unknown && out.type == DT_UNDEFINED, "outputs are left alone while the shape is unknown");
	scratch_free(&s);
	graph_free(g);
	doc_free(d);
}

Test(half, many_ports)
{
	struct document *d = model_new(17);
	struct tensor a = tensor_make(DT_FLOAT16, DIMS(1), (double[]){ 1 }, NULL), out[1];
	const struct tensor *in[257];
	static char names[2 * 257 + 1];
	struct tamis_error err = { 0 };
	struct graph *g;

	for (int i = 0; i < 257; i++) {
		in[i] = &a;
		memcpy(names + 2 * i, "a ", 2);
	}
	model_input(d, "a", DT_FLOAT16, DIMS(1));
	model_node(d, "Sum", names, "y");
	names[2 * 256] = 0;
	model_node(d, "Sum", names, "z");
	g = model_graph(d);
	cr_expect_eq(node_eval(&g->nodes[0], in, out, &err), TAMIS_E_UNSUPPORTED);
	cr_assert_eq(node_eval(&g->nodes[1], in, out, NULL), TAMIS_OK);
	cr_expect_eq(tensor_get(&out[0], 0), 256);
	tensor_free(&out[0]);
	graph_free(g);
	doc_free(d);
	tensor_free(&a);
}

Test(eval, outputs_are_bounded_and_absent_ones_get_nothing)
{
	struct document *d = model_new(13);
	struct tensor a = tensor_make(DT_FLOAT, DIMS(100), NULL, &(struct rng){ 1, 0 }), out[2];
	const struct tensor *in[] = { &a };
	struct tamis_error err = { 0 };
	struct graph *g;

	model_input(d, "a", DT_FLOAT, DIMS(100));
	model_node(d, "Dropout", "a", "b -");
	g = model_graph(d);
	cr_expect_eq(node_eval_within(&g->nodes[0], in, out, 399, &err), TAMIS_E_MEMORY);
	cr_expect(strstr(err.message, "399 bytes"), "%s", err.message);
	cr_assert_eq(node_eval_within(&g->nodes[0], in, out, 400, NULL), TAMIS_OK);
	cr_expect(tensor_equal(&out[0], &a));
	cr_expect_null(out[1].data);
	tensor_free(&out[0]);
	graph_free(g);
	doc_free(d);
	tensor_free(&a);
}

/* Extents beside a 0 may be any numbers; nothing is to pass through them. */
Test(eval, gradients_of_nothing)
{
	struct document *d = model_new(13);
	int64_t side = (int64_t)1 << 40;
	struct tensor a = tensor_make(DT_FLOAT, DIMS(0, side, side), (double[]){ 0 }, NULL), copy = a;
	struct tensor *out[] = { &copy }, *gin[] = { &copy };
	const struct tensor *in[] = { &a }, *gout[] = { &a };
	struct scratch scratch = { 0 };
	struct tamis_error err = { 0 };
	struct graph *g;

	model_input(d, "a", DT_FLOAT, DIMS(0, side, side));
	model_node(d, "Det", "a", "b");
	g = model_graph(d);
	cr_expect_eq(node_reverse(&g->nodes[0], in, out, gout, gin, &scratch, NULL, &err), TAMIS_OK, "%s", err.message);
	cr_expect_eq(scratch_bytes(&scratch), 0);
	graph_free(g);
	doc_free(d);
	tensor_free(&a);
}

Test(scratch, blocks_are_aligned_apart_and_reused)
{
	struct scratch s = { 0 };
	struct rng r = rng_make(5, 0);
	unsigned char *p[64];
	size_t size[64], held;

	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 64; i++) {
			size[i] = i == 3 ? 0 : (size_t)rng_below(&r, 200000);
			p[i] = scratch_alloc(&s, size[i], 1);
			cr_assert_not_null(p[i]);
			cr_assert_eq((uintptr_t)p[i] % 64, 0);
			memset(p[i], i, size[i]);
		}
		for (int i = 0; i < 64; i++)
			for (size_t k = 0; k < size[i]; k += 997)
				cr_assert_eq(p[i][k], i, "two allocations overlap");
		held = scratch_bytes(&s);
		scratch_reset(&s);
		cr_assert_eq(s.used, 0);
		cr_assert_leq(scratch_bytes(&s), held);
	}
	held = scratch_bytes(&s);
	cr_assert_not_null(scratch_alloc(&s, held / 2, 1));
	cr_assert_eq(scratch_bytes(&s), held, "memory is kept for reuse");
	cr_assert_null(scratch_alloc(&s, SIZE_MAX, 2));
	s.limit = held + 4096;
	cr_assert_not_null(scratch_alloc(&s, held / 4, 1));
	cr_assert_null(scratch_alloc(&s, 2 * held, 1), "beyond the limit");
	cr_assert_leq(scratch_bytes(&s), s.limit);
	cr_assert_null(scratch_alloc(&s, SIZE_MAX - 5, 1));
	scratch_free(&s);
	scratch_free(&s);
	cr_assert_eq(scratch_bytes(&s), 0);
}
