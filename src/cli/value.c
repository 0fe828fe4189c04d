/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/message.h"

static void *place(struct arguments *a, const struct option *o)
{
	return (char *)a + o->offset;
}

size_t value_word(const char *list, int i, const char **word)
{
	while (i-- > 0) {
		list += strcspn(list, "|");
		if (!*list)
			return 0;
		list++;
	}
	*word = list;
	return strcspn(list, "|");
}

static int choice_value(const struct option *o, int i)
{
	return o->values ? o->values[i] : i;
}

/* The word whose value this is; 0 when there is none. */
static size_t choice_word(const struct option *o, int value, const char **word)
{
	size_t len = 0;

	for (int i = 0; (len = value_word(o->metavar, i, word)) > 0; i++)
		if (choice_value(o, i) == value)
			break;
	return len;
}

/* ---- numbers ---- */

static size_t digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* [-]digits[.digits][e[+-]digits] and nothing else: no blanks, hexadecimal, infinity or NaN, which
 * strtod would take. main never calls setlocale, so that strtod's decimal point is the C locale's. */
static bool read_number(const char *text, double *out)
{
	const char *s = text + (*text == '-');
	size_t before = digits(s), after = 0;

	s += before;
	if (*s == '.') {
		after = digits(s + 1);
		s += 1 + after;
	}
	if (before + after == 0)
		return false;
	if (*s == 'e' || *s == 'E') {
		s += 1 + (s[1] == '-' || s[1] == '+');
		if (digits(s) == 0)
			return false;
		s += digits(s);
	}
	*out = strtod(text, NULL);
	return *s == '\0';
}

/* Digits and, where allowed, one letter for a power of 1,024. Saturates rather than overflows: the range
 * refuses it. */
static bool read_count(const char *text, bool bytes, uint64_t *out)
{
	size_t n = digits(text);
	const char *suffix = text + n, *found;
	uint64_t value = 0;
	int shift = 0;

	if (n == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		value = value > UINT64_MAX / 10 - 1 ? UINT64_MAX / 10 : value * 10 + (uint64_t)(text[i] - '0');
	if (bytes && *suffix && (found = strchr("kKmMgG", *suffix))) {
		shift = 10 * (1 + (int)(found - "kKmMgG") / 2);
		suffix++;
	}
	*out = value > UINT64_MAX >> shift ? UINT64_MAX : value << shift;
	return *suffix == '\0';
}

static bool in_range(const struct option *o, double x)
{
	return (o->open_low ? x > o->low : x >= o->low) && (o->open_high ? x < o->high : x <= o->high);
}

/* ---- what was wanted ---- */

static enum tamis_status refuse(const struct option *o, const char *wanted, const char *text)
{
	char name[32];

	return usage_error("%s wants %s, not '%.200s'", option_shown(o, name), wanted, text);
}

static enum tamis_status refuse_number(const struct option *o, const char *text)
{
	char wanted[128];

	if (o->open_low && o->open_high)
		snprintf(wanted, sizeof wanted, "a number above %g and below %g", o->low, o->high);
	else if (o->open_low)
		snprintf(wanted, sizeof wanted, "a number above %g and at most %g", o->low, o->high);
	else if (o->open_high)
		snprintf(wanted, sizeof wanted, "a number of at least %g and below %g", o->low, o->high);
	else
		snprintf(wanted, sizeof wanted, "a number from %g to %g", o->low, o->high);
	return refuse(o, wanted, text);
}

static enum tamis_status refuse_count(const struct option *o, const char *text)
{
	char wanted[128];

	if (o->high > 1e6)
		snprintf(wanted, sizeof wanted, "a whole number of at least %.0f", o->low);
	else
		snprintf(wanted, sizeof wanted, "a whole number from %.0f to %.0f", o->low, o->high);
	return refuse(o, wanted, text);
}

/* "auto, dense or sparse" */
static enum tamis_status refuse_word(const struct option *o, const char *text)
{
	char wanted[160] = "";
	const char *word;
	size_t len;

	for (int i = 0; (len = value_word(o->metavar, i, &word)) > 0; i++) {
		size_t at = strlen(wanted);
		const char *join = i == 0 ? "" : word[len] ? ", " : " or ";

		snprintf(wanted + at, sizeof wanted - at, "%s%.*s", join, (int)len, word);
	}
	return refuse(o, wanted, text);
}

/* ---- storing ---- */

static enum tamis_status store_number(struct arguments *a, const struct option *o, const char *text)
{
	double x;

	if (!read_number(text, &x) || !in_range(o, x))
		return refuse_number(o, text);
	*(double *)place(a, o) = x;
	return TAMIS_OK;
}

static enum tamis_status store_count(struct arguments *a, const struct option *o, const char *text)
{
	uint64_t n;

	if (!read_count(text, o->kind == OPTION_BYTES, &n) || !in_range(o, (double)n))
		return o->kind == OPTION_BYTES ? refuse(o, "a number of bytes such as 500M or 4G", text)
		                               : refuse_count(o, text);
	if (o->kind == OPTION_INT)
		*(int *)place(a, o) = (int)n;
	else if (o->kind == OPTION_INT64)
		*(int64_t *)place(a, o) = (int64_t)n;
	else
		*(uint64_t *)place(a, o) = n;
	return TAMIS_OK;
}

/* "30%" */
static bool read_percent(const char *text, double *percent)
{
	size_t len = strlen(text);
	char number[32];

	if (len < 2 || len >= sizeof number || text[len - 1] != '%')
		return false;
	snprintf(number, sizeof number, "%.*s", (int)len - 1, text);
	return read_number(number, percent);
}

static enum tamis_status store_share(struct arguments *a, const struct option *o, const char *text)
{
	double percent;

	if (!read_percent(text, &percent) || !(percent > 0 && percent < 100))
		return refuse(o, "a percentage between 0 and 100 such as 50%", text);
	*(double *)place(a, o) = percent / 100;
	return TAMIS_OK;
}

static enum tamis_status store_size(struct arguments *a, const struct option *o, const char *text)
{
	static const char wanted[] = "bytes such as 700K or a percentage above 0 and at most 100 such as 30%";
	uint64_t bytes;
	double percent;

	if (strchr(text, '%')) {
		if (!read_percent(text, &percent) || !(percent > 0 && percent <= 100))
			return refuse(o, wanted, text);
		a->slim.target_size = percent / 100;
		a->slim.target_bytes = 0;
		return TAMIS_OK;
	}
	if (!read_count(text, true, &bytes) || !in_range(o, (double)bytes))
		return refuse(o, wanted, text);
	a->slim.target_bytes = bytes;
	a->slim.target_size = -1;
	return TAMIS_OK;
}

static enum tamis_status store_shard(struct arguments *a, const struct option *o, const char *text)
{
	static const char wanted[] = "a part and the number of parts such as 1/7";
	const char *slash = strchr(text, '/');
	char first[16];
	uint64_t shard, shards;

	if (!slash || slash - text >= (long)sizeof first)
		return refuse(o, wanted, text);
	snprintf(first, sizeof first, "%.*s", (int)(slash - text), text);
	if (!read_count(first, false, &shard) || !read_count(slash + 1, false, &shards) || shard < 1 || shards > (uint64_t)o->high
	    || shard > shards)
		return refuse(o, wanted, text);
	a->shard = (int)shard;
	a->shards = (int)shards;
	return TAMIS_OK;
}

static enum tamis_status store_word(struct arguments *a, const struct option *o, const char *text)
{
	const char *word;
	size_t len;

	for (int i = 0; (len = value_word(o->metavar, i, &word)) > 0; i++) {
		if (len != strlen(text) || memcmp(word, text, len) != 0)
			continue;
		if (o->kind == OPTION_CHOICE)
			*(int *)place(a, o) = choice_value(o, i);
		else
			*(const char **)place(a, o) = text;
		return TAMIS_OK;
	}
	return refuse_word(o, text);
}

static enum tamis_status store_text(struct arguments *a, const struct option *o, const char *text)
{
	if (!*text)
		return refuse(o, o->metavar, text);
	if (o->kind == OPTION_LIST) {
		struct texts *list = place(a, o);

		list->at[list->n++] = text;
	} else {
		*(const char **)place(a, o) = text;
	}
	return TAMIS_OK;
}

enum tamis_status value_store(struct arguments *a, const struct option *o, const char *text)
{
	switch (o->kind) {
	case OPTION_FLAG:
	case OPTION_CLEAR: *(bool *)place(a, o) = o->kind == OPTION_FLAG; return TAMIS_OK;
	case OPTION_TEXT:
	case OPTION_LIST: return store_text(a, o, text);
	case OPTION_NUMBER: return store_number(a, o, text);
	case OPTION_INT:
	case OPTION_INT64:
	case OPTION_BYTES: return store_count(a, o, text);
	case OPTION_SHARE: return store_share(a, o, text);
	case OPTION_SIZE: return store_size(a, o, text);
	case OPTION_SHARD: return store_shard(a, o, text);
	case OPTION_CHOICE:
	case OPTION_WORD: return store_word(a, o, text);
	}
	return TAMIS_E_INTERNAL;
}

const char *value_default(const struct arguments *defaults, const struct option *o, char buf[64])
{
	const void *at = (const char *)defaults + o->offset;
	const char *word = "";
	size_t len;

	buf[0] = '\0';
	if (o->kind == OPTION_NUMBER && *(const double *)at >= 0) {
		snprintf(buf, 64, "%g", *(const double *)at);
	} else if (o->kind == OPTION_INT) {
		snprintf(buf, 64, "%d", *(const int *)at);
	} else if (o->kind == OPTION_INT64 && *(const int64_t *)at > 0) {
		snprintf(buf, 64, "%" PRId64, *(const int64_t *)at);
	} else if (o->kind == OPTION_WORD && *(const char *const *)at) {
		snprintf(buf, 64, "%s", *(const char *const *)at);
	} else if (o->kind == OPTION_CHOICE) {
		len = choice_word(o, *(const int *)at, &word);
		snprintf(buf, 64, "%.*s", (int)len, word);
	}
	return buf;
}
