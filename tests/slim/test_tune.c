/* SPDX-License-Identifier: Apache-2.0 */
/* Scales and shifts of channels: what is gathered against its definition, the equations against LAPACK, and what was put out of
 * tune on purpose. */
#include <criterion/criterion.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nets.h"
#include "slim/repair/refit.h"
#include "slim/repair/tune.h"
#include "slim/repair/tune_rows.h"

#define ITEMS 240

/* ---- what is gathered ------------------------------------------------------------------------------------------- */

static struct tensor noise(enum dtype type, int rank, const int64_t *dims, struct rng *r)
{
	struct tensor t = { .type = type, .rank = rank, .count = 1 };

	for (int i = 0; i < rank; i++) {
		t.dims[i] = dims[i];
		t.count *= dims[i];
	}
	must(tensor_alloc(&t, NULL), NULL, "tensor");
	for (int64_t i = 0; i < t.count; i++)
		tensor_set(&t, i, rng_normal(r));
	return t;
}

/* Shapes of results, their channels' axis, and types of results and gradient. */
static const struct shape { int rank; int64_t dims[4]; int axis; enum dtype z, g; } shapes[] = {
	{ 4, { 6, 3, 5, 4 }, 1, DT_FLOAT, DT_FLOAT },
	{ 4, { 6, 3, 1, 1 }, 1, DT_FLOAT, DT_FLOAT },
	{ 3, { 6, 7, 5 }, -1, DT_FLOAT, DT_FLOAT },
	{ 2, { 6, 19 }, 1, DT_FLOAT, DT_FLOAT },
	{ 2, { 18, 4 }, 1, DT_FLOAT, DT_FLOAT }, /* three rows an item */
	{ 4, { 6, 2, 3, 9 }, 1, DT_FLOAT16, DT_FLOAT },
	{ 3, { 6, 2, 11 }, 1, DT_DOUBLE, DT_DOUBLE },
};

static void check_rows(const struct shape *s, const struct layer *l, const struct tensor *z, const struct tensor *g)
{
	enum { OF = 6, PITCH = 50 };
	int axis = s->axis < 0 ? s->axis + s->rank : s->axis;
	int64_t outs = s->dims[axis], inner = tensor_extent(z, axis + 1, s->rank), each = z->count / OF;
	float row[OF * PITCH] = { 0 };
	double sum[PITCH] = { 0 }, square[PITCH] = { 0 };

	tune_rows_add(l, z, g, OF, PITCH, row);
	cr_assert_eq(tune_sums_add(l, z, sum, square), z->count / outs);
	for (int64_t o = 0; o < outs; o++) {
		double all = 0, squares = 0;

		for (int64_t i = 0; i < OF; i++) {
			double scale = 0, shift = 0;

			for (int64_t k = i * each; k < (i + 1) * each; k++)
				if (k / inner % outs == o) {
					double v = tensor_get(z, k);

					scale += v * tensor_get(g, k);
					shift += tensor_get(g, k);
					all += v;
					squares += v * v;
				}
			cr_assert_float_eq(row[i * PITCH + o], scale, 1e-4);
			cr_assert_float_eq(row[i * PITCH + outs + o], shift, 1e-4);
		}
		cr_assert_float_eq(sum[o], all, 1e-4);
		cr_assert_float_eq(square[o], squares, 1e-3);
	}
}

Test(tune, rows_by_definition)
{
	struct rng r = rng_make(3, 0);

	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		const struct shape *s = &shapes[i];
		struct tensor z = noise(s->z, s->rank, s->dims, &r), g = noise(s->g, s->rank, s->dims, &r);
		int axis = s->axis < 0 ? s->axis + s->rank : s->axis;
		struct layer l = { .view = { .out_axis = s->axis, .outs = s->dims[axis] } };
		float none = 0;

		check_rows(s, &l, &z, &g);
		tune_rows_add(&l, &z, &g, 5, 1, &none);
		cr_assert_eq(none, 0, "nothing is said of items that the results do not divide by");
		tensor_free(&z);
		tensor_free(&g);
	}
}

/* ---- the equations ---------------------------------------------------------------------------------------------- */

static void solve_by_lapack(const struct tune_system *s, double *x)
{
	int n = (int)s->width;
	double *c = calloc((size_t)(n * n), sizeof *c), mean = 0;

	for (int a = 0; a < n; a++)
		for (int b = 0; b < n; b++)
			for (int64_t i = 0; i < s->n; i++)
				c[a * n + b] += (double)s->rows[i * n + a] * s->rows[i * n + b] / (double)s->n;
	for (int a = 0; a < n; a++) {
		mean += c[a * n + a] / n;
		x[a] = -s->slope[a] / (double)s->n;
	}
	for (int a = 0; a < n; a++)
		c[a * n + a] += TUNE_OWN * c[a * n + a] + TUNE_MEAN * mean;
	cr_assert_eq(LAPACKE_dposv(LAPACK_ROW_MAJOR, 'L', n, 1, c, n, x, 1), 0);
	free(c);
}

Test(tune, solves_its_equations)
{
	static const struct { int64_t n, width; } sizes[] = { { 1, 1 }, { 5, 40 }, { 100, 30 }, { 3000, 45 } };
	struct pool *pool = NULL;

	must(pool_create(3, &pool, NULL), NULL, "pool");
	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		int64_t n = sizes[k].n, width = sizes[k].width;
		struct rng r = rng_make(k, 1);
		float *rows = calloc((size_t)(n * width), sizeof *rows);
		double slope[64] = { 0 }, x[64], y[64], want[64], far = 0, size = 0;
		struct tune_system s = { rows, n, width, slope, NULL };

		for (int64_t i = 0; i < n * width; i++)
			rows[i] = i % width == 3 ? 0 : (float)(rng_normal(&r) * (1 + (double)(i % width)));
		for (int64_t i = 0; i < width; i++)
			slope[i] = i == 3 ? 0 : rng_normal(&r) * (double)n;
		must(tune_solve(&s, x, NULL), NULL, "solving");
		s.pool = pool;
		must(tune_solve(&s, y, NULL), NULL, "solving");
		cr_assert(!memcmp(x, y, (size_t)width * sizeof *x), "other bits with other workers");
		solve_by_lapack(&s, want);
		for (int64_t i = 0; i < width; i++) {
			far += (x[i] - want[i]) * (x[i] - want[i]);
			size += want[i] * want[i];
		}
		cr_assert(width <= 3 || x[3] == 0, "nothing hangs on it");
		cr_assert(sqrt(far) < 0.02 * sqrt(size), "%lld rows: off by %g of %g", (long long)n, sqrt(far), sqrt(size));
		free(rows);
	}
	pool_destroy(pool);
}

/* ---- the step --------------------------------------------------------------------------------------------------- */

/* x[N,4,6,5] -> Conv 6 (3x3, no bias) -> norm -> Relu -> Flatten -> Gemm 5 -> y */
static struct document *normed(uint64_t seed)
{
	static const char *const names[] = { "s", "t", "mean", "var" };
	struct document *d = build_model(17);
	struct rng r = rng_make(seed, 0);

	build_input(d, "x", 4, DIMS(-1, 4, 6, 5));
	build_output(d, "y", 2, DIMS(-1, 5));
	build_floats(d, "w", 4, DIMS(6, 4, 3, 3), 1, &r);
	build_node(d, "Conv", "x w", "c");
	for (int i = 0; i < 4; i++) {
		float *p = build_floats(d, names[i], 1, DIMS(6), 1, &r);

		for (int k = 0; i == 3 && k < 6; k++)
			p[k] = 0.5f + p[k] * p[k];
	}
	build_node(d, "BatchNormalization", "c s t mean var", "n");
	build_node(d, "Relu", "n", "a");
	build_node(d, "Flatten", "a", "f");
	build_floats(d, "v", 2, DIMS(72, 5), 0.2, &r);
	build_node(d, "Gemm", "f v", "y");
	return d;
}

static struct document *(*const nets[])(uint64_t seed) = { net_logits, net_probabilities, net_general, normed, net_block };

/* Scales rows and moves biases, of each channel by another amount. */
static void put_out_of_tune(struct lab *l, struct rng *r)
{
	for (int i = 0; i < l->layers.n; i++) {
		const struct layer *x = &l->layers.list[i];
		struct tensor *w = &l->graph->values[x->weight].constant;

		for (int64_t o = 0; x->bias != GRAPH_NONE && o < x->view.outs; o++) {
			struct tensor *b = &l->graph->values[x->bias].constant;
			double by = exp(0.15 * rng_normal(r));

			for (int64_t d = 0; d < x->view.fan_in; d++)
				tensor_set(w, layer_offset(&x->view, o, d), by * tensor_get(w, layer_offset(&x->view, o, d)));
			tensor_set(b, o, tensor_get(b, o) + 0.1 * rng_normal(r));
		}
	}
}

static void open_head(struct lab *l, struct head *head)
{
	struct program_options options = { .training = true };
	struct tamis_error err = { 0 };
	struct program *p = NULL;
	struct runner *r = NULL;

	must(program_create(l->original, &options, &p, &err), &err, "program");
	must(runner_create(p, &r, &err), &err, "runner");
	must(runner_run(r, l->shelf.in, NULL, &err), &err, "run");
	must(head_detect(l->original, r, ITEMS, "auto", head, &err), &err, "head");
	runner_free(r);
	program_free(p);
}

static struct refit_job job_of(struct lab *l, const struct head *head, size_t tune)
{
	return (struct refit_job){ .reference = l->original, .graph = l->graph, .layers = &l->layers, .head = head,
		.reader = &l->reader, .batching = BATCH_STACKED, .chunk = 16, .passes = 6, .items = ITEMS, .tune = tune };
}

/* The mismatch before and after. */
static void tune(const struct refit_job *job, double *before, double *after)
{
	struct tamis_error err = { 0 };
	struct refit *r = NULL;

	must(refit_open(job, &r, &err), &err, "refit");
	must(refit_measure(r, &err), &err, "measure");
	*before = refit_error(r);
	must(refit_tune(r, &err), &err, "tune");
	*after = refit_error(r);
	must(refit_measure(r, &err), &err, "measure");
	cr_assert_eq(refit_error(r), *after, "what is told is what is there");
	refit_close(r);
}

static double *weights_of(const struct lab *l, int64_t *n)
{
	double *w = NULL;

	*n = 0;
	for (int i = 0; i < l->layers.n; i++) {
		const struct layer *x = &l->layers.list[i];
		const int value[2] = { x->weight, x->bias };

		for (int k = 0; k < 2; k++) {
			const struct tensor *t = value[k] == GRAPH_NONE ? NULL : &l->graph->values[value[k]].constant;

			for (int64_t e = 0; t && e < t->count; e++) {
				w = realloc(w, (size_t)(*n + 1) * sizeof *w);
				w[(*n)++] = tensor_get(t, e);
			}
		}
	}
	return w;
}

Test(tune, mends_what_is_out_of_tune)
{
	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
		struct lab l;
		struct head head;
		struct rng r = rng_make(i, 5);
		struct refit_job job;
		double before, after;

		lab_open(&l, nets[i](i + 1), ITEMS, 3);
		open_head(&l, &head);
		put_out_of_tune(&l, &r);
		job = job_of(&l, &head, 1 << 20);
		tune(&job, &before, &after);
		cr_assert(before > 0 && after < 0.3 * before, "net %zu: mismatch %g, then %g", i, before, after);
		lab_close(&l);
	}
}

/* Cut weights stay cut, whoever works, and nothing moves without room, or where there is nothing to mend. */
Test(tune, leaves_alone_what_it_should)
{
	struct pool *pools[2] = { NULL, NULL };
	double *kept[2], before, after;
	int64_t n;

	must(pool_create(3, &pools[1], NULL), NULL, "pool");
	for (int k = 0; k < 2; k++) {
		struct lab l;
		struct head head;
		struct rng r = rng_make(7, 5);
		struct refit_job job;
		double *was;

		lab_open(&l, normed(4), ITEMS, 3);
		open_head(&l, &head);
		job = job_of(&l, &head, 1 << 20);
		was = weights_of(&l, &n);
		tune(&job, &before, &after);
		kept[k] = weights_of(&l, &n);
		cr_assert(!memcmp(was, kept[k], (size_t)n * sizeof *was), "the original is in tune");
		free(kept[k]);
		put_out_of_tune(&l, &r);
		tensor_set(&l.graph->values[l.layers.list[0].weight].constant, 3, 0);
		job.tune = 0;
		free(was);
		was = weights_of(&l, &n);
		tune(&job, &before, &after);
		kept[k] = weights_of(&l, &n);
		cr_assert(!memcmp(was, kept[k], (size_t)n * sizeof *was), "no room");
		free(kept[k]);
		job.tune = 1 << 20;
		job.pool = pools[k];
		tune(&job, &before, &after);
		kept[k] = weights_of(&l, &n);
		for (int64_t e = 0; e < n; e++)
			cr_assert_eq(kept[k][e] == 0, was[e] == 0, "entry %lld", (long long)e);
		free(was);
		lab_close(&l);
	}
	cr_assert(!memcmp(kept[0], kept[1], (size_t)n * sizeof *kept[0]), "other bits with other workers");
	free(kept[0]);
	free(kept[1]);
	pool_destroy(pools[1]);
}

/* Few floats of room: fewer items. A width beyond all room: none. */
Test(tune, keeps_within_its_room)
{
	struct lab l;
	struct head head;
	struct refit_job job;
	int64_t width;

	lab_open(&l, net_logits(1), ITEMS, 3);
	open_head(&l, &head);
	width = tune_width(&l.layers);
	cr_assert_eq(width, 2 * (4 + 3));
	job = job_of(&l, &head, (size_t)width * ITEMS);
	cr_assert_eq(tune_every(&job), 1);
	job.tune = (size_t)width * 60;
	cr_assert_eq(tune_every(&job), 3, "180 items are not compared on");
	job.tune = (size_t)width - 1;
	cr_assert_eq(tune_every(&job), 0);
	job.tune = 1 << 20;
	job.head = NULL;
	cr_assert_eq(tune_every(&job), 0, "nobody said what the outputs are");
	lab_close(&l);
}

/* The original's outputs, kept or run anew; two refits each, the second of which finds them kept. */
Test(tune, outputs_that_are_kept_are_those_that_would_be_run)
{
	static const size_t keeps[] = { 0, 700, 1 << 20 };
	static struct document *(*const models[])(uint64_t) = { net_logits, net_probabilities, net_general };

	for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
		double *first = NULL;
		int64_t n;

		for (size_t k = 0; k < sizeof keeps / sizeof *keeps; k++) {
			struct lab l;
			struct head head;
			struct rng r = rng_make(8, m);
			struct refit_job job;
			struct refit *refit = NULL;
			struct tamis_error err = { 0 };
			double *w;

			lab_open(&l, models[m](5), ITEMS, 3);
			open_head(&l, &head);
			job = job_of(&l, &head, 1 << 20);
			job.keep = keeps[k];
			must(refit_open(&job, &refit, &err), &err, "refit");
			for (int round = 0; round < 2; round++) {
				put_out_of_tune(&l, &r);
				must(refit_tune(refit, &err), &err, "tune");
			}
			refit_close(refit);
			w = weights_of(&l, &n);
			cr_assert(!first || !memcmp(first, w, (size_t)n * sizeof *w), "net %zu, %zu floats kept", m, keeps[k]);
			if (first)
				free(w);
			else
				first = w;
			lab_close(&l);
		}
		free(first);
	}
}
