/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/message.h"
#include "cli/value.h"

void arguments_default(struct arguments *a)
{
	*a = (struct arguments){.progress = PROGRESS_AUTO};
	tamis_slim_options_default(&a->slim);
}

void arguments_free(struct arguments *a)
{
	free(a->operands.at);
	free(a->data.at);
	free(a->holdout.at);
	free(a->shapes.at);
	*a = (struct arguments){0};
}

bool option_of(const struct option *o, const struct command *c)
{
	return c ? (o->commands & (unsigned)c->bit) != 0 : o->commands == 0;
}

const char *option_shown(const struct option *o, char buf[32])
{
	if (o->letter == 'j' || o->letter == 'c') /* known by their letter */
		snprintf(buf, 32, "-%c", o->letter);
	else
		snprintf(buf, 32, "--%s", o->name);
	return buf;
}

/* ---- what was meant ---- */

enum { LONGEST_WORD = 40 };

/* Levenshtein's distance: insertions, deletions and replacements of one character. O(|a| |b|). */
static int distance(const char *a, const char *b)
{
	int row[LONGEST_WORD + 1];
	int m = (int)strlen(a), n = (int)strlen(b);

	if (m > LONGEST_WORD || n > LONGEST_WORD)
		return LONGEST_WORD;
	for (int j = 0; j <= n; j++)
		row[j] = j;
	for (int i = 1; i <= m; i++) {
		int corner = row[0];

		row[0] = i;
		for (int j = 1; j <= n; j++) {
			int best = corner + (a[i - 1] != b[j - 1]);

			corner = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

/* Keeps in *best the candidate nearest to `word`, if it is near: one change in three characters. */
static void consider(const char *word, const char *candidate, const char **best, int *least)
{
	int d = distance(word, candidate);

	if (d < *least && d <= 1 + (int)strlen(candidate) / 3 && d < (int)strlen(candidate)) {
		*best = candidate;
		*least = d;
	}
}

static enum tamis_status unknown_command(const char *word)
{
	const char *best = NULL;
	int least = LONGEST_WORD;

	for (size_t i = 0; i < n_commands; i++)
		consider(word, commands[i].name, &best, &least);
	if (best)
		return usage_error("there is no command '%.200s'; did you mean '%s'?", word, best);
	return usage_error("there is no command '%.200s'; see 'tamis --help'", word);
}

static const char *command_taking(const char *name, size_t len)
{
	for (size_t i = 0; i < n_options; i++)
		for (size_t c = 0; c < n_commands; c++)
			if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0
			    && option_of(&options[i], &commands[c]))
				return commands[c].name;
	return NULL;
}

static enum tamis_status unknown_option(const struct command *c, const char *name, size_t len)
{
	const char *best = NULL, *other = command_taking(name, len), *who = c ? c->name : "tamis";
	char word[LONGEST_WORD + 2];
	int least = LONGEST_WORD;

	snprintf(word, sizeof word, "%.*s", (int)(len > LONGEST_WORD ? LONGEST_WORD + 1 : len), name);
	for (size_t i = 0; i < n_options; i++)
		if (option_of(&options[i], c))
			consider(word, options[i].name, &best, &least);
	if (other)
		return usage_error("%s has no option '--%s'; '%s' has", who, word, other);
	if (best)
		return usage_error("%s has no option '--%.200s'; did you mean '--%s'?", who, name, best);
	return usage_error("%s has no option '--%.200s'; see 'tamis%s%s --help'", who, name, c ? " " : "",
	                   c ? c->name : "");
}

static enum tamis_status unknown_letter(const struct command *c, char letter)
{
	return usage_error("%s has no option '-%c'; see 'tamis%s%s --help'", c ? c->name : "tamis", letter,
	                   c ? " " : "", c ? c->name : "");
}

/* ---- parsing ---- */

struct words {
	char **at;
	int n, next;
};

static bool takes_value(const struct option *o)
{
	return o->kind != OPTION_FLAG && o->kind != OPTION_CLEAR;
}

static enum tamis_status store_next(struct arguments *a, const struct option *o, struct words *w)
{
	char name[32];

	if (!takes_value(o))
		return value_store(a, o, NULL);
	if (w->next == w->n)
		return usage_error("%s wants a value: %s", option_shown(o, name), o->metavar);
	return value_store(a, o, w->at[w->next++]);
}

/* --name, --name VALUE or --name=VALUE */
static enum tamis_status parse_long(struct arguments *a, const char *text, struct words *w)
{
	size_t len = strcspn(text, "=");

	for (size_t i = 0; i < n_options; i++) {
		const struct option *o = &options[i];

		if (!option_of(o, a->command) || strlen(o->name) != len || memcmp(o->name, text, len) != 0)
			continue;
		if (text[len] == '\0')
			return store_next(a, o, w);
		if (!takes_value(o))
			return usage_error("--%s takes no value, and '%.200s' came", o->name, text + len + 1);
		return value_store(a, o, text + len + 1);
	}
	return unknown_option(a->command, text, len);
}

static const struct option *by_letter(const struct command *c, char letter)
{
	for (size_t i = 0; i < n_options; i++)
		if (option_of(&options[i], c) && options[i].letter == letter)
			return &options[i];
	return NULL;
}

/* -q, -qv, -j 4 or -j4 */
static enum tamis_status parse_letters(struct arguments *a, const char *text, struct words *w)
{
	for (; *text; text++) {
		const struct option *o = by_letter(a->command, *text);
		enum tamis_status status;

		if (!o)
			return unknown_letter(a->command, *text);
		if (takes_value(o) && text[1])
			return value_store(a, o, text + 1);
		status = store_next(a, o, w);
		if (status != TAMIS_OK || takes_value(o))
			return status;
	}
	return TAMIS_OK;
}

static enum tamis_status parse_command(struct arguments *a, const char *word)
{
	for (size_t i = 0; i < n_commands; i++)
		if (strcmp(commands[i].name, word) == 0) {
			a->command = &commands[i];
			return TAMIS_OK;
		}
	return unknown_command(word);
}

static enum tamis_status parse_words(struct arguments *a, struct words *w)
{
	bool only_operands = false;
	enum tamis_status status = TAMIS_OK;

	while (status == TAMIS_OK && w->next < w->n) {
		const char *word = w->at[w->next++];

		if (!only_operands && strcmp(word, "--") == 0)
			only_operands = true;
		else if (!only_operands && word[0] == '-' && word[1] == '-')
			status = parse_long(a, word + 2, w);
		else if (!only_operands && word[0] == '-' && word[1])
			status = parse_letters(a, word + 1, w);
		else if (!a->command)
			status = parse_command(a, word);
		else
			a->operands.at[a->operands.n++] = word;
	}
	return status;
}

static enum tamis_status check_operands(const struct arguments *a)
{
	const struct command *c = a->command;
	size_t n = a->operands.n;

	if (n > (size_t)c->max_operands)
		return usage_error("'%.200s' is one operand too many: tamis %s%s%s",
		                   a->operands.at[c->max_operands], c->name, *c->operands ? " " : "", c->operands);
	if (n < (size_t)c->min_operands)
		return usage_error("an operand is missing: tamis %s %s", c->name, c->operands);
	for (size_t i = 0; i < n; i++)
		if (!*a->operands.at[i])
			return usage_error("a file name was expected, and an empty word came: tamis %s %s", c->name,
			                   c->operands);
	return TAMIS_OK;
}

static bool make_room(struct texts *t, int n)
{
	t->at = calloc((size_t)n + 1, sizeof *t->at);
	return t->at != NULL;
}

enum tamis_status arguments_parse(struct arguments *a, int argc, char **argv)
{
	struct words w = {.at = argv, .n = argc, .next = 1};
	enum tamis_status status;

	arguments_default(a);
	if (!make_room(&a->operands, argc) || !make_room(&a->data, argc) || !make_room(&a->holdout, argc)
	    || !make_room(&a->shapes, argc)) {
		fputs("tamis: out of memory while reading the command line\n", stderr);
		return TAMIS_E_MEMORY;
	}
	status = parse_words(a, &w);
	if (status != TAMIS_OK || a->help || a->version || !a->command)
		return status;
	return check_operands(a);
}
