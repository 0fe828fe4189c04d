/* SPDX-License-Identifier: Apache-2.0 */
/* Layers that hear nothing give way to constants, with all that only they read; the outputs stay. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coupled.h"
#include "nets.h"
#include "random_nets.h"
#include "slim/channels/silent.h"

#define TOLERANCE 1e-5

static void silence(struct document *d, const char *weight)
{
	float *w = build_elements(d, weight);
	int64_t n = 1;

	for (int i = 0; build_extent(d, weight, i) > 0; i++)
		n *= build_extent(d, weight, i);
	for (int64_t i = 0; i < n; i++)
		w[i] = 0;
}

static size_t count_nodes(const struct document *d, const char *op)
{
	size_t n = 0;

	for (size_t i = 0; i < d->model->graph->n_node; i++)
		n += !strcmp(d->model->graph->node[i]->op_type, op);
	return n;
}

/* x[N,4,6,6] -> Relu t; t Conv 5 (3x3, pads 1) Relu Conv 4 (3x3, pads 1) BatchNormalization, `sum` with t -> Relu y. */
static struct document *net_residual(const char *sum, uint64_t seed)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 61);
	float *v;

	build_input(d, "x", 4, DIMS(-1, 4, 6, 6));
	build_floats(d, "w1", 4, DIMS(5, 4, 3, 3), 0.3, &r);
	build_floats(d, "b1", 1, DIMS(5), 0.3, &r);
	build_floats(d, "w2", 4, DIMS(4, 5, 3, 3), 0.3, &r);
	build_floats(d, "b2", 1, DIMS(4), 0.5, &r);
	build_floats(d, "s", 1, DIMS(4), 1, &r);
	build_floats(d, "b", 1, DIMS(4), 1, &r);
	build_floats(d, "m", 1, DIMS(4), 1, &r);
	v = build_floats(d, "v", 1, DIMS(4), 0, &r);
	for (int i = 0; i < 4; i++)
		v[i] = 0.5f + (float)i;
	build_node(d, "Relu", "x", "t");
	build_attribute(d, build_node(d, "Conv", "t w1 b1", "a"), "pads", 4, DIMS(1, 1, 1, 1));
	build_node(d, "Relu", "a", "h");
	build_attribute(d, build_node(d, "Conv", "h w2 b2", "c"), "pads", 4, DIMS(1, 1, 1, 1));
	build_node(d, "BatchNormalization", "c s b m v", "n");
	build_node(d, sum, "n t", "p");
	build_node(d, "Relu", "p", "y");
	build_value_info(d, "a", 4, DIMS(-1, 5, 6, 6));
	build_output(d, "y", 4, DIMS(-1, 4, 6, 6));
	return d;
}

Test(silent, a_branch_becomes_a_constant)
{
	static const char *const sums[] = { "Add", "Sub", "Mul" };

	for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
		struct document *d = net_residual(sums[i], i);

		silence(d, "w2");
		cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 9);
		cr_assert_eq(d->model->graph->n_node, 3);
		cr_assert_eq(count_nodes(d, sums[i]), 1);
		cr_assert_eq(d->model->graph->n_initializer, 1);
		cr_assert_eq(d->model->graph->n_value_info, 0);
		doc_free(d);
	}
}

/* One weight that is not zero is enough. */
Test(silent, what_hears_something_stays)
{
	struct document *d = net_residual("Add", 5);

	silence(d, "w2");
	build_elements(d, "w2")[7] = 1;
	cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 4);
	cr_assert_eq(build_extent(d, "w2", 1), 1);
	doc_free(d);
}

/* Where the other side of the sum is smaller than what the layer makes, or the layer makes an output, or both sides of the
 * sum hear nothing, a constant would take its shape away. */
Test(silent, what_gives_a_shape_stays)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(3, 62);

	build_input(d, "x", 4, DIMS(-1, 4, 6, 6));
	build_floats(d, "w1", 4, DIMS(4, 4, 3, 3), 0.3, &r);
	build_floats(d, "w2", 4, DIMS(4, 4, 3, 3), 0.3, &r);
	build_node(d, "GlobalAveragePool", "x", "g");
	build_node(d, "Conv", "x w1", "a");
	build_node(d, "Add", "a g", "p");
	build_node(d, "Conv", "p w2", "y");
	build_output(d, "y", 4, DIMS(-1, 4, 2, 2));
	silence(d, "w1");
	silence(d, "w2");
	build_remove_and_compare(d, TOLERANCE);
	cr_assert_eq(count_nodes(d, "Conv"), 2);
	doc_free(d);
}

Test(silent, one_side_of_a_sum_stays)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(4, 63);

	build_input(d, "x", 2, DIMS(-1, 6));
	build_floats(d, "w1", 2, DIMS(6, 5), 1, &r);
	build_floats(d, "b1", 1, DIMS(5), 1, &r);
	build_floats(d, "w2", 2, DIMS(6, 5), 1, &r);
	build_node(d, "Gemm", "x w1 b1", "a");
	build_node(d, "MatMul", "x w2", "b");
	build_node(d, "Add", "a b", "y");
	build_output(d, "y", 2, DIMS(-1, 5));
	silence(d, "w1");
	silence(d, "w2");
	cr_assert_eq(build_remove_and_compare(d, TOLERANCE), 5);
	cr_assert_eq(d->model->graph->n_node, 2);
	doc_free(d);
}

/* An output in between, or a second reader, keeps the layer. */
Test(silent, what_others_read_stays)
{
	struct document *d = net_residual("Add", 6);

	silence(d, "w2");
	build_output(d, "n", 4, DIMS(-1, 4, 6, 6));
	build_remove_and_compare(d, TOLERANCE);
	cr_assert_eq(count_nodes(d, "Conv"), 2);
	doc_free(d);
}

/* Which groups may go: those within a branch; not the stream that it is added to. */
Test(silent, groups_within_branches_may_go_whole)
{
	struct document *d = net_residual("Add", 7);
	struct coupled c;
	bool *whole;

	couple(d, &c);
	whole = calloc((size_t)c.groups.n + 1, sizeof *whole);
	cr_assert_eq(silent_groups(&c.groups, whole, NULL), TAMIS_OK);
	for (int i = 0; i < c.groups.n; i++)
		cr_assert_eq(whole[i], c.groups.list[i].width == 5);
	free(whole);
	uncouple(&c);
	doc_free(d);
}

/* Attention and feed-forward blocks go whole, by the rules that choosing goes by. */
Test(silent, random_branches_go)
{
	int64_t silent = 0;

	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct document *d = random_net(seed);
		int64_t n = coupled_silence_whole(d, seed), removed = build_remove_and_compare(d, TOLERANCE);

		cr_assert(removed || !n, "seed %llu", (unsigned long long)seed);
		silent += n;
		doc_free(d);
	}
	cr_assert_gt(silent, 100);
}

Test(silent, transformers_lose_both_blocks)
{
	bool all = false;

	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct document *d = random_transformer(seed);

		if (coupled_silence_whole(d, seed) == 2) {
			build_remove_and_compare(d, TOLERANCE);
			cr_assert_eq(count_nodes(d, "Softmax"), 0);
			cr_assert_eq(count_nodes(d, "Erf"), 0);
			all = true;
		}
		doc_free(d);
	}
	cr_assert(all);
}
