/* SPDX-License-Identifier: Apache-2.0 */
/* Any units that may go can be taken out: the rest computes what the whole did when nothing read them. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "coupled.h"
#include "random_nets.h"

#define TOLERANCE 1e-5

/* Each block by itself: something in it, or in front of it, can go. */
Test(groups, every_block_can_be_cut)
{
	for (size_t i = 0; i < n_random_blocks; i++) {
		int64_t cut = 0;

		for (uint64_t seed = 1; seed <= 6; seed++) {
			struct document *d = random_block(i, 100 * i + seed);

			cut += coupled_cut_and_compare(d, 0.5, seed, TOLERANCE);
			doc_free(d);
		}
		cr_assert_gt(cut, 0, "block %zu", i);
	}
}

Test(groups, any_net_can_be_cut)
{
	int64_t cut = 0;

	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct document *d = random_net(seed);

		printf("seed %llu\n", (unsigned long long)seed);
		fflush(stdout);
		cut += coupled_cut_and_compare(d, 0.4, seed, TOLERANCE);
		doc_free(d);
	}
	cr_assert_gt(cut, 1000, "%lld units were cut", (long long)cut);
}

/* Heads of attention are units: there is a group of three, and one of the hidden units of the block behind; also where the
 * lengths for Reshape are joined from constants. */
Test(groups, heads_and_hidden_units_are_groups)
{
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct document *d = random_transformer(seed);

		cr_assert_eq(coupled_groups(d, 3), 1, "seed %llu", (unsigned long long)seed);
		cr_assert_eq(coupled_groups(d, 7), 1, "seed %llu", (unsigned long long)seed);
		doc_free(d);
	}
}

/* Numbers that nothing gives a meaning to: an axis beside one scale for all, groups of a convolution of no channels. */
Test(groups, attributes_without_a_meaning)
{
	struct document *d = build_model(21);
	struct rng r = rng_make(1, 0);
	Onnx__NodeProto *n;

	build_input(d, "x", 3, (const int64_t[]){ -1, 4, 5 });
	build_output(d, "z", 3, (const int64_t[]){ -1, 4, 3 });
	build_floats(d, "s", 1, (const int64_t[]){ 1 }, 1, &r)[0] = 0.125f;
	build_floats(d, "w", 2, (const int64_t[]){ 5, 3 }, 1, &r);
	build_floats(d, "none", 3, (const int64_t[]){ 0, 0, 3 }, 1, &r);
	build_ints(d, "zero", 1, (const int64_t[]){ 0 });
	build_ints(d, "one", 1, (const int64_t[]){ 1 });
	n = build_node(d, "QuantizeLinear", "x s", "q");
	build_number(d, n, "axis", (int64_t)1 << 31);
	n = build_node(d, "DequantizeLinear", "q s", "y");
	build_number(d, n, "axis", INT64_MIN);
	build_node(d, "Slice", "y zero zero one", "e");
	n = build_node(d, "Conv", "e none", "c");
	build_number(d, n, "group", (int64_t)1 << 62);
	build_node(d, "MatMul", "y w", "z");
	cr_expect_eq(coupled_groups(d, 1), 0);
	doc_free(d);
}

/* What nobody needs has no shape, and nothing has looked at its axis before; where it fits, it is in nobody's way. */
Test(groups, a_node_of_no_use)
{
	static const int64_t axes[] = { INT32_MIN, 2, 1 };

	for (size_t i = 0; i < sizeof axes / sizeof *axes; i++) {
		struct document *d = build_model(17);
		struct rng r = rng_make(1, 0);

		build_input(d, "x", 2, (const int64_t[]){ -1, 4 });
		build_output(d, "y", 2, (const int64_t[]){ -1, 3 });
		build_floats(d, "w", 2, (const int64_t[]){ 4, 6 }, 1, &r);
		build_floats(d, "v", 2, (const int64_t[]){ 6, 3 }, 1, &r);
		build_node(d, "MatMul", "x w", "h");
		build_number(d, build_node(d, "Concat", "h h", "twice"), "axis", axes[i]);
		build_node(d, "MatMul", "h v", "y");
		cr_expect_eq(coupled_groups(d, 6), axes[i] == 1, "axis %lld", (long long)axes[i]);
		doc_free(d);
	}
}

/* Extents beside a 0 are not bounded by any data: what is laid out for them is. */
Test(groups, positions_are_bounded_by_memory)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(1, 0);
	struct channel_groups g;
	struct tamis_error err = {0};
	struct coupled c;

	build_input(d, "x", 2, (const int64_t[]){ -1, 4 });
	build_output(d, "y", 2, (const int64_t[]){ -1, 3 });
	build_floats(d, "w", 2, (const int64_t[]){ 4, 3 }, 1, &r);
	build_node(d, "MatMul", "x w", "y");
	couple(d, &c);
	d->max_memory = 15 * 8; /* of 1 + 4, 4 + 3 and 1 + 3 */
	cr_expect_eq(groups_find(c.graph, c.plan, &c.layers, &g, &err), TAMIS_E_MEMORY);
	groups_free(&g);
	d->max_memory = 16 * 8;
	cr_expect_eq(groups_find(c.graph, c.plan, &c.layers, &g, &err), TAMIS_OK);
	groups_free(&g);
	uncouple(&c);
	doc_free(d);
}
