/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/dtype.h"
#include "base/error.h"

Test(error, the_first_failure_wins_and_each_call_returns_its_own_status)
{
	struct tamis_error e = {0};

	cr_assert_eq(tm_fail(&e, TAMIS_E_INVALID, "rank %d", 3), TAMIS_E_INVALID);
	cr_assert_eq(tm_fail(&e, TAMIS_E_MEMORY, "later"), TAMIS_E_MEMORY);
	cr_assert_eq(e.status, TAMIS_E_INVALID);
	cr_assert_str_eq(e.message, "rank 3");
	tamis_error_clear(&e);
	cr_assert(e.status == TAMIS_OK && e.message[0] == '\0');
	cr_assert_eq(tm_no_memory(&e, "loading the model"), TAMIS_E_MEMORY);
	cr_assert_str_eq(e.message, "out of memory while loading the model");
}

Test(error, null_is_accepted_everywhere)
{
	cr_assert_eq(tm_fail(NULL, TAMIS_E_GATE, "x"), TAMIS_E_GATE);
	cr_assert_eq(tm_no_memory(NULL, "x"), TAMIS_E_MEMORY);
	cr_assert_eq(tm_in_file(NULL, "x"), TAMIS_E_INTERNAL);
	tamis_error_clear(NULL);
}

Test(error, places_are_named_by_the_first_who_knows)
{
	struct tamis_error e = {0};

	tm_in_node(&e, "too early");
	cr_assert_str_eq(e.node, "");
	tm_fail(&e, TAMIS_E_INVALID, "x");
	cr_assert_eq(tm_in_file(&e, "a.onnx"), TAMIS_E_INVALID);
	tm_in_file(&e, "b.onnx");
	tm_in_node(&e, "conv1");
	tm_in_tensor(&e, NULL);
	tm_in_tensor(&e, "w");
	cr_assert_str_eq(e.file, "a.onnx");
	cr_assert_str_eq(e.node, "conv1");
	cr_assert_str_eq(e.tensor, "w");
}

Test(error, text_becomes_printable_utf8)
{
	static const struct { const char *in, *out; } cases[] = {
		{"plain", "plain"},
		{"a\nb\033[31mc\x7f", "a?b?[31mc?"},
		{"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8d\xb5", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8d\xb5"},
		{"\xff\xfe", "??"},
		{"\xc3", "?"},
		{"\xc0\xaf", "??"},                /* overlong */
		{"\xe0\x80\xaf", "???"},
		{"\xed\xa0\x80", "???"},           /* surrogate */
		{"\xf4\x90\x80\x80", "????"},      /* beyond U+10FFFF */
		{"\xf0\x9f\x8d", "???"},           /* cut short */
		{"\xc2\x9b" "31m", "?31m"},        /* a C1 control */
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct tamis_error e = {0};

		tm_fail(&e, TAMIS_E_INVALID, "%s", cases[i].in);
		tm_in_node(&e, cases[i].in);
		cr_assert_str_eq(e.message, cases[i].out, "case %zu", i);
		cr_assert_str_eq(e.node, cases[i].out, "case %zu", i);
	}
}

/* For every length around the limit, with a 3-byte character across the end. */
Test(error, long_text_is_cut_between_characters)
{
	static char text[3000];

	for (size_t shift = 0; shift < 3; shift++) {
		struct tamis_error e = {0};
		size_t at = shift;

		memset(text, 'x', shift);
		for (; at + 4 < sizeof text; at += 3)
			memcpy(text + at, "\xe2\x82\xac", 4);
		tm_fail(&e, TAMIS_E_INVALID, "%s", text);
		tm_in_tensor(&e, text);
		cr_assert_lt(strlen(e.message), sizeof e.message);
		cr_assert_gt(strlen(e.message), sizeof e.message - 8);
		cr_assert_eq((strlen(e.tensor) - shift) % 3, 0);
		cr_assert_gt(strlen(e.tensor), sizeof e.tensor - 5);
		cr_assert(strncmp(e.tensor, text, strlen(e.tensor)) == 0);
	}
}

Test(error, every_status_has_a_text)
{
	for (int s = TAMIS_OK; s <= TAMIS_E_CANCELLED; s++)
		cr_assert_str_neq(tamis_status_text((enum tamis_status)s), "unknown status");
	cr_assert_str_eq(tamis_status_text((enum tamis_status)99), "unknown status");
}

Test(dtype, names_and_sizes)
{
	cr_assert_str_eq(dtype_name(DT_FLOAT), "float");
	cr_assert_str_eq(dtype_name(DT_BFLOAT16), "bfloat16");
	cr_assert_str_eq(dtype_name(DT_FLOAT8E8M0), "float8e8m0");
	cr_assert_str_eq(dtype_name(DT_INT2), "int2");
	for (int i = -2; i < 40; i++) {
		bool known = i >= 1 && i <= 26;

		cr_assert_eq(dtype_known(i), known);
		cr_assert_eq(strcmp(dtype_name(i), "unknown type") == 0, !known);
		cr_assert_eq(dtype_bits(i) > 0, known && i != DT_STRING);
		cr_assert(dtype_is_float(i) + dtype_is_integer(i) <= 1);
	}
	cr_assert(dtype_is_integer(DT_UINT4) && !dtype_is_integer(DT_BOOL) && !dtype_is_float(DT_FLOAT8E5M2));
	cr_assert_str_eq(dtype_descr(DT_INT64), "i8");
	cr_assert_str_eq(dtype_descr(DT_BFLOAT16), "");
}
