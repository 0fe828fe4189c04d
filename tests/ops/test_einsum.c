/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "harness.h"
#include "ops/family.h"

Test(einsum, vectors)
{
	check_vectors(ops_einsum, 5, NULL);
}

struct example { const char *equation; int n, rank[3]; int64_t dims[3][4]; };

/* Gradients of every input, whatever is batched, summed, repeated, broadcast or taken from a diagonal. */
Test(einsum, reverse)
{
	static const struct example cases[] = {
		{"ij,jk->ik", 2, {2, 2}, {{2, 3}, {3, 4}}},
		{"ij,jk", 2, {2, 2}, {{2, 3}, {3, 4}}},
		{"bhqd, bhkd -> bhqk", 2, {4, 4}, {{2, 2, 3, 2}, {2, 2, 2, 2}}},
		{"...ij,...jk->...ik", 2, {3, 4}, {{2, 2, 3}, {2, 1, 3, 2}}},
		{"ii->i", 1, {2}, {{3, 3}}},
		{"ii", 1, {2}, {{3, 3}}},
		{"ij->", 1, {2}, {{2, 3}}},
		{"ij->ji", 1, {2}, {{2, 3}}},
		{"i,j->ij", 2, {1, 1}, {{2}, {3}}},
		{"i,i", 2, {1, 1}, {{4}, {4}}},
		{"ab,bc,cd->ad", 3, {2, 2, 2}, {{2, 3}, {3, 2}, {2, 2}}},
		{"ab,ac,ad->a", 3, {2, 2, 2}, {{2, 3}, {2, 2}, {2, 4}}},
		{"a...,...->...", 2, {3, 1}, {{2, 2, 3}, {3}}},
		{"iij,jk->ik", 2, {3, 2}, {{2, 2, 3}, {3, 2}}},
		{"ij,jk->ik", 2, {2, 2}, {{2, 1}, {3, 4}}},
		{"...,...->...", 2, {0, 2}, {{0}, {2, 2}}},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct op_case *c = case_new(ops_einsum, "Einsum", 12);

		case_string(c, "equation", cases[i].equation);
		for (int k = 0; k < cases[i].n; k++)
			case_in(c, DT_DOUBLE, cases[i].rank[k], cases[i].dims[k], NULL);
		check_reverse(c, (1U << cases[i].n) - 1);
		case_free(c);
	}
}

/* A matrix product by its definition. */
Test(einsum, is_the_sum_of_products)
{
	struct op_case *c = case_new(ops_einsum, "Einsum", 12);

	case_string(c, "equation", "aij,kja->ik");
	case_in(c, DT_FLOAT, SHAPE(3, 4, 5), NULL);
	case_in(c, DT_FLOAT, SHAPE(2, 5, 3), NULL);
	case_run(c);
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < 2; k++) {
			double sum = 0;

			for (int a = 0; a < 3; a++)
				for (int j = 0; j < 5; j++)
					sum += tensor_get(&c->in[0], (a * 4 + i) * 5 + j) *
						tensor_get(&c->in[1], (k * 5 + j) * 3 + a);
			cr_assert_float_eq(tensor_get(&c->out[0], i * 2 + k), sum, 1e-5);
		}
	case_free(c);
}

Test(einsum, empty_axes_sum_to_zero)
{
	struct op_case *c = case_new(ops_einsum, "Einsum", 12);

	case_string(c, "equation", "ij,jk->ik");
	case_in(c, DT_FLOAT, SHAPE(2, 0), NULL);
	case_in(c, DT_FLOAT, SHAPE(0, 1), NULL);
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(2, 1), VALUES(0, 0), 0);
	case_free(c);
}

/* With two inputs of 2 x 3. */
Test(einsum, refuses)
{
	static const char *const equations[] = {
		"", "ij", "ij,ij,ij", "ij,jk->ik", "i,ij", "ij,ij->ik", "ij,ij->ii", "ij,ij-ij", "ij,ij->ij->",
		"i1,ij", "......,ij", "ij,ij->...", "...,...->", "abcdefghijklmnopq,ij", "ij,ij->i,j", "ij,i..",
	};

	for (size_t i = 0; i < sizeof equations / sizeof *equations; i++) {
		struct op_case *c = case_new(ops_einsum, "Einsum", 12);

		case_string(c, "equation", equations[i]);
		case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
		case_in(c, DT_FLOAT, SHAPE(2, 3), NULL);
		cr_expect_eq(case_status(c), TAMIS_E_INVALID, "'%s'", equations[i]);
		case_free(c);
	}
	for (int k = 0; k < 2; k++) {
		struct op_case *c = case_new(ops_einsum, "Einsum", 12);

		case_string(c, "equation", "i,i");
		case_in(c, k ? DT_FLOAT : DT_INT32, SHAPE(2), NULL);
		case_in(c, k ? DT_DOUBLE : DT_INT32, SHAPE(2), NULL);
		cr_expect_eq(case_status(c), TAMIS_E_UNSUPPORTED);
		case_free(c);
	}
}
