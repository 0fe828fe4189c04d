/* SPDX-License-Identifier: Apache-2.0 */
/* Weights behind a Transpose, Reshape or Identity are stored as their layer reads them, and no output changes. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "onnx/check.h"
#include "ops/table.h"
#include "slim/settle.h"

#define DIMS(...) ((const int64_t[]){ __VA_ARGS__ })

/* How many nodes went; the second time there is nothing left to move. */
static int settle_all(struct document *d)
{
	int settled[2];

	for (int i = 0; i < 2; i++) {
		struct graph *g;

		cr_assert_eq(graph_build(d, &op_table, &g, NULL), TAMIS_OK);
		cr_assert_eq(weights_settle(d, g, &settled[i], NULL), TAMIS_OK);
		graph_free(g);
	}
	cr_expect_eq(settled[1], 0);
	return settled[0];
}

static int settle_and_compare(struct document *d)
{
	struct tamis_error err = { 0 };
	int64_t count, again;
	float *before = build_run(d, 3, 7, &count), *after;
	int settled = settle_all(d);

	cr_assert_eq(check_or_fail(d, &err), TAMIS_OK, "%s", err.message);
	after = build_run(d, 3, 7, &again);
	cr_assert_eq(count, again);
	cr_expect(!memcmp(before, after, (size_t)count * sizeof *before), "outputs have changed");
	free(before);
	free(after);
	return settled;
}

static struct document *start(struct rng *r)
{
	struct document *d = build_model(13);

	build_input(d, "x", 2, DIMS(-1, 6));
	build_output(d, "y", 2, DIMS(-1, 4));
	build_floats(d, "w", 2, DIMS(4, 6), 1, r);
	return d;
}

/* A node that moves the weight for nobody stays, and so does the weight, which it reads too. */
Test(settle, an_output_left_out)
{
	struct rng r = rng_make(79, 0);
	struct document *d = start(&r);

	build_node(d, "Transpose", "w", "wt");
	build_node(d, "MatMul", "x wt", "y");
	build_node(d, "Identity", "wt", "-");
	build_node(d, "Transpose", "x", "-");
	cr_expect_eq(settle_and_compare(d), 0);
	cr_expect_eq(d->model->graph->n_node, 4);
	doc_free(d);
}

Test(settle, a_transpose)
{
	struct rng r = rng_make(80, 0);
	struct document *d = start(&r);

	build_value_info(d, "wt", 2, DIMS(6, 4));
	build_node(d, "Transpose", "w", "wt");
	build_node(d, "MatMul", "x wt", "y");
	cr_expect_eq(settle_and_compare(d), 1);
	cr_expect_eq(build_extent(d, "w", 0), 6);
	cr_expect_eq(d->model->graph->n_node, 1);
	cr_expect_eq(d->model->graph->n_value_info, 0);
	doc_free(d);
}

Test(settle, a_chain_and_what_it_alone_reads)
{
	struct rng r = rng_make(81, 0);
	struct document *d = build_model(13);

	build_input(d, "x", 2, DIMS(-1, 6));
	build_output(d, "y", 2, DIMS(-1, 4));
	build_floats(d, "w", 3, DIMS(4, 2, 3), 1, &r);
	build_ints(d, "flat", 2, DIMS(4, 6));
	build_node(d, "Identity", "w", "a");
	build_node(d, "Reshape", "a flat", "b");
	build_node(d, "Transpose", "b", "c");
	build_node(d, "Gemm", "x c", "y");
	cr_expect_eq(settle_and_compare(d), 3);
	cr_expect_eq(d->model->graph->n_initializer, 1, "the shape went with its reader");
	cr_expect_eq(build_extent(d, "w", 1), 4);
	doc_free(d);
}

/* Two layers that read the same moved weight stay tied. */
Test(settle, tied_layers)
{
	struct rng r = rng_make(82, 0);
	struct document *d = start(&r);

	build_floats(d, "v", 2, DIMS(4, 6), 1, &r);
	build_node(d, "Transpose", "w", "wt");
	build_node(d, "MatMul", "x wt", "h");
	build_node(d, "MatMul", "h v", "i");
	build_node(d, "MatMul", "i wt", "y");
	cr_expect_eq(settle_and_compare(d), 1);
	doc_free(d);
}

/* Whoever reads the weight or the moved weight otherwise would see the difference. */
Test(settle, left_alone)
{
	struct rng r = rng_make(83, 0);
	struct document *read = start(&r), *moved = start(&r), *output = start(&r);

	build_node(read, "Transpose", "w", "wt");
	build_node(read, "MatMul", "x wt", "h");
	build_node(read, "MatMul", "h w", "i");
	build_node(read, "MatMul", "i wt", "y");
	build_node(moved, "Transpose", "w", "wt");
	build_node(moved, "MatMul", "x wt", "h");
	build_node(moved, "ReduceSum", "wt", "s");
	build_node(moved, "Add", "h s", "y");
	build_output(output, "wt", 2, DIMS(6, 4));
	build_node(output, "Transpose", "w", "wt");
	build_node(output, "MatMul", "x wt", "y");
	cr_expect_eq(settle_and_compare(read), 0);
	cr_expect_eq(settle_and_compare(moved), 0);
	cr_expect_eq(settle_and_compare(output), 0);
	doc_free(read);
	doc_free(moved);
	doc_free(output);
}

/* Every link is visited once: a graph made anew for each took minutes. */
Test(settle, a_long_chain)
{
	enum { LINKS = 20000 };
	struct rng r = rng_make(84, 0);
	struct document *d = start(&r);
	char from[16], to[16], in[32];

	build_node(d, "Transpose", "w", "c0");
	for (int i = 0; i < LINKS; i++) {
		snprintf(from, sizeof from, "c%d", i);
		snprintf(to, sizeof to, "c%d", i + 1);
		build_node(d, "Identity", from, to);
	}
	snprintf(in, sizeof in, "x %s", to);
	build_node(d, "MatMul", in, "y");
	cr_expect_eq(settle_and_compare(d), LINKS + 1);
	cr_expect_eq(d->model->graph->n_node, 1);
	doc_free(d);
}
