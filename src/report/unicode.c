/* SPDX-License-Identifier: Apache-2.0 */
#include "report/unicode.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Smallest character of each sequence length: shorter forms of it are overlong and refused. */
static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};

static size_t sequence_length(unsigned char lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >= 0xc0 && lead < 0xe0)
		return 2;
	if (lead >= 0xe0 && lead < 0xf0)
		return 3;
	return lead >= 0xf0 && lead < 0xf8 ? 4 : 0;
}

size_t unicode_decode(const char *s, uint32_t *c)
{
	const unsigned char *b = (const unsigned char *)s;
	size_t len = sequence_length(b[0]);
	uint32_t value = b[0];

	if (len == 1) {
		*c = value;
		return 1;
	}
	value &= len ? 0x7fu >> len : 0;
	for (size_t i = 1; i < len; i++) {
		if ((b[i] & 0xc0) != 0x80) { /* the NUL too, so that nothing behind it is read */
			len = 0;
			break;
		}
		value = value << 6 | (b[i] & 0x3f);
	}
	if (len == 0 || value < least[len] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) {
		*c = UNICODE_BAD;
		return 1;
	}
	*c = value;
	return len;
}

struct range { uint32_t first, last; };

static bool within(const struct range *r, size_t n, uint32_t c)
{
	for (size_t i = 0; i < n; i++)
		if (c >= r[i].first && c <= r[i].last)
			return true;
	return false;
}

/* Blocks, not single characters: enough to keep a table straight, without a copy of the Unicode
 * database. */
int unicode_columns(uint32_t c)
{
	static const struct range none[] = {{0x300, 0x36f}, {0x483, 0x489}, {0x591, 0x5bd}, {0x64b, 0x65f},
		{0x1ab0, 0x1aff},
		{0x1dc0, 0x1dff}, {0x200b, 0x200d}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};
	static const struct range wide[] = {{0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0xa4cf},
		{0xac00, 0xd7a3},
		{0xf900, 0xfaff}, {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f},
		{0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

	if (c < 0x300)
		return 1;
	if (within(none, sizeof none / sizeof *none, c))
		return 0;
	return within(wide, sizeof wide / sizeof *wide, c) ? 2 : 1;
}

int unicode_width(const char *s)
{
	int width = 0;
	uint32_t c;

	while (*s) {
		s += unicode_decode(s, &c);
		width += unicode_columns(c);
	}
	return width;
}

static bool showable(uint32_t c)
{
	static const struct range hidden[] = {{0, 0x1f}, {0x7f, 0x9f}, {0x200e, 0x200f}, {0x2028, 0x202e},
		{0x2060, 0x206f}, {0xfdd0, 0xfdef}, {0xfeff, 0xfeff}, {0xfff0, 0xffff}};

	return !within(hidden, sizeof hidden / sizeof *hidden, c);
}

char *unicode_printable(const char *s)
{
	char *copy = malloc(strlen(s) + 1), *out = copy;
	uint32_t c;

	if (!copy)
		return NULL;
	while (*s) {
		size_t len = unicode_decode(s, &c);

		if (showable(c)) {
			memcpy(out, s, len);
			out += len;
		} else {
			*out++ = '?';
		}
		s += len;
	}
	*out = '\0';
	return copy;
}

char *unicode_repair(const char *s)
{
	size_t size = strlen(s);
	char *copy = size > (PTRDIFF_MAX - 1) / 3 ? NULL : malloc(3 * size + 1), *out = copy;
	uint32_t c;

	if (!copy)
		return NULL;
	while (*s) {
		size_t len = unicode_decode(s, &c);

		if (c == UNICODE_BAD) {
			memcpy(out, "\xef\xbf\xbd", 3);
			out += 3;
		} else {
			memcpy(out, s, len);
			out += len;
		}
		s += len;
	}
	*out = '\0';
	return copy;
}
