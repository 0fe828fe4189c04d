/* SPDX-License-Identifier: Apache-2.0 */
/* Whole channels chosen, zeroed, refitted and taken out: the search as a caller sees it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "slim/work.h"
#include "slimming.h"

/* x[N,2,6,6] Conv 24 (3x3) BatchNormalization Relu Conv 16 (3x3) Relu GlobalAveragePool Flatten Gemm 4. Later channels of the
 * first convolution matter less and less. */
static struct document *net_images(uint64_t seed)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 51);
	float *v, *w;

	build_input(d, "x", 4, DIMS(-1, 2, 6, 6));
	build_floats(d, "w1", 4, DIMS(24, 2, 3, 3), 0.3, &r);
	build_floats(d, "s", 1, DIMS(24), 0.1, &r);
	build_floats(d, "b", 1, DIMS(24), 0.1, &r);
	build_floats(d, "m", 1, DIMS(24), 0.1, &r);
	v = build_floats(d, "v", 1, DIMS(24), 0, &r);
	build_floats(d, "w2", 4, DIMS(16, 24, 3, 3), 0.1, &r);
	build_floats(d, "b2", 1, DIMS(16), 0.1, &r);
	build_floats(d, "w3", 2, DIMS(4, 16), 1, &r);
	build_floats(d, "b3", 1, DIMS(4), 0.1, &r);
	for (int i = 0; i < 24; i++) {
		v[i] = 1;
		build_elements(d, "s")[i] += 1;
	}
	w = build_elements(d, "w2");
	for (int k = 0; k < 16 * 24 * 9; k++)
		w[k] *= k / 9 % 24 < 8 ? 1 : 0.02f;
	build_node(d, "Conv", "x w1", "a");
	build_node(d, "BatchNormalization", "a s b m v", "n");
	build_node(d, "Relu", "n", "h");
	build_node(d, "Conv", "h w2 b2", "c");
	build_node(d, "Relu", "c", "e");
	build_node(d, "GlobalAveragePool", "e", "g");
	build_node(d, "Flatten", "g", "f");
	build_number(d, build_node(d, "Gemm", "f w3 b3", "y"), "transB", 1);
	build_output(d, "y", 2, DIMS(-1, 4));
	return d;
}

/* x[N,5,3] both directions of an LSTM or GRU of 16, side by side, ReduceMean over the steps, Gemm 2. Behind it, hidden units from
 * the ninth on hardly count. */
static struct document *net_recurrent(const char *cell, int64_t gates, uint64_t seed)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 52);
	Onnx__NodeProto *n;
	float *w;

	build_input(d, "x", 3, DIMS(-1, 5, 3));
	build_floats(d, "w", 3, DIMS(2, gates * 16, 3), 0.5, &r);
	w = build_floats(d, "r", 3, DIMS(2, gates * 16, 16), 0.3, &r);
	for (int k = 0; k < 2 * gates * 16 * 16; k++)
		w[k] *= k % 16 < 8 ? 1 : 0.01f;
	build_floats(d, "b", 2, DIMS(2, 2 * gates * 16), 0.1, &r);
	w = build_floats(d, "w2", 2, DIMS(2, 32), 1, &r);
	for (int k = 0; k < 2 * 32; k++)
		w[k] *= k % 16 < 8 ? 1 : 0.01f;
	build_floats(d, "b2", 1, DIMS(2), 0.1, &r);
	build_ints(d, "shape", 3, DIMS(0, 0, -1));
	build_attribute(d, build_node(d, "Transpose", "x", "t"), "perm", 3, DIMS(1, 0, 2));
	n = build_node(d, cell, "t w r b", "h");
	build_number(d, n, "hidden_size", 16);
	build_text(d, n, "direction", "bidirectional");
	build_attribute(d, build_node(d, "Transpose", "h", "u"), "perm", 4, DIMS(2, 0, 1, 3));
	build_node(d, "Reshape", "u shape", "s");
	n = build_node(d, "ReduceMean", "s", "f");
	build_attribute(d, n, "axes", 1, DIMS(1));
	build_number(d, n, "keepdims", 0);
	build_number(d, build_node(d, "Gemm", "f w2 b2", "y"), "transB", 1);
	build_output(d, "y", 2, DIMS(-1, 2));
	return d;
}

/* x[N,6] through two branches of 16 hidden units each, added: y = Round(8 a) / 8000 + b. Nothing tells a gradient how little
 * the first matters, and its path gain is taken as 1; to the second much less is ascribed than it does. */
static struct document *net_branches(uint64_t seed)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 53);

	build_input(d, "x", 2, DIMS(-1, 6));
	build_floats(d, "wa", 2, DIMS(16, 6), 0.5, &r);
	build_floats(d, "ba", 1, DIMS(16), 0.3, &r);
	build_floats(d, "va", 2, DIMS(4, 16), 2, &r);
	build_floats(d, "wb", 2, DIMS(16, 6), 0.5, &r);
	build_floats(d, "bb", 1, DIMS(16), 0.3, &r);
	build_floats(d, "vb", 2, DIMS(4, 16), 0.3, &r);
	build_floats(d, "up", 0, NULL, 0, &r)[0] = 8;
	build_floats(d, "down", 0, NULL, 0, &r)[0] = 1.0f / 8000;
	build_number(d, build_node(d, "Gemm", "x wa ba", "ha"), "transB", 1);
	build_node(d, "Relu", "ha", "ra");
	build_number(d, build_node(d, "Gemm", "ra va", "a"), "transB", 1);
	build_node(d, "Mul", "a up", "m");
	build_node(d, "Round", "m", "n");
	build_node(d, "Mul", "n down", "o");
	build_number(d, build_node(d, "Gemm", "x wb bb", "hb"), "transB", 1);
	build_node(d, "Relu", "hb", "rb");
	build_number(d, build_node(d, "Gemm", "rb vb", "b"), "transB", 1);
	build_node(d, "Add", "o b", "y");
	build_output(d, "y", 2, DIMS(-1, 4));
	return d;
}

static void open_narrow(struct slimming *s, struct document *d, int64_t items)
{
	slimming_open(s, d, items, 3);
	s->o.head = "general";
	s->o.tolerance = 0.05;
	s->o.granularity = TAMIS_CHANNEL;
	s->o.round_to = 8; /* on every processor */
}

static void run(struct slimming *s)
{
	enum tamis_status status = slimming_run(s);

	cr_assert_eq(status, TAMIS_OK, "%s", s->err.message);
	cr_assert(s->figures.gate.passed);
	cr_assert_leq(s->figures.gate.bound, s->o.tolerance);
}

/* The sixteen channels that hardly count go, in widths as round as asked, and nothing else does. */
Test(narrow, takes_out_what_hardly_counts)
{
	static const int64_t round_to[] = { 8, 4 };

	for (size_t i = 0; i < 2; i++) {
		struct slimming s;
		int64_t left;

		open_narrow(&s, net_images(5), 600);
		s.o.round_to = round_to[i];
		run(&s);
		left = build_extent(s.out, "w2", 1);
		cr_assert_leq(left, 8);
		cr_assert_geq(left, 4);
		cr_assert_eq(left % round_to[i], 0);
		cr_assert_eq(build_extent(s.out, "w1", 0), left);
		cr_assert_eq(build_extent(s.out, "s", 0), left);
		cr_assert_eq(build_extent(s.out, "w3", 0), 4);
		slimming_close(&s);
	}
}

/* x[N,2,6,6] Conv 8 (3x3) Relu t; t Conv 8 (3x3, pads 1) Relu Conv 8 (3x3, pads 1), added to t; GlobalAveragePool Flatten Gemm 4.
 * The branch hardly counts. */
static struct document *net_beside(uint64_t seed)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 54);

	build_input(d, "x", 4, DIMS(-1, 2, 6, 6));
	build_floats(d, "w1", 4, DIMS(8, 2, 3, 3), 0.3, &r);
	build_floats(d, "w2", 4, DIMS(8, 8, 3, 3), 0.3, &r);
	build_floats(d, "b2", 1, DIMS(8), 0.3, &r);
	build_floats(d, "w3", 4, DIMS(8, 8, 3, 3), 0.003, &r);
	build_floats(d, "w4", 2, DIMS(4, 8), 1, &r);
	build_floats(d, "b4", 1, DIMS(4), 0.1, &r);
	build_node(d, "Conv", "x w1", "a");
	build_node(d, "Relu", "a", "t");
	build_attribute(d, build_node(d, "Conv", "t w2 b2", "c"), "pads", 4, DIMS(1, 1, 1, 1));
	build_node(d, "Relu", "c", "h");
	build_attribute(d, build_node(d, "Conv", "h w3", "e"), "pads", 4, DIMS(1, 1, 1, 1));
	build_node(d, "Add", "t e", "s");
	build_node(d, "GlobalAveragePool", "s", "g");
	build_node(d, "Flatten", "g", "f");
	build_number(d, build_node(d, "Gemm", "f w4 b4", "y"), "transB", 1);
	build_output(d, "y", 2, DIMS(-1, 4));
	return d;
}

/* All eight units of the branch at once: half of them would not be round. */
Test(narrow, takes_branches_out_whole)
{
	struct slimming s;
	int kept = 0;

	open_narrow(&s, net_beside(9), 600);
	run(&s);
	cr_assert_eq(s.out->model->graph->n_node, 6);
	cr_assert_eq(build_extent(s.out, "w2", 0), -1);
	for (size_t i = 0; i < s.figures.n_layers; i++)
		kept += s.figures.layers[i].channels_kept > 0;
	cr_assert_eq(kept, 2);
	cr_assert_eq(s.figures.channels_removed, 16);
	slimming_close(&s);
}

/* Blocks of this processor where only channels go, and what was asked for everywhere. */
Test(narrow, rounds_to_what_kernels_like)
{
	struct tamis_slim_options o;

	tamis_slim_options_default(&o);
	cr_assert_eq(slim_round_to(&o), 8);
	o.granularity = TAMIS_CHANNEL;
	cr_assert_eq(slim_round_to(&o), cpu_vector_floats());
	cr_assert(cpu_vector_floats() == 8 || cpu_vector_floats() == 16);
	o.granularity = TAMIS_BOTH;
	o.target_macs = 0.5;
	cr_assert_eq(slim_round_to(&o), cpu_vector_floats());
	o.round_to = 3;
	cr_assert_eq(slim_round_to(&o), 3);
}

/* With distilling too, and to the same bytes for any number of workers. */
Test(narrow, distils_what_is_left)
{
	struct slimming s;
	uint8_t *first, *second;
	size_t n, m;

	open_narrow(&s, net_images(6), 400);
	s.o.distil = 2;
	run(&s);
	cr_assert_leq(build_extent(s.out, "w2", 1), 8);
	first = slimming_bytes(s.out, &n);
	s.o.threads = 2;
	run(&s);
	second = slimming_bytes(s.out, &m);
	cr_assert_eq(n, m);
	cr_assert_arr_eq(first, second, n);
	free(first);
	free(second);
	slimming_close(&s);
}

/* Whether so many epochs change a byte. */
static bool training_tells(struct slimming *s, int epochs)
{
	uint8_t *plain, *distilled;
	size_t n, m;
	bool told;

	s->o.provenance = false;
	run(s);
	plain = slimming_bytes(s->out, &n);
	s->o.distil = epochs;
	run(s);
	distilled = slimming_bytes(s->out, &m);
	told = n != m || memcmp(plain, distilled, n);
	free(plain);
	free(distilled);
	return told;
}

/* The sixteen channels that hardly count leave nothing to mend, and without the others nothing can be mended. */
Test(narrow, what_refitting_mends_is_not_trained)
{
	struct slimming s;

	open_narrow(&s, net_images(6), 600);
	cr_assert_not(training_tells(&s, 2));
	cr_assert_eq(build_extent(s.out, "w2", 1), 8);
	slimming_close(&s);
}

/* A target is trained for even so. */
Test(narrow, what_was_asked_for_is_trained)
{
	struct slimming s;

	open_narrow(&s, net_images(6), 600);
	s.o.target_macs = 0.3;
	s.o.tolerance = 1;
	cr_assert(training_tells(&s, 6));
	slimming_close(&s);
}

/* Large steps go by what is foreseen; then tries tell what really moves the outputs. */
Test(narrow, takes_what_moves_the_outputs_least)
{
	struct slimming s;

	open_narrow(&s, net_branches(8), 600);
	s.o.round_to = 1;
	s.o.target_macs = 0.6;
	s.o.tolerance = 1;
	run(&s);
	cr_assert_leq(build_extent(s.out, "va", 1), 13, "what hardly matters goes, once it was tried");
	cr_assert_geq(build_extent(s.out, "vb", 1), 6, "and what seemed to matter less stays from then on");
	slimming_close(&s);
}

/* Distilling mends what refitting cannot, so that no fewer channels go. */
Test(narrow, distilling_goes_as_deep)
{
	struct slimming s;
	int64_t refitted;

	open_narrow(&s, net_images(7), 600);
	s.o.tolerance = 0.02;
	s.o.round_to = 2;
	run(&s);
	refitted = s.figures.channels_removed;
	s.o.distil = 3;
	run(&s);
	cr_assert_geq(s.figures.channels_removed, refitted);
	slimming_close(&s);
}

/* Hidden units of recurrent cells go from all gates and both directions. */
Test(narrow, takes_out_hidden_units)
{
	static const struct { const char *cell; int64_t gates; } rows[] = { { "LSTM", 4 }, { "GRU", 3 }, { "RNN", 1 } };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct slimming s;

		open_narrow(&s, net_recurrent(rows[i].cell, rows[i].gates, 8 + i), 500);
		run(&s);
		cr_assert_eq(build_extent(s.out, "r", 2), 8, "%s: %lld", rows[i].cell, (long long)build_extent(s.out, "r", 2));
		cr_assert_eq(build_extent(s.out, "r", 1), 8 * rows[i].gates);
		cr_assert_eq(build_extent(s.out, "w", 1), 8 * rows[i].gates);
		cr_assert_eq(build_extent(s.out, "b", 1), 16 * rows[i].gates);
		cr_assert_eq(build_extent(s.out, "w2", 1), 16);
		slimming_close(&s);
	}
}

/* Where the recurrent weights are not let through, nothing is left to go. */
Test(narrow, leaves_skipped_cells_alone)
{
	struct slimming s;

	open_narrow(&s, net_recurrent("LSTM", 4, 8), 300);
	s.o.skip = "^r$";
	s.o.tolerance = 0.5;
	cr_assert_eq(slimming_run(&s), TAMIS_E_GATE);
	slimming_close(&s);
}
