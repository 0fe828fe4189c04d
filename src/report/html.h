/* SPDX-License-Identifier: Apache-2.0 */
/* The pages of slimming and of scores. Every function writes whole elements and is false when out of memory.
 */
#ifndef REPORT_HTML_H
#define REPORT_HTML_H

#include <stdio.h>

#include "report/chart.h"
#include "report/report.h"

bool html_slim(FILE *out, const struct slim_figures *s);
bool html_scores(FILE *out, const struct scores_figures *f);

/* A table in a card, row by row: `start` writes the n headings, `row` begins a row, `cell` adds to it (number: set to
 * the right), `end` ends all. */
struct html_table {
	FILE *out;
	bool open, ok;
};
struct html_table html_table_start(FILE *out, const char *const *heading, size_t n);
void html_row(struct html_table *t);
void html_cell(struct html_table *t, const char *text, bool number);
void html_count(struct html_table *t, int64_t n);
void html_figure(struct html_table *t, double value);
bool html_table_end(struct html_table *t);

/* "name value" of the head of a page; nothing where value is NULL or empty. */
bool html_fact(FILE *out, const char *name, const char *value);

/* A chart in a card, that is no wider than it with `fit`. */
bool html_chart(FILE *out, const struct chart *c, bool fit);

/* A histogram of a distribution, the part that stays (by bin; NULL: all) apart from what goes, and where the
 * cut lies (0: nowhere). */
bool html_distribution(FILE *out, const char *title, const char *axis, const struct distribution *d,
                       const int64_t *kept, double cut);

#endif
