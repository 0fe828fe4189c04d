/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "report/print.h"
#include "report/text.h"

/* ---- before and after ---- */

static void size_row(struct table *t, const char *what, int64_t before, int64_t after)
{
	char buf[PRINT_NUMBER];

	if (before < 0)
		return;
	table_cell(t, what);
	table_count(t, before);
	table_count(t, after);
	table_cell(t, print_ratio(buf, (double)before, (double)after));
}

static int64_t whole(double x)
{
	return x >= 0 && x < 9e18 ? (int64_t)llround(x) : -1;
}

static bool write_sizes(FILE *out, const struct slim_figures *s)
{
	const struct model_figures *b = &s->before, *a = &s->after;
	struct table t;

	table_start(&t, "lrrr");
	table_cell(&t, "");
	table_cell(&t, "before");
	table_cell(&t, "after");
	table_cell(&t, "ratio");
	size_row(&t, "parameters", b->parameters, a->parameters);
	size_row(&t, "  not zero", b->nonzeros, a->nonzeros);
	size_row(&t, "connections", b->connections, a->connections);
	size_row(&t, "  not zero", b->connections_nonzero, a->connections_nonzero);
	size_row(&t, "MACs an item", whole(b->macs), whole(a->macs));
	size_row(&t, "  with a weight that is not zero", whole(b->macs_nonzero), whole(a->macs_nonzero));
	size_row(&t, "channels", b->channels, a->channels);
	size_row(&t, "file bytes", b->file_bytes, a->file_bytes);
	size_row(&t, "  after gzip", b->gzip_bytes, a->gzip_bytes);
	return table_write(&t, out, 0);
}

/* ---- the gate ---- */

static void write_agreement(FILE *out, const struct gate_figures *g)
{
	char buf[PRINT_NUMBER], bound[PRINT_NUMBER];

	if (!isnan(g->disagreement))
		fprintf(out, "agreement: the same class on %s of the held-out items, on at least %s with "
		        "confidence %g\n", print_share(buf, 1 - g->disagreement),
		        print_share(bound, 1 - g->disagreement_upper), g->confidence);
	if (!isnan(g->worst))
		fprintf(out, "worst held-out item: %s\n", print_figure(buf, g->worst, 3));
	if (!isnan(g->accuracy_before))
		fprintf(out, "accuracy on the held-out labels: %s before, %s after",
		        print_share(buf, g->accuracy_before), print_share(bound, g->accuracy_after));
	if (!isnan(g->accuracy_before) && !isnan(g->label_p))
		fprintf(out, " (McNemar's exact one-sided p = %s)", print_figure(buf, g->label_p, 3));
	if (!isnan(g->accuracy_before))
		fputc('\n', out);
	if (!isnan(g->calibration_error) && !isnan(g->temperature))
		fprintf(out, "the original's own probabilities on them: expected calibration error %s, temperature %s\n",
		        print_share(buf, g->calibration_error), print_figure(bound, g->temperature, 3));
}

/* How far the estimate can be trusted: what it would have been without labels, or what holds without trusting it. */
static bool write_trust(FILE *out, const struct gate_figures *g)
{
	char a[PRINT_NUMBER], b[PRINT_NUMBER], c[PRINT_NUMBER], text[512] = "";
	bool labels = !isnan(g->accuracy_before);

	if (isnan(g->expected))
		return true;
	if (labels && !isnan(g->tempered))
		snprintf(text, sizeof text, "without labels the loss would have been taken for %s, at this temperature for %s",
		         print_figure(a, g->expected, 3), print_figure(b, g->tempered, 3));
	else if (!labels && g->given_temperature > 0)
		snprintf(text, sizeof text, "at the temperature %s that was given the expected loss is %s; as the original's "
		         "probabilities are, %s: the larger bound counts", print_figure(c, g->given_temperature, 3),
		         print_figure(b, g->tempered, 3), print_figure(a, g->expected, 3));
	else if (!labels && !isnan(g->disagreement_upper))
		snprintf(text, sizeof text, "this trusts the original's own probabilities, whose calibration is not known without "
		         "labels; whatever they are worth, the loss is at most %s with confidence %g (every changed class a "
		         "loss)", print_figure(a, g->disagreement_upper, 3), g->confidence);
	return !*text || print_wrapped(out, 0, 2, text);
}

static bool write_gate(FILE *out, const struct gate_figures *g)
{
	char value[PRINT_NUMBER], bound[PRINT_NUMBER], limit[PRINT_NUMBER];

	if (!g->kind)
		return true;
	fprintf(out, "\ngate %s: %s %s, at most %s with confidence %g; tolerance %s\n",
	        g->passed ? "passed" : "NOT passed", g->kind, print_figure(value, g->value, 3),
	        print_figure(bound, g->bound, 3), g->confidence,
	        print_figure(limit, g->tolerance, 3));
	fprintf(out, "  on %s held-out items, fitted on %s", print_count(value, g->held_out_items),
	        print_count(bound, g->fit_items));
	if (g->looks >= 0)
		fprintf(out, "; %d cut%s judged%s%s", g->looks, g->looks == 1 ? "" : "s", g->spending ? ", " : "",
		        g->spending ? g->spending : "");
	fputc('\n', out);
	write_agreement(out, g);
	return write_trust(out, g);
}

static void write_cut(FILE *out, const struct slim_figures *s)
{
	char a[PRINT_NUMBER], b[PRINT_NUMBER];

	if (s->tests >= 0)
		fprintf(out, "significance: %s of %s input features depend on the output (alpha %g%s%s)\n",
		        print_count(a, s->significant), print_count(b, s->tests), s->alpha,
		        s->fdr && !strcmp(s->fdr, "by") ? ", any dependence between tests" : "",
		        s->features && !strcmp(s->features, "rich") ? ", rich features" : "");
	if (!isnan(s->keep))
		fprintf(out, "cut: %s of the connections kept", print_share(a, s->keep));
	if (!isnan(s->keep) && s->channels_removed >= 0)
		fprintf(out, ", %s channel%s removed", print_count(b, s->channels_removed),
		        s->channels_removed == 1 ? "" : "s");
	if (s->nodes_folded)
		fprintf(out, ", %s node%s folded into others", print_count(b, s->nodes_folded), s->nodes_folded == 1 ? "" : "s");
	if (!isnan(s->keep))
		fputc('\n', out);
}

/* ---- layers ---- */

/* "20 -> 18", or one number where nothing changed. */
static void change_cell(struct table *t, int64_t before, int64_t after)
{
	char from[PRINT_NUMBER], to[PRINT_NUMBER], both[2 * PRINT_NUMBER + 8];

	if (before == after || after < 0) {
		table_cell(t, before < 0 ? "" : print_count(from, before));
		return;
	}
	snprintf(both, sizeof both, "%s -> %s", print_count(from, before), print_count(to, after));
	table_cell(t, both);
}

static void layer_row(struct table *t, const struct layer_line *l)
{
	double share = l->entries > 0 && l->kept >= 0 ? (double)l->kept / (double)l->entries : -1;
	char buf[PRINT_NUMBER];

	table_cell(t, l->node);
	table_cell(t, l->op);
	table_cell(t, l->shape);
	table_count(t, l->entries);
	table_count(t, l->kept);
	table_cell(t, share >= 0 ? print_share(buf, share) : "");
	change_cell(t, l->features, l->significant);
	change_cell(t, l->channels, l->channels_kept);
	table_cell(t, l->storage);
}

static bool write_slimmed(FILE *out, const struct slim_figures *s)
{
	static const char *const heading[] = {"layer", "op", "weight", "entries", "kept", "share",
		"significant", "channels", "stored"};
	struct table t;

	table_head(&t, "nssrrrrrl", heading, sizeof heading / sizeof *heading);
	for (size_t i = 0; i < s->n_layers; i++)
		if (!s->layers[i].note)
			layer_row(&t, &s->layers[i]);
	fputc('\n', out);
	return table_write(&t, out, 0);
}

static bool write_layers(FILE *out, const struct slim_figures *s)
{
	size_t left = 0;
	bool ok = true;

	for (size_t i = 0; i < s->n_layers; i++)
		left += s->layers[i].note != NULL;
	if (left < s->n_layers)
		ok = write_slimmed(out, s);
	if (left > 0)
		fputs("\nleft alone:\n", out);
	for (size_t i = 0; ok && i < s->n_layers; i++) {
		const struct layer_line *l = &s->layers[i];
		struct arena a = {0};
		const char *name = l->weight && *l->weight ? l->weight : l->node ? l->node : "-";
		const char *text = l->note ? arena_printf(&a, "%s: %s", name, l->note) : "";

		fputs(l->note ? "  " : "", out);
		ok = text && (!l->note || print_wrapped(out, 2, 4, text));
		arena_free(&a);
	}
	return ok;
}

/* ---- advice ---- */

static bool any_sparse(const struct slim_figures *s)
{
	for (size_t i = 0; i < s->n_layers; i++)
		if (s->layers[i].storage && s->layers[i].storage[0] == 's')
			return true;
	return false;
}

/* Who gains from what, said only where it applies to this file. */
static void write_advice(FILE *out, const struct slim_figures *s)
{
	fputc('\n', out);
	if (s->channels_removed > 0)
		fputs("Removed channels make the model smaller and faster in every runtime.\n", out);
	if (s->after.nonzeros < s->after.parameters)
		fputs("Zeros make the file compress; only runtimes with sparse kernels get faster by them.\n", out);
	if (any_sparse(s))
		fprintf(out, "Sparse storage saves disk only: onnxruntime expands it when it loads%s.\n",
		        s->ir_raised ? " (the IR version was raised for it)" : "");
	if (s->random_items)
		fputs("The items were random numbers: no figure above says anything about real data.\n", out);
}

static void write_times(FILE *out, const struct slim_figures *s)
{
	if (isnan(s->seconds_total))
		return;
	fprintf(out, "%.1f seconds", s->seconds_total);
	if (!isnan(s->seconds_score) && !isnan(s->seconds_search))
		fprintf(out, " (score %.1f, search %.1f)", s->seconds_score, s->seconds_search);
	fprintf(out, "%s%s\n", s->blas_core ? ", BLAS kernels for " : "", s->blas_core ? s->blas_core : "");
}

bool text_slim(FILE *out, const struct slim_figures *s)
{
	bool ok = print_wrapped(out, 0, 0, s->model ? s->model : "-");

	fprintf(out, "criterion %s\n\n", s->criterion ? s->criterion : "-");
	ok = ok && write_sizes(out, s);
	ok = ok && write_gate(out, &s->gate);
	write_cut(out, s);
	ok = ok && write_layers(out, s);
	write_advice(out, s);
	write_times(out, s);
	return ok;
}
