/* SPDX-License-Identifier: Apache-2.0 */
/* Refitted rows against the restricted normal equations, solved by LAPACK in double on the same moments. */
#include <criterion/criterion.h>
#include <lapacke.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nets.h"
#include "slim/repair/refit.h"
#include "slim/repair/refit_legs.h"
#include "slim/repair/refit_sums.h"
#include "slim/score/score_state.h"

#define ITEMS 240

/* x[N,4,6,5] -> Conv 6 (3x3, group 2, no bias) -> norm -> y */
static struct document *normed(uint64_t seed)
{
	static const char *const names[] = { "s", "t", "mean", "var" };
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 0);

	build_input(d, "x", 4, DIMS(-1, 4, 6, 5));
	build_output(d, "y", 4, DIMS(-1, 6, 4, 3));
	build_floats(d, "w", 4, DIMS(6, 2, 3, 3), 1, &r);
	build_number(d, build_node(d, "Conv", "x w", "c"), "group", 2);
	for (int i = 0; i < 4; i++) {
		float *p = build_floats(d, names[i], 1, DIMS(6), 1, &r);

		for (int k = 0; i == 3 && k < 6; k++)
			p[k] = 0.5f + p[k] * p[k];
	}
	build_node(d, "BatchNormalization", "c s t mean var", "y");
	return d;
}

/* x[N,4,3,4] -> ConvTranspose 6 (3x2, group 2, strides 2, pads, bias) Tanh ConvTranspose 3 (2x2, dilations 2, bias) -> y */
static struct document *transposed(uint64_t seed)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 0);
	Onnx__NodeProto *n;

	build_input(d, "x", 4, DIMS(-1, 4, 3, 4));
	build_output(d, "y", 4, DIMS(-1, 3, 8, 9));
	build_floats(d, "w", 4, DIMS(4, 3, 3, 2), 1, &r);
	build_floats(d, "b", 1, DIMS(6), 1, &r);
	n = build_node(d, "ConvTranspose", "x w b", "c");
	build_number(d, n, "group", 2);
	build_attribute(d, n, "strides", 2, DIMS(2, 2));
	build_attribute(d, n, "pads", 4, DIMS(1, 0, 0, 1));
	build_node(d, "Tanh", "c", "h");
	build_floats(d, "v", 4, DIMS(6, 3, 2, 2), 0.5, &r);
	build_floats(d, "a", 1, DIMS(3), 1, &r);
	build_attribute(d, build_node(d, "ConvTranspose", "h v a", "y"), "dilations", 2, DIMS(2, 2));
	return d;
}

static struct document *(*const nets[])(uint64_t seed) = { net_deep, net_logits, net_probabilities, normed, transposed };

static struct tensor *weight_of(struct graph *g, const struct layer *l)
{
	return &g->values[l->weight].constant;
}

/* Zeroes a share of the weights and moves the others a little. */
static void disturb(struct lab *l, double zeros, double noise, uint64_t seed)
{
	struct rng r = rng_make(seed, 9);

	for (int i = 0; i < l->layers.n; i++) {
		struct tensor *w = weight_of(l->graph, &l->layers.list[i]);

		for (int64_t k = 0; k < w->count; k++)
			tensor_set(w, k, rng_uniform(&r) < zeros ? 0 : tensor_get(w, k) + noise * rng_normal(&r));
	}
}

/* 1: every layer has more inputs than rows, as far as the refit knows, and is fitted on the items themselves. */
static int64_t expected;

static size_t keep = 1 << 20; /* of what the original gives */

static struct refit_job job_of(struct lab *l, double passes)
{
	return (struct refit_job){ .reference = l->original, .graph = l->graph, .layers = &l->layers,
		.reader = &l->reader, .batching = BATCH_STACKED, .chunk = 16, .passes = passes,
		.ridge = REFIT_LAMBDA, .items = expected, .keep = keep };
}

/* ridges: by layer; NULL = not wanted. */
static void refit_with(struct refit_job job, double *ridges)
{
	struct tamis_error err = { 0 };
	struct refit *r = NULL;

	must(refit_open(&job, &r, &err), &err, "refit");
	must(refit_run(r, &err), &err, "refit");
	for (int i = 0; ridges && i < job.layers->n; i++)
		ridges[i] = refit_ridges(r)[i];
	refit_close(r);
}

static void refit(struct lab *l, double passes)
{
	refit_with(job_of(l, passes), NULL);
}

/* ---- the oracle --------------------------------------------------------------------------------------------- */

/* Rows of one layer as they are fitted side by side: signals and results of the original. */
struct rows { float *u, *z; int64_t n; double *before; };

static const struct program_options training = { .training = true };

static float *gather(struct lab *l, const struct graph *g, const struct layer *x, bool out)
{
	struct tamis_error err = { 0 };
	struct program *p = NULL;
	struct runner *r = NULL;
	struct scratch scratch = { 0 };
	struct layer_call c;
	int64_t pos[SCORE_POSITIONS], n = signals_positions(x);
	float *to = malloc((size_t)(ITEMS * n * (out ? x->view.outs : x->features)) * sizeof *to);

	must(program_create(g, &training, &p, &err), &err, "program");
	must(runner_create(p, &r, &err), &err, "runner");
	must(runner_run(r, l->shelf.in, NULL, &err), &err, "run");
	must(signals_bind(g, x, r, &scratch, ITEMS, &c, &err), &err, "bind");
	c.call.err = &err;
	signals_grid((int)n, c.positions, pos);
	must(out ? c.op->gather_out(&c.call, &x->view, c.out[0], ITEMS, pos, n, to)
	         : c.op->gather(&c.call, &x->view, ITEMS, pos, n, to), &err, "gather");
	scratch_free(&scratch);
	runner_free(r);
	program_free(p);
	return to;
}

static void rows_open(struct rows *r, struct lab *l, const struct layer *x)
{
	struct tensor *w = weight_of(l->graph, x);

	r->n = ITEMS * signals_positions(x);
	r->u = gather(l, l->original, x, false);
	r->z = gather(l, l->original, x, true);
	r->before = malloc((size_t)w->count * sizeof *r->before);
	for (int64_t k = 0; k < w->count; k++)
		r->before[k] = tensor_get(w, k);
}

static void rows_close(struct rows *r)
{
	free(r->u);
	free(r->z);
	free(r->before);
}

/* One row's problem: centred moments of the entries that may be fitted, in units of alpha * w. */
struct problem { int64_t d, group, *feature; double *uu, *uz, *u_mean, *start, z_mean, zz, lambda; };

static double column_mean(const float *x, int64_t step, int64_t n)
{
	double m = 0;

	for (int64_t i = 0; i < n; i++)
		m += x[i * step] / (double)n;
	return m;
}

static double product(const float *a, int64_t astep, double ma, const float *b, int64_t bstep, double mb, int64_t n)
{
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
		sum += (a[i * astep] - ma) * (b[i * bstep] - mb) / (double)n;
	return sum;
}

static void problem_open(struct problem *p, const struct rows *r, const struct layer *l, int64_t o)
{
	int64_t fan = l->view.fan_in, per = l->view.outs / l->view.groups;
	double diagonal = 0;

	*p = (struct problem){ .group = o / per * fan, .feature = malloc((size_t)fan * sizeof(int64_t)),
		.uu = malloc((size_t)(fan * fan) * sizeof(double)), .uz = malloc((size_t)fan * sizeof(double)),
		.u_mean = malloc((size_t)fan * sizeof(double)), .start = malloc((size_t)fan * sizeof(double)) };
	for (int64_t k = 0; k < fan; k++) {
		double w = r->before[layer_offset(&l->view, o, k)];

		p->u_mean[k] = column_mean(r->u + p->group + k, l->features, r->n);
		diagonal += product(r->u + p->group + k, l->features, p->u_mean[k], r->u + p->group + k, l->features,
		                    p->u_mean[k], r->n) / (double)fan;
		p->start[p->d] = w * l->view.weight_scale;
		p->feature[p->d] = k;
		p->d += w != 0;
	}
	p->z_mean = column_mean(r->z + o, l->view.outs, r->n);
	p->zz = product(r->z + o, l->view.outs, p->z_mean, r->z + o, l->view.outs, p->z_mean, r->n);
	p->lambda = REFIT_LAMBDA * diagonal;
	for (int64_t i = 0; i < p->d; i++) {
		const float *a = r->u + p->group + p->feature[i];
		double ma = p->u_mean[p->feature[i]];

		for (int64_t k = 0; k < p->d; k++)
			p->uu[i * p->d + k] = product(a, l->features, ma, r->u + p->group + p->feature[k], l->features,
			                              p->u_mean[p->feature[k]], r->n);
		p->uz[i] = product(a, l->features, ma, r->z + o, l->view.outs, p->z_mean, r->n);
	}
}

static void problem_close(struct problem *p)
{
	free(p->feature);
	free(p->uu);
	free(p->uz);
	free(p->u_mean);
	free(p->start);
}

/* E (z - w u)^2 about the means, plus the pull towards the start. */
static double objective(const struct problem *p, const double *w)
{
	double f = p->zz;

	for (int64_t i = 0; i < p->d; i++) {
		f += -2 * w[i] * p->uz[i] + p->lambda * (w[i] - p->start[i]) * (w[i] - p->start[i]);
		for (int64_t k = 0; k < p->d; k++)
			f += w[i] * w[k] * p->uu[i * p->d + k];
	}
	return f;
}

/* (uu + lambda I) w = uz + lambda start */
static double *solution(const struct problem *p)
{
	double *a = malloc((size_t)(p->d * p->d + 1) * sizeof *a), *w = malloc((size_t)(p->d + 1) * sizeof *w);

	memcpy(a, p->uu, (size_t)(p->d * p->d) * sizeof *a);
	for (int64_t i = 0; i < p->d; i++) {
		a[i * p->d + i] += p->lambda;
		w[i] = p->uz[i] + p->lambda * p->start[i];
	}
	if (p->d)
		cr_assert_eq(LAPACKE_dposv(LAPACK_ROW_MAJOR, 'L', (int)p->d, 1, a, (int)p->d, w, 1), 0);
	free(a);
	return w;
}

/* What the node adds at output o now, beyond what the original's z holds. */
static double added(struct lab *l, const struct layer *x, int64_t o)
{
	double now = tensor_get(&l->graph->values[x->bias].constant, o);
	double then = tensor_get(&l->original->values[x->bias].constant, o);

	if (x->bias_kind == BIAS_INPUT)
		return now * x->view.bias_scale;
	return x->bias_kind == BIAS_ADD ? now - then : then - now;
}

static void check_row(struct lab *l, const struct layer *x, const struct rows *r, int64_t o)
{
	struct problem p;
	double *best, *w, gain, bias;

	problem_open(&p, r, x, o);
	best = solution(&p);
	w = malloc((size_t)(p.d + 1) * sizeof *w);
	bias = p.z_mean;
	for (int64_t k = 0, i = 0; k < x->view.fan_in; k++) {
		double v = tensor_get(weight_of(l->graph, x), layer_offset(&x->view, o, k)) * x->view.weight_scale;

		bias -= v * p.u_mean[k];
		if (i < p.d && p.feature[i] == k)
			w[i++] = v;
		else
			cr_assert_eq(v, 0, "a cut weight came back");
	}
	for (int64_t i = 0; i < p.d; i++)
		cr_assert_neq(w[i], 0, "a weight that survived the cut is lost");
	gain = objective(&p, p.start) - objective(&p, best);
	cr_assert_leq(objective(&p, w) - objective(&p, best), 2e-3 * gain + 1e-9 * (1 + p.zz),
	              "row %lld: the error is %.9g, at best %.9g, at first %.9g", (long long)o, objective(&p, w),
	              objective(&p, best), objective(&p, p.start));
	cr_assert(fabs(added(l, x, o) - bias) <= 1e-4 * (1 + fabs(bias)), "row %lld: the bias is %.9g, not %.9g",
	          (long long)o, added(l, x, o), bias);
	free(best);
	free(w);
	problem_close(&p);
}

/* ---- rows --------------------------------------------------------------------------------------------------- */

static void check_net(struct document *d, double zeros, double noise)
{
	struct lab l;
	struct rows r[4];

	lab_open(&l, d, ITEMS, 31);
	for (int64_t i = 0; i < l.shelf.in[0].count; i++)
		tensor_set(&l.shelf.in[0], i, tensor_get(&l.shelf.in[0], i) + 0.3);
	disturb(&l, zeros, noise, 1);
	for (int i = 0; i < l.layers.n; i++)
		rows_open(&r[i], &l, &l.layers.list[i]);
	refit(&l, 0);
	for (int i = 0; i < l.layers.n; i++) {
		for (int64_t o = 0; o < l.layers.list[i].view.outs; o++)
			check_row(&l, &l.layers.list[i], &r[i], o);
		rows_close(&r[i]);
	}
	lab_close(&l);
}

Test(refit, full_rows_solve_the_ridge_regression)
{
	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
		check_net(nets[i](1), 0, 0.2);
}

Test(refit, masked_rows_solve_the_restricted_one)
{
	static const double zeros[] = { 0.3, 0.7, 0.95 };

	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
		for (int k = 0; k < 3; k++)
			check_net(nets[i](2), zeros[k], 0.05);
}

Test(refit, items_do_instead_of_moments)
{
	expected = 1;
	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
		check_net(nets[i](2), 0.6, 0.05);
}

Test(refit, double_weights_too)
{
	struct document *d = net_deep(3);

	nets_retype(d, DT_DOUBLE);
	check_net(d, 0.5, 0.1);
}

/* Weights that are as they were solve their own regression. */
Test(refit, nothing_disturbed_nothing_changed)
{
	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
		struct lab l;

		lab_open(&l, nets[i](4), ITEMS, 32);
		refit(&l, 0);
		for (int k = 0; k < l.layers.n; k++) {
			const struct tensor *a = weight_of(l.graph, &l.layers.list[k]);
			const struct tensor *b = weight_of(l.original, &l.layers.list[k]);

			for (int64_t m = 0; m < a->count; m++)
				cr_assert_float_eq(tensor_get(a, m), tensor_get(b, m), 1e-4);
		}
		lab_close(&l);
	}
}

/* The pull of lambda leaves a thousandth of a weight, which half precision cannot hold: it must not turn into a cut. */
Test(refit, half_weights_that_survive_stay)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(5, 0);
	struct lab l;

	build_input(d, "x", 2, DIMS(-1, 1));
	build_output(d, "y", 2, DIMS(-1, 8));
	build_floats(d, "w", 2, DIMS(1, 8), 1, &r);
	build_floats(d, "b", 1, DIMS(8), 1, &r);
	build_node(d, "Gemm", "x w b", "y");
	nets_retype(d, DT_FLOAT16);
	lab_open(&l, d, ITEMS, 34);
	for (int64_t k = 0; k < 8; k++) {
		tensor_set(weight_of(l.original, &l.layers.list[0]), k, 0);
		tensor_set(weight_of(l.graph, &l.layers.list[0]), k, 1e-6);
	}
	refit(&l, 0);
	for (int64_t k = 0; k < 8; k++)
		cr_assert_neq(tensor_get(weight_of(l.graph, &l.layers.list[0]), k), 0, "entry %lld became zero", (long long)k);
	lab_close(&l);
}

/* ---- in order -------------------------------------------------------------------------------------------------- */

/* Each layer solves its regression on what the network in hand gives it, pulled to what it was fitted to side by side. */
Test(refit, in_order_each_layer_is_fitted_on_what_lies_before_it)
{
	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
		struct lab before, l;

		lab_open(&before, nets[i](7), ITEMS, 33);
		lab_open(&l, nets[i](7), ITEMS, 33);
		disturb(&before, 0.4, 0.05, 4);
		disturb(&l, 0.4, 0.05, 4);
		refit(&before, 0);
		refit(&l, 9);
		for (int k = 1; k < l.layers.n; k++) {
			const struct layer *x = &l.layers.list[k];
			struct rows r;

			rows_open(&r, &before, x);
			free(r.u);
			r.u = gather(&l, l.graph, x, false);
			for (int64_t o = 0; o < x->view.outs; o++)
				check_row(&l, x, &r, o);
			rows_close(&r);
		}
		lab_close(&before);
		lab_close(&l);
	}
}

/* On as few items as do, as many layers at a time as the passes ask for, the first one in none. */
Test(refit, legs_keep_within_their_passes)
{
	struct layer list[12];
	struct layers layers = { .list = list, .n = 12 };
	struct tamis_error err = { 0 };
	struct arena arena = { 0 };

	for (int i = 0; i < 12; i++)
		list[i] = (struct layer){ .note = i % 4 == 3 ? "left alone" : NULL, .positions = 100, .bias = 0,
			.view = { .fan_in = i == 6 ? 4000 : 64, .outs = 8, .groups = 1 } };
	for (double passes = 16; passes >= 0.5; passes /= 2)
		for (int64_t items = 0; items <= 100000; items = 10 * items + 100) {
			struct refit_job job = { .layers = &layers, .items = items, .passes = passes, .chunk = 64 };
			struct refit_legs legs;
			struct refit_effort effort;
			int next = 1;
			double sum = 0;

			must(refit_legs_find(&job, &arena, &legs, &err), &err, "legs");
			for (int k = 0; k < legs.n; k++) {
				cr_assert_eq(legs.list[k].first, next);
				cr_assert_gt(legs.list[k].last, next);
				cr_assert(!legs.alone || refit_fits(&list[legs.list[k].last - 1]));
				sum += 1 / (double)legs.list[k].every;
				next = legs.list[k].last;
			}
			cr_assert_geq(next, 11, "the last layer that is fitted is in the last leg");
			cr_assert_float_eq(sum, legs.passes, 1e-12);
			must(refit_effort(&job, 0, &effort, &err), &err, "effort");
			cr_assert_float_eq(sum, effort.passes, 1e-12);
			cr_assert(legs.passes <= passes || legs.n == 1);
			cr_assert(legs.alone || legs.n < 8);
			cr_assert(legs.alone || items < 10000 || passes < 2);
		}
	arena_free(&arena);
}

static double error_of(const struct lab *l);

#define DEPTH 24

/* Layers in a row, each of which can make up for all that is wrong before it. */
static struct document *net_chain(uint64_t seed)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 0);
	char from[8] = "x", to[8], w[8], b[8], call[32];

	build_input(d, "x", 2, DIMS(-1, 8));
	build_output(d, "y", 2, DIMS(-1, 8));
	for (int i = 0; i < DEPTH; i++) {
		snprintf(to, sizeof to, i + 1 < DEPTH ? "h%d" : "y", i);
		snprintf(w, sizeof w, "w%d", i);
		snprintf(b, sizeof b, "b%d", i);
		snprintf(call, sizeof call, "%s %s %s", from, w, b);
		build_floats(d, w, 2, DIMS(8, 8), 0.5f, &r);
		build_floats(d, b, 1, DIMS(8), 1, &r);
		build_node(d, "Gemm", call, to);
		memcpy(from, to, sizeof from);
	}
	return d;
}

/* Several layers at once, each of which makes up for all of it: only so far as it helps. */
Test(refit, what_harms_is_undone)
{
	double error[2];

	for (int k = 0; k < 2; k++) {
		struct lab l;

		lab_open(&l, net_chain(8), ITEMS, 38);
		disturb(&l, 0.1, 0, 9);
		refit(&l, k ? 4 : 0);
		error[k] = error_of(&l);
		lab_close(&l);
	}
	cr_assert_leq(error[1], 1.05 * error[0], "%g in order, %g side by side", error[1], error[0]);
}

/* ---- nets --------------------------------------------------------------------------------------------------- */

static double error_of(const struct lab *l)
{
	int64_t n;
	double *a = lab_outputs(l, l->original, 0, &n), *b = lab_outputs(l, l->graph, 0, &n), sum = 0;

	for (int64_t i = 0; i < n; i++)
		sum += (a[i] - b[i]) * (a[i] - b[i]) / (double)n;
	free(a);
	free(b);
	return sum;
}

/* What one input says is partly what the others say: only then can survivors take over. */
static void correlate(struct shelf *s)
{
	int64_t each = s->in[0].count / s->items;

	for (int64_t i = 0; i < s->in[0].count; i++)
		tensor_set(&s->in[0], i, 0.5 * tensor_get(&s->in[0], i) + tensor_get(&s->in[0], i / each * each));
}

Test(refit, outputs_come_nearer_to_the_originals)
{
	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
		struct lab l;
		double before, after;

		lab_open(&l, nets[i](6), ITEMS, 35);
		correlate(&l.shelf);
		disturb(&l, 0.4, 0, 6);
		before = error_of(&l);
		refit(&l, 2);
		after = error_of(&l);
		cr_assert_lt(after, 0.9 * before, "net %zu: %g before, %g after", i, before, after);
		lab_close(&l);
	}
}

Test(refit, same_bits_for_any_number_of_workers)
{
	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
		struct lab l[3];

		for (int k = 0; k < 3; k++) {
			struct refit_job job;

			lab_open(&l[k], nets[i](7), ITEMS, 36);
			disturb(&l[k], 0.5, 0.1, 7);
			job = job_of(&l[k], 2);
			cr_assert_eq(pool_create(k + 1, &job.pool, NULL), TAMIS_OK);
			refit_with(job, NULL);
			pool_destroy(job.pool);
			for (int v = 0; v < l[k].graph->n_values; v++)
				if (l[k].graph->values[v].kind == VALUE_CONSTANT)
					cr_assert(!memcmp(l[k].graph->values[v].constant.data, l[0].graph->values[v].constant.data,
					                  tensor_bytes(&l[0].graph->values[v].constant)), "net %zu, %d workers: %s", i, k + 1,
					          l[0].graph->values[v].name);
		}
		for (int k = 0; k < 3; k++)
			lab_close(&l[k]);
	}
}

/* ---- what is not fitted ------------------------------------------------------------------------------------- */

Test(refit, layers_left_alone)
{
	struct lab l;
	struct tensor *w;

	lab_open(&l, net_deep(8), 60, 37);
	l.layers.list[1].note = "for a test";
	disturb(&l, 0.3, 0.1, 8);
	w = weight_of(l.graph, &l.layers.list[1]);
	tensor_set(w, 0, 0.125);
	tensor_set(w, 1, 0.25);
	refit(&l, 0);
	cr_assert(tensor_get(w, 0) == 0.125 && tensor_get(w, 1) == 0.25);
	lab_close(&l);
}

/* x[N,n] -> Gemm 2 */
static struct document *wide(int64_t n, uint64_t seed)
{
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 0);

	build_input(d, "x", 2, DIMS(-1, n));
	build_output(d, "y", 2, DIMS(-1, 2));
	build_floats(d, "w", 2, DIMS(n, 2), 1, &r);
	build_floats(d, "b", 1, DIMS(2), 1, &r);
	build_node(d, "Gemm", "x w b", "y");
	return d;
}

/* Mean squared error of the outputs of items from `first` on. */
static double error_from(const struct lab *l, int64_t first)
{
	int64_t count, each;
	double *a = lab_outputs(l, l->graph, 0, &count), *b = lab_outputs(l, l->original, 0, &count), sum = 0;

	each = count / l->shelf.items;
	for (int64_t i = first * each; i < count; i++)
		sum += (a[i] - b[i]) * (a[i] - b[i]) / (double)(count - first * each);
	free(a);
	free(b);
	return sum;
}

Test(refit, very_wide_rows)
{
	struct lab l;
	double before;

	lab_open(&l, wide(REFIT_MAX_FAN_IN + 1, 9), 8, 38);
	disturb(&l, 0.5, 0, 1);
	before = error_from(&l, 0);
	refit(&l, 0);
	cr_assert_lt(error_from(&l, 0), 1e-3 * before, "eight items are fitted by thousands of weights");
	lab_close(&l);
}

/* ---- the ridge -------------------------------------------------------------------------------------------------- */

static bool first_items(void *ctx, int64_t item)
{
	return item < *(int64_t *)ctx;
}

/* Fits most of 40 weights, far from where they were, on the first items; the error on the others, and the ridge. */
static double error_elsewhere(int64_t items, double ridge, double *chosen, uint64_t seed)
{
	struct lab l;
	struct refit_job job;
	double error;

	lab_open(&l, wide(40, 5), 1500, seed);
	disturb(&l, 0.1, 2, seed);
	job = job_of(&l, 0);
	job.chunk = 4;
	job.select = first_items;
	job.select_ctx = &items;
	job.ridge = ridge;
	refit_with(job, chosen);
	error = error_from(&l, items);
	lab_close(&l);
	return error;
}

Test(refit, the_ridge_is_chosen_by_the_error_elsewhere)
{
	double few = 0, many = 0, chosen = 0, least = 0, most = 0;

	for (uint64_t seed = 1; seed <= 20; seed++) {
		double ridge;

		chosen += error_elsewhere(40, 0, &ridge, seed);
		few += log(ridge);
		least += error_elsewhere(40, 1e-4, NULL, seed);
		most += error_elsewhere(40, 1e-1, NULL, seed);
		error_elsewhere(800, 0, &ridge, seed);
		many += log(ridge);
	}
	cr_assert_gt(few, many, "the fewer the items, the greater the ridge");
	cr_assert_lt(chosen, 0.9 * least, "%g, and %g with the least ridge", chosen, least);
	cr_assert_lt(chosen, 1.25 * most, "%g, and %g with the greatest", chosen, most);
}

Test(refit, chosen_ridges_do_not_depend_on_the_workers)
{
	double ridge[2][3];

	for (int k = 0; k < 2; k++) {
		struct lab l;
		struct refit_job job;
		struct tamis_error err = { 0 };

		lab_open(&l, net_deep(6), ITEMS, 3);
		disturb(&l, 0.5, 0.05, 2);
		job = job_of(&l, 2);
		job.ridge = 0;
		must(pool_create(1 + 2 * k, &job.pool, &err), &err, "pool");
		refit_with(job, ridge[k]);
		pool_destroy(job.pool);
		lab_close(&l);
	}
	cr_assert(!memcmp(ridge[0], ridge[1], sizeof ridge[0]));
}

static enum tamis_status stop(void *ctx, int64_t items, struct tamis_error *err)
{
	return items >= *(int64_t *)ctx ? tm_fail(err, TAMIS_E_CANCELLED, "enough") : TAMIS_OK;
}

/* In the pass that gathers, and in those of the legs. */
Test(refit, cancelled)
{
	struct lab l;
	struct refit_job job;
	struct refit *r = NULL;
	struct tamis_error err = { 0 };
	int64_t at = 100;

	lab_open(&l, net_deep(8), ITEMS, 39);
	disturb(&l, 0.5, 0, 3);
	job = job_of(&l, 2);
	job.progress = stop;
	job.progress_ctx = &at;
	cr_assert_eq(refit_open(&job, &r, &err), TAMIS_E_CANCELLED);
	refit_close(r);
	at = INT64_MAX;
	must(refit_open(&job, &r, &err), &err, "refit");
	at = 100;
	cr_assert_eq(refit_run(r, &err), TAMIS_E_CANCELLED);
	refit_close(r);
	lab_close(&l);
}

/* What was gathered once serves every round. */
Test(refit, a_second_run_is_as_good_as_a_new_one)
{
	struct lab l[2];
	struct refit_job job;
	struct refit *r = NULL;
	struct tamis_error err = { 0 };

	for (int k = 0; k < 2; k++) {
		lab_open(&l[k], net_deep(8), ITEMS, 40);
		job = job_of(&l[k], 3);
		job.ridge = 0;
		must(refit_open(&job, &r, &err), &err, "refit");
		disturb(&l[k], 0.3, 0, 4);
		must(refit_run(r, &err), &err, "refit");
		if (k) {
			refit_close(r);
			must(refit_open(&job, &r, &err), &err, "refit");
		}
		disturb(&l[k], 0.3, 0, 5);
		must(refit_run(r, &err), &err, "refit");
		refit_close(r);
	}
	for (int i = 0; i < l[0].layers.n; i++) {
		const struct tensor *a = weight_of(l[0].graph, &l[0].layers.list[i]), *b = weight_of(l[1].graph, &l[1].layers.list[i]);

		cr_assert(!memcmp(a->data, b->data, tensor_bytes(a)));
	}
	lab_close(&l[0]);
	lab_close(&l[1]);
}

/* However much of what the original gives is kept: all, of some layers, or nothing. */
Test(refit, what_is_kept_is_what_would_be_run)
{
	static const size_t kept[] = { 0, 1, 3000, 1 << 20 };
	float *first[8] = { NULL };

	for (size_t k = 0; k < sizeof kept / sizeof *kept; k++) {
		struct lab l;
		struct refit *r = NULL;
		struct tamis_error err = { 0 };
		struct refit_job job;

		keep = kept[k];
		lab_open(&l, net_deep(8), ITEMS, 41);
		job = job_of(&l, 9);
		must(refit_open(&job, &r, &err), &err, "refit");
		for (int round = 0; round < 3; round++) {
			disturb(&l, 0.2, 0, 6 + (uint64_t)round);
			must(refit_run(r, &err), &err, "refit");
		}
		refit_close(r);
		for (int i = 0; i < l.layers.n; i++) {
			const struct tensor *w = weight_of(l.graph, &l.layers.list[i]);

			if (!k)
				first[i] = memcpy(malloc(tensor_bytes(w)), w->data, tensor_bytes(w));
			cr_assert(!memcmp(first[i], w->data, tensor_bytes(w)), "layer %d, %zu floats kept", i, kept[k]);
		}
		lab_close(&l);
	}
	for (int i = 0; i < 8; i++)
		free(first[i]);
}

/* ---- moments of a part ----------------------------------------------------------------------------------------- */

/* Adds rows from `first` on, of features correlated with what comes out. */
static void add_rows(const struct layer *l, struct refit_sums *to, int64_t first, int64_t n)
{
	int64_t d = l->view.fan_in, per = l->view.outs / l->view.groups;
	double u[6], z[4];

	for (int64_t t = first; t < first + n; t++) {
		struct rng r = rng_make(17, (uint64_t)t);

		for (int64_t f = 0; f < l->features; f++)
			to->u[f] += u[f] = rng_normal(&r) + (double)t / 20;
		for (int64_t o = 0; o < l->view.outs; o++)
			to->z[o] += z[o] = rng_normal(&r) + u[o];
		for (int64_t f = 0; f < l->features; f++) {
			for (int64_t k = 0; k < d; k++)
				to->uu[f * d + k] += u[f] * u[f / d * d + k];
			for (int64_t o = 0; o < per; o++)
				to->uz[f * per + o] += u[f] * z[f / d * per + o];
		}
	}
	to->rows += n;
}

static void near(const double *a, const double *b, int64_t n, const char *what)
{
	for (int64_t i = 0; i < n; i++)
		cr_assert_float_eq(a[i], b[i], 1e-11 * (1 + fabs(b[i])), "%s %lld: %.15g, not %.15g", what, (long long)i, a[i], b[i]);
}

Test(refit, a_part_can_be_taken_out_of_moments)
{
	struct layer l = { .features = 6, .view = { .fan_in = 3, .outs = 4, .groups = 2 } };
	struct refit_sums all, part, rest, want;
	struct arena arena = { 0 };
	struct tamis_error err = { 0 };

	must(refit_sums_make(&l, REFIT_OF_ALL, &arena, &all, &err), &err, "sums");
	must(refit_sums_make(&l, REFIT_OF_ALL, &arena, &part, &err), &err, "sums");
	must(refit_sums_make(&l, REFIT_OF_ALL, &arena, &rest, &err), &err, "sums");
	must(refit_sums_make(&l, REFIT_OF_ALL, &arena, &want, &err), &err, "sums");
	add_rows(&l, &all, 0, 40);
	add_rows(&l, &part, 0, 11);
	add_rows(&l, &want, 11, 29);
	refit_sums_centre(&l, &all);
	refit_sums_centre(&l, &part);
	refit_sums_centre(&l, &want);
	refit_sums_part(&l, &all, &part, &rest);
	cr_assert_eq(rest.rows, 29);
	near(rest.u, want.u, 6, "mean of feature");
	near(rest.z, want.z, 4, "mean of output");
	near(rest.uu, want.uu, 18, "uu");
	near(rest.uz, want.uz, 12, "uz");
	arena_free(&arena);
}
