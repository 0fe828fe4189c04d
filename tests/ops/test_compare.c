/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>

#include "harness.h"
#include "ops/family.h"

Test(compare, vectors)
{
	check_vectors(ops_compare, 30, NULL);
}

static const struct { const char *name; double want[6]; } rows[] = {
	{"Equal", {0, 1, 0, 0, 0, 0}}, {"Greater", {0, 0, 1, 0, 0, 0}}, {"GreaterOrEqual", {0, 1, 1, 0, 0, 0}},
	{"Less", {1, 0, 0, 0, 0, 1}}, {"LessOrEqual", {1, 1, 0, 0, 0, 1}},
};

Test(compare, every_relation)
{
	for (int k = 0; k < 5; k++) {
		struct op_case *c = case_new(ops_compare, rows[k].name, 16);

		case_in(c, DT_FLOAT, SHAPE(2, 3), VALUES(1, 2, 3, NAN, NAN, -INFINITY));
		case_in(c, DT_FLOAT, SHAPE(2, 3), VALUES(2, 2, 2, 2, NAN, 2));
		case_run(c);
		case_expect(c, 0, DT_BOOL, SHAPE(2, 3), rows[k].want, 0);
		case_free(c);
	}
}

Test(compare, wide_integers_are_exact)
{
	struct op_case *c = case_new(ops_compare, "Less", 13);
	int64_t *a = case_in(c, DT_INT64, SHAPE(1), NULL)->data;
	int64_t *b = case_in(c, DT_INT64, SHAPE(1), NULL)->data;

	*a = INT64_MAX - 1;
	*b = INT64_MAX;
	case_run(c);
	case_expect(c, 0, DT_BOOL, SHAPE(1), VALUES(1), 0);
	case_free(c);
}

Test(compare, logic)
{
	static const struct { const char *name; double want[4]; } logic[] = {
		{"And", {0, 0, 0, 1}}, {"Or", {0, 1, 1, 1}}, {"Xor", {0, 1, 1, 0}}, {"Equal", {1, 0, 0, 1}},
	};

	for (int k = 0; k < 4; k++) {
		struct op_case *c = case_new(ops_compare, logic[k].name, 13);

		case_in(c, DT_BOOL, SHAPE(2, 1), VALUES(0, 1));
		case_in(c, DT_BOOL, SHAPE(1, 2), VALUES(0, 1));
		case_run(c);
		case_expect(c, 0, DT_BOOL, SHAPE(2, 2), logic[k].want, 0);
		case_free(c);
	}
}

Test(compare, not)
{
	struct op_case *c = case_new(ops_compare, "Not", 1);

	case_in(c, DT_BOOL, SHAPE(2), VALUES(0, 1));
	case_run(c);
	case_expect(c, 0, DT_BOOL, SHAPE(2), VALUES(1, 0), 0);
	case_free(c);
	c = case_new(ops_compare, "Not", 1);
	case_in(c, DT_FLOAT, SHAPE(2), NULL);
	cr_assert_eq(case_status(c), TAMIS_E_UNSUPPORTED);
	case_free(c);
}

Test(compare, strings)
{
	static const struct tm_string words[] = {{"cat", 3}, {"", 0}, {"dog", 3}};
	struct op_case *c = case_new(ops_compare, "Equal", 19);
	struct tm_string *a = case_in(c, DT_STRING, SHAPE(3), NULL)->data;
	struct tm_string *b = case_in(c, DT_STRING, SHAPE(1), NULL)->data;

	for (int i = 0; i < 3; i++)
		a[i] = words[i];
	*b = (struct tm_string){"cat", 3};
	case_run(c);
	case_expect(c, 0, DT_BOOL, SHAPE(3), VALUES(1, 0, 0), 0);
	case_free(c);
}
