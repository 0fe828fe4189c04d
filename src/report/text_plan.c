/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "report/print.h"
#include "report/text.h"

/* ---- layers ---- */

static bool write_tested(FILE *out, const struct forecast_figures *f)
{
	static const char *const heading[] = {"layer", "op", "weight", "entries", "tests", "positions", "channels", "MACs"};
	char text[2 * PRINT_NUMBER], one[PRINT_NUMBER], two[PRINT_NUMBER];
	struct table t;

	table_head(&t, "nssrrrrr", heading, sizeof heading / sizeof *heading);
	for (size_t i = 0; i < f->n_layers; i++) {
		const struct forecast_layer *l = &f->layers[i];

		if (l->note)
			continue;
		snprintf(text, sizeof text, "%s of %s", print_count(one, l->tested), print_count(two, l->positions));
		table_cell(&t, l->node);
		table_cell(&t, l->op);
		table_cell(&t, l->shape);
		table_count(&t, l->entries);
		table_count(&t, l->features);
		table_cell(&t, l->tested == l->positions ? one : text);
		table_count(&t, l->channels);
		table_count(&t, l->macs < 9e18 ? (int64_t)l->macs : -1);
	}
	return table_write(&t, out, 0);
}

static bool first_with_note(const struct forecast_figures *f, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (f->layers[k].note && !strcmp(f->layers[k].note, f->layers[i].note))
			return false;
	return true;
}

/* One line for each reason, with the weights that it keeps. */
static bool write_reason(FILE *out, const struct forecast_figures *f, size_t first)
{
	struct pieces p;

	if (!pieces_begin(&p))
		return false;
	fprintf(p.to, "%s: ", f->layers[first].note);
	for (size_t i = first; i < f->n_layers; i++) {
		const struct forecast_layer *l = &f->layers[i];
		const char *name = *l->weight ? l->weight : *l->node ? l->node : "-";

		if (l->note && !strcmp(l->note, f->layers[first].note))
			fprintf(p.to, "%s%s", i > first ? ", " : "", name);
	}
	fputs("  ", out);
	return pieces_end(&p, out, 2, 4);
}

static bool write_left(FILE *out, const struct forecast_figures *f)
{
	bool ok = true, said = false;

	for (size_t i = 0; ok && i < f->n_layers; i++) {
		if (!f->layers[i].note || !first_with_note(f, i))
			continue;
		fputs(said ? "" : "\nleft alone:\n", out);
		said = true;
		ok = write_reason(out, f, i);
	}
	return ok;
}

/* ---- items ---- */

static void write_share(FILE *out, const char *what, int64_t n)
{
	char buf[PRINT_NUMBER];

	if (n >= 0)
		fprintf(out, ", %s %s", print_count(buf, n), what);
}

static void write_items(FILE *out, const struct forecast_figures *f)
{
	char a[PRINT_NUMBER], b[PRINT_NUMBER];

	fprintf(out, "\nitems: %s", f->items < 0 ? "not told by their source" : print_count(a, f->items));
	write_share(out, "to fit on", f->fitting);
	if (!f->scores_only) {
		write_share(out, "to guess the depth on", f->guessing);
		write_share(out, "held out to judge", f->held_out);
		if (f->scored_again >= 0)
			fprintf(out, "\n  later rounds score on %s and refit on %s of the first", print_count(a, f->scored_again),
			        print_count(b, f->refitted));
	}
	if (f->shards)
		fprintf(out, "\n  of which shard %d of %d is scored", f->shard, f->shards);
	fprintf(out, "\n  run %s at a time%s, added up %s at a time, by %d worker%s\n", print_count(a, f->chunk),
	        f->stacked ? "" : " (the model does not stack them)", print_count(b, f->group), f->workers,
	        f->workers == 1 ? "" : "s");
}

/* ---- memory ---- */

/* "12 MB" or "310 kB", for a person; the exact bytes are in the JSON. */
static const char *size(char buf[PRINT_NUMBER], double bytes)
{
	if (bytes < 999.5e3)
		snprintf(buf, PRINT_NUMBER, "%.0f kB", ceil(bytes / 1e3));
	else if (bytes > 1e15)
		snprintf(buf, PRINT_NUMBER, "%.3g MB", bytes / 1e6);
	else
		snprintf(buf, PRINT_NUMBER, bytes < 9.95e6 ? "%.1f MB" : "%.0f MB", bytes / 1e6);
	return buf;
}

static bool write_phase(FILE *out, const struct forecast_figures *f, enum forecast_phase phase)
{
	char buf[PRINT_NUMBER];
	struct table t;

	if (!(f->phase_bytes[phase] > 0))
		return true;
	table_start(&t, "lrs");
	table_cell(&t, forecast_phase_name(phase));
	table_cell(&t, size(buf, f->phase_bytes[phase]));
	table_cell(&t, "");
	for (size_t i = 0; i < f->n_parts; i++) {
		const struct forecast_part *p = &f->parts[i];

		if (p->phase != phase)
			continue;
		table_cell(&t, p->what);
		table_cell(&t, size(buf, p->bytes));
		table_cell(&t, p->formula);
	}
	return table_write(&t, out, 2);
}

static bool write_memory(FILE *out, const struct forecast_figures *f)
{
	char buf[PRINT_NUMBER];
	bool ok = true;

	fprintf(out, "\nmemory: at most %s, all phases together\n", size(buf, f->bytes));
	for (int k = 0; ok && k < FORECAST_PHASES; k++)
		ok = write_phase(out, f, (enum forecast_phase)k);
	return ok;
}

/* ---- time ---- */

/* Seconds, minutes or hours, to two digits. */
static const char *duration(char buf[PRINT_NUMBER], double seconds)
{
	char number[PRINT_NUMBER];
	double unit = seconds < 120 ? 1 : seconds < 7200 ? 60 : 3600;

	snprintf(buf, PRINT_NUMBER, "%.30s %s", print_figure(number, seconds / unit, 2),
	         unit == 1 ? "seconds" : unit == 60 ? "minutes" : "hours");
	return buf;
}

static bool write_stages(FILE *out, const struct forecast_figures *f)
{
	static const char *const heading[] = {"stage", "items", "passes", "runs each", "forward runs"};
	char buf[PRINT_NUMBER];
	struct table t;

	table_head(&t, "lrrrr", heading, sizeof heading / sizeof *heading);
	for (size_t i = 0; i < f->n_stages; i++) {
		const struct forecast_stage *s = &f->stages[i];

		table_cell(&t, s->what);
		table_count(&t, llround(s->items));
		table_cell(&t, print_figure(buf, s->passes, 3));
		table_cell(&t, print_figure(buf, s->cost, 3));
		table_count(&t, llround(s->items * s->passes * s->cost));
	}
	return table_write(&t, out, 2);
}

static bool write_time(FILE *out, const struct forecast_figures *f)
{
	char a[PRINT_NUMBER], b[PRINT_NUMBER], c[PRINT_NUMBER];

	if (f->rounds)
		fprintf(out, "\nrounds: %s%d", f->rounds_least < f->rounds_most ? "about " : "", f->rounds);
	if (f->rounds && f->rounds_least < f->rounds_most)
		fprintf(out, "; the search ends by itself, after %d to %d", f->rounds_least, f->rounds_most);
	fputs(f->rounds ? "\n" : "", out);
	if (isnan(f->seconds))
		fprintf(out, "\ntime: not known without the number of items; an item takes %.3g ms forward\n",
		        1e3 * f->seconds_forward);
	else
		fprintf(out, "%stime: about %s, from %s to %s; an item takes %.3g ms forward\n", f->rounds ? "" : "\n",
		        duration(a, f->seconds), duration(b, f->seconds_least), duration(c, f->seconds_most),
		        1e3 * f->seconds_forward);
	return write_stages(out, f);
}

/* ---- the whole ---- */

bool text_plan(FILE *out, const struct forecast_figures *f)
{
	char a[PRINT_NUMBER], b[PRINT_NUMBER];
	bool ok = print_wrapped(out, 0, 0, f->model ? f->model : "-");

	fprintf(out, "dry run: nothing is scored, cut or written\ncriterion %s, %s features, false discovery rule %s\n",
	        f->criterion ? f->criterion : "-", f->features ? f->features : "-", f->fdr ? f->fdr : "-");
	fprintf(out, "\nto be tested: %s connections by %s tests\n", print_count(a, f->connections), print_count(b, f->tests));
	ok = ok && write_tested(out, f) && write_left(out, f);
	write_items(out, f);
	return ok && write_memory(out, f) && write_time(out, f);
}
