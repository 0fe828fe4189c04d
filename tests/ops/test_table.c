/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of the operator table as a whole. */
#include <criterion/criterion.h>
#include <string.h>

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
