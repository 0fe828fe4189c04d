/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "ops/table.h"
#include "report/report.h"
#include "tamis/tamis.h"

static size_t count_rows(void)
{
	size_t n = 0;

	for (int f = 0; f < op_table.count; f++)
		for (const struct op *row = op_table.families[f]; row->name; row++)
			n++;
	return n;
}

static struct op_line line_of(const struct op *row)
{
	return (struct op_line){
		.domain = *row->domain ? row->domain : "ai.onnx",
		.name = row->name,
		.since = row->since,
		.until = row->until == OP_LATEST ? -1 : row->until,
		.reverse = row->reverse != NULL || (row->flags & (OP_VIEW | OP_CONTROL_REVERSE)),
		.linear = row->linear != NULL,
	};
}

static int by_name(const void *a, const void *b)
{
	const struct op_line *x = a, *y = b;
	int order = strcmp(x->domain, y->domain);

	if (order == 0)
		order = strcmp(x->name, y->name);
	return order ? order : x->since - y->since;
}

enum tamis_status tamis_ops(struct tamis_report **out, struct tamis_error *err)
{
	struct tamis_report *r;
	size_t n = count_rows(), i = 0;

	if (!out)
		return tm_fail(err, TAMIS_E_USAGE, "a place for the report was expected, and NULL came");
	*out = NULL;
	r = report_create(REPORT_OPS);
	if (r)
		r->ops.lines = arena_array(&r->arena, n, sizeof *r->ops.lines);
	if (!r || !r->ops.lines) {
		report_free(r);
		return tm_no_memory(err, "listing the operators");
	}
	for (int f = 0; f < op_table.count; f++)
		for (const struct op *row = op_table.families[f]; row->name; row++)
			r->ops.lines[i++] = line_of(row);
	r->ops.n_lines = n;
	qsort(r->ops.lines, n, sizeof *r->ops.lines, by_name);
	*out = r;
	return TAMIS_OK;
}
