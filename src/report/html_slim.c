/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "report/html.h"
#include "report/markup.h"
#include "report/print.h"

/* ---- verdict and sizes ---- */

static void write_verdict(FILE *out, const struct slim_figures *s)
{
	const struct gate_figures *g = &s->gate;
	char a[PRINT_NUMBER], b[PRINT_NUMBER];
	bool judged = !isnan(g->bound);

	fprintf(out, "<p><span class=\"badge %s\">%s</span>",
	        g->passed ? "good"
	        : judged  ? "bad"
	                  : "plain",
	        g->passed ? "gate passed"
	        : judged  ? "gate not passed"
	                  : "not judged");
	if (judged)
		fprintf(out, "%s %s, at most %s with confidence %g; tolerance %g; ", g->kind ? g->kind : "loss",
		        print_figure(a, g->value, 3), print_figure(b, g->bound, 3), g->confidence, g->tolerance);
	if (g->held_out_items >= 0)
		fprintf(out, "%s held-out items", print_count(a, g->held_out_items));
	fputs("</p>\n", out);
	if (s->tests >= 0)
		fprintf(out, "<p>%s of %s input features depend on the output (alpha %g).</p>\n",
		        print_count(a, s->significant), print_count(b, s->tests), s->alpha);
	if (s->random_items)
		fputs("<p>The items were random numbers: no figure here says anything about real data.</p>\n", out);
}

static void size_row(struct html_table *t, const char *name, double before, double after)
{
	char buf[PRINT_NUMBER];

	html_row(t);
	html_cell(t, name, false);
	html_count(t, before >= 0 && before < 9e18 ? (int64_t)before : -1);
	html_count(t, after >= 0 && after < 9e18 ? (int64_t)after : -1);
	html_cell(t, print_ratio(buf, before, after), true);
}

static bool write_sizes(FILE *out, const struct slim_figures *s)
{
	static const char *const heading[] = {"", "before", "after", "ratio"};
	const struct model_figures *b = &s->before, *a = &s->after;
	struct html_table t;

	fputs("<h2>Before and after</h2>\n", out);
	t = html_table_start(out, heading, sizeof heading / sizeof *heading);
	size_row(&t, "parameters", (double)b->parameters, (double)a->parameters);
	size_row(&t, "parameters that are not zero", (double)b->nonzeros, (double)a->nonzeros);
	size_row(&t, "connections that are not zero", (double)b->connections_nonzero,
	         (double)a->connections_nonzero);
	size_row(&t, "channels", (double)b->channels, (double)a->channels);
	size_row(&t, "MACs an item", b->macs, a->macs);
	size_row(&t, "MACs with a weight that is not zero", b->macs_nonzero, a->macs_nonzero);
	size_row(&t, "file bytes", (double)b->file_bytes, (double)a->file_bytes);
	size_row(&t, "file bytes after gzip", (double)b->gzip_bytes, (double)a->gzip_bytes);
	return html_table_end(&t);
}

/* ---- gate ---- */

static void fill_looks(const struct slim_figures *s, double *ratio, double *value, double *bound)
{
	for (size_t i = 0; i < s->n_looks; i++) {
		ratio[i] = s->looks[i].ratio;
		value[i] = s->looks[i].value;
		bound[i] = s->looks[i].bound;
	}
}

static bool draw_gate(FILE *out, const struct slim_figures *s, double *room)
{
	double *ratio = room, *value = room + s->n_looks, *bound = room + 2 * s->n_looks;
	struct chart_series series[] = {
		{.name = "on the held-out items",
	     .mark = CHART_BOTH,
	     .x = ratio,
	     .y = value,
	     .n = s->n_looks,
	     .colour = 1},
		{.name = "upper bound", .mark = CHART_BOTH, .x = ratio, .y = bound, .n = s->n_looks, .colour = 2},
	};
	struct chart_rule rule = {.at = s->gate.tolerance, .label = "tolerance"};
	struct chart c = {.title = "Cuts judged by the gate",
	                  .x = {.label = "times fewer connections", .log = true},
	                  .y = {.label = s->gate.kind, .percent = true},
	                  .series = series,
	                  .n_series = 2,
	                  .rules = &rule,
	                  .n_rules = !isnan(s->gate.tolerance)};

	fill_looks(s, ratio, value, bound);
	return html_chart(out, &c, false);
}

static bool write_gate(FILE *out, const struct slim_figures *s)
{
	double *room = calloc(3 * s->n_looks + 1, sizeof *room);
	bool ok = room && (!s->n_looks || draw_gate(out, s, room));

	free(room);
	return ok;
}

/* ---- layers ---- */

static double share(int64_t part, int64_t of)
{
	return of > 0 && part >= 0 ? (double)part / (double)of : NAN;
}

static bool draw_kept(FILE *out, const struct slim_figures *s, const char **names, double *kept,
                      double *channels)
{
	size_t n = 0;
	struct chart_series series[] = {
		{.name = "connections kept", .mark = CHART_BARS, .y = kept, .colour = 1},
		{.name = "channels kept", .mark = CHART_BARS, .y = channels, .colour = 3},
	};
	struct chart c = {.title = "What is left of each layer",
	                  .x = {.percent = true, .low = 0, .high = 1},
	                  .y = {.names = names},
	                  .series = series,
	                  .n_series = 2};

	for (size_t i = 0; i < s->n_layers; i++) {
		const struct layer_line *l = &s->layers[i];

		if (l->note)
			continue;
		names[n] = l->weight;
		kept[n] = share(l->kept, l->entries);
		channels[n++] = share(l->channels_kept, l->channels);
	}
	c.y.n_names = series[0].n = series[1].n = n;
	return html_chart(out, &c, false);
}

static bool write_kept(FILE *out, const struct slim_figures *s)
{
	const char **names = calloc(s->n_layers + 1, sizeof *names);
	double *kept = calloc(2 * s->n_layers + 1, sizeof *kept);
	bool ok = names && kept && (!s->n_layers || draw_kept(out, s, names, kept, kept + s->n_layers));

	free(names);
	free(kept);
	return ok;
}

static bool write_table(FILE *out, const struct slim_figures *s)
{
	static const char *const heading[] = {"layer",       "op",   "weight",   "shape",
	                                      "connections", "kept", "features", "significant",
	                                      "channels",    "kept", "stored",   "left alone because"};
	struct html_table t;

	fputs("<h2>Layers</h2>\n", out);
	t = html_table_start(out, heading, sizeof heading / sizeof *heading);
	for (size_t i = 0; i < s->n_layers; i++) {
		const struct layer_line *l = &s->layers[i];

		html_row(&t);
		html_cell(&t, l->node, false);
		html_cell(&t, l->op, false);
		html_cell(&t, l->weight, false);
		html_cell(&t, l->shape, false);
		html_count(&t, l->entries);
		html_count(&t, l->kept);
		html_count(&t, l->features);
		html_count(&t, l->significant);
		html_count(&t, l->channels);
		html_count(&t, l->channels_kept);
		html_cell(&t, l->storage, false);
		html_cell(&t, l->note, false);
	}
	return html_table_end(&t);
}

static bool write_distributions(FILE *out, const struct slim_figures *s)
{
	bool ok = true;

	fprintf(out,
	        "<h2>Scores of the connections, by layer</h2>\n<p class=\"quiet\">Criterion %s on the untouched "
	        "model. "
	        "Later rounds score anew, so that what is cut and what is kept may overlap.</p>\n<div "
	        "class=\"charts\">\n",
	        s->criterion ? s->criterion : "-");
	for (size_t i = 0; ok && i < s->n_layers; i++) {
		const struct layer_histogram *h = s->layers[i].scores;

		if (h && h->all.low > 0)
			ok = html_distribution(out, s->layers[i].weight, "score", &h->all, h->kept, h->cut);
	}
	fputs("</div>\n", out);
	return ok;
}

bool html_slim(FILE *out, const struct slim_figures *s)
{
	bool ok;

	fputs("<h1>", out);
	ok = markup_text(out, s->model);
	fputs("</h1>\n", out);
	write_verdict(out, s);
	ok = ok && write_sizes(out, s);
	fputs("<h2>How deep</h2>\n<div class=\"charts wide\">\n", out);
	ok = ok && write_gate(out, s) && write_kept(out, s);
	fputs("</div>\n", out);
	return ok && write_distributions(out, s) && write_table(out, s);
}
