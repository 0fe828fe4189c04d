/* SPDX-License-Identifier: Apache-2.0 */
/* DeformConv and CausalConvWithState: identities with Conv, and gradients. */
#include <criterion/criterion.h>
#include <math.h>

#include "harness.h"
#include "ops/family.h"

static const int64_t pads[] = {1, 1, 1, 1, 1, 1}, strides[] = {1, 2, 1};

/* Offset groups are 2, groups 2, and space is small: central differences run the case twice for each offset, of which
 * there are `space` for each kernel element and position. */
static struct op_case *deform(int space, bool masked, bool still)
{
	struct op_case *c = case_new(ops_deform, "DeformConv", 19);
	const int64_t items = space == 3 ? 1 : 2, x[] = {items, 4, 4, 3, 2}, w[] = {4, 2, 2, 3, 2}, out[] = {5, 2, 3};
	int64_t offset[5] = {items}, mask[5] = {items}, taps = 1;

	for (int i = 0; i < space; i++) {
		offset[2 + i] = mask[2 + i] = out[i];
		taps *= w[2 + i];
	}
	offset[1] = 2 * taps * space;
	mask[1] = 2 * taps;
	case_int(c, "group", 2);
	case_int(c, "offset_group", 2);
	case_ints(c, "pads", 2 * space, pads);
	case_ints(c, "strides", space, strides);
	case_in(c, DT_DOUBLE, 2 + space, x, NULL);
	case_in(c, DT_DOUBLE, 2 + space, w, NULL);
	if (still)
		case_in_range(c, DT_DOUBLE, 2 + space, offset, 0, 0);
	else
		case_in(c, DT_DOUBLE, 2 + space, offset, NULL);
	case_in(c, DT_DOUBLE, SHAPE(4), NULL);
	if (masked)
		case_in(c, DT_DOUBLE, 2 + space, mask, NULL);
	return c;
}

Test(deform, vectors)
{
	check_vectors(ops_deform, 0, NULL);
}

/* Nothing moved is a convolution. */
Test(deform, unmoved_is_conv)
{
	for (int space = 1; space <= 3; space++) {
		struct op_case *c = deform(space, false, true), *plain = case_new(ops_conv, "Conv", 19);

		case_int(plain, "group", 2);
		case_ints(plain, "pads", 2 * space, pads);
		case_ints(plain, "strides", space, strides);
		for (int i = 0; i < 4; i++)
			if (i != 2) {
				struct tensor *t = case_in(plain, DT_DOUBLE, c->in[i].rank, c->in[i].dims, NULL);

				for (int64_t k = 0; k < t->count; k++)
					tensor_set(t, k, tensor_get(&c->in[i], k));
			}
		case_run(c);
		case_run(plain);
		cr_assert(tensor_same_shape(&c->out[0], &plain->out[0]));
		for (int64_t k = 0; k < c->out[0].count; k++)
			cr_assert_float_eq(tensor_get(&c->out[0], k), tensor_get(&plain->out[0], k), 1e-12);
		case_free(c);
		case_free(plain);
	}
}

Test(deform, reverse)
{
	for (int k = 0; k < 6; k++) {
		struct op_case *c = deform(1 + k / 2, k % 2, false);

		check_reverse(c, k % 2 ? 0x1f : 0x0f);
		case_free(c);
	}
}

Test(deform, refuses)
{
	for (int k = 0; k < 5; k++) {
		struct op_case *c = case_new(ops_deform, "DeformConv", 19);

		case_in(c, DT_FLOAT, SHAPE(1, k == 0 ? 3 : 2, 3, 3), NULL);
		case_in(c, k == 1 ? DT_DOUBLE : DT_FLOAT, SHAPE(1, 2, 2, 2), NULL);
		case_in(c, DT_FLOAT, SHAPE(1, 8, k == 2 ? 3 : 2, 2), NULL);
		case_in(c, DT_FLOAT, SHAPE(k == 3 ? 2 : 1), NULL);
		if (k == 4)
			case_in(c, DT_FLOAT, SHAPE(1, 8, 2, 2), NULL);
		cr_expect_eq(case_status(c), TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}

/* No channels are divided by any number of groups. */
Test(deform, refuses_groups_of_nothing)
{
	struct op_case *c = case_new(ops_deform, "DeformConv", 19);

	case_int(c, "offset_group", (int64_t)1 << 62);
	case_in(c, DT_FLOAT, SHAPE(1, 0, 3, 3), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 0, 2, 2), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 8, 2, 2), NULL);
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}

/* ---- CausalConvWithState ---- */

static struct op_case *causal(bool silu, bool bias, bool past, int64_t length)
{
	struct op_case *c = case_new(ops_causal_conv, "CausalConvWithState", 27);

	case_string(c, "activation", silu ? "silu" : "none");
	case_in(c, DT_DOUBLE, SHAPE(2, 3, length), NULL);
	case_in(c, DT_DOUBLE, SHAPE(3, 1, 4), NULL);
	if (bias)
		case_in(c, DT_DOUBLE, SHAPE(3), NULL);
	else
		case_absent(c);
	if (past)
		case_in(c, DT_DOUBLE, SHAPE(2, 3, 3), NULL);
	case_outputs(c, 2);
	return c;
}

Test(causal, vectors)
{
	check_vectors(ops_causal_conv, 0, NULL);
}

Test(causal, reverse)
{
	for (int k = 0; k < 16; k++) {
		struct op_case *c = causal(k & 1, k & 2, k & 4, k & 8 ? 5 : 2);

		check_reverse(c, 3U | (k & 2 ? 4U : 0) | (k & 4 ? 8U : 0));
		case_free(c);
	}
}

/* A sequence in two calls, the state handed on, is the sequence in one. */
Test(causal, in_two_calls)
{
	struct op_case *all = causal(true, true, true, 7), *part[2];

	case_run(all);
	for (int p = 0; p < 2; p++) {
		int64_t from = p ? 3 : 0, length = p ? 4 : 3;

		part[p] = causal(true, true, true, length);
		for (int i = 1; i < 4; i++)
			for (int64_t k = 0; k < all->in[i].count; k++)
				tensor_set(&part[p]->in[i], k, tensor_get(p && i == 3 ? &part[0]->out[1] : &all->in[i], k));
		for (int64_t k = 0; k < 6 * length; k++)
			tensor_set(&part[p]->in[0], k, tensor_get(&all->in[0], k / length * 7 + from + k % length));
		case_run(part[p]);
		for (int64_t k = 0; k < 6 * length; k++)
			cr_assert_float_eq(tensor_get(&part[p]->out[0], k),
			                   tensor_get(&all->out[0], k / length * 7 + from + k % length), 1e-12);
	}
	for (int64_t k = 0; k < all->out[1].count; k++)
		cr_assert_eq(tensor_get(&all->out[1], k), tensor_get(&part[1]->out[1], k));
	case_free(part[0]);
	case_free(part[1]);
	case_free(all);
}
