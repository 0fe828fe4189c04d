/* SPDX-License-Identifier: Apache-2.0 */
/* Networks that are run in two parts against the same run whole, and refits that go on from borders against those that begin at the
 * inputs each time. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/part.h"
#include "nets.h"
#include "random_nets.h"
#include "slim/repair/refit.h"
#include "slim/repair/refit_border.h"
#include "slim/repair/refit_legs.h"

#define ITEMS 64
#define NETS 60

/* x[N,3,9,9] Conv 16 BatchNormalization Relu a; Conv 16 Relu Conv 16 of it + a, Relu; depthwise Conv, clip(z + 3, 0, 6) z / 6, Conv 24;
 * GlobalAveragePool Flatten Gemm 4: convolutions on blocks, fused across what a border may fall on. */
static struct document *images(uint64_t seed)
{
	static const struct { const char *w, *b; int64_t outs, ins; } convs[] = { { "w0", "b0", 16, 3 }, { "w1", "b1", 16, 16 },
		{ "w2", "b2", 16, 16 }, { "w3", "b3", 16, 1 }, { "w4", "b4", 24, 16 } };
	static const char *const norm[] = { "s", "t", "mean", "var" };
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 0);

	build_input(d, "x", 4, DIMS(-1, 3, 9, 9));
	build_output(d, "y", 2, DIMS(-1, 4));
	for (size_t i = 0; i < sizeof convs / sizeof *convs; i++) {
		build_floats(d, convs[i].w, 4, DIMS(convs[i].outs, convs[i].ins, 3, 3), 1 / sqrtf(9 * (float)convs[i].ins), &r);
		build_floats(d, convs[i].b, 1, DIMS(convs[i].outs), 0.2f, &r);
	}
	for (int i = 0; i < 4; i++) {
		float *p = build_floats(d, norm[i], 1, DIMS(16), 0.5f, &r);

		for (int k = 0; i == 3 && k < 16; k++)
			p[k] = 0.5f + p[k] * p[k];
	}
	build_floats(d, "three", 0, DIMS(1), 0, &r)[0] = 3;
	build_floats(d, "zero", 0, DIMS(1), 0, &r)[0] = 0;
	build_floats(d, "six", 0, DIMS(1), 0, &r)[0] = 6;
	build_floats(d, "wy", 2, DIMS(24, 4), 0.3f, &r);
	build_floats(d, "by", 1, DIMS(4), 0.1f, &r);
	build_attribute(d, build_node(d, "Conv", "x w0 b0", "c0"), "pads", 4, DIMS(1, 1, 1, 1));
	build_node(d, "BatchNormalization", "c0 s t mean var", "n0");
	build_node(d, "Relu", "n0", "a");
	build_attribute(d, build_node(d, "Conv", "a w1 b1", "c1"), "pads", 4, DIMS(1, 1, 1, 1));
	build_node(d, "Relu", "c1", "h1");
	build_attribute(d, build_node(d, "Conv", "h1 w2 b2", "c2"), "pads", 4, DIMS(1, 1, 1, 1));
	build_node(d, "Add", "c2 a", "sum");
	build_node(d, "Relu", "sum", "h2");
	build_number(d, build_node(d, "Conv", "h2 w3 b3", "c3"), "group", 16);
	build_node(d, "Add", "c3 three", "p3");
	build_node(d, "Clip", "p3 zero six", "q3");
	build_node(d, "Mul", "c3 q3", "m3");
	build_node(d, "Div", "m3 six", "h3");
	build_node(d, "Conv", "h3 w4 b4", "c4");
	build_node(d, "GlobalAveragePool", "c4", "g");
	build_node(d, "Flatten", "g", "f");
	build_node(d, "Gemm", "f wy by", "y");
	return d;
}

static struct document *net_of(uint64_t seed)
{
	return seed % 3 == 0 ? images(seed) : seed % 3 == 1 ? random_net(seed) : random_transformer(seed);
}

/* ---- in two parts ------------------------------------------------------------------------------------------------ */

static void run(const struct graph *g, const struct program_options *options, const struct tensor *in, struct program **p,
                struct runner **r)
{
	struct tamis_error err = { 0 };

	must(program_create(g, options, p, &err), &err, "program");
	must(runner_create(*p, r, &err), &err, "runner");
	must(runner_run(*r, in, NULL, &err), &err, "run");
}

/* What crosses the border, then the outputs from there. */
static void run_parts(const struct lab *l, const struct refit_border *b, const struct program_options *options, const double *whole,
                      int64_t n, const char *what)
{
	const struct graph *g = l->graph;
	struct arena arena = { 0 };
	struct tensor *shapes = arena_array(&arena, (size_t)g->n_values + 1, sizeof *shapes);
	struct tensor *in = arena_array(&arena, (size_t)(g->n_inputs + b->n) + 1, sizeof *in);
	struct part before = { .kept = b->value, .n_kept = b->n }, behind = { .gone = b->gone, .given = b->value, .n_given = b->n,
		.shapes = shapes, .kept = g->outputs, .n_kept = 1 };
	struct program *p[2];
	struct runner *r[2];
	struct refit_crossing crossing;
	const struct chunk chunk = { .items = l->shelf.items, .in = l->shelf.in };
	const struct tensor *y;
	double largest = 0;

	for (int i = 0; i < b->n; i++)
		shapes[b->value[i]] = l->plan->value[b->value[i]].shape;
	run(graph_part(g, &before, &arena), options, l->shelf.in, &p[0], &r[0]);
	cr_assert(refit_crossing_copy(b, &chunk, g->n_inputs, r[0], &crossing));
	memcpy(in, crossing.in, (size_t)(g->n_inputs + b->n) * sizeof *in);
	if (b->inputs)
		memcpy(in, l->shelf.in, (size_t)g->n_inputs * sizeof *in);
	run(graph_part(g, &behind, &arena), options, in, &p[1], &r[1]);
	y = runner_output(r[1], 0);
	cr_assert_eq(y->count, n);
	for (int64_t k = 0; k < n; k++)
		largest = fmax(largest, fabs(whole[k]));
	for (int64_t k = 0; k < n; k++)
		cr_assert_float_eq(tensor_get(y, k), whole[k], 2e-5 * largest, "%s, border before node %d, entry %lld: %g and %g", what, b->node,
		                   (long long)k, tensor_get(y, k), whole[k]);
	refit_crossing_free(&crossing);
	for (int k = 0; k < 2; k++) {
		runner_free(r[k]);
		program_free(p[k]);
	}
	arena_free(&arena);
}

/* From every node on, in each of the ways that programs are made. */
Test(border, parts_make_what_the_whole_makes)
{
	static const struct program_options options[] = { { .training = true }, { .training = true, .energies = true }, { .merge_norms = true } };
	int held = 0;

	for (uint64_t seed = 1; seed <= NETS; seed++) {
		struct lab l;
		struct arena arena = { 0 };
		struct tamis_error err = { 0 };
		int64_t n;
		double *whole;
		bool *wanted;

		lab_open(&l, net_of(seed), 5, seed);
		wanted = calloc((size_t)l.graph->n_nodes + 1, sizeof *wanted);
		wanted[l.graph->values[l.graph->outputs[0]].producer] = true;
		whole = lab_outputs(&l, l.graph, 0, &n);
		for (int node = 0; node < l.graph->n_nodes; node++) {
			struct refit_job job = { .graph = l.graph, .layers = &l.layers, .plan = l.plan };
			struct refit_border *b;

			must(refit_border_before(&job, node, wanted, &arena, &b, &err), &err, "border");
			held += b != NULL;
			for (size_t k = 0; b && k < sizeof options / sizeof *options; k++)
				run_parts(&l, b, &options[k], whole, n, "network");
		}
		free(whole);
		free(wanted);
		arena_free(&arena);
		lab_close(&l);
	}
	cr_assert_gt(held, 8 * NETS, "%d borders", held);
}

/* ---- refits -------------------------------------------------------------------------------------------------------- */

static void disturb(struct lab *l, uint64_t seed)
{
	struct rng r = rng_make(seed, 9);

	for (int i = 0; i < l->layers.n; i++) {
		struct tensor *w = &l->graph->values[l->layers.list[i].weight].constant;

		for (int64_t k = 0; !l->layers.list[i].note && k < w->count; k++)
			if (rng_uniform(&r) < 0.3)
				tensor_set(w, k, 0);
	}
}

/* hold: bytes between legs; keep: floats of the original; 0 of both: every leg begins at the inputs, beside the original. */
static double *refitted(uint64_t seed, size_t hold, size_t keep, int threads, int64_t *n)
{
	struct lab l;
	struct refit *r = NULL;
	struct tamis_error err = { 0 };
	struct pool *pool = NULL;
	struct refit_job job;
	double *y;

	lab_open(&l, net_of(seed), ITEMS, seed);
	must(pool_create(threads, &pool, &err), &err, "pool");
	disturb(&l, seed);
	job = (struct refit_job){ .reference = l.original, .graph = l.graph, .layers = &l.layers, .reader = &l.reader,
		.batching = BATCH_STACKED, .chunk = 5, .passes = 1000, .items = ITEMS, .keep = keep, .hold = hold,
		.plan = hold ? l.plan : NULL, .pool = pool };
	must(refit_open(&job, &r, &err), &err, "refit");
	must(refit_run(r, &err), &err, "refit");
	must(refit_run(r, &err), &err, "refit");
	refit_close(r);
	pool_destroy(pool);
	y = lab_outputs(&l, l.graph, 0, n);
	lab_close(&l);
	return y;
}

static double distance(const double *a, const double *b, int64_t n)
{
	double off = 0, all = 0;

	for (int64_t i = 0; i < n; i++) {
		off += (a[i] - b[i]) * (a[i] - b[i]);
		all += b[i] * b[i];
	}
	return sqrt(off / all);
}

Test(border, refits_go_on_from_them)
{
	static const size_t holds[] = { 1, 100000, 1 << 30 };

	for (uint64_t seed = 1; seed <= NETS / 2; seed++) {
		int64_t n;
		double *plain = refitted(seed, 0, 0, 1, &n);

		for (size_t k = 0; k < sizeof holds / sizeof *holds; k++) {
			int64_t m;
			double *y = refitted(seed, holds[k], k ? 1 << 20 : 0, 1, &m), *again = refitted(seed, holds[k], k ? 1 << 20 : 0, 3, &m);

			cr_assert_eq(m, n);
			cr_assert_leq(distance(y, plain, n), 2e-3, "seed %d, %zu bytes held: %g", (int)seed, holds[k], distance(y, plain, n));
			cr_assert(!memcmp(y, again, (size_t)n * sizeof *y), "three workers make other bits");
			free(y);
			free(again);
		}
		free(plain);
	}
}

/* Chunks of a leg are among those that the leg before it has run. */
Test(border, legs_find_what_they_need)
{
	for (uint64_t seed = 1; seed <= NETS; seed++)
		for (int64_t items = 40; items <= 400000; items *= 10) {
			struct lab l;
			struct refit_legs legs;
			struct arena arena = { 0 };
			struct tamis_error err = { 0 };
			struct refit_job job;
			const struct refit_border *held = NULL;
			double passes = 0, whole = 0;
			int64_t every = 1;

			lab_open(&l, net_of(seed), 4, seed);
			job = (struct refit_job){ .graph = l.graph, .layers = &l.layers, .plan = l.plan, .chunk = 4, .items = items, .passes = 1000,
				.hold = 1 << 26 };
			must(refit_legs_find(&job, &arena, &legs, &err), &err, "legs");
			for (int k = 0; k < legs.n; k++) {
				const struct refit_leg *leg = &legs.list[k];

				cr_assert_eq(leg->every % leg->step, 0);
				cr_assert(!leg->from || leg->from == held);
				cr_assert(!leg->from || leg->step % every == 0, "step %d, held every %d", (int)leg->step, (int)every);
				cr_assert(leg->share > 0 && leg->share <= 1);
				cr_assert(!leg->to || leg->to->bytes * (double)items / (double)leg->step <= (double)job.hold);
				every = leg->to ? leg->step : every;
				held = leg->to ? leg->to : held;
				passes += leg->share / (double)leg->step;
				whole += 1 / (double)leg->every;
			}
			cr_assert_float_eq(passes, legs.passes, 1e-9);
			cr_assert_leq(passes, whole + 1e-9);
			arena_free(&arena);
			lab_close(&l);
		}
}
