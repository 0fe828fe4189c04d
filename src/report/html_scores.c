/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "report/html.h"
#include "report/markup.h"
#include "report/print.h"

static bool write_facts(FILE *out, const struct scores_figures *f)
{
	char items[PRINT_NUMBER];
	bool ok;

	fputs("<h1>", out);
	ok = markup_text(out, f->path);
	fputs("</h1>\n", out);
	if (f->shards)
		fprintf(out, "<p><span class=\"badge plain\">shard %d of %d</span>merge the set to see scores</p>\n",
		        f->shard, f->shards);
	if (f->random)
		fputs("<p>The items were random numbers: no figure here says anything about real data.</p>\n", out);
	fputs("<dl>", out);
	ok = ok && html_fact(out, "items", print_count(items, f->items))
	     && html_fact(out, "model", f->source_sha256) && html_fact(out, "items from", f->calibration_sha256)
	     && html_fact(out, "options", f->options);
	fputs("</dl>\n", out);
	return ok;
}

static bool draw_significant(FILE *out, const struct scores_figures *f, const char **names, double *share)
{
	size_t n = 0;
	struct chart_series series = {.mark = CHART_BARS, .y = share, .colour = 1};
	struct chart c = {.title = "Input features that depend on the output",
	                  .x = {.percent = true, .low = 0, .high = 1},
	                  .y = {.names = names},
	                  .series = &series,
	                  .n_series = 1};

	for (size_t i = 0; i < f->n_layers; i++)
		if (!f->layers[i].note && f->layers[i].features > 0) {
			names[n] = f->layers[i].weight;
			share[n++] = (double)f->layers[i].significant / (double)f->layers[i].features;
		}
	c.y.n_names = series.n = n;
	return html_chart(out, &c, true);
}

static bool write_significant(FILE *out, const struct scores_figures *f)
{
	const char **names = calloc(f->n_layers + 1, sizeof *names);
	double *share = calloc(f->n_layers + 1, sizeof *share);
	bool ok = names && share && draw_significant(out, f, names, share);

	free(names);
	free(share);
	return ok;
}

static void channel_cells(struct html_table *t, const struct channel_line *c, int n)
{
	char number[PRINT_NUMBER], score[PRINT_NUMBER], text[3 * SCORE_VIEW_ENDS * PRINT_NUMBER];
	int at = 0;

	text[0] = '\0';
	for (int k = 0; k < n; k++)
		at += snprintf(text + at, sizeof text - (size_t)at, "%s%s (%s)", k ? ", " : "",
		               print_count(number, c[k].channel), print_figure(score, c[k].score, 2));
	html_cell(t, text, false);
}

static bool write_table(FILE *out, const struct scores_figures *f)
{
	static const char *const heading[] = {"layer",       "op",
	                                      "weight",      "connections",
	                                      "features",    "significant",
	                                      "median p",    "median score",
	                                      "median gain", "channels that matter most (score)",
	                                      "least",       "left alone because"};
	struct html_table t;

	fputs("<h2>Layers</h2>\n", out);
	t = html_table_start(out, heading, sizeof heading / sizeof *heading);
	for (size_t i = 0; i < f->n_layers; i++) {
		const struct scores_layer *l = &f->layers[i];

		html_row(&t);
		html_cell(&t, l->node, false);
		html_cell(&t, l->op, false);
		html_cell(&t, l->weight, false);
		html_count(&t, l->entries);
		html_count(&t, l->note ? -1 : l->features);
		html_count(&t, l->note ? -1 : l->significant);
		html_figure(&t, l->p.quantile[DISTRIBUTION_QUANTILES / 2]);
		html_figure(&t, l->score.quantile[DISTRIBUTION_QUANTILES / 2]);
		html_figure(&t, l->gain_median);
		channel_cells(&t, l->best, l->n_ends);
		channel_cells(&t, l->worst, l->n_ends);
		html_cell(&t, l->note, false);
	}
	return html_table_end(&t);
}

static bool write_connections(FILE *out, const struct scores_figures *f)
{
	static const char *const heading[] = {"output", "input", "w",    "mean of u", "variance of u", "R",
	                                      "p",      "q",     "gain", "score",     "rank"};
	struct html_table t;
	bool ok;

	if (!f->tensor)
		return true;
	fputs("<h2>Connections of ", out);
	ok = markup_text(out, f->tensor);
	fputs("</h2>\n", out);
	t = html_table_start(out, heading, sizeof heading / sizeof *heading);
	for (size_t i = 0; i < f->n_connections; i++) {
		const struct connection_line *c = &f->connections_shown[i];
		const double figures[] = {c->w, c->mean, c->variance, c->relevance, c->p, c->q, c->gain, c->score};

		html_row(&t);
		html_count(&t, c->out);
		html_count(&t, c->in);
		for (size_t k = 0; k < sizeof figures / sizeof *figures; k++)
			html_figure(&t, figures[k]);
		html_count(&t, c->rank ? c->rank : -1);
	}
	return html_table_end(&t) && ok;
}

static bool write_distributions(FILE *out, const struct scores_figures *f, bool p)
{
	bool ok = true;

	fprintf(out, "<h2>%s, by layer</h2>\n<div class=\"charts\">\n",
	        p ? "p-values of the input features" : "Scores of the connections");
	for (size_t i = 0; ok && i < f->n_layers; i++) {
		const struct distribution *d = p ? &f->layers[i].p : &f->layers[i].score;

		if (d->low > 0)
			ok = html_distribution(out, f->layers[i].weight, p ? "p" : "pii", d, NULL, 0);
	}
	fputs("</div>\n", out);
	return ok;
}

bool html_scores(FILE *out, const struct scores_figures *f)
{
	if (!write_facts(out, f))
		return false;
	if (f->shards)
		return true;
	return write_significant(out, f) && write_connections(out, f) && write_distributions(out, f, false)
	       && write_distributions(out, f, true) && write_table(out, f);
}
