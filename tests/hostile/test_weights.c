/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that are no good weights and no good items: what comes of them is a model that passes the checker, or a sentence,
 * and the model is as it was then. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define ITEMS 60

static const struct { const char *name; float value; } numbers[] = {
	{ "not a number", NAN }, { "infinite", INFINITY }, { "minus infinite", -INFINITY }, { "minus zero", -0.0f },
	{ "denormal", 1e-42f }, { "huge", 3e38f }, { "zero", 0 },
};

/* x[N,8] -> Gemm 16 -> Relu -> Gemm 4; `bad` goes into every `step`-th element of both weights. */
static void write_model(const char *path, float bad, int64_t step)
{
	struct document *d = build_model(13);
	struct rng r = rng_make(5, 1);
	float *w;

	build_input(d, "x", 2, (const int64_t[]){ -1, WIDTH });
	build_output(d, "logits", 2, (const int64_t[]){ -1, CLASSES });
	w = build_floats(d, "w1", 2, (const int64_t[]){ 16, WIDTH }, 0.7, &r);
	for (int64_t i = 0; i < 16 * WIDTH; i += step)
		w[i] = bad;
	w = build_floats(d, "w2", 2, (const int64_t[]){ CLASSES, 16 }, 1.5, &r);
	for (int64_t i = 0; i < CLASSES * 16; i += step)
		w[i] = bad;
	build_number(d, build_node(d, "Gemm", "x w1", "h"), "transB", 1);
	build_node(d, "Relu", "h", "a");
	build_number(d, build_node(d, "Gemm", "a w2", "logits"), "transB", 1);
	world_write_model(d, path);
}

static enum tamis_status slim(struct world *w, const char *model, const char *items, double keep)
{
	struct tamis_slim_options o;
	struct tamis_calibration *c = NULL;
	struct tamis_model *m = NULL;
	enum tamis_status s = tamis_model_open(model, NULL, &m, &w->err);

	tamis_slim_options_default(&o);
	o.keep = keep;
	o.tolerance = 1;
	o.threads = 1;
	if (s == TAMIS_OK)
		s = tamis_calibration_open(m, &items, 1, NULL, &c, &w->err);
	if (s == TAMIS_OK)
		s = tamis_slim(m, c, &o, NULL, &w->err);
	if (s == TAMIS_OK || s == TAMIS_E_GATE)
		cr_expect_eq(tamis_model_save(m, world_path(w, "out.onnx"), NULL, NULL), TAMIS_OK);
	tamis_calibration_close(c);
	tamis_model_close(m);
	return s;
}

static void expect_an_answer(struct world *w, enum tamis_status s, const char *what)
{
	struct tamis_model *m = NULL;

	cr_expect(s == TAMIS_OK || s == TAMIS_E_GATE || s == TAMIS_E_INVALID || s == TAMIS_E_UNSUPPORTED, "%s: status %d: %s",
	          what, (int)s, w->err.message);
	cr_expect_eq(w->err.status, s, "%s", what);
	if (s == TAMIS_OK) {
		cr_expect_eq(tamis_model_open(world_path(w, "out.onnx"), NULL, &m, NULL), TAMIS_OK, "%s", what);
		tamis_model_close(m);
	}
	tamis_error_clear(&w->err);
}

Test(numbers, weights_that_are_not_finite_denormal_or_zero)
{
	static const int64_t steps[] = { 1, 7 };
	static const double keeps[] = { -1, 0.5, 1 };
	struct world w;

	world_open(&w, ITEMS, 3);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		for (size_t k = 0; k < 6; k++) {
			write_model(world_path(&w, "bad.onnx"), numbers[i].value, steps[k % 2]);
			expect_an_answer(&w, slim(&w, world_path(&w, "bad.onnx"), world_path(&w, "x.npy"), keeps[k / 2]),
			                 numbers[i].name);
		}
	world_close(&w);
}

Test(numbers, items_that_are_not_finite_denormal_or_zero)
{
	static float items[ITEMS * WIDTH];
	static const int steps[] = { 1, 11, ITEMS * WIDTH };
	struct world w;

	world_open(&w, ITEMS, 3);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		for (size_t k = 0; k < 3; k++) {
			memcpy(items, w.items, sizeof items);
			for (int j = 0; j < ITEMS * WIDTH; j += steps[k])
				items[j] = numbers[i].value;
			world_write_npy(world_path(&w, "bad.npy"), DT_FLOAT, 2, (const int64_t[]){ ITEMS, WIDTH }, items);
			expect_an_answer(&w, slim(&w, world_path(&w, "m.onnx"), world_path(&w, "bad.npy"), 0.5), numbers[i].name);
		}
	world_close(&w);
}

/* Too few to hold any out. */
Test(numbers, one_item)
{
	struct world w;

	world_open(&w, ITEMS, 3);
	world_write_npy(world_path(&w, "one.npy"), DT_FLOAT, 2, (const int64_t[]){ 1, WIDTH }, w.items);
	cr_expect_eq(slim(&w, world_path(&w, "m.onnx"), world_path(&w, "one.npy"), 0.5), TAMIS_E_INVALID);
	cr_expect_neq(w.err.message[0], '\0');
	world_close(&w);
}
