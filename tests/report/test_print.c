/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "report/print.h"
#include "report/unicode.h"

Test(print, counts_keep_their_digits)
{
	char buf[PRINT_NUMBER];

	cr_expect_str_eq(print_count(buf, 0), "0");
	cr_expect_str_eq(print_count(buf, 999), "999");
	cr_expect_str_eq(print_count(buf, 1000), "1,000");
	cr_expect_str_eq(print_count(buf, 1234567), "1,234,567");
	cr_expect_str_eq(print_count(buf, INT64_MAX), "9,223,372,036,854,775,807");
	cr_expect_str_eq(print_count(buf, -1), "-");
	for (int64_t n = 1; n > 0 && n < INT64_MAX / 7; n *= 7) {
		char digits[PRINT_NUMBER] = "";
		int at = 0;

		print_count(buf, n);
		for (const char *p = buf; *p; p++)
			if (*p != ',')
				digits[at++] = *p;
		cr_expect_eq(strtoll(digits, NULL, 10), n);
	}
}

Test(print, figures_that_do_not_apply_are_dashes)
{
	char buf[PRINT_NUMBER];

	cr_expect_str_eq(print_figure(buf, NAN, 3), "-");
	cr_expect_str_eq(print_figure(buf, 0.00421, 2), "0.0042");
	cr_expect_str_eq(print_share(buf, NAN), "-");
	cr_expect_str_eq(print_share(buf, INFINITY), "-");
	cr_expect_str_eq(print_share(buf, 0.1234), "12.34 %");
	cr_expect_str_eq(print_ratio(buf, 300, 100), "3.00x");
	cr_expect_str_eq(print_ratio(buf, 300, 0), "");
	cr_expect_str_eq(print_ratio(buf, -1, 5), "");
	cr_expect_str_eq(print_ratio(buf, 1e300, 1), "1e+300x");
}

/* What a body writes, as a string to be freed. */
struct capture { char *text; size_t size; FILE *file; };

static struct capture *capture_start(struct capture *c)
{
	c->file = open_memstream(&c->text, &c->size);
	cr_assert_not_null(c->file);
	return c;
}

static const char *capture_end(struct capture *c)
{
	fclose(c->file);
	return c->text;
}

Test(print, a_table_lines_up)
{
	struct capture c;
	struct table t;

	capture_start(&c);
	table_start(&t, "lrr");
	table_cell(&t, "name");
	table_cell(&t, "n");
	table_cell(&t, "unused");
	table_cell(&t, "\xc3\xa9t\xc3\xa9");
	table_count(&t, 12345);
	table_cell(&t, NULL);
	table_cell(&t, "longer name");
	table_count(&t, 7);
	table_cell(&t, NULL);
	cr_assert(table_write(&t, c.file, 1));
	cr_expect_str_eq(capture_end(&c), " name              n\n \xc3\xa9t\xc3\xa9          12,345\n longer "
	                 "name       7\n");
	free(c.text);
}

Test(print, an_empty_heading_takes_no_line)
{
	struct capture c;
	struct table t;

	capture_start(&c);
	table_start(&t, "ll");
	table_cell(&t, "");
	table_cell(&t, "");
	table_cell(&t, "a");
	table_cell(&t, "b");
	cr_assert(table_write(&t, c.file, 0));
	cr_expect_str_eq(capture_end(&c), "a  b\n");
	free(c.text);
}

Test(print, names_lose_their_front_and_sentences_their_end)
{
	char name[151], sentence[151];
	struct capture c;
	struct table t;
	const char *text;

	memset(name, 'n', 150);
	memset(sentence, 's', 150);
	memcpy(name + 146, "Conv", 5);
	memcpy(sentence, "The", 3);
	sentence[150] = '\0';
	capture_start(&c);
	table_start(&t, "ns");
	table_cell(&t, "layer");
	table_cell(&t, "note");
	table_cell(&t, name);
	table_cell(&t, sentence);
	cr_assert(table_write(&t, c.file, 0));
	text = strchr(capture_end(&c), '\n') + 1;
	cr_expect_eq(strlen(text), PRINT_WIDTH + 1);
	cr_expect_eq(strncmp(text, "..n", 3), 0);
	cr_expect_not_null(strstr(text, "nConv  The"));
	cr_expect_str_eq(text + PRINT_WIDTH - 3, "s..\n");
	free(c.text);
}

/* One random word of printable, wide and broken characters. */
static void random_word(struct rng *r, char *s, size_t size)
{
	static const char *const letters[] = {"a", "W", "/", ".", "\xc3\xa9", "\xe5\x85\xa8", "e\xcc\x81",
		"\xff", "\x1b", " "};
	size_t n = (size_t)rng_below(r, size / 4);

	*s = '\0';
	while (n-- > 0)
		strcat(s, letters[rng_below(r, sizeof letters / sizeof *letters)]);
}

static void expect_lines_fit(const char *text, uint64_t seed, uint64_t trial)
{
	char line[4096];

	while (*text) {
		size_t len = strcspn(text, "\n");

		cr_assert_lt(len, sizeof line);
		memcpy(line, text, len);
		line[len] = '\0';
		cr_assert_leq(unicode_width(line), PRINT_WIDTH, "seed %llu trial %llu: %s", (unsigned long long)seed,
		              (unsigned long long)trial, line);
		cr_assert(len == 0 || line[len - 1] != ' ' || len == PRINT_WIDTH, "seed %llu trial %llu: blank at "
		          "the end",
		          (unsigned long long)seed, (unsigned long long)trial);
		text += len + 1;
	}
}

Test(print, no_line_of_a_table_is_too_long)
{
	const uint64_t seed = 11;
	char word[400];

	for (uint64_t trial = 0; trial < 500; trial++) {
		struct rng r = rng_make(seed, trial);
		struct capture c;
		struct table t;

		capture_start(&c);
		table_start(&t, "nrsnls");
		for (int i = 0; i < 6 * 4; i++) {
			random_word(&r, word, i % 6 == 1 || i % 6 == 4 ? 20 : sizeof word);
			while (*word && word[strlen(word) - 1] == ' ')
				word[strlen(word) - 1] = '\0';
			table_cell(&t, word);
		}
		cr_assert(table_write(&t, c.file, 2));
		expect_lines_fit(capture_end(&c), seed, trial);
		free(c.text);
	}
}

static void squeeze(char *s)
{
	char *out = s;

	for (; *s; s++)
		if (*s != ' ' && *s != '\n')
			*out++ = *s;
	*out = '\0';
}

/* Wrapping changes nothing but blanks and line ends. */
Test(print, wrapping_keeps_every_character)
{
	const uint64_t seed = 12;
	char word[1200];

	for (uint64_t trial = 0; trial < 500; trial++) {
		struct rng r = rng_make(seed, trial);
		int indent = (int)rng_below(&r, 30);
		struct capture c;
		char *clean;

		random_word(&r, word, sizeof word);
		capture_start(&c);
		cr_assert(print_wrapped(c.file, 0, indent, word));
		capture_end(&c);
		expect_lines_fit(c.text, seed, trial);
		clean = unicode_printable(word);
		squeeze(clean);
		squeeze(c.text);
		cr_assert_str_eq(clean, c.text, "seed %llu trial %llu", (unsigned long long)seed,
		                 (unsigned long long)trial);
		free(clean);
		free(c.text);
	}
}
