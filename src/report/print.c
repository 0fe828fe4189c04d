/* SPDX-License-Identifier: Apache-2.0 */
#include "report/print.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/unicode.h"

const char *print_count(char buf[PRINT_NUMBER], int64_t n)
{
	char digits[24];
	int len, at = 0;

	if (n < 0)
		return strcpy(buf, "-");
	len = snprintf(digits, sizeof digits, "%" PRId64, n);
	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			buf[at++] = ',';
		buf[at++] = digits[i];
	}
	buf[at] = '\0';
	return buf;
}

const char *print_figure(char buf[PRINT_NUMBER], double value, int digits)
{
	if (isnan(value))
		return strcpy(buf, "-");
	snprintf(buf, PRINT_NUMBER, "%.*g", digits, value);
	return buf;
}

const char *print_share(char buf[PRINT_NUMBER], double share)
{
	if (isnan(share) || fabs(share) > 1e6)
		return strcpy(buf, "-");
	snprintf(buf, PRINT_NUMBER, "%.2f %%", 100 * share);
	return buf;
}

const char *print_ratio(char buf[PRINT_NUMBER], double before, double after)
{
	double ratio = before / after;

	buf[0] = '\0';
	if (before >= 0 && after > 0)
		snprintf(buf, PRINT_NUMBER, ratio < 1e4 ? "%.2fx" : "%.3gx", ratio);
	return buf;
}

/* The longest prefix of whole characters within `room` columns; *columns gets its width. */
static size_t fitting(const char *s, int room, int *columns)
{
	size_t at = 0;

	*columns = 0;
	while (s[at]) {
		uint32_t c;
		size_t len = unicode_decode(s + at, &c);
		int wide = unicode_columns(c);

		if (*columns + wide > room)
			break;
		*columns += wide;
		at += len;
	}
	return at;
}

static void pad(FILE *out, int columns)
{
	if (columns > 0)
		fprintf(out, "%*s", columns, "");
}

/* Bytes of the word at s and the columns it takes; of one that no line holds only as much as shows that. */
static size_t measure_word(const char *s, int *width)
{
	size_t at = 0;

	*width = 0;
	while (s[at] && s[at] != ' ' && *width <= PRINT_WIDTH) {
		uint32_t c;

		at += unicode_decode(s + at, &c);
		*width += unicode_columns(c);
	}
	return at;
}

/* A word longer than a whole line is broken. */
static void write_words(FILE *out, int column, int indent, const char *s)
{
	bool start = true;

	for (s += strspn(s, " "); *s; s += strspn(s, " ")) {
		int width;
		size_t len = measure_word(s, &width);

		if (column > indent && column + !start + width > PRINT_WIDTH) {
			fputc('\n', out);
			pad(out, indent);
			column = indent;
			start = true;
		}
		if (!start)
			column += fputc(' ', out) == ' ';
		if (column + width > PRINT_WIDTH)
			len = fitting(s, PRINT_WIDTH - column, &width);
		if (len == 0) /* a line so short that not one character fits */
			len = strcspn(s, " ");
		fwrite(s, 1, len, out);
		column += width;
		s += len;
		start = *s && *s != ' ';
		if (start) {
			fputc('\n', out);
			pad(out, indent);
			column = indent;
		}
	}
	fputc('\n', out);
}

bool print_wrapped(FILE *out, int column, int indent, const char *text)
{
	char *clean = unicode_printable(text);

	if (!clean)
		return false;
	write_words(out, column, indent, clean);
	free(clean);
	return true;
}

bool pieces_begin(struct pieces *p)
{
	*p = (struct pieces){0};
	p->to = open_memstream(&p->text, &p->size);
	return p->to != NULL;
}

bool pieces_end(struct pieces *p, FILE *out, int column, int indent)
{
	bool ok = fclose(p->to) == 0 && p->text && print_wrapped(out, column, indent, p->text);

	free(p->text);
	return ok;
}

void table_start(struct table *t, const char *layout)
{
	*t = (struct table){.layout = layout, .columns = (int)strlen(layout)};
}

static void add_cell(struct table *t, const char *text)
{
	void *cells = t->cells;

	if (t->failed || !text || !tm_grow(&cells, &t->cap, t->n + 1, sizeof *t->cells)) {
		t->failed = true;
		return;
	}
	t->cells = cells;
	t->cells[t->n++] = text;
}

void table_cell(struct table *t, const char *text)
{
	char *clean = unicode_printable(text ? text : "");

	add_cell(t, clean ? arena_strdup(&t->arena, clean) : NULL);
	free(clean);
}

void table_head(struct table *t, const char *layout, const char *const *heading, size_t n)
{
	table_start(t, layout);
	for (size_t i = 0; i < n; i++)
		table_cell(t, heading[i]);
}

void table_count(struct table *t, int64_t n)
{
	char buf[PRINT_NUMBER];

	add_cell(t, arena_strdup(&t->arena, print_count(buf, n)));
}

enum { MAX_COLUMNS = 16, GAP = 2, LEAST_CUT = 8 };

/* Takes single columns from the widest column that may be cut until the rows fit, or nothing is left to
 * take. */
static void narrow(const struct table *t, int width[MAX_COLUMNS], int room)
{
	int total = -GAP;

	for (int c = 0; c < t->columns; c++)
		total += width[c] ? width[c] + GAP : 0;
	while (total > room) {
		int widest = -1;

		for (int c = 0; c < t->columns; c++)
			if (strchr("ns", t->layout[c]) && width[c] > LEAST_CUT
			    && (widest < 0 || width[c] > width[widest]))
				widest = c;
		if (widest < 0)
			return;
		width[widest]--;
		total--;
	}
}

/* Drops characters from the front until the rest and the mark fit. */
static const char *tail(const char *s, int room, int *columns)
{
	*columns = unicode_width(s);
	while (*columns > room) {
		uint32_t c;

		s += unicode_decode(s, &c);
		*columns -= unicode_columns(c);
	}
	return s;
}

static void write_cell(FILE *out, char how, const char *s, int width, bool last)
{
	int columns = unicode_width(s);

	if (columns <= width) {
		pad(out, how == 'r' ? width - columns : 0);
		fputs(s, out);
	} else if (how == 's') {
		size_t len = fitting(s, width - 2, &columns);

		fwrite(s, 1, len, out);
		fputs("..", out);
		columns += 2;
	} else {
		s = tail(s, width - 2, &columns);
		fprintf(out, "..%s", s);
		columns += 2;
	}
	if (!last)
		pad(out, (how == 'r' ? 0 : width - columns) + GAP);
}

static void write_row(const struct table *t, FILE *out, size_t row, const int width[MAX_COLUMNS], int indent)
{
	const char **cells = t->cells + row * (size_t)t->columns;
	int last = t->columns - 1;

	while (last >= 0 && (width[last] == 0 || !*cells[last]))
		last--;
	if (last < 0 && row == 0)
		return;
	pad(out, last < 0 ? 0 : indent);
	for (int c = 0; c <= last; c++)
		if (width[c])
			write_cell(out, t->layout[c], cells[c], width[c], c == last);
	fputc('\n', out);
}

/* A column counts only where a row below the heading has something in it. */
static void measure(const struct table *t, int width[MAX_COLUMNS])
{
	size_t rows = t->n / (size_t)t->columns;

	for (int c = 0; c < t->columns; c++) {
		bool used = false;

		width[c] = 0;
		for (size_t r = 0; r < rows; r++) {
			int w = unicode_width(t->cells[r * (size_t)t->columns + (size_t)c]);

			used |= r > 0 && w > 0;
			width[c] = w > width[c] ? w : width[c];
		}
		if (!used)
			width[c] = 0;
	}
}

bool table_write(struct table *t, FILE *out, int indent)
{
	int width[MAX_COLUMNS];
	bool ok = !t->failed && t->columns > 0 && t->columns <= MAX_COLUMNS;

	if (ok) {
		measure(t, width);
		narrow(t, width, PRINT_WIDTH - indent);
		for (size_t r = 0; r < t->n / (size_t)t->columns; r++)
			write_row(t, out, r, width, indent);
	}
	free(t->cells);
	arena_free(&t->arena);
	*t = (struct table){0};
	return ok;
}
