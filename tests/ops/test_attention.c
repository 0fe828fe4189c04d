/* SPDX-License-Identifier: Apache-2.0 */
/* Attention: identities and gradients; the conformance vectors (tests/conformance) compare it with ONNX. */
#include <criterion/criterion.h>
#include <math.h>

#include "harness.h"
#include "ops/family.h"

Test(attention, vectors)
{
	check_vectors(ops_attention, 0, NULL);
}

/* 4-d or 3-d, with a past, a mask (0 none, 1 bool, 2 float, 3 short), causal, windows, capped. */
static struct op_case *attention(bool flat, bool past, int mask, bool causal, int tap, bool capped)
{
	struct op_case *c = case_new(ops_attention, "Attention", 25);
	int64_t keys = past ? 5 : 3;

	case_int(c, "is_causal", causal);
	case_int(c, "qk_matmul_output_mode", tap);
	if (capped)
		case_float(c, "softcap", 1.5);
	if (causal)
		case_int(c, "left_window_size", 2);
	if (flat) {
		case_int(c, "q_num_heads", 4);
		case_int(c, "kv_num_heads", 2);
		case_in(c, DT_DOUBLE, SHAPE(2, 2, 12), NULL);
		case_in(c, DT_DOUBLE, SHAPE(2, 3, 6), NULL);
		case_in(c, DT_DOUBLE, SHAPE(2, 3, 4), NULL);
	} else {
		case_in(c, DT_DOUBLE, SHAPE(2, 4, 2, 3), NULL);
		case_in(c, DT_DOUBLE, SHAPE(2, 2, 3, 3), NULL);
		case_in(c, DT_DOUBLE, SHAPE(2, 2, 3, 2), NULL);
	}
	if (mask == 1)
		case_in(c, DT_BOOL, SHAPE(2, 1, 1, keys), VALUES(1, 1, 0, 1, 1, 0, 1, 1, 1, 1));
	else if (mask >= 2)
		case_in(c, DT_DOUBLE, SHAPE(2, keys - (mask == 3)), NULL);
	else
		case_absent(c);
	if (past) {
		case_in(c, DT_DOUBLE, SHAPE(2, 2, 2, 3), NULL);
		case_in(c, DT_DOUBLE, SHAPE(2, 2, 2, 2), NULL);
	}
	return c;
}

Test(attention, reverse)
{
	for (int k = 0; k < 32; k++) {
		bool past = k / 2 % 2;
		int mask = k / 4 % 4;
		/* the biased scores of tap 2 are infinite where a mask excludes: no differences there */
		struct op_case *c = attention(k % 2, past, mask, k / 16, k % 4 == 2 ? 3 : k % 4, k % 3 == 0);

		case_outputs(c, 4);
		check_reverse(c, 7U | (mask >= 2 ? 8U : 0) | (past ? 0x30U : 0));
		case_free(c);
	}
}

Test(attention, reverse_of_biased_scores)
{
	struct op_case *c = attention(false, true, 2, false, 2, true);

	case_outputs(c, 4);
	check_reverse(c, 0x3f);
	case_free(c);
}

/* Keys that are all alike give the mean of the values that may be seen. */
Test(attention, of_equal_keys)
{
	struct op_case *c = case_new(ops_attention, "Attention", 24);

	case_int(c, "is_causal", 1);
	case_in(c, DT_FLOAT, SHAPE(1, 1, 3, 2), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 1, 3, 2), VALUES(1, 2, 1, 2, 1, 2));
	case_in(c, DT_FLOAT, SHAPE(1, 1, 3, 1), VALUES(3, 6, 0));
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(1, 1, 3, 1), VALUES(3, 4.5, 3), 1e-6);
	case_free(c);
}

/* Nothing to see gives zeros. */
Test(attention, of_nothing)
{
	struct op_case *c = case_new(ops_attention, "Attention", 24);

	case_in(c, DT_FLOAT, SHAPE(1, 1, 1, 2), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 1, 2, 2), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 1, 2, 1), NULL);
	case_in(c, DT_BOOL, SHAPE(2), VALUES(0, 0));
	case_run(c);
	case_expect(c, 0, DT_FLOAT, SHAPE(1, 1, 1, 1), VALUES(0), 0);
	case_free(c);
}

Test(attention, refuses)
{
	for (int k = 0; k < 6; k++) {
		struct op_case *c = case_new(ops_attention, "Attention", 24);

		case_in(c, k == 0 ? DT_INT32 : DT_FLOAT, SHAPE(1, k == 1 ? 3 : 2, 2, 2), NULL);
		case_in(c, DT_FLOAT, SHAPE(k == 2 ? 2 : 1, 2, 3, k == 3 ? 4 : 2), NULL);
		case_in(c, DT_FLOAT, SHAPE(1, 2, 3, 2), NULL);
		case_in(c, DT_FLOAT, SHAPE(k == 4 ? 3 : 2, 3), NULL);
		if (k == 5)
			case_in(c, DT_FLOAT, SHAPE(1, 2, 1, 2), NULL);
		cr_expect_eq(case_status(c), k == 0 ? TAMIS_E_UNSUPPORTED : TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}

/* Windows as wide as numbers go are none; lengths are data, and may be anything. */
Test(attention, windows_and_lengths_of_any_size)
{
	struct op_case *c[2];

	for (int i = 0; i < 2; i++) {
		c[i] = case_new(ops_attention, "Attention", 24);
		for (int k = 0; k < 3; k++)
			case_in(c[i], DT_FLOAT, SHAPE(1, 1, 3, 2), VALUES(1, 2, -1, 0.5, 3, -2));
	}
	case_int(c[1], "left_window_size", INT64_MAX);
	case_int(c[1], "right_window_size", INT64_MAX);
	case_run(c[0]);
	case_run(c[1]);
	for (int i = 0; i < 6; i++)
		cr_expect_eq(tensor_get(&c[0]->out[0], i), tensor_get(&c[1]->out[0], i));
	case_free(c[0]);
	case_free(c[1]);
	for (int i = 0; i < 2; i++) {
		struct op_case *o = case_new(ops_attention, "Attention", 24);

		case_int(o, "left_window_size", INT64_MAX);
		for (int k = 0; k < 3; k++)
			case_in(o, DT_FLOAT, SHAPE(1, 1, 2, 2), NULL);
		for (int k = 0; k < 3; k++)
			case_absent(o);
		((int64_t *)case_in(o, DT_INT64, SHAPE(1), NULL)->data)[0] = i ? INT64_MAX : INT64_MIN;
		case_run(o);
		case_expect(o, 0, DT_FLOAT, SHAPE(1, 1, 2, 2), i ? NULL : VALUES(0, 0, 0, 0), 0);
		case_free(o);
	}
}

/* Heads without elements are as many as an attribute says, and take no time without queries. */
Test(attention, heads_of_nothing)
{
	for (int k = 0; k < 2; k++) {
		struct op_case *c = case_new(ops_attention, "Attention", 24);

		case_int(c, "q_num_heads", (int64_t)1 << (k ? 59 : 62));
		case_int(c, "kv_num_heads", 1);
		case_in(c, DT_FLOAT, SHAPE(1, k ? 0 : 1, 0), NULL);
		case_in(c, DT_FLOAT, SHAPE(1, 1, 0), NULL);
		case_in(c, DT_FLOAT, SHAPE(1, 1, 8), NULL);
		case_outputs(c, k ? 3 : 1);
		cr_expect_eq(case_forward(c), k ? TAMIS_OK : TAMIS_E_INVALID, "%s", c->err.message);
		if (k)
			case_expect(c, 2, DT_FLOAT, SHAPE(1, 1, 1, 8), NULL, 0);
		case_free(c);
	}
	struct op_case *c = case_new(ops_attention, "Attention", 24);

	for (int i = 0; i < 3; i++)
		case_in(c, DT_FLOAT, SHAPE(1, 1, i ? INT64_MAX : 1, 0), NULL);
	case_absent(c);
	for (int i = 0; i < 2; i++)
		case_in(c, DT_FLOAT, SHAPE(1, 1, 1, 0), NULL);
	cr_expect_eq(case_status(c), TAMIS_E_INVALID, "more keys than can be counted");
	case_free(c);
}

/* ---- LinearAttention ---- */

static const char *const rules[] = {"linear", "gated", "delta", "gated_delta"};

/* Two heads of keys and values, four of queries; the decay for each head or each key dimension. */
static struct op_case *linear(int rule, bool past, bool wide, int64_t length)
{
	struct op_case *c = case_new(ops_linear_attention, "LinearAttention", 27);

	case_string(c, "update_rule", rules[rule]);
	case_int(c, "q_num_heads", 4);
	case_int(c, "kv_num_heads", 2);
	case_in(c, DT_DOUBLE, SHAPE(2, length, 12), NULL);
	case_in_range(c, DT_DOUBLE, SHAPE(2, length, 6), -0.7, 0.7);
	case_in(c, DT_DOUBLE, SHAPE(2, length, 4), NULL);
	if (past)
		case_in(c, DT_DOUBLE, SHAPE(2, 2, 3, 2), NULL);
	else
		case_absent(c);
	if (rule & 1)
		case_in_range(c, DT_DOUBLE, SHAPE(2, length, wide ? 6 : 2), -1, 0);
	else
		case_absent(c);
	if (rule & 2)
		case_in_range(c, DT_DOUBLE, SHAPE(2, length, wide ? 2 : 1), 0, 1);
	case_outputs(c, 2);
	return c;
}

Test(linear_attention, vectors)
{
	check_vectors(ops_linear_attention, 0, NULL);
}

Test(linear_attention, reverse)
{
	for (int k = 0; k < 16; k++) {
		int rule = k / 4;
		struct op_case *c = linear(rule, k & 1, k & 2, 3);

		check_reverse(c, 7U | (k & 1 ? 8U : 0) | (rule & 1 ? 16U : 0) | (rule & 2 ? 32U : 0));
		case_free(c);
	}
}

/* Without gates it is y_t = scale * sum over s <= t of (q_t . k_s) v_s. */
Test(linear_attention, without_gates_is_a_causal_sum)
{
	struct op_case *c = linear(0, false, false, 4);

	case_run(c);
	for (int64_t i = 0; i < c->out[0].count; i++) {
		int64_t t = i / 8 % 4, item = i / 32, head = i / 2 % 4, j = i % 2;
		double sum = 0;

		for (int64_t s = 0; s <= t; s++)
			for (int64_t d = 0; d < 3; d++)
				sum += tensor_get(&c->in[0], (item * 4 + t) * 12 + head * 3 + d) *
					tensor_get(&c->in[1], (item * 4 + s) * 6 + head / 2 * 3 + d) *
					tensor_get(&c->in[2], (item * 4 + s) * 4 + head / 2 * 2 + j);
		cr_assert_float_eq(tensor_get(&c->out[0], i), sum / sqrt(3), 1e-12);
	}
	case_free(c);
}

Test(linear_attention, refuses)
{
	for (int k = 0; k < 5; k++) {
		struct op_case *c = case_new(ops_linear_attention, "LinearAttention", 27);

		case_string(c, "update_rule", k == 0 ? "delta" : "gated");
		case_int(c, "q_num_heads", 2);
		case_int(c, "kv_num_heads", k == 1 ? 4 : 2);
		case_in(c, DT_FLOAT, SHAPE(1, 3, 4), NULL);
		case_in(c, DT_FLOAT, SHAPE(1, k == 2 ? 2 : 3, 4), NULL);
		case_in(c, DT_FLOAT, SHAPE(1, 3, 4), NULL);
		if (k == 3)
			case_in(c, DT_FLOAT, SHAPE(1, 2, 2, 3), NULL);
		else
			case_absent(c);
		case_in(c, DT_FLOAT, SHAPE(1, 3, k == 4 ? 3 : 2), NULL);
		cr_expect_eq(case_status(c), TAMIS_E_INVALID, "case %d", k);
		case_free(c);
	}
}

Test(linear_attention, refuses_heads_of_nothing)
{
	struct op_case *c = case_new(ops_linear_attention, "LinearAttention", 27);

	case_string(c, "update_rule", "linear");
	case_int(c, "q_num_heads", (int64_t)1 << 62);
	case_int(c, "kv_num_heads", 1);
	case_in(c, DT_FLOAT, SHAPE(1, 1, 0), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 1, 0), NULL);
	case_in(c, DT_FLOAT, SHAPE(1, 1, 8), NULL);
	cr_expect_eq(case_status(c), TAMIS_E_INVALID);
	case_free(c);
}
