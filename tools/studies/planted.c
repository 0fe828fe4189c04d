/* SPDX-License-Identifier: Apache-2.0 */
/* How early each criterion cuts connections that were planted and cannot matter:
 *
 *     study-planted ORIGINAL.onnx PLANTED.onnx ITEMS.npz NAME
 *
 * Entries of PLANTED's weights beyond ORIGINAL's extents, not zero, were planted. For each criterion a row of a table:
 * the area under the curve of planted against real connections cut (1: all planted ones go first, 0.5: no better than
 * chance), and the share of planted ones gone when the first hundredth of the real ones is. One scoring; the last figures
 * are of pii's order where survivors are fitted afterwards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "ops/table.h"
#include "slim/state.h"
#include "slim/work.h"
#include "support.h"

struct entry { uint32_t rank; bool planted; };

static int by_rank(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return (x->rank > y->rank) - (x->rank < y->rank);
}

static const struct tensor *constant(const struct graph *g, const char *name)
{
	for (int i = 0; i < g->n_values; i++)
		if (g->values[i].kind == VALUE_CONSTANT && g->values[i].name && !strcmp(g->values[i].name, name))
			return &g->values[i].constant;
	return NULL;
}

/* Whether entry k lies beyond the original's extents. */
static bool beyond(const struct tensor *w, const struct tensor *original, int64_t k)
{
	for (int i = w->rank - 1; i >= 0; k /= w->dims[i--])
		if (k % w->dims[i] >= original->dims[i])
			return true;
	return false;
}

/* Connections of one layer that are not zero. Real ones of constant inputs cannot matter either: they are left out. */
static size_t list_layer(const struct cut *c, int i, const struct graph *original, struct entry *out)
{
	const struct linear_view *v = &c->layers->list[i].view;
	const struct value *w = &c->graph->values[c->layers->list[i].weight];
	const struct tensor *before = constant(original, w->name);
	size_t n = 0;

	for (int64_t o = 0; before && o < v->outs; o++)
		for (int64_t d = 0; d < v->fan_in; d++) {
			int64_t k = layer_offset(v, o, d), f = o / (v->outs / v->groups) * v->fan_in + d;
			bool planted = beyond(&w->constant, before, k);

			if (tensor_get(&w->constant, k) != 0 && (planted || c->scores->layer[i].relevance[f] > 0))
				out[n++] = (struct entry){ c->rank[i][k], planted };
		}
	return n;
}

/* All of them, in the order of the cut. */
static size_t list_entries(const struct cut *c, const struct graph *original, struct entry *out)
{
	size_t n = 0;

	for (int i = 0; i < c->layers->n; i++)
		n += c->rank[i] ? list_layer(c, i, original, out + n) : 0;
	qsort(out, n, sizeof *out, by_rank);
	return n;
}

/* Ties count half. */
static void measure(const struct entry *e, size_t n, double *area, double *early)
{
	double planted = 0, real = 0, above = 0, first = 0;

	for (size_t i = 0; i < n; i++)
		e[i].planted ? planted++ : real++;
	for (size_t i = 0, end; i < n; i = end) {
		double p = 0, r = 0;

		for (end = i; end < n && e[end].rank == e[i].rank; end++)
			e[end].planted ? p++ : r++;
		above += p * (real - first - r / 2);
		if (first < real / 100)
			*early += p / planted;
		first += r;
	}
	*area = above / (planted * real);
}

/* moments: of a refit that follows; NULL: none does. */
static void rank(const struct slim *s, const struct graph *original, const struct criterion *k,
                 const struct refit_sums *moments, struct entry *room)
{
	struct cut_job job = { .graph = s->graph, .layers = &s->layers, .scores = &s->scores, .criterion = k,
		.significance = &s->significance, .seed = 1, .moments = moments, .pool = s->pool };
	struct tamis_error err = { 0 };
	struct cut cut = { 0 };
	double area = 0, early = 0;

	need(cut_create(&job, &cut, &err), &err);
	measure(room, list_entries(&cut, original, room), &area, &early);
	printf(" %.4f / %.3f |", area, early);
	cut_free(&cut);
}

static void rank_refitted(struct slim *s, const struct graph *original, const struct criterion *k, struct entry *room)
{
	struct refit_job job = { .reference = s->reference, .graph = s->graph, .layers = &s->layers, .reader = s->fit.reader,
		.select = item_selected, .select_ctx = &s->refitted, .batching = s->fit.batching, .chunk = s->fit.chunk,
		.items = (int64_t)slim_items_in(&s->refitted), .pool = s->pool };
	struct tamis_error err = { 0 };
	struct refit *refit;

	need(refit_open(&job, &refit, &err), &err);
	rank(s, original, k, refit_moments(refit), room);
	refit_close(refit);
}

static void score_all(struct slim *s)
{
	struct tamis_error err = { 0 };
	static const struct criterion everything = { .name = "pii", .tested = true,
		.needs = SCORE_NEEDS_GRADIENT | SCORE_NEEDS_ENERGY | SCORE_NEEDS_COVARIANCE };

	need(slim_open(s, &err), &err);
	s->criterion = &everything;
	s->pass = "score";
	need(pass_copy(s, &err), &err);
	need(pass_layers(s, &err), &err);
	need(pass_score(s, &err), &err);
	need(pass_significance(s, &err), &err);
}

int main(int argc, char **argv)
{
	struct tamis_slim_options options;
	struct tamis_model *before = NULL, *after = NULL;
	struct tamis_calibration *items = NULL;
	struct slim_figures figures = { 0 };
	struct arena arena = { 0 };
	struct slim_inputs in = { .options = &options };
	struct slim s = { .in = &in, .figures = &figures, .arena = &arena };
	struct graph *original = NULL;
	struct tamis_error err = { 0 };
	struct entry *room;
	const struct criterion *list;
	size_t n, entries = 0;

	if (argc != 5)
		return 2;
	tamis_slim_options_default(&options);
	need(tamis_model_open(argv[1], NULL, &before, &err), &err);
	need(tamis_model_open(argv[2], NULL, &after, &err), &err);
	need(tamis_calibration_open(after, (const char *const *)&argv[3], 1, NULL, &items, &err), &err);
	need(graph_build(before->doc, &op_table, &original, &err), &err);
	in.doc = after->doc;
	in.items = &items->reader;
	score_all(&s);
	for (int i = 0; i < s.layers.n; i++)
		entries += (size_t)s.layers.list[i].entries;
	room = malloc((entries + 1) * sizeof *room);
	list = criterion_list(&n);
	printf("| %s |", argv[4]);
	for (size_t i = 0; room && i < n; i++)
		rank(&s, original, &list[i], NULL, room);
	if (room)
		rank_refitted(&s, original, criterion_find("pii"), room);
	printf("\n");
	free(room);
	graph_free(original);
	slim_close(&s);
	arena_free(&arena);
	tamis_calibration_close(items);
	tamis_model_close(after);
	tamis_model_close(before);
	return 0;
}
