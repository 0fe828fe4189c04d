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
