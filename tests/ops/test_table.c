/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of the operator table as a whole. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "graph/op.h"
#include "ops/table.h"

static int order(const struct op *a, const struct op *b)
{
	int by_name = strcmp(a->name, b->name);

	return by_name ? by_name : strcmp(a->domain, b->domain);
}

/* Rows of one operator follow each other, sorted, and their ranges do not overlap. */
Test(table, sorted_without_overlap)
{
	for (int f = 0; f < op_table.count; f++) {
		for (const struct op *row = op_table.families[f]; row->name && row[1].name; row++) {
			cr_assert_leq(order(row, row + 1), 0, "%s stands before %s", row->name, row[1].name);
			if (order(row, row + 1) == 0)
				cr_assert_lt(row->until, row[1].since, "%s: %d..%d meets %d", row->name, row->since,
				             row->until, row[1].since);
		}
	}
}

Test(table, one_family_an_operator)
{
	for (int f = 0; f < op_table.count; f++)
		for (const struct op *row = op_table.families[f]; row->name; row++)
			cr_assert_eq(op_find(&op_table, row->domain, row->name, row->since), row,
			             "%s %d is found elsewhere", row->name, row->since);
}

Test(table, rows_are_complete)
{
	for (int f = 0; f < op_table.count; f++) {
		for (const struct op *row = op_table.families[f]; row->name; row++) {
			cr_assert(row->domain && row->since >= 1 && row->since <= row->until, "%s: opset range", row->name);
			cr_assert(row->min_in >= 0 && (row->max_in == -1 || row->max_in >= row->min_in), "%s: inputs",
			          row->name);
			cr_assert(row->min_out >= 1 && (row->max_out == -1 || row->max_out >= row->min_out), "%s: outputs",
			          row->name);
			cr_assert(row->shape, "%s has no shape function", row->name);
			cr_assert(row->run || row->flags & (OP_VIEW | OP_CONTROL), "%s has no run function", row->name);
			cr_assert(!(row->flags & OP_CONTROL_REVERSE) || row->flags & OP_CONTROL, "%s: no control flow", row->name);
			cr_assert(!(row->flags & OP_VIEW) || row->flags & OP_ANY_BITS, "%s: a view moves any bits", row->name);
		}
	}
}

Test(table, unknown_operators)
{
	cr_assert_null(op_find(&op_table, "", "NoSuchOperator", 13));
	cr_assert_null(op_find(&op_table, "org.example", "Relu", 13));
	cr_assert_null(op_find(&op_table, "", "Gelu", 19), "older than the operator");
	cr_assert_eq(op_find(&op_table, "ai.onnx", "Relu", 13), op_find(&op_table, "", "Relu", 13));
	cr_assert(op_known(&op_table, "", "Gelu"));
	cr_assert_not(op_known(&op_table, "", "NoSuchOperator"));
}

/* ---- every operator has a test ---- */

static char *text_of(const char *folder, const char *name)
{
	struct tamis_error err = {0};
	uint8_t *data = NULL;
	char path[4096], *text;
	size_t size = 0;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	cr_assert_eq(file_read(path, (size_t)1 << 26, &data, &size, &err), TAMIS_OK, "%s", err.message);
	text = calloc(size + 1, 1);
	cr_assert_not_null(text);
	memcpy(text, data, size);
	free(data);
	return text;
}

/* Whether a line of the list of vectors is test_NAME..., in small letters and with underscores anywhere, and passes. */
static bool line_passes(const char *line, const char *name)
{
	const char *end = line + strcspn(line, "\n"), *p = strstr(line, "/test_");

	if (!p || p > end)
		return false;
	for (p += strlen("/test_"); *name; p++) {
		if (*p == '_')
			continue;
		if (*p != tolower((unsigned char)*name++))
			return false;
	}
	return strstr(p, " pass") && strstr(p, " pass") < end;
}

static bool vector_passes(const char *list, const char *name)
{
	for (const char *line = list; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (line_passes(line, name))
			return true;
	return false;
}

/* Whether "NAME" or "DOMAIN:NAME" is a string of the source. */
static bool source_names(const char *source, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = strstr(source, name); p; p = strstr(p + 1, name))
		if (p > source && (p[-1] == '"' || p[-1] == ':') && p[n] == '"')
			return true;
	return false;
}

static bool tests_name(char **sources, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (source_names(sources[i], name))
			return true;
	return false;
}

static int is_test(const struct dirent *d)
{
	return strncmp(d->d_name, "test_", 5) == 0 && strcmp(d->d_name, "test_table.c") != 0;
}

Test(table, operators_have_tests)
{
	char *list = text_of(TESTS_CONFORMANCE, "expected.txt"), **sources;
	struct dirent **files;
	int n = scandir(TESTS_OPS, &files, is_test, alphasort);

	cr_assert_gt(n, 0);
	sources = calloc((size_t)n, sizeof *sources);
	cr_assert_not_null(sources);
	for (int i = 0; i < n; i++) {
		sources[i] = text_of(TESTS_OPS, files[i]->d_name);
		free(files[i]);
	}
	for (int f = 0; f < op_table.count; f++)
		for (const struct op *row = op_table.families[f]; row->name; row++)
			cr_expect(vector_passes(list, row->name) || tests_name(sources, n, row->name),
			          "%s has neither a vector that passes nor a test that names it", row->name);
	for (int i = 0; i < n; i++)
		free(sources[i]);
	free(sources);
	free(files);
	free(list);
}
