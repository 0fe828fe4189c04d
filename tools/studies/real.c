/* SPDX-License-Identifier: Apache-2.0 */
/* p-values of the signals of a layer of a real network, each paired with the outputs of other items; a chart goes where the
 * last argument says.
 *
 *     study-real MODEL.onnx ITEMS.npz WEIGHT SVG */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "slim/score/score_state.h"
#include "slim/state.h"
#include "stat/dependence.h"
#include "support.h"

#define DRAWS 4000
#define SHOWN 100 /* points of a curve */
#define SEED 7
#define R FEATURES_DEFAULT

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* ---- p-values of real signals --------------------------------------------------------------------------------- */

/* Signals of one layer at the grid, and the outputs, of every item. */
struct gathered {
	struct slim *slim;
	const struct layer *layer;
	int64_t items, positions, width; /* width: of the outputs */
	float *u, *y, *psi;              /* items x positions x features, items x width, items x R */
};

static enum tamis_status gather(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct gathered *g = ctx;
	struct scratch scratch = { 0 };
	struct layer_call call;
	int64_t pos[SCORE_POSITIONS];
	enum tamis_status s = runner_run(r, c->in, NULL, err);

	(void)slot;
	if (s == TAMIS_OK && !g->items)
		s = head_detect(g->slim->graph, r, c->items, "auto", &g->slim->head, err);
	if (s == TAMIS_OK)
		s = signals_bind(g->slim->graph, g->layer, r, &scratch, c->items, &call, err);
	if (s != TAMIS_OK)
		return s;
	g->width = g->slim->head.width;
	g->u = realloc(g->u, (size_t)((g->items + c->items) * g->positions * g->layer->features) * sizeof *g->u);
	g->y = realloc(g->y, (size_t)((g->items + c->items) * g->width) * sizeof *g->y);
	if (!g->u || !g->y)
		exit(1);
	signals_grid((int)g->positions, call.positions, pos);
	call.call.err = err;
	s = call.op->gather(&call.call, &g->layer->view, c->items, pos, g->positions,
	                    g->u + g->items * g->positions * g->layer->features);
	if (s == TAMIS_OK)
		s = head_values(&g->slim->head, r, c->items, g->y + g->items * g->width, err);
	g->items += c->items;
	scratch_free(&scratch);
	return s;
}

static void gather_all(struct slim *s, const char *weight, struct gathered *g)
{
	struct tamis_error err = { 0 };
	struct program_options options = { .training = true };
	struct items_job job = { .ctx = g, .work = gather };
	struct program *program = NULL;
	struct feature_map map;

	need(slim_open(s, &err), &err);
	s->pass = "layers";
	need(pass_copy(s, &err), &err);
	need(pass_layers(s, &err), &err);
	*g = (struct gathered){ .slim = s };
	for (int i = 0; i < s->layers.n; i++)
		if (!strcmp(s->graph->values[s->layers.list[i].weight].name, weight))
			g->layer = &s->layers.list[i];
	if (!g->layer)
		exit(2);
	g->positions = signals_positions(g->layer);
	need(program_create(s->graph, &options, &program, &err), &err);
	need(items_run(program, s->fit.reader, s->fit.batching, s->fit.chunk, NULL, &job, &err), &err);
	program_free(program);
	g->psi = room((size_t)(g->items * R), sizeof *g->psi);
	need(feature_map_create(&map, s->head.kind, g->y, 64, g->width, s->head.classes, R, SEED, &err), &err);
	need(feature_map_apply(&map, g->y, g->items, g->psi, &err), &err);
	feature_map_free(&map);
}

/* One feature of n items with the outputs of n items drawn apart; 1 for a constant one. *exact: by inversion. */
static double null_p(const struct gathered *g, int64_t n, uint64_t seed, double *exact)
{
	int64_t *a = room((size_t)g->items, sizeof *a), *b = room((size_t)g->items, sizeof *b), d = g->layer->features;
	float *u = room((size_t)(n * g->positions), sizeof *u), *psi = room((size_t)(n * R), sizeof *psi);
	struct rng r = rng_make(SEED, seed);
	int64_t feature = (int64_t)rng_below(&r, (uint64_t)d);
	struct tamis_error err = { 0 };
	struct output_moment m;
	struct comoment c;
	double p = 1;

	shuffle(a, g->items, &r);
	shuffle(b, g->items, &r);
	for (int64_t i = 0; i < n; i++) {
		for (int64_t k = 0; k < g->positions; k++)
			u[i * g->positions + k] = g->u[(a[i] * g->positions + k) * d + feature];
		memcpy(psi + i * R, g->psi + b[i] * R, R * sizeof *psi);
	}
	need(comoment_create(&c, 1, (int)g->positions, R, &err), &err);
	need(output_moment_create(&m, R, &err), &err);
	need(comoment_add(&c, u, 1, psi, n, &err), &err);
	need(output_moment_add(&m, psi, n, &err), &err);
	need(dependence_test(&c, &m, (int)g->positions, NULL, &p, &err), &err);
	*exact = p;
	need(dependence_refine(&c, &m, (int)g->positions, 0, 1, exact, NULL, &err), &err);
	comoment_free(&c);
	output_moment_free(&m);
	free(a);
	free(b);
	free(u);
	free(psi);
	return p;
}

static double below(const double *p, int n, double level)
{
	int count = 0;

	for (int i = 0; i < n; i++)
		count += p[i] < level;
	return (double)count / n;
}

/* Kolmogorov's distance of ascending p from uniform, and its p-value. */
static double distance(const double *p, int n, double *tail)
{
	double d = 0, t;

	for (int i = 0; i < n; i++)
		d = fmax(d, fmax((i + 1.0) / n - p[i], p[i] - (double)i / n));
	t = d * (sqrt(n) + 0.12 + 0.11 / sqrt(n));
	*tail = 0;
	for (int k = 1; k < 200; k++)
		*tail += (k % 2 ? 2 : -2) * exp(-2.0 * k * k * t * t);
	*tail = t < 0.2 ? 1 : fmin(fmax(*tail, 0), 1);
	return d;
}

static void null_row(const struct gathered *g, const char *name, int64_t n, double *p)
{
	static double exact[2 * DRAWS];
	double tail, exact_tail, d, e;
	int count = 0;

	for (uint64_t k = 0; count < DRAWS && k < 2 * DRAWS; k++) {
		p[count] = null_p(g, n, (uint64_t)n * 10000 + k, &exact[count]);
		count += p[count] < 1; /* constant signals have p = 1 and are no draws */
	}
	qsort(p, (size_t)count, sizeof *p, ascending);
	qsort(exact, (size_t)count, sizeof *exact, ascending);
	d = distance(p, count, &tail);
	e = distance(exact, count, &exact_tail);
	printf("| %s | %lld | %.4f | %.4f | %.4f | %.3f (%.2f) | %.3f (%.2f) |\n", name, (long long)n, below(p, count, 0.05),
	       below(p, count, 0.01), below(p, count, 0.001), d, tail, e, exact_tail);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static double p[3][2 * DRAWS], shown[3][SHOWN], even[SHOWN];
	static const int64_t sizes[] = { 200, 1000, 5000 };
	static const char *const names[] = { "n = 200", "n = 1000", "n = 5000" };
	struct tamis_slim_options options;
	struct tamis_model *model = NULL;
	struct tamis_calibration *items = NULL;
	struct slim_figures figures = { 0 };
	struct arena arena = { 0 };
	struct slim_inputs in = { .options = &options };
	struct slim s = { .in = &in, .figures = &figures, .arena = &arena };
	struct chart_series series[4];
	struct chart c = { .title = "p-values of signals that are independent of the outputs", .x.label = "p",
		.y.label = "share of smaller ones", .series = series, .n_series = 4 };
	struct tamis_error err = { 0 };
	struct gathered g;

	if (argc != 5) {
		fprintf(stderr, "usage: study-real MODEL ITEMS WEIGHT SVG\n");
		return 2;
	}
	tamis_slim_options_default(&options);
	need(tamis_model_open(argv[1], NULL, &model, &err), &err);
	need(tamis_calibration_open(model, (const char *const *)&argv[2], 1, NULL, &items, &err), &err);
	in.doc = model->doc;
	in.items = &items->reader;
	gather_all(&s, argv[3], &g);
	for (int i = 0; i < SHOWN; i++)
		even[i] = (i + 1.0) / SHOWN;
	for (int i = 0; i < 3; i++) {
		null_row(&g, argv[3], sizes[i], p[i]);
		for (int k = 0; k < SHOWN; k++)
			shown[i][k] = p[i][(k + 1) * (DRAWS / SHOWN) - 1];
		series[i] = (struct chart_series){ .name = names[i], .mark = CHART_LINE, .x = shown[i], .y = even, .n = SHOWN };
	}
	series[3] = (struct chart_series){ .name = "uniform", .mark = CHART_DASHED, .x = even, .y = even, .n = SHOWN };
	write_chart(&c, argv[4]);
	free(g.u);
	free(g.y);
	free(g.psi);
	slim_close(&s);
	arena_free(&arena);
	tamis_calibration_close(items);
	tamis_model_close(model);
	return 0;
}
