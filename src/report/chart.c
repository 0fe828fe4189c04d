/* SPDX-License-Identifier: Apache-2.0 */
#include "report/chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart_axis.h"
#include "report/markup.h"
#include "report/unicode.h"

enum {
	WIDTH = 640,
	HEIGHT = 320,
	LINE = 16, /* of text */
	PAD = 14,
	NAMES = 210, /* most pixels for names beside lying bars */
	BAR_ROW = 13,
	BAR_GAP = 7,
	HINTS = 400 /* most marks of a series that tell their value to a pointer */
};
#define COLUMN 6.4 /* pixels of a character, about */

const char chart_style[] =
	"svg.chart text{font:11px system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#4a5160}"
	"svg.chart .title{font-size:13px;font-weight:600;fill:#1d2330}"
	"svg.chart .grid{stroke:#8b93a3;stroke-opacity:.22}"
	"svg.chart .axis{stroke:#8b93a3}"
	"svg.chart .rule{stroke:#1d2330;stroke-dasharray:5 3;stroke-width:1.2}"
	"svg.chart .rule-label{fill:#1d2330;font-weight:600;paint-order:stroke;stroke:#fff;stroke-width:3px}"
	"@media(prefers-color-scheme:dark){svg.chart text{fill:#aab2c0}svg.chart .title,svg.chart "
    ".rule-label{fill:#eef1f6}"
	"svg.chart .rule{stroke:#eef1f6}svg.chart .rule-label{stroke:#16181d}}";

static const char *const palette[CHART_COLOURS] = {"#3d7cc9", "#e08a2c", "#3f9e6b", "#c8504f",
                                                   "#8a6cc2", "#2b9fa8", "#9a7048", "#808894"};

/* A chart being drawn. */
struct drawing {
	FILE *out;
	const struct chart *c;
	int width, height;
	struct scale x, y;
	int bars; /* series of bars */
	bool ok;
};

static const char *colour_of(const struct chart *c, size_t series)
{
	int n = 0;

	if (c->series[series].colour > 0)
		return palette[(c->series[series].colour - 1) % CHART_COLOURS];
	for (size_t i = 0; i < series; i++)
		n += c->series[i].colour <= 0;
	return palette[n % CHART_COLOURS];
}

static void text_at(struct drawing *d, double x, double y, const char *anchor, const char *class,
                    const char *s)
{
	fprintf(d->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"", x, y, anchor);
	if (class)
		fprintf(d->out, " class=\"%s\"", class);
	fputc('>', d->out);
	d->ok = d->ok && markup_text(d->out, s);
	fputs("</text>", d->out);
}

static void line_at(struct drawing *d, const char *class, double x1, double y1, double x2, double y2)
{
	fprintf(d->out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", class, x1, y1, x2,
	        y2);
}

/* ---- ranges ---- */

struct range {
	double low, high;
};

static void widen(struct range *r, const double *v, size_t n, bool positive)
{
	for (size_t i = 0; v && i < n; i++)
		if (isfinite(v[i]) && (!positive || v[i] > 0)) {
			r->low = fmin(r->low, v[i]);
			r->high = fmax(r->high, v[i]);
		}
}

static bool stands(const struct chart *c)
{
	for (size_t i = 0; i < c->n_series; i++)
		if (c->series[i].mark == CHART_BARS || (c->series[i].mark == CHART_BLOCKS && !c->series[i].low))
			return true;
	return false;
}

static void find_scales(struct drawing *d)
{
	const struct chart *c = d->c;
	struct range x = {INFINITY, -INFINITY}, y = x, *value = c->y.names ? &x : &y;
	bool value_log = c->y.names ? c->x.log : c->y.log;

	for (size_t i = 0; i < c->n_series; i++) {
		const struct chart_series *s = &c->series[i];

		if (s->mark != CHART_BARS) {
			widen(&x, s->x, s->n, c->x.log);
			widen(&x, s->x_to, s->n, c->x.log);
		}
		d->bars += s->mark == CHART_BARS;
		widen(value, s->mark == CHART_BAND ? NULL : s->y, s->n, value_log);
		widen(value, s->low, s->n, value_log);
		widen(value, s->high, s->n, value_log);
	}
	for (size_t i = 0; i < c->n_rules; i++)
		widen(c->rules[i].vertical ? &x : &y, &c->rules[i].at, 1, c->rules[i].vertical ? c->x.log : c->y.log);
	d->x = scale_make(&c->x, x.low, x.high, c->y.names != NULL);
	d->y = scale_make(&c->y, y.low, y.high, !c->y.names && stands(c));
}

/* ---- layout ---- */

static double text_width(const char *s)
{
	return s ? COLUMN * unicode_width(s) : 0;
}

static double names_width(const struct chart_axis *a)
{
	double widest = 0;

	for (size_t i = 0; i < a->n_names; i++)
		widest = fmax(widest, text_width(a->names[i]));
	return fmin(widest, NAMES);
}

static double ticks_width(const struct scale *s)
{
	double widest = 0;
	char buf[PRINT_NUMBER];

	for (int i = 0; i < s->n_ticks; i++)
		widest = fmax(widest, text_width(scale_label(s, s->tick[i], buf)));
	return widest;
}

/* Draws the legend, or only counts its rows where out is NULL. */
static int legend(struct drawing *d, FILE *out, double top)
{
	double x = PAD, y = top;
	int rows = 0;

	for (size_t i = 0; i < d->c->n_series; i++) {
		const char *name = d->c->series[i].name;

		if (!name)
			continue;
		if (rows && x + 20 + text_width(name) > d->width - PAD) {
			x = PAD;
			y += LINE;
			rows++;
		}
		rows += rows == 0;
		if (out) {
			fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"11\" height=\"11\" rx=\"2\" fill=\"%s\"/>", x,
			        y + 2, colour_of(d->c, i));
			text_at(d, x + 16, y + 11, "start", NULL, name);
		}
		x += 34 + text_width(name);
	}
	return rows;
}

static void lay_out(struct drawing *d)
{
	const struct chart *c = d->c;
	double left, top, bottom = LINE + 6;
	int rows;

	d->width = c->width > 0 ? c->width : WIDTH;
	rows = legend(d, NULL, 0);
	top = PAD + (c->title ? LINE + 6 : 0) + LINE * rows + (rows ? 6 : 0)
	      + (c->y.label && !c->y.names ? LINE : 0);
	left = PAD + 6 + (c->y.names ? names_width(&c->y) : ticks_width(&d->y));
	bottom += c->x.label ? LINE : 0;
	d->height = c->height > 0 ? c->height : HEIGHT;
	if (c->height <= 0 && c->y.names)
		d->height = (int)(top + bottom + PAD)
		            + (int)c->y.n_names * (BAR_ROW * (d->bars ? d->bars : 1) + BAR_GAP);
	d->x.from = left;
	d->x.to = fmax(d->width - PAD - 10, left + 20);
	d->y.from = fmax(d->height - bottom, top + 20);
	d->y.to = top;
}

/* ---- axes ---- */

static void x_axis(struct drawing *d)
{
	char buf[PRINT_NUMBER];
	double last = -1e9;

	for (int i = 0; i < d->x.n_ticks && !d->c->x.names; i++) {
		double x = scale_pixel(&d->x, d->x.tick[i]);
		const char *label = scale_label(&d->x, d->x.tick[i], buf);

		line_at(d, "grid", x, d->y.from, x, d->y.to);
		if (x - last < text_width(label) + 6)
			continue;
		text_at(d, x, d->y.from + 14, "middle", NULL, label);
		last = x;
	}
	line_at(d, "axis", d->x.from, d->y.from, d->x.to, d->y.from);
	if (d->c->x.label)
		text_at(d, (d->x.from + d->x.to) / 2, d->y.from + 14 + LINE, "middle", NULL, d->c->x.label);
}

static void y_axis(struct drawing *d)
{
	char buf[PRINT_NUMBER];

	for (int i = 0; i < d->y.n_ticks && !d->c->y.names; i++) {
		double y = scale_pixel(&d->y, d->y.tick[i]);

		line_at(d, "grid", d->x.from, y, d->x.to, y);
		text_at(d, d->x.from - 6, y + 4, "end", NULL, scale_label(&d->y, d->y.tick[i], buf));
	}
	if (d->c->y.names)
		line_at(d, "axis", d->x.from, d->y.from, d->x.from, d->y.to);
	else if (d->c->y.label)
		text_at(d, PAD, d->y.to - 9, "start", NULL, d->c->y.label);
}

/* Of a name too long for its room the end is kept: it tells most. */
static void name_at(struct drawing *d, double x, double y, const char *anchor, const char *name, double room)
{
	int most = (int)(room / COLUMN), columns = unicode_width(name);
	char *cut;

	if (columns <= most) {
		text_at(d, x, y, anchor, NULL, name);
		return;
	}
	while (*name && columns > most - 1) {
		uint32_t c;

		name += unicode_decode(name, &c);
		columns -= unicode_columns(c);
	}
	cut = malloc(strlen(name) + 4);
	d->ok = d->ok && cut;
	if (cut) {
		strcat(strcpy(cut, "\u2026"), name);
		text_at(d, x, y, anchor, NULL, cut);
	}
	free(cut);
}

static void names(struct drawing *d)
{
	const struct chart_axis *a = d->c->y.names ? &d->c->y : &d->c->x;
	double from = a == &d->c->y ? d->y.to : d->x.from, to = a == &d->c->y ? d->y.from : d->x.to;
	double step = a->n_names ? (to - from) / (double)a->n_names : 0;

	for (size_t i = 0; i < a->n_names && a->names; i++) {
		double at = from + step * ((double)i + 0.5);

		if (a == &d->c->y)
			name_at(d, d->x.from - 6, at + 4, "end", a->names[i], NAMES);
		else
			name_at(d, at, d->y.from + 14, "middle", a->names[i], step);
	}
}

/* ---- marks. Coordinates are those of the whole drawing; a nested svg clips them to the plot. ---- */

static void hint(struct drawing *d, const char *name, double x, double y)
{
	char a[PRINT_NUMBER], b[PRINT_NUMBER];

	fputs("<title>", d->out);
	if (name) {
		d->ok = d->ok && markup_text(d->out, name);
		fputs(": ", d->out);
	}
	if (isfinite(x))
		fprintf(d->out, "%s, ", scale_label(&d->x, x, a));
	fprintf(d->out, "%s</title>", scale_label(d->c->y.names ? &d->x : &d->y, y, b));
}

static bool shown(const struct drawing *d, const struct chart_series *s, size_t i)
{
	return scale_has(&d->x, s->x[i]) && scale_has(&d->y, s->y[i]);
}

static void draw_line(struct drawing *d, const struct chart_series *s, const char *colour)
{
	bool on = false;

	fprintf(d->out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\" stroke-linejoin=\"round\"%s d=\"",
	        colour, s->mark == CHART_DASHED ? " stroke-dasharray=\"5 4\"" : "");
	for (size_t i = 0; i < s->n; i++) {
		bool here = shown(d, s, i);

		if (here)
			fprintf(d->out, "%c%.1f %.1f", on ? 'L' : 'M', scale_pixel(&d->x, s->x[i]),
			        scale_pixel(&d->y, s->y[i]));
		on = here;
	}
	fputs("\"/>", d->out);
}

static void draw_whisker(struct drawing *d, const struct chart_series *s, size_t i, const char *colour)
{
	if (!s->low || !s->high || !scale_has(&d->y, s->low[i]) || !scale_has(&d->y, s->high[i]))
		return;
	fprintf(d->out,
	        "<line stroke=\"%s\" stroke-opacity=\".7\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>",
	        colour, scale_pixel(&d->x, s->x[i]), scale_pixel(&d->y, s->low[i]), scale_pixel(&d->x, s->x[i]),
	        scale_pixel(&d->y, s->high[i]));
}

static void draw_points(struct drawing *d, const struct chart_series *s, const char *colour)
{
	for (size_t i = 0; i < s->n; i++) {
		if (!shown(d, s, i))
			continue;
		draw_whisker(d, s, i, colour);
		fprintf(d->out, "<circle fill=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\">", colour,
		        scale_pixel(&d->x, s->x[i]), scale_pixel(&d->y, s->y[i]), s->n > HINTS ? "1.6" : "3.2");
		if (s->n <= HINTS)
			hint(d, s->name, s->x[i], s->y[i]);
		fputs("</circle>", d->out);
	}
}

/* One closed path a run of points: along high, back along low. */
static void draw_band(struct drawing *d, const struct chart_series *s, const char *colour)
{
	for (size_t from = 0, to; s->low && s->high && from < s->n; from = to + 1) {
		for (to = from; to < s->n && scale_has(&d->x, s->x[to]) && scale_has(&d->y, s->low[to])
		                && scale_has(&d->y, s->high[to]);)
			to++;
		if (to == from)
			continue;
		fprintf(d->out, "<path fill=\"%s\" fill-opacity=\".2\" d=\"", colour);
		for (size_t i = from; i < to; i++)
			fprintf(d->out, "%c%.1f %.1f", i > from ? 'L' : 'M', scale_pixel(&d->x, s->x[i]),
			        scale_pixel(&d->y, s->high[i]));
		for (size_t i = to; i-- > from;)
			fprintf(d->out, "L%.1f %.1f", scale_pixel(&d->x, s->x[i]), scale_pixel(&d->y, s->low[i]));
		fputs("Z\"/>", d->out);
	}
}

/* A rectangle between two corners, and what it says to a pointer. */
static void block(struct drawing *d, double x1, double y1, double x2, double y2, const char *colour)
{
	fprintf(d->out,
	        "<rect fill=\"%s\" fill-opacity=\".88\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\">",
	        colour, fmin(x1, x2), fmin(y1, y2), fabs(x2 - x1), fabs(y2 - y1));
}

/* Where what stands on an axis begins: at zero, or at the end of a logarithmic axis. */
static double ground(const struct scale *s)
{
	return s->axis->log || s->low > 0 || s->high < 0 ? s->from : scale_pixel(s, 0);
}

static void draw_blocks(struct drawing *d, const struct chart_series *s, const char *colour)
{
	for (size_t i = 0; i < s->n; i++) {
		bool based = s->low && scale_has(&d->y, s->low[i]);
		double x1, x2;

		if (!shown(d, s, i) || !scale_has(&d->x, s->x_to[i]) || (s->low && s->y[i] == s->low[i]))
			continue;
		x1 = scale_pixel(&d->x, s->x[i]);
		x2 = scale_pixel(&d->x, s->x_to[i]);
		block(d, x1 + 0.4, scale_pixel(&d->y, s->y[i]), fmax(x2 - 0.4, x1 + 0.6),
		      based ? scale_pixel(&d->y, s->low[i]) : ground(&d->y), colour);
		if (s->n <= HINTS)
			hint(d, s->name, s->x[i], s->y[i] - (based ? s->low[i] : 0));
		fputs("</rect>", d->out);
	}
}

/* `order`: which of the bars that stand side by side. */
static void draw_bars(struct drawing *d, const struct chart_series *s, int order, const char *colour)
{
	bool lying = d->c->y.names != NULL;
	const struct scale *value = lying ? &d->x : &d->y;
	size_t n = lying ? d->c->y.n_names : d->c->x.n_names;
	double from = lying ? d->y.to : d->x.from, to = lying ? d->y.from : d->x.to;
	double step = (to - from) / (double)(n ? n : 1), thick = 0.72 * step / d->bars;

	for (size_t i = 0; i < s->n && i < n; i++) {
		double a = from + step * ((double)i + 0.14) + thick * order, v;

		if (!scale_has(value, s->y[i]))
			continue;
		v = scale_pixel(value, s->y[i]);
		if (lying)
			block(d, ground(value), a, v, a + thick, colour);
		else
			block(d, a, v, a + thick, ground(value), colour);
		hint(d, lying ? d->c->y.names[i] : d->c->x.names[i], NAN, s->y[i]);
		fputs("</rect>", d->out);
	}
}

static void draw_series(struct drawing *d, size_t i, int *order)
{
	const struct chart_series *s = &d->c->series[i];
	const char *colour = colour_of(d->c, i);

	switch (s->mark) {
	case CHART_LINE:
	case CHART_DASHED: draw_line(d, s, colour); break;
	case CHART_BOTH: draw_line(d, s, colour); /* fallthrough */
	case CHART_POINTS: draw_points(d, s, colour); break;
	case CHART_BAND: draw_band(d, s, colour); break;
	case CHART_BLOCKS: draw_blocks(d, s, colour); break;
	case CHART_BARS: draw_bars(d, s, (*order)++, colour); break;
	}
}

static void draw_all_series(struct drawing *d)
{
	double width = d->x.to - d->x.from, height = d->y.from - d->y.to;
	int order = 0;

	fprintf(
		d->out, "<svg x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" viewBox=\"%.1f %.1f %.1f %.1f\">",
		d->x.from - 4, d->y.to - 4, width + 8, height + 5, d->x.from - 4, d->y.to - 4, width + 8, height + 5);
	for (size_t i = 0; i < d->c->n_series; i++)
		draw_series(d, i, &order);
	fputs("</svg>", d->out);
}

static void draw_rule(struct drawing *d, const struct chart_rule *r)
{
	const struct scale *s = r->vertical ? &d->x : &d->y;
	double at = scale_has(s, r->at) ? scale_pixel(s, r->at) : NAN;

	if (!(at >= fmin(s->from, s->to) - 1 && at <= fmax(s->from, s->to) + 1))
		return;
	if (r->vertical)
		line_at(d, "rule", at, d->y.from, at, d->y.to);
	else
		line_at(d, "rule", d->x.from, at, d->x.to, at);
	if (r->label && r->vertical)
		text_at(d, at < d->x.to - text_width(r->label) - 6 ? at + 5 : at - 5, d->y.to + 11,
		        at < d->x.to - text_width(r->label) - 6 ? "start" : "end", "rule-label", r->label);
	else if (r->label)
		text_at(d, d->x.to - 3, at - 5, "end", "rule-label", r->label);
}

/* ---- whole ---- */

static bool draw(FILE *out, const struct chart *c, bool alone)
{
	struct drawing d = {.out = out, .c = c, .ok = true};

	find_scales(&d);
	lay_out(&d);
	fprintf(out, "<svg %sclass=\"chart\" role=\"img\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">",
	        alone ? "xmlns=\"http://www.w3.org/2000/svg\" " : "", d.width, d.height, d.width, d.height);
	if (alone)
		fprintf(out, "<style>%s</style>", chart_style);
	if (c->title)
		text_at(&d, PAD, PAD + 11, "start", "title", c->title);
	legend(&d, out, PAD + (c->title ? LINE + 6 : 0));
	x_axis(&d);
	y_axis(&d);
	names(&d);
	draw_all_series(&d);
	for (size_t i = 0; i < c->n_rules; i++)
		draw_rule(&d, &c->rules[i]);
	fputs("</svg>\n", out);
	return d.ok;
}

bool chart_write(FILE *out, const struct chart *c)
{
	return draw(out, c, false);
}

static bool write_alone(FILE *out, const void *chart)
{
	return draw(out, chart, true);
}

enum tamis_status chart_svg(const struct chart *c, char **svg, struct tamis_error *err)
{
	return markup_render(write_alone, c, svg, err);
}
