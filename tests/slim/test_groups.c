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
