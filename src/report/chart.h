/* SPDX-License-Identifier: Apache-2.0 */
/* Charts as SVG: lines, points with whiskers, bands, histograms and bars between two axes. No scripts, no
 * references to anything outside; the same chart gives the same bytes. Colours read well on white and on
 * black. */
#ifndef REPORT_CHART_H
#define REPORT_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

#define CHART_COLOURS 8 /* of the palette: blue, orange, green, red, violet, teal, brown, grey */

enum chart_mark {
	CHART_LINE,   /* straight from point to point */
	CHART_DASHED, /* the same, dashed: references and ideals */
	CHART_POINTS, /* a dot a point, with a whisker from low to high where they are given */
	CHART_BOTH,   /* line, dots and whiskers */
	CHART_BAND,   /* the area from low to high */
	CHART_BLOCKS, /* a block from x to x_to and from low (NULL = the axis) up to y: histograms, stacked ones
	                 too */
	CHART_BARS    /* y[i] is a bar of the i-th name of the axis with names; several such series stand side by
	                 side */
};

/* n points; a value that is not finite, or not positive on a logarithmic axis, is left out and breaks the
 * line. */
struct chart_series {
	const char *name; /* in the legend; NULL = not listed there */
	enum chart_mark mark;
	const double *x, *y;      /* n each. BAND: y is not read. BARS: x is not read */
	const double *x_to;       /* n, BLOCKS only */
	const double *low, *high; /* n each; NULL = none */
	size_t n;
	int colour; /* of the palette, from 1; 0 = the next of the palette */
};

struct chart_axis {
	const char *label; /* NULL = none */
	bool log;          /* logarithmic, base 10 */
	bool percent;      /* 0.25 is written "25 %" */
	double low, high;  /* range; low == high: from the data, down to zero where blocks or bars stand on it */
	const char *const *names; /* one a bar, in place of numbers; on y the bars lie, the first on top */
	size_t n_names;
};

/* A dashed line across the plot. */
struct chart_rule {
	bool vertical; /* at x = at; otherwise at y = at */
	double at;
	const char *label; /* NULL = none */
};

struct chart {
	const char *title;      /* NULL = none */
	struct chart_axis x, y; /* names on one of them at most */
	const struct chart_series *series;
	size_t n_series;
	const struct chart_rule *rules;
	size_t n_rules;
	int width, height; /* pixels; 0 = 640, and 320 or what lying bars need */
};

/* A file of its own. *svg is malloc'ed, NUL-terminated, the caller's to free(). TAMIS_E_MEMORY. O(points). */
enum tamis_status chart_svg(const struct chart *c, char **svg, struct tamis_error *err);

/* The same as an element of an HTML page whose style sheet holds chart_style. False when out of memory. */
bool chart_write(FILE *out, const struct chart *c);
extern const char chart_style[];

#endif
