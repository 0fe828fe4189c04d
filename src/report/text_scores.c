/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>

#include "report/print.h"
#include "report/text.h"

static void figure_cell(struct table *t, double value, int digits)
{
	char buf[PRINT_NUMBER];

	table_cell(t, isnan(value) ? "" : print_figure(buf, value, digits));
}

static bool write_layers(FILE *out, const struct scores_figures *f)
{
	static const char *const heading[] = {"weight", "op",   "entries",   "features", "signif.", "p 5 %",
	                                      "median", "95 %", "score 5 %", "median",   "95 %",    "gain"};
	struct table t;

	table_head(&t, "nsrrrrrrrrrr", heading, sizeof heading / sizeof *heading);
	for (size_t i = 0; i < f->n_layers; i++) {
		const struct scores_layer *l = &f->layers[i];

		if (l->note)
			continue;
		table_cell(&t, l->weight);
		table_cell(&t, l->op);
		table_count(&t, l->entries);
		table_count(&t, l->features);
		table_count(&t, l->significant);
		for (int q = 2; q <= 6; q += 2)
			figure_cell(&t, l->p.quantile[q], 2);
		for (int q = 2; q <= 6; q += 2)
			figure_cell(&t, l->score.quantile[q], 2);
		figure_cell(&t, l->gain_median, 2);
	}
	fputc('\n', out);
	return table_write(&t, out, 0);
}

static void channel_cell(struct table *t, const struct channel_line *c, int n)
{
	char score[PRINT_NUMBER], text[3 * SCORE_VIEW_ENDS * PRINT_NUMBER];
	int at = 0;

	text[0] = '\0';
	for (int k = 0; k < n; k++)
		at += snprintf(text + at, sizeof text - (size_t)at, "%s%" PRId64 " (%s)", k ? ", " : "", c[k].channel,
		               print_figure(score, c[k].score, 2));
	table_cell(t, text);
}

static bool write_channels(FILE *out, const struct scores_figures *f)
{
	static const char *const heading[] = {"weight", "channels that matter most (score)", "least"};
	struct table t;

	table_head(&t, "nll", heading, sizeof heading / sizeof *heading);
	for (size_t i = 0; i < f->n_layers; i++) {
		if (f->layers[i].note)
			continue;
		table_cell(&t, f->layers[i].weight);
		channel_cell(&t, f->layers[i].best, f->layers[i].n_ends);
		channel_cell(&t, f->layers[i].worst, f->layers[i].n_ends);
	}
	fputc('\n', out);
	return table_write(&t, out, 0);
}

static bool write_connections(FILE *out, const struct scores_figures *f)
{
	static const char *const heading[] = {"output", "input", "w",    "mean u", "var u", "R",
	                                      "p",      "q",     "gain", "score",  "rank"};
	char n[PRINT_NUMBER];
	struct table t;

	table_head(&t, "rrrrrrrrrrr", heading, sizeof heading / sizeof *heading);
	for (size_t i = 0; i < f->n_connections; i++) {
		const struct connection_line *c = &f->connections_shown[i];
		const double figures[] = {c->w, c->mean, c->variance, c->relevance, c->p, c->q, c->gain, c->score};

		table_count(&t, c->out);
		table_count(&t, c->in);
		for (size_t k = 0; k < sizeof figures / sizeof *figures; k++)
			figure_cell(&t, figures[k], 3);
		table_count(&t, c->rank ? c->rank : -1);
	}
	fputs("\nconnections of ", out);
	if (!print_wrapped(out, 15, 4, f->tensor) || !table_write(&t, out, 0))
		return false;
	fprintf(
		out,
		"\nScore: w^2 R gain. Rank: place among %s connections; the last go first, those of inputs that are\n"
		"not significant (q above %g) before all others.\n",
		print_count(n, f->connections), f->alpha);
	return true;
}

static bool write_left(FILE *out, const struct scores_figures *f)
{
	bool any = false, ok = true;

	for (size_t i = 0; ok && i < f->n_layers; i++) {
		const struct scores_layer *l = &f->layers[i];
		struct arena a = {0};
		const char *line = l->note ? arena_printf(&a, "%s: %s", l->weight, l->note) : "";

		fputs(l->note && !any ? "\nleft alone:\n" : "", out);
		any |= l->note != NULL;
		fputs(l->note ? "  " : "", out);
		ok = line && (!l->note || print_wrapped(out, 2, 4, line));
		arena_free(&a);
	}
	return ok;
}

bool text_scores(FILE *out, const struct scores_figures *f)
{
	char a[PRINT_NUMBER], b[PRINT_NUMBER];
	bool ok = print_wrapped(out, 0, 0, f->path ? f->path : "-");

	if (f->shards)
		fprintf(out, "shard %d of %d\n", f->shard, f->shards);
	fprintf(out, "%s %sitems scored, seed %" PRIu64 "\n", print_count(a, f->items),
	        f->random ? "random " : "", f->seed);
	ok = ok && (!f->options || print_wrapped(out, 0, 4, f->options));
	if (!ok || f->shards)
		return ok;
	fprintf(out, "significance: %s of %s input features depend on the output (alpha %g)\n",
	        print_count(a, f->significant), print_count(b, f->tests), f->alpha);
	if (f->tensor)
		return write_connections(out, f);
	return write_layers(out, f) && write_channels(out, f) && write_left(out, f);
}
