/* SPDX-License-Identifier: Apache-2.0 */
/* Copies among channels and signals: found, unmasked when they differ later, and scored by what they do together. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nets.h"
#include "slim/score/criteria.h"

#define SEED 3

/* x[N,6] -> Gemm 8 -> Relu -> Gemm 3. Units 6 and 7 have equal weights coming in; the outgoing weights of 6 are v, those
 * of 7 are `times` v. */
static struct document *twins(float times)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(SEED, 0);
	float *w;

	build_input(d, "x", 2, DIMS(-1, 6));
	build_output(d, "y", 2, DIMS(-1, 3));
	w = build_floats(d, "w1", 2, DIMS(6, 8), 0.7, &r);
	for (int i = 0; i < 6; i++)
		w[i * 8 + 7] = w[i * 8 + 6];
	w = build_floats(d, "w2", 2, DIMS(8, 3), 1, &r);
	for (int i = 0; i < 3; i++)
		w[7 * 3 + i] = times * w[6 * 3 + i];
	build_node(d, "Gemm", "x w1", "c");
	build_node(d, "Relu", "c", "a");
	build_node(d, "Gemm", "a w2", "y");
	return d;
}

static bool all_items(void *ctx, int64_t item)
{
	(void)ctx;
	(void)item;
	return true;
}

static void score(struct lab *l, int workers, struct scores *s)
{
	struct tamis_error err = { 0 };
	struct head head;
	struct score_job job = { .graph = l->graph, .layers = &l->layers, .reader = &l->reader, .select = all_items,
		.batching = BATCH_STACKED, .chunk = 16, .seed = 2, .head = "logits" };

	cr_assert_eq(pool_create(workers, &job.pool, NULL), TAMIS_OK);
	*s = (struct scores){ 0 };
	must(score_run(&job, &head, s, &err), &err, "score");
	pool_destroy(job.pool);
}

static void pii(const struct lab *l, const struct scores *s, int i, float *out)
{
	const struct layer *x = &l->layers.list[i];

	cr_assert_eq(criterion_find("pii")->score(x, &s->layer[i], l->graph->values[x->weight].constant.data, 1, out, NULL),
	             TAMIS_OK);
}

Test(copies, what_cancels_scores_nothing)
{
	float in[48], out[24];
	struct scores s;
	struct lab l;

	lab_open(&l, twins(-1), 200, 1);
	score(&l, 2, &s);
	pii(&l, &s, 0, in);
	pii(&l, &s, 1, out);
	for (int i = 0; i < 6; i++)
		for (int o = 0; o < 8; o++)
			cr_assert_eq(in[i * 8 + o] == 0, o >= 6, "input %d to unit %d: %g", i, o, (double)in[i * 8 + o]);
	for (int o = 0; o < 24; o++)
		cr_assert_eq(out[o] == 0, o >= 18, "unit %d: %g", o / 3, (double)out[o]);
	scores_free(&s);
	lab_close(&l);
}

/* Two copies with weight v are one with weight 2 v: its score, in two halves. */
Test(copies, what_adds_up_scores_as_one)
{
	struct document *d = twins(0);
	float in[48], out[24], whole[24], alone[48], *w;
	struct scores s, t;
	struct lab l, m;

	w = build_elements(d, "w2");
	for (int i = 0; i < 3; i++)
		w[18 + i] *= 2;
	w = build_elements(d, "w1");
	for (int i = 0; i < 6; i++)
		w[i * 8 + 7] = 0;
	lab_open(&l, twins(1), 200, 1);
	lab_open(&m, d, 200, 1);
	score(&l, 1, &s);
	score(&m, 1, &t);
	pii(&l, &s, 0, in);
	pii(&l, &s, 1, out);
	pii(&m, &t, 0, alone);
	pii(&m, &t, 1, whole);
	for (int i = 0; i < 6; i++)
		for (int o = 6; o < 8; o++)
			cr_assert_float_eq(in[i * 8 + o], alone[i * 8 + 6] / 2, 1e-4 * alone[i * 8 + 6], "input %d to unit %d", i, o);
	for (int o = 18; o < 24; o++)
		cr_assert_float_eq(out[o], whole[18 + o % 3] / 2, 1e-4 * whole[18 + o % 3], "weight %d", o);
	scores_free(&s);
	scores_free(&t);
	lab_close(&l);
	lab_close(&m);
}

/* Equal on the items of the pilot, not on all. */
Test(copies, later_differences_count)
{
	struct scores s;
	struct lab l;

	for (int64_t at = 40; at <= 199; at += 159) {
		lab_open(&l, twins(1), 200, 1);
		for (int64_t t = 0; t < 200; t++)
			tensor_set(&l.shelf.in[0], t * 6 + 4, tensor_get(&l.shelf.in[0], t * 6 + 1) + (t == at ? 1e-3 : 0));
		score(&l, 2, &s);
		for (int64_t f = 0; s.layer[0].copies.first && f < 6; f++) {
			cr_assert_eq(s.layer[0].copies.first[f], f);
			cr_assert_eq(s.layer[0].copies.size[f], 1);
		}
		cr_assert_eq(s.layer[1].copies.first[7], 6);
		cr_assert_eq(s.layer[1].copies.size[6], 2);
		scores_free(&s);
		lab_close(&l);
	}
}

/* Rows of different groups read different inputs; rows of zeros are no copies. */
Test(copies, rows_of_one_group_only)
{
	struct document *d = net_logits(1);
	struct arena a = { 0 };
	struct copies c;
	float *w = build_elements(d, "w1");
	struct lab l;

	memcpy(w + 9, w, 9 * sizeof *w);
	memcpy(w + 18, w, 9 * sizeof *w);
	lab_open(&l, d, 5, 1);
	cr_assert_eq(copies_of_rows(&l.layers.list[0], lab_constant(l.graph, "w1"), &a, &c, NULL), TAMIS_OK);
	cr_assert(c.first[0] == 0 && c.first[1] == 0 && c.first[2] == 2 && c.first[3] == 3);
	cr_assert(c.size[0] == 2 && c.size[1] == 2 && c.size[2] == 1);
	for (int i = 0; i < 18; i++)
		tensor_set(lab_constant(l.graph, "w1"), i, 0);
	cr_assert_eq(copies_of_rows(&l.layers.list[0], lab_constant(l.graph, "w1"), &a, &c, NULL), TAMIS_OK);
	cr_assert_null(c.first);
	arena_free(&a);
	lab_close(&l);
}
