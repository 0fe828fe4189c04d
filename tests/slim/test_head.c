/* SPDX-License-Identifier: Apache-2.0 */
/* What the outputs are taken for, what the probe draws, and how two runs are compared. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nets.h"
#include "slim/score/head.h"

/* A model that has run over all items of its shelf. */
struct run {
	struct lab lab;
	struct runner *runner;
	struct head head;
};

static void run_open(struct run *r, struct document *d, int64_t items)
{
	struct tamis_error err = { 0 };

	lab_open(&r->lab, d, items, 3);
	must(runner_create(r->lab.program, &r->runner, &err), &err, "runner");
	must(runner_run(r->runner, r->lab.shelf.in, NULL, &err), &err, "run");
}

static void run_close(struct run *r)
{
	runner_free(r->runner);
	lab_close(&r->lab);
}

static enum tamis_status detect(struct run *r, const char *wanted)
{
	return head_detect(r->lab.graph, r->runner, r->lab.shelf.items, wanted, &r->head, NULL);
}

/* x[N, extra..., 4] -> ops, a list by blanks, -> y of the same shape. */
static struct document *chain(int rank, const int64_t *dims, const char *ops)
{
	struct document *d = build_model(17);
	char list[100], from[16] = "x", *rest = NULL;
	int k = 0;

	snprintf(list, sizeof list, "%s", ops);
	build_input(d, "x", rank, dims);
	build_output(d, "y", rank, dims);
	for (char *op = strtok_r(list, " ", &rest); op;) {
		char *after = strtok_r(NULL, " ", &rest), to[16];
		Onnx__NodeProto *n;

		snprintf(to, sizeof to, "v%d", k++);
		n = build_node(d, op, from, after ? to : "y");
		if (strstr(op, "Softmax"))
			build_number(d, n, "axis", -1);
		if (!strcmp(op, "Cast"))
			build_number(d, n, "to", DT_FLOAT);
		snprintf(from, sizeof from, "%s", to);
		op = after;
	}
	return d;
}

/* ---- detection ---------------------------------------------------------------------------------------------- */

Test(head, kinds)
{
	static const struct { int rank; int64_t dims[4]; const char *ops; enum head_kind kind; int64_t width, rows; } rows[] = {
		{ 2, { -1, 4 }, "Neg", HEAD_LOGITS, 4, 1 },
		{ 2, { -1, 4 }, "Softmax", HEAD_PROBABILITIES, 4, 1 },
		{ 2, { -1, 4 }, "Softmax Identity Cast", HEAD_PROBABILITIES, 4, 1 },
		{ 2, { -1, 4 }, "LogSoftmax", HEAD_LOGITS, 4, 1 },
		{ 2, { -1, 1 }, "Neg", HEAD_GENERAL, 1, 1 },
		{ 3, { -1, 5, 4 }, "Neg", HEAD_GENERAL, 20, 1 },
		{ 3, { -1, 5, 4 }, "Softmax", HEAD_PROBABILITIES, 20, 5 },
		{ 3, { -1, 5, 4 }, "LogSoftmax Identity", HEAD_LOGITS, 20, 5 },
		{ 4, { -1, 3, 30, 30 }, "Neg", HEAD_GENERAL, 2700, 1 },
		{ 4, { -1, 3, 50, 50 }, "Neg", HEAD_GENERAL, HEAD_MAX_WIDTH, 1 },
		{ 3, { -1, 3000, 4 }, "Softmax", HEAD_PROBABILITIES, HEAD_MAX_WIDTH, HEAD_MAX_WIDTH / 4 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct run r;

		run_open(&r, chain(rows[i].rank, rows[i].dims, rows[i].ops), 3);
		cr_assert_eq(detect(&r, "auto"), TAMIS_OK);
		cr_assert_eq(r.head.kind, rows[i].kind, "row %zu: kind %d", i, r.head.kind);
		cr_assert_eq(r.head.width, rows[i].width, "row %zu: width %lld", i, (long long)r.head.width);
		cr_assert_eq(r.head.rows, rows[i].rows, "row %zu: rows %lld", i, (long long)r.head.rows);
		run_close(&r);
	}
}

Test(head, wanted_kinds)
{
	struct run r;

	run_open(&r, chain(3, DIMS(-1, 5, 4), "Neg"), 3);
	cr_assert_eq(detect(&r, "logits"), TAMIS_OK);
	cr_assert(r.head.kind == HEAD_LOGITS && r.head.classes == 4);
	cr_assert_eq(detect(&r, "probabilities"), TAMIS_OK);
	cr_assert_eq(r.head.kind, HEAD_PROBABILITIES);
	cr_assert_eq(detect(&r, "general"), TAMIS_OK);
	cr_assert(r.head.kind == HEAD_GENERAL && r.head.width == 20);
	run_close(&r);
	run_open(&r, chain(2, DIMS(-1, 1), "Neg"), 3);
	cr_assert_eq(detect(&r, "logits"), TAMIS_E_UNSUPPORTED);
	run_close(&r);
}

Test(head, outputs_that_are_not_floats)
{
	struct document *d = build_model(17);
	struct run r;

	build_input(d, "x", 2, DIMS(-1, 4));
	build_output(d, "k", 2, DIMS(-1, 1));
	d->model->graph->output[0]->type->tensor_type->elem_type = DT_INT64;
	build_node(d, "ArgMax", "x", "k");
	build_number(d, d->model->graph->node[0], "axis", 1);
	run_open(&r, d, 3);
	cr_assert_eq(detect(&r, "auto"), TAMIS_E_UNSUPPORTED);
	run_close(&r);
	d = build_model(17);
	build_input(d, "x", 2, DIMS(-1, 4));
	build_output(d, "k", 2, DIMS(-1, 1));
	d->model->graph->output[0]->type->tensor_type->elem_type = DT_INT64;
	build_output(d, "y", 2, DIMS(-1, 4));
	build_number(d, build_node(d, "ArgMax", "x", "k"), "axis", 1);
	build_node(d, "Softmax", "x", "y");
	run_open(&r, d, 3);
	cr_assert_eq(detect(&r, "auto"), TAMIS_OK);
	cr_assert(r.head.kind == HEAD_PROBABILITIES && r.head.output == 1, "the one float output decides");
	run_close(&r);
}

/* ---- values ------------------------------------------------------------------------------------------------- */

Test(head, values_are_the_outputs)
{
	struct run r;
	float *y;

	run_open(&r, net_general(1), 6);
	cr_assert_eq(detect(&r, "auto"), TAMIS_OK);
	y = calloc(6 * 5, sizeof *y);
	cr_assert_eq(head_values(&r.head, r.runner, 6, y, NULL), TAMIS_OK);
	for (int t = 0; t < 6; t++)
		for (int k = 0; k < 5; k++)
			cr_assert_eq(y[t * 5 + k], k < 2 ? (float)tensor_get(runner_output(r.runner, 0), t * 2 + k)
			                                 : (float)tensor_get(runner_output(r.runner, 1), t * 3 + k - 2));
	free(y);
	run_close(&r);
}

/* ---- seeds -------------------------------------------------------------------------------------------------- */

enum { SEED_CLASSES = 4, SEED_DRAWS = 40000 };

/* Means of the seeds of output 0 and of their products within a row, over draws. */
struct moments { double *mean, *product; };

static void add_draw(const struct run *r, uint64_t seed, struct moments *m)
{
	int64_t items = r->lab.shelf.items, item[8] = { 10, 11, 12, 13, 14, 15, 16, 17 };
	struct tensor out[2];

	cr_assert_eq(head_seed(&r->head, r->runner, NULL, item, items, seed, out, NULL), TAMIS_OK);
	cr_assert_eq(out[0].count, runner_output(r->runner, 0)->count);
	for (int64_t i = 0; i < out[0].count; i++) {
		double a = tensor_get(&out[0], i);

		m->mean[i] += a / SEED_DRAWS;
		for (int64_t c = 0; c < SEED_CLASSES; c++)
			m->product[i * SEED_CLASSES + c] += a * tensor_get(&out[0], i - i % SEED_CLASSES + c) / SEED_DRAWS;
	}
	tensor_free(&out[0]);
}

static struct moments draw_many(const struct run *r)
{
	int64_t n = runner_output(r->runner, 0)->count;
	struct moments m = { calloc((size_t)n, sizeof *m.mean), calloc((size_t)n * SEED_CLASSES, sizeof *m.product) };

	cr_assert_eq(r->head.classes, SEED_CLASSES);
	for (uint64_t k = 0; k < SEED_DRAWS; k++)
		add_draw(r, k, &m);
	return m;
}

static void free_moments(struct moments *m)
{
	free(m->mean);
	free(m->product);
}

/* The information of a row is diag(p) - p p'. Within five standard errors, which for a product are twice sqrt(p q / draws) at
 * most. */
Test(head, logit_seeds)
{
	enum { ITEMS = 3, ROWS = 5, C = SEED_CLASSES };
	struct run r;
	struct moments m;

	run_open(&r, chain(3, DIMS(-1, ROWS, C), "Neg"), ITEMS);
	cr_assert_eq(detect(&r, "logits"), TAMIS_OK);
	m = draw_many(&r);
	for (int i = 0; i < ITEMS * ROWS; i++) {
		double p[C], all = 0;

		for (int c = 0; c < C; c++)
			all += p[c] = exp(tensor_get(runner_output(r.runner, 0), i * C + c));
		for (int c = 0; c < C; c++) {
			double sd = sqrt(p[c] / all * (1 - p[c] / all) / SEED_DRAWS);

			cr_assert(fabs(m.mean[i * C + c]) < 5 * sd + 1e-6, "row %d class %d: mean %g, sd %g", i, c,
			          m.mean[i * C + c], sd);
			for (int k = 0; k < C; k++) {
				double want = p[c] / all * ((c == k) - p[k] / all), got = m.product[(i * C + c) * C + k];

				cr_assert(fabs(got - want) < 10 * sqrt(p[c] * p[k]) / all / sqrt(SEED_DRAWS) + 1e-6,
				          "row %d, classes %d and %d: %g, not %g", i, c, k, got, want);
			}
		}
	}
	free_moments(&m);
	run_close(&r);
}

/* Squares of single seeds are 1 / p, always; different classes know nothing of each other. */
Test(head, probability_seeds)
{
	enum { ITEMS = 2, C = SEED_CLASSES };
	struct run r;
	struct moments m;

	run_open(&r, chain(2, DIMS(-1, C), "Softmax"), ITEMS);
	cr_assert_eq(detect(&r, "auto"), TAMIS_OK);
	m = draw_many(&r);
	for (int i = 0; i < ITEMS * C; i++) {
		double p = tensor_get(runner_output(r.runner, 0), i);

		cr_assert(fabs(m.mean[i] * sqrt(p)) < 5 / sqrt(SEED_DRAWS), "class %d: mean %g", i, m.mean[i]);
		for (int k = 0; k < C; k++) {
			double q = tensor_get(runner_output(r.runner, 0), i - i % C + k), got = m.product[i * C + k] * sqrt(p * q);

			cr_assert(fabs(got - (i % C == k)) < (i % C == k ? 1e-5 : 5 / sqrt(SEED_DRAWS)), "%d and %d: %g", i, k, got);
		}
	}
	free_moments(&m);
	run_close(&r);
}

/* Thousands of classes go another way, in floats; types that are no floats go by double. */
Test(head, many_classes)
{
	enum { C = 301 };
	struct run r;
	int64_t item[2] = { 3, 4 };
	struct tensor out[1];

	run_open(&r, chain(2, DIMS(-1, C), "Softmax"), 2);
	cr_assert_eq(detect(&r, "auto"), TAMIS_OK);
	cr_assert_eq(head_seed(&r.head, r.runner, NULL, item, 2, 5, out, NULL), TAMIS_OK);
	for (int64_t i = 0, up = 0; i < 2 * C; i++) {
		double p = tensor_get(runner_output(r.runner, 0), i), g = tensor_get(&out[0], i);

		up += g > 0;
		cr_assert(fabs(g * g * p - 1) < 1e-5, "class %lld: %g", (long long)i, g * g * p);
		cr_assert(i + 1 < 2 * C || (up > 220 && up < 382), "%lld of 602 are positive", (long long)up);
	}
	tensor_free(&out[0]);
	run_close(&r);
}

/* Which chunk an item comes in must not matter. */
Test(head, seeds_belong_to_items)
{
	struct run r;
	struct tensor a[2], b[2];
	int64_t item[3] = { 4, 9, 7 };

	for (int general = 0; general < 2; general++) {
		run_open(&r, general ? net_general(1) : net_logits(1), 3);
		cr_assert_eq(detect(&r, "auto"), TAMIS_OK);
		cr_assert_eq(head_seed(&r.head, r.runner, NULL, item, 3, 5, a, NULL), TAMIS_OK);
		cr_assert_eq(head_seed(&r.head, r.runner, NULL, item, 3, 5, b, NULL), TAMIS_OK);
		for (int o = 0; o < r.lab.graph->n_outputs; o++) {
			cr_assert(!memcmp(a[o].data, b[o].data, tensor_bytes(&a[o])));
			tensor_free(&b[o]);
		}
		cr_assert_eq(head_seed(&r.head, r.runner, NULL, item, 3, 6, b, NULL), TAMIS_OK);
		for (int o = 0; o < r.lab.graph->n_outputs; o++) {
			cr_assert(memcmp(a[o].data, b[o].data, tensor_bytes(&a[o])));
			tensor_free(&a[o]);
			tensor_free(&b[o]);
		}
		run_close(&r);
	}
}

/* ---- comparing ---------------------------------------------------------------------------------------------- */

/* Compares the run with a reference that the test makes up; y becomes items x classes. */
static void compare(struct run *r, const float *reference, const double *mean, struct head_loss *out)
{
	cr_assert_eq(head_compare(&r->head, reference, r->runner, r->lab.shelf.items, 1, mean, out, NULL), TAMIS_OK);
}

/* Sets the input of an Identity net, that is its output. */
static void say(struct run *r, const double *values, int64_t n)
{
	struct tamis_error err = { 0 };

	for (int64_t i = 0; i < n; i++)
		tensor_set(&r->lab.shelf.in[0], i, values[i]);
	must(runner_run(r->runner, r->lab.shelf.in, NULL, &err), &err, "run");
}

Test(head, losses_of_classes)
{
	static const float before[] = { 0.5f, 0.3f, 0.2f, 0.1f, 0.8f, 0.1f, 0.25f, 0.25f, 0.5f, 0.6f, 0.3f, 0.1f };
	const double after[] = { 0.2, 0.7, 0.1, 0.2, 0.6, 0.2, 0.5, 0.4, 0.1, NAN, 0.9, 0.1 };
	static const double loss[] = { 0.2, 0, 0.25, 1 };
	static const int64_t from[] = { 0, 1, 2, 0 }, to[] = { 1, 1, 0, -1 };
	struct run r;
	struct head_loss l[4];

	run_open(&r, chain(2, DIMS(-1, 3), "Identity"), 4);
	cr_assert_eq(detect(&r, "probabilities"), TAMIS_OK);
	say(&r, after, 12);
	cr_assert_eq(head_reference_size(&r.head, r.runner, 4), 12);
	compare(&r, before, NULL, l);
	for (int i = 0; i < 4; i++) {
		cr_assert_float_eq(l[i].loss, loss[i], 1e-6, "item %d: %g", i, l[i].loss);
		cr_assert_eq(l[i].before, from[i]);
		cr_assert_eq(l[i].after, to[i]);
		cr_assert_eq(l[i].disagree, from[i] != to[i]);
	}
	run_close(&r);
}

Test(head, losses_of_logits_are_of_probabilities)
{
	static const float before[] = { 1, 0, -1, 0, 0, 3 };
	const double after[] = { 0, 1, 0, 5, 0, 0 };
	struct run r;
	struct head_loss l[2];
	double a = exp(1) + 1 + exp(-1), b = 2 + exp(3);

	run_open(&r, chain(2, DIMS(-1, 3), "Identity"), 2);
	cr_assert_eq(detect(&r, "logits"), TAMIS_OK);
	say(&r, after, 6);
	compare(&r, before, NULL, l);
	cr_assert_float_eq(l[0].loss, (exp(1) - 1) / a, 1e-7);
	cr_assert_float_eq(l[1].loss, (exp(3) - 1) / b, 1e-7);
	run_close(&r);
}

Test(head, rows_are_averaged)
{
	static const float before[] = { 0.9f, 0.1f, 0.6f, 0.4f };
	const double after[] = { 0.7, 0.3, 0.4, 0.6 };
	struct run r;
	struct head_loss l;

	run_open(&r, chain(3, DIMS(-1, 2, 2), "Identity"), 1);
	cr_assert_eq(detect(&r, "probabilities"), TAMIS_OK);
	say(&r, after, 4);
	compare(&r, before, NULL, &l);
	cr_assert_float_eq(l.loss, 0.1, 1e-6);
	cr_assert_float_eq(l.disagree, 0.5, 1e-9);
	cr_assert(l.before == -1 && l.after == -1);
	run_close(&r);
}

Test(head, squared_errors)
{
	static const float before[] = { 1, 2, 3, 4 };
	const double after[] = { 1, 2.5, NAN, 4 }, mean[] = { 2, 3 };
	struct run r;
	struct head_loss l[2];

	run_open(&r, chain(2, DIMS(-1, 2), "Identity"), 2);
	cr_assert_eq(detect(&r, "general"), TAMIS_OK);
	say(&r, after, 4);
	compare(&r, before, mean, l);
	cr_assert_float_eq(l[0].loss, 0.25, 1e-9);
	cr_assert_float_eq(l[0].energy, 2, 1e-9);
	cr_assert(isinf(l[1].loss), "what was a number and is none costs everything");
	cr_assert(isnan(l[0].disagree) && l[0].before == -1);
	compare(&r, before, NULL, l);
	cr_assert_float_eq(l[0].energy, 5, 1e-9);
	run_close(&r);
}

/* Two outputs: one after the other, each over all items. */
Test(head, references_of_two_outputs)
{
	struct run r;
	struct head_loss l[4];
	float *reference;

	run_open(&r, net_general(2), 4);
	cr_assert_eq(detect(&r, "auto"), TAMIS_OK);
	cr_assert_eq(head_reference_size(&r.head, r.runner, 4), 20);
	reference = calloc(20, sizeof *reference);
	head_reference(&r.head, r.runner, reference);
	compare(&r, reference, NULL, l);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(l[i].loss, 0);
	reference[2 * 2 + 1] += 0.5f;          /* y1 of item 2 */
	reference[4 * 2 + 3 * 3 + 2] -= 0.25f; /* y2 of item 3 */
	compare(&r, reference, NULL, l);
	cr_assert(l[0].loss == 0 && l[1].loss == 0);
	cr_assert_float_eq(l[2].loss, 0.25, 1e-6);
	cr_assert_float_eq(l[3].loss, 0.0625, 1e-6);
	free(reference);
	run_close(&r);
}

/* Two items, three values: the values that belong to no whole item are kept, but compared with nothing. */
Test(head, outputs_that_do_not_divide_by_the_items)
{
	struct document *d = build_model(17);
	struct run r;
	struct head_loss l[2];
	float reference[3] = { 0 };
	double sum[1] = { 0 };

	build_input(d, "x", 2, DIMS(-1, 4));
	build_output(d, "y", 1, DIMS(3));
	build_ints(d, "three", 1, DIMS(3));
	build_ints(d, "from", 1, DIMS(0));
	build_ints(d, "flat", 1, DIMS(-1));
	build_node(d, "Reshape", "x flat", "f");
	build_node(d, "Slice", "f from three", "y");
	run_open(&r, d, 2);
	cr_assert_eq(detect(&r, "general"), TAMIS_OK);
	cr_assert_eq(head_reference_size(&r.head, r.runner, 2), 3);
	head_reference(&r.head, r.runner, reference);
	head_sums(&r.head, r.runner, 2, sum);
	cr_assert_float_eq(sum[0], reference[0] + reference[1], 1e-6);
	compare(&r, reference, NULL, l);
	cr_assert(l[0].loss == 0 && l[1].loss == 0);
	run_close(&r);
}
