/* SPDX-License-Identifier: Apache-2.0 */
/* The gate against the same losses computed from the outputs of both nets. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nets.h"
#include "slim/gate.h"
#include "stat/interval.h"

#define ITEMS 250

static bool third(void *ctx, int64_t item)
{
	(void)ctx;
	return item % 3 == 1;
}

static void find_head(struct lab *l, struct head *h)
{
	struct tamis_error err = { 0 };
	struct runner *r = NULL;

	must(runner_create(l->program, &r, &err), &err, "runner");
	must(runner_run(r, l->shelf.in, NULL, &err), &err, "run");
	must(head_detect(l->graph, r, l->shelf.items, "auto", h, &err), &err, "head");
	h->graph = l->original;
	runner_free(r);
}

/* Moves every weight of the net in hand. */
static void disturb(struct lab *l, double noise, uint64_t seed)
{
	struct rng r = rng_make(seed, 0);

	for (int i = 0; i < l->layers.n; i++) {
		struct tensor *w = &l->graph->values[l->layers.list[i].weight].constant;

		for (int64_t k = 0; k < w->count; k++)
			tensor_set(w, k, tensor_get(w, k) + noise * rng_normal(&r));
	}
}

static struct gate_job job_of(struct lab *l, const struct head *h)
{
	return (struct gate_job){ .graph = l->original, .head = h, .reader = &l->reader, .select = third,
		.batching = BATCH_STACKED, .chunk = 8, .tolerance = 0.1, .max_disagree = -1, .seed = 4 };
}

static struct gate_result judge(const struct gate_job *job, const struct graph *other, double alpha)
{
	struct tamis_error err = { 0 };
	struct gate_result out;
	struct gate g;

	must(gate_open(job, &g, &err), &err, "open");
	must(gate_judge(&g, other, alpha, &out, &err), &err, "judge");
	gate_close(&g);
	return out;
}

/* ---- classes ------------------------------------------------------------------------------------------------ */

static int64_t top(const double *x, int64_t n)
{
	int64_t best = 0;

	for (int64_t c = 1; c < n; c++)
		if (x[c] > x[best])
			best = c;
	return best;
}

static double probability(const double *x, int64_t n, int64_t c)
{
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
		sum += exp(x[i]);
	return exp(x[c]) / sum;
}

/* Losses, and argmax before and after, of the selected items of a net of logits. */
static int64_t losses(const struct lab *l, int64_t classes, double *loss, int64_t *before, int64_t *after)
{
	int64_t count, n = 0;
	double *a = lab_outputs(l, l->original, 0, &count), *b = lab_outputs(l, l->graph, 0, &count);

	for (int64_t t = 0; t < ITEMS; t++)
		if (third(NULL, t)) {
			before[n] = top(a + t * classes, classes);
			after[n] = top(b + t * classes, classes);
			loss[n++] = probability(a + t * classes, classes, top(a + t * classes, classes))
				- probability(a + t * classes, classes, top(b + t * classes, classes));
		}
	free(a);
	free(b);
	return n;
}

Test(gate, expected_accuracy_loss)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct lab l;
		struct head h;
		struct gate_job job;
		struct gate_result r;
		double loss[ITEMS], mean = 0, worst = 0, upper;
		int64_t before[ITEMS], after[ITEMS], n, changed = 0;

		lab_open(&l, net_deep(seed), ITEMS, seed);
		find_head(&l, &h);
		disturb(&l, 0.05 * (double)seed, seed);
		job = job_of(&l, &h);
		r = judge(&job, l.graph, 0.05);
		n = losses(&l, 4, loss, before, after);
		for (int64_t t = 0; t < n; t++) {
			mean += loss[t] / (double)n;
			worst = fmax(worst, loss[t]);
			changed += before[t] != after[t];
		}
		cr_assert_eq(betting_upper(loss, n, 0.05, &upper, NULL), TAMIS_OK);
		cr_assert_float_eq(r.value, mean, 1e-6, "%g, not %g", r.value, mean);
		cr_assert_float_eq(r.bound, upper, 1e-5, "%g, not %g", r.bound, upper);
		cr_assert_float_eq(r.worst, worst, 1e-6);
		cr_assert_float_eq(r.disagree, (double)changed / (double)n, 1e-12);
		cr_assert_float_eq(r.disagree_upper, clopper_pearson_upper(changed, n, 0.05), 1e-12);
		cr_assert_eq(r.passed, r.bound <= 0.1);
		cr_assert(isnan(r.label_p) && isnan(r.accuracy_before) && isnan(r.accuracy_after));
		cr_assert_gt(changed, 0);
		lab_close(&l);
	}
}

Test(gate, the_original_itself_loses_nothing)
{
	double zeros[ITEMS] = { 0 }, upper;
	struct lab l;
	struct head h;
	struct gate_job job;
	struct gate_result r;

	lab_open(&l, net_deep(1), ITEMS, 1);
	find_head(&l, &h);
	job = job_of(&l, &h);
	r = judge(&job, l.graph, 0.05);
	cr_assert_eq(betting_upper(zeros, 83, 0.05, &upper, NULL), TAMIS_OK);
	cr_assert(r.value == 0 && r.disagree == 0 && r.worst == 0);
	cr_assert_eq(r.bound, upper);
	job.tolerance = r.bound;
	cr_assert(judge(&job, l.graph, 0.05).passed);
	job.tolerance = r.bound * 0.999;
	cr_assert(!judge(&job, l.graph, 0.05).passed);
	cr_assert(judge(&job, l.graph, 0.2).bound < r.bound, "less confidence, lower bound");
	lab_close(&l);
}

Test(gate, disagreement_can_be_gated)
{
	struct lab l;
	struct head h;
	struct gate_job job;
	struct gate_result r;
	struct gate g = { 0 };

	lab_open(&l, net_deep(2), ITEMS, 2);
	find_head(&l, &h);
	disturb(&l, 0.1, 2);
	job = job_of(&l, &h);
	job.tolerance = 1;
	r = judge(&job, l.graph, 0.05);
	cr_assert(r.passed);
	g.job = job;
	cr_assert_float_eq(gate_spent(&g, &r), r.bound, 1e-12);
	job.max_disagree = r.disagree_upper;
	g.job.max_disagree = r.disagree_upper / 3;
	cr_assert_float_eq(gate_spent(&g, &r), 3, 1e-12);
	cr_assert(judge(&job, l.graph, 0.05).passed);
	job.max_disagree = r.disagree_upper - 1e-9;
	cr_assert(!judge(&job, l.graph, 0.05).passed);
	lab_close(&l);
}

/* A model that gives no number has lost everything on that item. */
Test(gate, a_broken_net_fails)
{
	struct lab l;
	struct head h;
	struct gate_job job;
	struct gate_result r;

	for (int general = 0; general < 2; general++) {
		lab_open(&l, general ? net_general(3) : net_deep(3), ITEMS, 3);
		find_head(&l, &h);
		tensor_set(lab_constant(l.graph, "w2"), 1, NAN);
		job = job_of(&l, &h);
		job.tolerance = 0.99;
		r = judge(&job, l.graph, 0.05);
		cr_assert(!r.passed && r.value >= 1 && r.bound >= 1, "value %g, bound %g", r.value, r.bound);
		lab_close(&l);
	}
}

/* ---- labels ------------------------------------------------------------------------------------------------- */

Test(gate, labels_take_the_place_of_probabilities)
{
	struct lab l;
	struct head h;
	struct gate_job job;
	struct gate_result r;
	double loss[ITEMS], mean = 0, upper;
	int64_t before[ITEMS], after[ITEMS], n, worse = 0, better = 0, right = 0, labels[ITEMS], known = 0;
	struct rng g = rng_make(5, 0);

	lab_open(&l, net_deep(4), ITEMS, 4);
	find_head(&l, &h);
	disturb(&l, 0.3, 4);
	for (int t = 0; t < ITEMS; t++)
		labels[t] = (int64_t)rng_below(&g, 4);
	for (int64_t n_labels = ITEMS; n_labels > 0; n_labels -= 150) {
		n = losses(&l, 4, loss, before, after);
		mean = 0;
		worse = better = right = known = 0;
		for (int64_t t = 0; t < n; t++) {
			int64_t item = 3 * t + 1;

			if (item < n_labels) {
				bool a = before[t] == labels[item], b = after[t] == labels[item];

				loss[t] = a - b;
				worse += a && !b;
				better += b && !a;
				right += a;
				known++;
			}
			mean += loss[t] / (double)n;
			loss[t] = (1 + loss[t]) / 2;
		}
		cr_assert_eq(betting_upper(loss, n, 0.05, &upper, NULL), TAMIS_OK);
		job = job_of(&l, &h);
		job.labels = labels;
		job.n_labels = n_labels;
		r = judge(&job, l.graph, 0.05);
		cr_assert(worse > 0 && better > 0);
		cr_assert_float_eq(r.value, mean, 1e-6);
		cr_assert_float_eq(r.bound, 2 * upper - 1, 1e-5);
		cr_assert(r.worse == worse && r.better == better);
		cr_assert_float_eq(r.label_p, mcnemar_p(worse, better), 1e-12);
		cr_assert_float_eq(r.accuracy_before, (double)right / (double)known, 1e-12);
		cr_assert_float_eq(r.accuracy_after, (double)(right - worse + better) / (double)known, 1e-12);
	}
	lab_close(&l);
}

/* Labels drawn from the original's own probabilities: they can be trusted. Labels that it never gets right: they cannot. */
Test(gate, probabilities_are_held_against_labels)
{
	struct lab l;
	struct head h;
	struct gate_job job;
	struct gate g;
	int64_t labels[ITEMS], wrong[ITEMS], count;
	struct rng r = rng_make(9, 0);
	double *y;

	lab_open(&l, net_deep(4), ITEMS, 4);
	find_head(&l, &h);
	y = lab_outputs(&l, l.graph, 0, &count);
	for (int64_t t = 0; t < ITEMS; t++) {
		double sum = 0, u = rng_uniform(&r);

		labels[t] = wrong[t] = 3;
		for (int c = 0; c < 4; c++)
			sum += exp(y[t * 4 + c]);
		for (int c = 3; c >= 0; c--) {
			u -= exp(y[t * 4 + c]) / sum;
			labels[t] = u < 0 && u + exp(y[t * 4 + c]) / sum >= 0 ? c : labels[t];
			wrong[t] = y[t * 4 + c] < y[t * 4 + wrong[t]] ? c : wrong[t];
		}
	}
	job = job_of(&l, &h);
	cr_assert_eq(gate_open(&job, &g, NULL), TAMIS_OK);
	cr_assert(isnan(g.temperature) && isnan(g.calibration_error));
	gate_close(&g);
	job.labels = labels;
	job.n_labels = ITEMS;
	cr_assert_eq(gate_open(&job, &g, NULL), TAMIS_OK);
	cr_assert(g.temperature > 0.7 && g.temperature < 1.4 && g.calibration_error < 0.1, "%g %g", g.temperature,
	          g.calibration_error);
	gate_close(&g);
	job.labels = wrong;
	cr_assert_eq(gate_open(&job, &g, NULL), TAMIS_OK);
	cr_assert(g.temperature > 5 && g.calibration_error > 0.3, "%g %g", g.temperature, g.calibration_error);
	gate_close(&g);
	free(y);
	lab_close(&l);
}

/* A temperature spreads or sharpens the original's probabilities; the gate takes the larger bound, and never less than
 * without one. */
Test(gate, a_given_temperature_is_taken_where_it_is_stricter)
{
	static const double temperatures[] = { 0.5, 1, 1.5, 4 };
	struct lab l;
	struct head h;
	struct gate_job job;
	struct gate_result plain, r;
	int64_t count;
	double *a, *b;

	lab_open(&l, net_deep(2), ITEMS, 2);
	find_head(&l, &h);
	a = lab_outputs(&l, l.original, 0, &count);
	disturb(&l, 0.1, 2);
	b = lab_outputs(&l, l.graph, 0, &count);
	job = job_of(&l, &h);
	plain = judge(&job, l.graph, 0.05);
	cr_assert(isnan(plain.tempered));
	cr_assert_float_eq(plain.expected, plain.value, 1e-12);
	for (size_t k = 0; k < sizeof temperatures / sizeof *temperatures; k++) {
		double loss[ITEMS], mean = 0, upper, scaled[4];
		int64_t n = 0;

		for (int64_t t = 0; t < ITEMS; t++)
			if (third(NULL, t)) {
				for (int c = 0; c < 4; c++)
					scaled[c] = a[t * 4 + c] / temperatures[k];
				loss[n++] = probability(scaled, 4, top(a + t * 4, 4)) - probability(scaled, 4, top(b + t * 4, 4));
			}
		for (int64_t t = 0; t < n; t++)
			mean += loss[t] / (double)n;
		cr_assert_eq(betting_upper(loss, n, 0.05, &upper, NULL), TAMIS_OK);
		job.temperature = temperatures[k];
		r = judge(&job, l.graph, 0.05);
		cr_assert_float_eq(r.tempered, mean, 1e-6, "%g, not %g", r.tempered, mean);
		cr_assert_float_eq(r.bound, fmax(upper, plain.bound), 1e-5, "%g: %g", temperatures[k], r.bound);
		cr_assert_float_eq(r.expected, plain.expected, 1e-12);
		cr_assert_geq(r.bound, plain.bound);
	}
	free(a);
	free(b);
	lab_close(&l);
}

/* ---- other outputs ------------------------------------------------------------------------------------------ */

Test(gate, relative_squared_error)
{
	struct lab l;
	struct head h;
	struct gate_job job;
	struct gate_result r;
	double *a[2], *b[2], loss[ITEMS], energy = 0, mean = 0, upper, worst = 0;
	int64_t n = 0, count, width[2] = { 2, 3 };

	lab_open(&l, net_general(5), ITEMS, 5);
	find_head(&l, &h);
	disturb(&l, 0.05, 5);
	job = job_of(&l, &h);
	r = judge(&job, l.graph, 0.05);
	for (int o = 0; o < 2; o++) {
		a[o] = lab_outputs(&l, l.original, o, &count);
		b[o] = lab_outputs(&l, l.graph, o, &count);
	}
	for (int64_t t = 1; t < ITEMS; t += 3, n++) {
		loss[n] = 0;
		for (int o = 0; o < 2; o++)
			for (int64_t k = t * width[o]; k < (t + 1) * width[o]; k++)
				loss[n] += (a[o][k] - b[o][k]) * (a[o][k] - b[o][k]);
	}
	for (int o = 0; o < 2; o++)
		for (int64_t k = 0; k < width[o]; k++) {
			double m = 0;

			for (int64_t t = 1; t < ITEMS; t += 3)
				m += a[o][t * width[o] + k] / (double)n;
			for (int64_t t = 1; t < ITEMS; t += 3)
				energy += (a[o][t * width[o] + k] - m) * (a[o][t * width[o] + k] - m) / (double)n;
		}
	for (int64_t i = 0; i < n; i++) {
		loss[i] /= energy;
		mean += loss[i] / (double)n;
		worst = fmax(worst, loss[i]);
	}
	cr_assert_eq(bootstrap_upper(loss, n, 0.05, 2000, 4, &upper, NULL), TAMIS_OK);
	cr_assert(fabs(r.value - mean) <= 1e-4 * mean, "%g, not %g", r.value, mean);
	cr_assert(fabs(r.bound - upper) <= 1e-4 * upper, "%g, not %g", r.bound, upper);
	cr_assert(fabs(r.worst - worst) <= 1e-4 * worst);
	cr_assert(isnan(r.disagree) && isnan(r.disagree_upper));
	for (int o = 0; o < 2; o++) {
		free(a[o]);
		free(b[o]);
	}
	lab_close(&l);
}

/* Outputs that never move have no energy: any change of them is too much, none is none. */
Test(gate, constant_outputs)
{
	struct lab l;
	struct head h;
	struct gate_job job;

	lab_open(&l, net_general(6), ITEMS, 6);
	find_head(&l, &h);
	for (int64_t i = 0; i < l.shelf.in[0].count; i++)
		tensor_set(&l.shelf.in[0], i, 1);
	job = job_of(&l, &h);
	cr_assert(judge(&job, l.graph, 0.05).passed);
	tensor_set(lab_constant(l.graph, "b2"), 0, 9);
	cr_assert(!judge(&job, l.graph, 0.05).passed);
	lab_close(&l);
}

Test(gate, names)
{
	struct gate g = { 0 };
	struct head h = { .kind = HEAD_GENERAL };
	int64_t labels[1] = { 0 };

	g.job.head = &h;
	cr_assert_str_eq(gate_kind(&g), "relative squared error");
	g.job.labels = labels;
	cr_assert_str_eq(gate_kind(&g), "relative squared error", "labels say nothing of outputs that are no classes");
	h.kind = HEAD_LOGITS;
	cr_assert_str_eq(gate_kind(&g), "accuracy loss (labels)");
	g.job.labels = NULL;
	cr_assert_str_eq(gate_kind(&g), "expected accuracy loss");
}

/* ---- how it is computed ------------------------------------------------------------------------------------- */

static void same_result(const struct gate_result *a, const struct gate_result *b, const char *what)
{
	cr_assert(a->value == b->value && a->bound == b->bound && a->worst == b->worst && a->passed == b->passed, "%s", what);
	cr_assert(a->disagree == b->disagree || (isnan(a->disagree) && isnan(b->disagree)), "%s", what);
}

Test(gate, originals_that_run_along_say_the_same)
{
	static const int64_t most[] = { 1, 40, 100 };

	for (int general = 0; general < 2; general++) {
		struct lab l;
		struct head h;
		struct gate_job job;
		struct gate_result kept, along;

		lab_open(&l, general ? net_general(7) : net_deep(7), ITEMS, 7);
		find_head(&l, &h);
		disturb(&l, 0.1, 7);
		job = job_of(&l, &h);
		kept = judge(&job, l.graph, 0.05);
		for (int k = 0; k < 3; k++)
			for (int workers = 1; workers <= 3; workers++) {
				cr_assert_eq(pool_create(workers, &job.pool, NULL), TAMIS_OK);
				job.max_reference = most[k];
				along = judge(&job, l.graph, 0.05);
				same_result(&kept, &along, "references that are kept and such that are not differ");
				job.max_reference = 0;
				along = judge(&job, l.graph, 0.05);
				same_result(&kept, &along, "the number of workers matters");
				pool_destroy(job.pool);
				job.pool = NULL;
			}
		lab_close(&l);
	}
}

static bool nobody(void *ctx, int64_t item)
{
	(void)ctx;
	(void)item;
	return false;
}

Test(gate, nothing_to_judge_on)
{
	struct lab l;
	struct head h;
	struct gate_job job;
	struct gate g;
	struct tamis_error err = { 0 };

	lab_open(&l, net_deep(8), ITEMS, 8);
	find_head(&l, &h);
	job = job_of(&l, &h);
	job.select = nobody;
	cr_assert_eq(gate_open(&job, &g, &err), TAMIS_E_INVALID);
	lab_close(&l);
}

Test(gate, data_that_change)
{
	struct lab l;
	struct head h;
	struct gate_job job;
	struct gate g;
	struct gate_result r;
	struct tamis_error err = { 0 };

	lab_open(&l, net_deep(8), ITEMS, 8);
	find_head(&l, &h);
	job = job_of(&l, &h);
	l.shelf.items = 100;
	l.shelf.in[0].dims[0] = 100;
	l.shelf.in[0].count = 100 * 20;
	must(gate_open(&job, &g, &err), &err, "open");
	l.shelf.items = ITEMS;
	l.shelf.in[0].dims[0] = ITEMS;
	l.shelf.in[0].count = ITEMS * 20;
	cr_assert_eq(gate_judge(&g, l.graph, 0.05, &r, &err), TAMIS_E_INVALID, "more items than before");
	gate_close(&g);
	err = (struct tamis_error){ 0 };
	must(gate_open(&job, &g, &err), &err, "open");
	l.shelf.items = 100;
	l.shelf.in[0].dims[0] = 100;
	l.shelf.in[0].count = 100 * 20;
	cr_assert_eq(gate_judge(&g, l.graph, 0.05, &r, &err), TAMIS_E_INVALID, "fewer items than before");
	gate_close(&g);
	lab_close(&l);
}

/* A guess on a third of the items is about as strict as the gate on all of them, where nothing is lost or something: a little
 * stricter, because it learns later how far the losses vary. */
Test(gate, guesses_are_as_strict_as_the_gate)
{
	static const double noise[] = { 0, 0.1, 0.3 };

	for (size_t i = 0; i < sizeof noise / sizeof *noise; i++) {
		struct tamis_error err = { 0 };
		struct gate_result few, all;
		struct gate_job job;
		struct gate third_of, whole;
		struct lab l;
		struct head h;
		double ratio;

		lab_open(&l, net_deep(2), 3000, 2);
		find_head(&l, &h);
		disturb(&l, noise[i], 2);
		job = job_of(&l, &h);
		must(gate_open(&job, &third_of, &err), &err, "open");
		job.select = NULL;
		must(gate_open(&job, &whole, &err), &err, "open");
		must(gate_judge(&whole, l.graph, 0.05, &all, &err), &err, "judge");
		must(gate_guess(&third_of, &whole, l.graph, 0.05, &few, &err), &err, "guess");
		ratio = (few.bound - few.value) / (all.bound - all.value);
		cr_assert(ratio > 0.8 && ratio < 1.5, "noise %g: %g above the mean, not %g", noise[i], few.bound - few.value,
		          all.bound - all.value);
		must(gate_guess(&whole, &whole, l.graph, 0.05, &few, &err), &err, "guess");
		cr_assert_eq(few.bound, all.bound);
		gate_close(&third_of);
		gate_close(&whole);
		lab_close(&l);
	}
}
