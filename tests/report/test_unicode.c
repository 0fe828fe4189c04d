/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "report/unicode.h"

/* The other direction, by the definition of UTF-8. */
static size_t encode(uint32_t c, char *s)
{
	if (c < 0x80) {
		s[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		s[0] = (char)(0xc0 | c >> 6);
		s[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		s[0] = (char)(0xe0 | c >> 12);
		s[1] = (char)(0x80 | (c >> 6 & 0x3f));
		s[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	s[0] = (char)(0xf0 | c >> 18);
	s[1] = (char)(0x80 | (c >> 12 & 0x3f));
	s[2] = (char)(0x80 | (c >> 6 & 0x3f));
	s[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

Test(unicode, decode_inverts_encode_for_every_character)
{
	for (uint32_t c = 1; c <= 0x10ffff; c++) {
		char s[5] = "";
		size_t len = encode(c, s);
		uint32_t got;
		int surrogate = c >= 0xd800 && c < 0xe000;

		cr_assert_eq(unicode_decode(s, &got), surrogate ? 1 : len, "U+%04X", c);
		cr_assert_eq(got, surrogate ? UNICODE_BAD : c, "U+%04X", c);
	}
}

Test(unicode, bad_sequences_are_bad_and_advance_one_byte)
{
	static const char *const bad[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3(",
		"\xe0\x80\x80", "\xe0\x9f\xbf",
		"\xe2\x82", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xfe",
		"\xff",
		"\xf0\x9f\x98"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		uint32_t c = 0;

		cr_expect_eq(unicode_decode(bad[i], &c), 1, "case %zu", i);
		cr_expect_eq(c, UNICODE_BAD, "case %zu", i);
	}
}

/* jansson judges what is well-formed: repaired bytes always are, and what was well-formed stays as it
 * was. */
Test(unicode, repair_makes_any_bytes_well_formed)
{
	const uint64_t seed = 20240607;

	for (uint64_t trial = 0; trial < 20000; trial++) {
		struct rng r = rng_make(seed, trial);
		uint64_t len = rng_below(&r, 13);
		char s[13] = "";
		char *fixed;
		json_t *before, *after;

		for (uint64_t i = 0; i < len; i++)
			s[i] = (char)(rng_below(&r, 2) ? 0x20 + rng_below(&r, 0x5f) : 1 + rng_below(&r, 255));
		fixed = unicode_repair(s);
		before = json_string(s);
		after = json_string(fixed);
		cr_assert_not_null(after, "seed %llu trial %llu", (unsigned long long)seed,
		                   (unsigned long long)trial);
		if (before)
			cr_assert_str_eq(s, fixed, "seed %llu trial %llu", (unsigned long long)seed,
			                 (unsigned long long)trial);
		else
			cr_assert_str_neq(s, fixed, "seed %llu trial %llu", (unsigned long long)seed,
			                  (unsigned long long)trial);
		json_decref(before);
		json_decref(after);
		free(fixed);
	}
}

Test(unicode, printable_leaves_nothing_that_moves_the_cursor)
{
	static const struct { const char *in, *out; } cases[] = {
		{"plain", "plain"}, {"", ""}, {"a\x1b[31mb", "a?[31mb"}, {"a\nb\tc\rd", "a?b?c?d"}, {"\xff", "?"},
		{"\xc2\x9b" "x", "?x"}, {"\xe2\x80\xae" "evil", "?evil"}, {"\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9"},
		{"\x7f", "?"}, {"\xef\xbb\xbfz", "?z"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *got = unicode_printable(cases[i].in);

		cr_expect_str_eq(got, cases[i].out, "case %zu", i);
		free(got);
	}
}

Test(unicode, width_counts_columns_not_bytes)
{
	cr_expect_eq(unicode_width("abc"), 3);
	cr_expect_eq(unicode_width(""), 0);
	cr_expect_eq(unicode_width("\xc3\xa9"), 1);                 /* e acute */
	cr_expect_eq(unicode_width("e\xcc\x81"), 1);                /* e and a combining acute */
	cr_expect_eq(unicode_width("\xe5\x85\xa8\xe8\xbf\x9e"), 4); /* two Chinese characters */
	cr_expect_eq(unicode_width("\xf0\x9f\x98\x80"), 2);         /* a face */
}
