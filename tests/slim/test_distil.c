/* SPDX-License-Identifier: Apache-2.0 */
/* Distilling against Adam written out in double on numerical gradients of the loss written out here; what it must hold
 * fixed; and that neither workers nor blocks of memory change what comes out. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "nets.h"
#include "slim/repair/distil.h"
#include "slim/repair/regrow.h"
#include "slimming.h"

#define CLASSES 3
#define SOFT 4.0 /* temperature of both distributions */

struct bench {
	struct lab lab;
	struct head head;
	struct parameters parameters;
	struct distil_job job;
	struct pool *pool;
};

static bool trained_on(void *ctx, int64_t item)
{
	return item % 4 != 3 || *(int *)ctx;
}

static bool checked_on(void *ctx, int64_t item)
{
	return item % 4 == 3 || *(int *)ctx;
}

static int everything = 1, split = 0;

/* Zeroes a share of the weights and moves the others. */
static void disturb(struct lab *l, double zeros, double noise)
{
	struct rng r = rng_make(5, 9);

	for (int i = 0; i < l->layers.n; i++) {
		struct tensor *w = &l->graph->values[l->layers.list[i].weight].constant;

		for (int64_t k = 0; k < w->count; k++)
			tensor_set(w, k, rng_uniform(&r) < zeros ? 0 : tensor_get(w, k) + noise * rng_normal(&r));
	}
}

static void find_head(struct bench *b)
{
	struct program_options options = { .training = true };
	struct program *p = NULL;
	struct runner *r = NULL;
	struct tamis_error err = { 0 };

	must(program_create(b->lab.original, &options, &p, &err), &err, "program");
	must(runner_create(p, &r, &err), &err, "runner");
	must(runner_run(r, b->lab.shelf.in, NULL, &err), &err, "run");
	must(head_detect(b->lab.original, r, b->lab.shelf.items, "auto", &b->head, &err), &err, "head");
	runner_free(r);
	program_free(p);
}

static void bench_open(struct bench *b, struct document *d, int64_t items, int *which, int workers, size_t bytes)
{
	struct tamis_error err = { 0 };

	*b = (struct bench){ .pool = NULL };
	lab_open(&b->lab, d, items, 11);
	find_head(b);
	must(pool_create(workers, &b->pool, &err), &err, "pool");
	must(parameters_find(b->lab.graph, &b->lab.layers, &(struct layer_filter){ 0 },
	                     (struct parameters_kinds){ .norms = true }, &b->parameters, &err), &err,
	     "parameters");
	b->job = (struct distil_job){ .graph = b->lab.graph, .parameters = &b->parameters, .seed = 3 };
	b->job.fit = (struct store_job){ .original = b->lab.original, .head = &b->head, .reader = &b->lab.reader,
		.select = trained_on, .select_ctx = which, .batching = BATCH_STACKED, .chunk = 32, .pool = b->pool,
		.bytes = bytes };
	b->job.check = b->job.fit;
	b->job.check.select = checked_on;
}

static void bench_close(struct bench *b)
{
	parameters_free(&b->parameters);
	pool_destroy(b->pool);
	lab_close(&b->lab);
}

static struct distil_result train(struct bench *b, const struct distil_leg *leg)
{
	struct tamis_error err = { 0 };
	struct distil d;
	struct distil_result r;

	must(distil_open(&b->job, &d, &err), &err, "open");
	must(distil_run(&d, leg, &r, &err), &err, "run");
	distil_close(&d);
	return r;
}

/* ---- Adam, written out ------------------------------------------------------------------------------------------ */

static void softmax(const double *z, double temperature, double *p)
{
	double sum = 0;

	for (int c = 0; c < CLASSES; c++)
		sum += p[c] = exp(z[c] / temperature);
	for (int c = 0; c < CLASSES; c++)
		p[c] /= sum;
}

static double class_loss(const struct bench *b, const double *y, const double *target, int64_t label)
{
	double z[CLASSES], zt[CLASSES], p[CLASSES], q[CLASSES], t[CLASSES], kl = 0;
	bool logits = b->head.kind == HEAD_LOGITS;

	for (int c = 0; c < CLASSES; c++) {
		z[c] = logits ? y[c] : log(y[c]);
		zt[c] = logits ? target[c] : log(target[c]);
	}
	softmax(z, 1, p);
	softmax(z, SOFT, q);
	softmax(zt, SOFT, t);
	for (int c = 0; c < CLASSES; c++)
		kl += SOFT * SOFT * t[c] * log(t[c] / q[c]);
	return label < 0 ? kl : 0.5 * kl - 0.5 * log(p[label]);
}

/* Mean over the items; for outputs that are no classes, squared errors over the energy about the mean. */
static double loss_now(const struct bench *b, double *const *target)
{
	double loss = 0, error = 0, energy = 0;

	for (int o = 0; o < b->lab.original->n_outputs; o++) {
		int64_t count, n = b->lab.shelf.items;
		double *y = lab_outputs(&b->lab, b->lab.graph, o, &count);

		for (int64_t i = 0; b->head.kind != HEAD_GENERAL && i < n; i++)
			loss += class_loss(b, y + i * CLASSES, target[o] + i * CLASSES, b->job.labels ? b->job.labels[i] : -1)
				/ (double)n;
		for (int64_t k = 0; b->head.kind == HEAD_GENERAL && k < count / n; k++) {
			double mean = 0;

			for (int64_t i = 0; i < n; i++)
				mean += target[o][i * (count / n) + k] / (double)n;
			for (int64_t i = k; i < count; i += count / n) {
				error += (y[i] - target[o][i]) * (y[i] - target[o][i]);
				energy += (target[o][i] - mean) * (target[o][i] - mean);
			}
		}
		free(y);
	}
	return b->head.kind == HEAD_GENERAL ? error / energy : loss;
}

struct entry { struct tensor *t; int64_t at; double m, v, g; };

static int64_t list_entries(struct bench *b, struct entry *e)
{
	int64_t n = 0;

	for (int i = 0; i < b->parameters.n; i++) {
		const struct parameter *p = &b->parameters.list[i];
		struct tensor *t = &b->lab.graph->values[p->value].constant;

		for (int64_t k = 0; p->trained && k < t->count; k++)
			if (p->layer < 0 || tensor_get(t, k) != 0)
				e[n++] = (struct entry){ .t = t, .at = k };
	}
	return n;
}

static void naive_steps(struct bench *b, double *const *target, struct entry *e, int64_t n, int steps, double rate)
{
	const double h = 1e-5;

	for (int step = 1; step <= steps; step++) {
		for (int64_t i = 0; i < n; i++) {
			double w = tensor_get(e[i].t, e[i].at), up;

			tensor_set(e[i].t, e[i].at, w + h);
			up = loss_now(b, target);
			tensor_set(e[i].t, e[i].at, w - h);
			e[i].g = (up - loss_now(b, target)) / (2 * h);
			tensor_set(e[i].t, e[i].at, w);
		}
		for (int64_t i = 0; i < n; i++) {
			e[i].m = 0.9 * e[i].m + 0.1 * e[i].g;
			e[i].v = 0.999 * e[i].v + 0.001 * e[i].g * e[i].g;
			tensor_set(e[i].t, e[i].at, tensor_get(e[i].t, e[i].at)
			           - rate * e[i].m / (1 - pow(0.9, step)) / (sqrt(e[i].v / (1 - pow(0.999, step))) + 1e-8));
		}
	}
}

static void compare_with_naive(struct document *d, bool labelled)
{
	struct bench a, b;
	struct distil_leg leg = { .epochs = 3, .rate = 0.01 };
	static struct entry ea[2000], eb[2000];
	int64_t n, label[90], count;
	double *target[2] = { NULL, NULL }, worst = 0;
	struct document *twin;
	uint8_t *bytes;
	size_t size;

	nets_retype(d, DT_DOUBLE);
	bytes = slimming_bytes(d, &size);
	cr_assert_eq(doc_load_memory(bytes, size, NULL, &(struct doc_limits){ 0 }, &twin, NULL), TAMIS_OK);
	free(bytes);
	bench_open(&a, d, 90, &everything, 1, 0);
	bench_open(&b, twin, 90, &everything, 2, 0);
	for (int i = 0; i < 90; i++)
		label[i] = i % 5 == 4 ? -1 : i % CLASSES;
	a.job.labels = b.job.labels = labelled ? label : NULL;
	a.job.n_labels = b.job.n_labels = 90;
	for (int o = 0; o < a.lab.original->n_outputs; o++)
		target[o] = lab_outputs(&a.lab, a.lab.original, o, &count);
	disturb(&a.lab, 0.4, 0.1);
	disturb(&b.lab, 0.4, 0.1);
	n = list_entries(&a, ea);
	cr_assert_eq(list_entries(&b, eb), n);
	naive_steps(&a, target, ea, n, leg.epochs, leg.rate);
	train(&b, &leg);
	for (int64_t i = 0; i < n; i++)
		worst = fmax(worst, fabs(tensor_get(ea[i].t, ea[i].at) - tensor_get(eb[i].t, eb[i].at)));
	cr_assert_lt(worst, 2e-5, "a weight that moved by up to 0.03 is off by %g", worst);
	free(target[0]);
	free(target[1]);
	bench_close(&a);
	bench_close(&b);
}

Test(distil, steps_are_those_of_adam)
{
	compare_with_naive(net_logits(1), false);
	compare_with_naive(net_logits(2), true);
	compare_with_naive(net_probabilities(3), false);
	compare_with_naive(net_probabilities(4), true);
	compare_with_naive(net_general(5), false);
}

/* ---- what is held ------------------------------------------------------------------------------------------------ */

static struct document *(*const nets[])(uint64_t seed) = { net_deep, net_logits, net_probabilities, net_general, net_block };
static const enum dtype types[] = { DT_FLOAT, DT_FLOAT16, DT_DOUBLE };

static uint8_t *all_bytes(const struct bench *b, size_t *size)
{
	uint8_t *out = NULL;
	size_t at = 0;

	*size = 0;
	for (int i = 0; i < b->parameters.n; i++)
		*size += tensor_bytes(&b->lab.graph->values[b->parameters.list[i].value].constant);
	out = malloc(*size);
	for (int i = 0; i < b->parameters.n; i++) {
		const struct tensor *t = &b->lab.graph->values[b->parameters.list[i].value].constant;

		memcpy(out + at, t->data, tensor_bytes(t));
		at += tensor_bytes(t);
	}
	return out;
}

static void retype(struct document *d, enum dtype type)
{
	if (type != DT_FLOAT)
		nets_retype(d, type);
}

Test(distil, cut_weights_stay_cut_and_the_others_do_not_vanish)
{
	struct distil_leg leg = { .epochs = 2, .rate = 0.02, .to = 1 };

	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
		for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
			struct document *d = nets[i](7);
			struct bench b;
			uint8_t *cut, *at;

			retype(d, types[t]);
			bench_open(&b, d, 200, &split, 1, 0);
			disturb(&b.lab, 0.5, 0);
			at = cut = malloc(20000);
			for (int k = 0; k < b.lab.layers.n; k++)
				for (int64_t e = 0; e < b.lab.layers.list[k].entries; e++)
					*at++ = tensor_get(&b.lab.graph->values[b.lab.layers.list[k].weight].constant, e) == 0;
			train(&b, &leg);
			at = cut;
			for (int k = 0; k < b.lab.layers.n; k++)
				for (int64_t e = 0; e < b.lab.layers.list[k].entries; e++)
					cr_assert_eq(*at++, tensor_get(&b.lab.graph->values[b.lab.layers.list[k].weight].constant, e) == 0,
					             "net %zu: entry %lld of layer %d", i, (long long)e, k);
			free(cut);
			bench_close(&b);
		}
}

Test(distil, the_same_bytes_for_any_number_of_workers)
{
	struct distil_leg leg = { .epochs = 2, .rate = 0.01, .to = 1, .settle = true };

	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
		uint8_t *want = NULL, *got;
		size_t n = 0, m;

		for (int workers = 1; workers <= 3; workers++) {
			struct bench b;

			bench_open(&b, nets[i](8), 300, &split, workers, 0);
			b.job.mixup = true;
			disturb(&b.lab, 0.5, 0.05);
			train(&b, &leg);
			got = all_bytes(&b, &m);
			cr_assert(!want || (n == m && !memcmp(want, got, n)), "net %zu with %d workers", i, workers);
			if (want)
				free(got);
			else
				want = got;
			n = m;
			bench_close(&b);
		}
		free(want);
	}
}

/* ---- the state that is kept ---------------------------------------------------------------------------------------- */

Test(distil, never_worse_than_at_the_start)
{
	static const double rates[] = { 1e-3, 3, 1e30 };

	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
		for (size_t k = 0; k < sizeof rates / sizeof *rates; k++) {
			struct distil_leg leg = { .epochs = 3, .rate = rates[k], .to = 1, .settle = true };
			struct bench b;
			struct distil_result r;
			uint8_t *before, *after;
			size_t n;

			bench_open(&b, nets[i](9), 400, &split, 2, 0);
			b.job.mixup = i % 2 == 0;
			disturb(&b.lab, 0.3, 0.05);
			before = all_bytes(&b, &n);
			r = train(&b, &leg);
			after = all_bytes(&b, &n);
			cr_assert_leq(r.after, r.before, "net %zu, rate %g: %g after %g", i, rates[k], r.after, r.before);
			cr_assert(k > 0 || r.after < r.before, "net %zu: nothing was learnt", i);
			cr_assert_eq(r.after == r.before, !memcmp(before, after, n), "net %zu, rate %g", i, rates[k]);
			free(before);
			free(after);
			bench_close(&b);
		}
}

/* Steps of a half would carry every net away from a state that is nearly right. */
Test(distil, a_rate_too_large_is_lowered)
{
	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
		struct distil_leg leg = { .epochs = 20, .rate = 0.5, .to = 1, .settle = true };
		struct bench b;
		struct distil_result r;

		bench_open(&b, nets[i](9), 400, &split, 2, 0);
		disturb(&b.lab, 0.3, 0.01);
		r = train(&b, &leg);
		cr_expect_lt(r.after, 0.9 * r.before, "net %zu: %g after %g", i, r.after, r.before);
		bench_close(&b);
	}
}

/* Every block is read again in each epoch. */
Test(distil, items_that_do_not_fit_come_in_blocks)
{
	static const size_t limits[] = { 0, 20000, 1 };
	double first = 0;

	for (size_t k = 0; k < 3; k++) {
		struct distil_leg leg = { .epochs = 4, .rate = 3e-3, .to = 1, .settle = true };
		struct bench b;
		struct distil_result r;

		bench_open(&b, net_deep(10), 400, &split, 1, limits[k]);
		disturb(&b.lab, 0.4, 0);
		r = train(&b, &leg);
		first = k ? first : r.before;
		cr_assert_float_eq(r.before, first, 1e-9 * first, "the check items are the same however they are kept");
		cr_assert_lt(r.after, 0.8 * r.before, "limit %zu: %g after %g", limits[k], r.after, r.before);
		bench_close(&b);
	}
}

Test(distil, items_one_by_one)
{
	struct distil_leg leg = { .epochs = 2, .rate = 3e-3, .to = 1, .settle = true };
	struct distil_result r[2];

	for (int k = 0; k < 2; k++) {
		struct bench b;

		bench_open(&b, net_logits(12), 150, &split, 2, 0);
		b.job.fit.batching = b.job.check.batching = k ? BATCH_ONE : BATCH_STACKED;
		disturb(&b.lab, 0.4, 0);
		r[k] = train(&b, &leg);
		bench_close(&b);
	}
	cr_assert_lt(r[0].after, r[0].before);
	cr_assert_float_eq(r[0].after, r[1].after, 1e-4 * r[0].after);
}

/* ---- mixtures ------------------------------------------------------------------------------------------------------ */

#define STACKED 9
#define MIXED 4

struct mixing { struct bench *bench; struct store *store; double tolerance, told; /* of an element, of an output */ };

/* Some weight within [0, 1] explains every element of a mixture. */
static bool between(const struct tensor *was, const struct tensor *is, int64_t i, const struct tensor *y, double tolerance)
{
	double least = 0, most = 1;

	for (int64_t k = 0; k < y->count; k++) {
		double d = tensor_get(was, i * y->count + k) - tensor_get(y, k);
		double z = tensor_get(is, i * y->count + k) - tensor_get(y, k);
		double a = (z - tolerance) / d, b = (z + tolerance) / d;

		if (d == 0 && fabs(z) > tolerance)
			return false;
		if (d == 0)
			continue;
		least = fmax(least, fmin(a, b));
		most = fmin(most, fmax(a, b));
	}
	return least <= most;
}

/* What the original makes of item i of `in`, run alone. */
static void check_target(const struct mixing *m, const struct tensor *in, int64_t i, const float *target)
{
	struct tensor one = *in;
	struct runner *r = NULL;
	struct tamis_error err = { 0 };
	float want[64];
	int64_t n;

	one.dims[0] = 1;
	one.count = in->count / STACKED;
	one.data = (char *)in->data + (size_t)i * tensor_bytes(in) / STACKED;
	must(runner_create(m->store->program, &r, &err), &err, "runner");
	must(runner_run(r, &one, NULL, &err), &err, "run");
	n = match_target_size(&m->bench->head, r, 1);
	cr_assert_leq(n, 64);
	match_target(&m->bench->head, r, 1, 0, want);
	for (int64_t k = 0; k < n; k++)
		cr_assert_float_eq(target[k], want[k], m->told * (1 + fabs(want[k])), "item %lld", (long long)i);
	runner_free(r);
}

static enum tamis_status mix_some(void *ctx, struct tamis_error *err)
{
	struct mixing *m = ctx;
	int64_t order[STACKED];
	struct tensor was = { 0 }, is = { 0 };
	size_t capacity[2] = { 0, 0 };
	const float *target[STACKED] = { NULL };
	struct mixup mixup;
	struct rng r = rng_make(3, 4);

	for (int64_t i = 0; i < STACKED; i++)
		order[i] = (5 * i + 2) % m->store->n;
	must(store_stack(m->store, order, STACKED, &was, &capacity[0], err), err, "stack");
	must(store_stack(m->store, order, STACKED, &is, &capacity[1], err), err, "stack");
	must(mixup_open(m->store, &mixup, err), err, "open");
	must(mixup_shard(&mixup, order + MIXED, STACKED, MIXED, &r, &is, target, err), err, "mix");
	for (int64_t i = 0; i < MIXED; i++) {
		cr_assert(between(&was, &is, i, m->store->list[order[MIXED + i]].in, m->tolerance), "item %lld", (long long)i);
		check_target(m, &is, i, target[i]);
	}
	cr_assert_arr_eq((char *)is.data + tensor_bytes(&is) / STACKED * MIXED,
	                 (char *)was.data + tensor_bytes(&was) / STACKED * MIXED, tensor_bytes(&is) / STACKED * (STACKED - MIXED));
	cr_assert_null(target[MIXED]);
	mixup_close(&mixup);
	free(was.data);
	free(is.data);
	return TAMIS_OK;
}

Test(distil, mixtures_lie_between_two_items_and_are_told_the_original_s_outputs)
{
	static const double tolerances[] = { 1e-5, 1e-2, 1e-5 };

	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
		for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
			struct document *d = nets[i](14);
			struct tamis_error err = { 0 };
			struct store store;
			struct bench b;

			retype(d, types[t]);
			bench_open(&b, d, 40, &everything, 1, 0);
			cr_assert(mixup_fits(b.lab.original));
			must(store_open(&b.job.fit, &store, &err), &err, "open");
			must(store_walk(&store, mix_some, &(struct mixing){ &b, &store, tolerances[t], tolerances[t] }, &err), &err, "walk");
			store_close(&store);
			bench_close(&b);
		}
}

static struct document *net_of_bytes(void)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(15, 1);

	build_input(d, "image", 2, (int64_t[]){ -1, 12 });
	d->model->graph->input[0]->type->tensor_type->elem_type = DT_UINT8;
	build_output(d, "y", 2, (int64_t[]){ -1, CLASSES });
	build_floats(d, "w", 2, (int64_t[]){ 12, CLASSES }, 0.01, &r);
	build_floats(d, "b", 1, (int64_t[]){ CLASSES }, 0.3, &r);
	build_number(d, build_node(d, "Cast", "image", "x"), "to", DT_FLOAT);
	build_node(d, "Gemm", "x w b", "y");
	return d;
}

Test(distil, bytes_of_images_are_mixed_and_rounded)
{
	struct tamis_error err = { 0 };
	struct rng r = rng_make(16, 1);
	struct store store;
	struct bench b;

	bench_open(&b, net_of_bytes(), 40, &everything, 1, 0);
	for (int64_t k = 0; k < b.lab.shelf.in[0].count; k++)
		((uint8_t *)b.lab.shelf.in[0].data)[k] = (uint8_t)rng_below(&r, 256);
	cr_assert(mixup_fits(b.lab.original));
	must(store_open(&b.job.fit, &store, &err), &err, "open");
	must(store_walk(&store, mix_some, &(struct mixing){ &b, &store, 0.501, 1e-5 }, &err), &err, "walk");
	store_close(&store);
	bench_close(&b);
}

static enum tamis_status mix_unlike(void *ctx, struct tamis_error *err)
{
	struct mixing *m = ctx;
	int64_t order[2] = { 0, 1 };
	struct tensor was = { 0 }, is = { 0 }, shorter = *m->store->list[1].in;
	size_t capacity[2] = { 0, 0 };
	const float *target[2];
	const struct tensor *kept = m->store->list[1].in;
	struct mixup mixup;
	struct rng r = rng_make(3, 4);

	shorter.count--;
	m->store->list[1].in = &shorter;
	must(store_stack(m->store, order, 1, &was, &capacity[0], err), err, "stack");
	must(store_stack(m->store, order, 1, &is, &capacity[1], err), err, "stack");
	must(mixup_open(m->store, &mixup, err), err, "open");
	must(mixup_shard(&mixup, order + 1, 1, 1, &r, &is, target, err), err, "mix");
	m->store->list[1].in = kept;
	cr_assert_arr_eq(is.data, was.data, tensor_bytes(&is));
	for (int c = 0; c < CLASSES; c++)
		cr_assert_float_eq(target[0][c], m->store->list[0].target[c], 1e-5);
	mixup_close(&mixup);
	free(was.data);
	free(is.data);
	return TAMIS_OK;
}

Test(distil, an_item_of_another_shape_is_not_mixed_in)
{
	struct tamis_error err = { 0 };
	struct store store;
	struct bench b;

	bench_open(&b, net_logits(17), 4, &everything, 1, 0);
	must(store_open(&b.job.fit, &store, &err), &err, "open");
	must(store_walk(&store, mix_unlike, &(struct mixing){ .bench = &b, .store = &store }, &err), &err, "walk");
	store_close(&store);
	bench_close(&b);
}

/* ---- coming back ------------------------------------------------------------------------------------------------- */

struct missed { struct tensor *t; int64_t at; double gradient, score; };

static int by_score(const void *a, const void *b)
{
	double x = ((const struct missed *)a)->score, y = ((const struct missed *)b)->score;

	return (x < y) - (x > y);
}

/* Cut connections and what each of them would gain, from the loss written out above. */
static int64_t list_missed(struct bench *b, const struct scores *scores, struct missed *m)
{
	const double h = 1e-5;
	int64_t n = 0, count;
	double *target = lab_outputs(&b->lab, b->lab.original, 0, &count);

	for (int i = 0; i < b->lab.layers.n; i++) {
		const struct layer *l = &b->lab.layers.list[i];
		struct tensor *w = &b->lab.graph->values[l->weight].constant;

		for (int64_t o = 0; o < l->view.outs; o++)
			for (int64_t d = 0; d < l->view.fan_in; d++) {
				int64_t k = layer_offset(&l->view, o, d);
				double f = scores->layer[i].second[o / (l->view.outs / l->view.groups) * l->view.fan_in + d], up;

				if (tensor_get(w, k) != 0)
					continue;
				tensor_set(w, k, h);
				up = loss_now(b, &target);
				tensor_set(w, k, -h);
				m[n] = (struct missed){ w, k, (up - loss_now(b, &target)) / (2 * h), 0 };
				tensor_set(w, k, 0);
				m[n].score = pow(m[n].gradient / l->view.weight_scale, 2) / (f * scores->layer[i].gain[o]);
				n++;
			}
	}
	free(target);
	qsort(m, (size_t)n, sizeof *m, by_score);
	return n;
}

Test(distil, what_is_missed_most_regrows)
{
	static struct missed m[2000];
	struct document *d = net_logits(21);
	struct bench b;
	struct distil distil;
	struct scores scores = { 0 };
	struct score_job score;
	struct head head;
	struct tamis_error err = { 0 };
	int64_t n;

	nets_retype(d, DT_DOUBLE);
	bench_open(&b, d, 90, &everything, 2, 0);
	disturb(&b.lab, 0.5, 0.05);
	score = (struct score_job){ .graph = b.lab.graph, .layers = &b.lab.layers, .reader = &b.lab.reader,
		.batching = BATCH_STACKED, .chunk = 32, .seed = 1, .head = "auto" };
	must(score_run(&score, &head, &scores, &err), &err, "score");
	n = list_missed(&b, &scores, m);
	cr_assert_gt(n, 40);
	must(distil_open(&b.job, &distil, &err), &err, "open");
	must(regrow_run(&(struct regrow_job){ .distil = &distil, .layers = &b.lab.layers, .scores = &scores,
	                .original = b.lab.original, .start = 0.01 }, 12, &err), &err, "regrow");
	for (int64_t i = 0; i < n; i++)
		cr_assert_float_eq(tensor_get(m[i].t, m[i].at), i < 12 ? m[i].gradient > 0 ? -0.01 : 0.01 : 0, 1e-9,
		                   "the connection that ranks %lld", (long long)i);
	distil_close(&distil);
	scores_free(&scores);
	bench_close(&b);
}

Test(distil, regrowing_keeps_the_share_and_the_bytes)
{
	uint8_t *bytes[2];
	size_t size[2];

	for (int k = 0; k < 2; k++) {
		struct slimming s;

		slimming_open(&s, net_deep(2), 900, 4);
		s.o.keep = 0.3;
		s.o.tolerance = 1;
		s.o.distil = 6;
		s.o.regrow = 0.3;
		s.o.threads = 1 + 2 * k;
		cr_assert_eq(slimming_run(&s), TAMIS_OK, "%s", s.err.message);
		cr_assert_leq(s.figures.after.connections_nonzero, llround(0.3 * (480 + 576 + 96)));
		bytes[k] = slimming_bytes(s.out, &size[k]);
		slimming_close(&s);
	}
	cr_assert(size[0] == size[1] && !memcmp(bytes[0], bytes[1], size[0]));
	free(bytes[0]);
	free(bytes[1]);
}

/* ---- the whole document -------------------------------------------------------------------------------------------- */

static double loss_of(struct document *(*net)(uint64_t), double keep, int epochs, int threads, uint8_t **bytes, size_t *n)
{
	struct slimming s;
	double value;

	slimming_open(&s, net(1), 1200, 4);
	s.o.keep = keep;
	s.o.tolerance = 1;
	s.o.distil = epochs;
	s.o.threads = threads;
	s.o.refit = false;
	cr_assert_eq(slimming_run(&s), TAMIS_OK, "%s", s.err.message);
	value = s.figures.gate.value;
	if (bytes)
		*bytes = slimming_bytes(s.out, n);
	slimming_close(&s);
	return value;
}

Test(distil, repairs_what_a_cut_costs)
{
	cr_assert_lt(loss_of(net_deep, 0.4, 5, 1, NULL, NULL), loss_of(net_deep, 0.4, 0, 1, NULL, NULL));
	cr_assert_lt(loss_of(net_block, 0.4, 60, 1, NULL, NULL), 0.4 * loss_of(net_block, 0.4, 0, 1, NULL, NULL));
}

Test(distil, documents_do_not_depend_on_the_workers)
{
	uint8_t *a, *b;
	size_t n, m;

	loss_of(net_block, 0.4, 3, 1, &a, &n);
	loss_of(net_block, 0.4, 3, 3, &b, &m);
	cr_assert(n == m && !memcmp(a, b, n));
	free(a);
	free(b);
}

Test(distil, the_search_goes_deeper)
{
	double keep[2];

	for (int k = 0; k < 2; k++) {
		struct slimming s;

		slimming_open(&s, net_deep(1), 1200, 4);
		s.o.distil = 15 * k;
		s.o.tolerance = 0.2;
		s.o.refit = false;
		cr_assert_eq(slimming_run(&s), TAMIS_OK, "%s", s.err.message);
		keep[k] = s.figures.keep;
		cr_assert(s.figures.gate.passed);
		slimming_close(&s);
	}
	cr_assert_lt(keep[1], keep[0]);
}
