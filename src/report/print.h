/* SPDX-License-Identifier: Apache-2.0 */
/* Plain text in columns: numbers a person can read, tables cut to a width, wrapped sentences. */
#ifndef REPORT_PRINT_H
#define REPORT_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/memory.h"

enum { PRINT_WIDTH = 100, PRINT_NUMBER = 40 };

/* "1,234,567", or "-" below zero (not known). Returns buf. */
const char *print_count(char buf[PRINT_NUMBER], int64_t n);
/* A figure of `digits` significant digits without exponent where it is readable ("0.0042", "1.3e-09");
 * "-" for NAN. */
const char *print_figure(char buf[PRINT_NUMBER], double value, int digits);
/* "12.3 %"; "-" for NAN. */
const char *print_share(char buf[PRINT_NUMBER], double share);
/* "2.35x" = before / after; "" where one is unknown or after is zero. */
const char *print_ratio(char buf[PRINT_NUMBER], double before, double after);

/* Words of `text` on lines of at most PRINT_WIDTH columns, the second and later ones indented. The first
 * begins where `column` says the line stands now. Ends with a newline. Unprintable characters become
 * '?'. False when out of memory. */
bool print_wrapped(FILE *out, int column, int indent, const char *text);

/* The same of a text that is put together from any number of pieces, in linear time: begin, write to `to`, end.
 * Both are false when out of memory; after a false begin there is nothing to end. */
struct pieces {
	FILE *to;
	char *text;
	size_t size;
};
bool pieces_begin(struct pieces *p);
bool pieces_end(struct pieces *p, FILE *out, int column, int indent);

/* A table is filled cell by cell, row after row, then written. `layout` has one letter a column: 'l'
 * left, 'r' right, 'n' left and cut at its front when the table is too wide (names: their end tells
 * most), 's' left and cut at its end. Cells may hold any bytes; unprintable characters become '?'. Out
 * of memory is remembered and told by table_write. */
struct table {
	const char *layout;
	int columns;
	const char **cells; /* owned; the strings live in the arena */
	size_t n, cap;
	struct arena arena;
	bool failed;
};
void table_start(struct table *t, const char *layout);
/* The same, with a first row of n cells. */
void table_head(struct table *t, const char *layout, const char *const *heading, size_t n);
void table_cell(struct table *t, const char *text); /* NULL = empty */
void table_count(struct table *t, int64_t n);
/* Writes every row, the first as a heading unless all its cells are empty, indented by `indent`, cut to
 * PRINT_WIDTH; frees the table. Columns whose cells are all empty take no room. False when out of
 * memory. O(cells). */
bool table_write(struct table *t, FILE *out, int indent);

#endif
