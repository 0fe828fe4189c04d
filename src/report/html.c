/* SPDX-License-Identifier: Apache-2.0 */
#include "report/html.h"

#include <math.h>

#include "report/markup.h"
#include "report/print.h"

static const char style[] =
	"body{font:14px/1.5 system-ui,'Segoe "
    "UI',Helvetica,Arial,sans-serif;color:#1d2330;background:#f5f6f8;margin:0}"
	"main{max-width:1360px;margin:0 auto;padding:28px 24px 60px}"
	"h1{font-size:22px;margin:0 0 2px}h2{font-size:16px;margin:34px 0 10px}"
	"p{margin:4px 0;max-width:75em}.quiet{color:#697182}"
	"dl{display:grid;grid-template-columns:max-content 1fr;gap:1px 16px;margin:10px 0}"
	"dt{color:#697182}dd{margin:0;overflow-wrap:anywhere}"
	".badge{display:inline-block;padding:1px "
    "10px;border-radius:10px;font-weight:600;color:#fff;margin-right:8px}"
	".good{background:#2f8f5b}.bad{background:#c0453f}.plain{background:#697182}"
	".charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(420px,1fr));gap:16px}"
	".wide{grid-template-columns:repeat(auto-fill,minmax(560px,1fr))}.fit{display:inline-block;max-width:100%"
    ";box-sizing:"
	"border-box}"
	".card{background:#fff;border:1px solid #dfe3ea;border-radius:8px;padding:10px;overflow-x:auto}"
	".card svg{max-width:100%;height:auto;display:block}"
	"table{border-collapse:collapse;font-size:13px}th,td{padding:3px 12px;border-bottom:1px solid "
    "#e4e7ed;text-align:left;"
	"white-space:nowrap}th{color:#697182;font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:"
    "tabular-nums}"
	"@media(prefers-color-scheme:dark){body{color:#e6e9ef;background:#0f1115}.card{background:#16181d;border-"
    "color:#2a2e37}"
	"th,td{border-color:#262a33}.quiet,dt,th{color:#98a1b2}}";

/* ---- tables ---- */

void html_row(struct html_table *t)
{
	fputs(t->open ? "</tr>\n<tr>" : "\n<tr>", t->out);
	t->open = true;
}

static void add(struct html_table *t, const char *element, const char *text, bool number)
{
	fprintf(t->out, "<%s%s>", element, number ? " class=\"n\"" : "");
	t->ok = markup_text(t->out, text) && t->ok;
	fprintf(t->out, "</%s>", element);
}

struct html_table html_table_start(FILE *out, const char *const *heading, size_t n)
{
	struct html_table t = {.out = out, .ok = true};

	fputs("<div class=\"card fit\"><table>", out);
	html_row(&t);
	for (size_t i = 0; i < n; i++)
		add(&t, "th", heading[i], false);
	return t;
}

void html_cell(struct html_table *t, const char *text, bool number)
{
	add(t, "td", text, number);
}

void html_count(struct html_table *t, int64_t n)
{
	char buf[PRINT_NUMBER];

	html_cell(t, print_count(buf, n), true);
}

void html_figure(struct html_table *t, double value)
{
	char buf[PRINT_NUMBER];

	html_cell(t, print_figure(buf, value, 3), true);
}

bool html_table_end(struct html_table *t)
{
	fputs("</tr>\n</table>\n</div>\n", t->out);
	return t->ok;
}

bool html_fact(FILE *out, const char *name, const char *value)
{
	bool ok;

	if (!value || !*value)
		return true;
	fprintf(out, "<dt>%s</dt><dd>", name);
	ok = markup_text(out, value);
	fputs("</dd>\n", out);
	return ok;
}

/* ---- charts ---- */

bool html_chart(FILE *out, const struct chart *c, bool fit)
{
	fprintf(out, "<div class=\"card%s\">", fit ? " fit" : "");
	if (!chart_write(out, c))
		return false;
	fputs("</div>\n", out);
	return true;
}

bool html_distribution(FILE *out, const char *title, const char *axis, const struct distribution *d,
                       const int64_t *kept, double cut)
{
	double from[DISTRIBUTION_BINS], to[DISTRIBUTION_BINS], all[DISTRIBUTION_BINS], stays[DISTRIBUTION_BINS];
	struct chart_series series[] = {
		{.name = kept ? "kept" : NULL,
	     .mark = CHART_BLOCKS,
	     .x = from,
	     .x_to = to,
	     .y = stays,
	     .n = DISTRIBUTION_BINS,
	     .colour = 1},
		{.name = "cut",
	     .mark = CHART_BLOCKS,
	     .x = from,
	     .x_to = to,
	     .y = all,
	     .low = stays,
	     .n = DISTRIBUTION_BINS,
	     .colour = 2},
	};
	struct chart_rule rule = {.vertical = true, .at = cut, .label = "cut"};
	struct chart c = {.title = title,
	                  .width = 440,
	                  .height = 240,
	                  .x = {.label = axis, .log = true},
	                  .series = series,
	                  .n_series = kept ? 2 : 1,
	                  .rules = &rule,
	                  .n_rules = kept && cut > 0};

	for (int k = 0; k < DISTRIBUTION_BINS; k++) {
		from[k] = distribution_edge(d, k);
		to[k] = distribution_edge(d, k + 1);
		all[k] = (double)d->bin[k];
		stays[k] = (double)(kept ? kept[k] : d->bin[k]);
	}
	return html_chart(out, &c, false);
}

/* ---- pages ---- */

static const char *subject(const struct tamis_report *r)
{
	return r->kind == REPORT_SLIM ? r->slim.model : r->scores.path;
}

static bool write_warnings(FILE *out, const struct tamis_report *r)
{
	bool ok = true;

	if (r->n_warnings)
		fputs("<h2>Warnings</h2>\n", out);
	for (size_t i = 0; ok && i < r->n_warnings; i++) {
		fputs("<p>", out);
		ok = markup_text(out, r->warnings[i]);
		fputs("</p>\n", out);
	}
	return ok;
}

static bool write_page(FILE *out, const void *report)
{
	const struct tamis_report *r = report;
	bool ok;

	fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
	      "'unsafe-inline'\">\n<title>tamis: ",
	      out);
	ok = markup_text(out, subject(r));
	fprintf(out, "</title>\n<style>%s%s</style></head>\n<body><main>\n", style, chart_style);
	ok = ok && (r->kind == REPORT_SLIM ? html_slim(out, &r->slim) : html_scores(out, &r->scores));
	ok = ok && write_warnings(out, r);
	fprintf(out, "<p class=\"quiet\">tamis %s</p>\n</main></body></html>\n", TAMIS_VERSION);
	return ok;
}

enum tamis_status report_html(const struct tamis_report *r, char **html, struct tamis_error *err)
{
	*html = NULL;
	if (r->kind != REPORT_SLIM && r->kind != REPORT_SCORES)
		return tm_fail(err, TAMIS_E_USAGE, "only slimming and scores have a page");
	return markup_render(write_page, r, html, err);
}
