/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Length of the well-formed UTF-8 sequence at s (Unicode 15, table 3-7), 0 where there is none. Stops at a
 * NUL. */
static size_t utf8_length(const unsigned char *s)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t len;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0; /* shorter forms exist */
	if (s[0] == 0xf0)
		low = 0x90;
	if (s[0] == 0xed)
		high = 0x9f; /* surrogates */
	if (s[0] == 0xf4)
		high = 0x8f; /* beyond U+10FFFF */
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	return len;
}

static int is_control(const unsigned char *s, size_t len)
{
	return (len == 1 && (s[0] < 0x20 || s[0] == 0x7f)) || (len == 2 && s[0] == 0xc2 && s[1] < 0xa0);
}

/* Copies what may be shown, whole characters only; each bad byte or control character becomes one '?'. */
static void copy_printable(char *out, size_t size, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t at = 0;

	while (*s) {
		size_t len = utf8_length(s);
		int bad = len == 0 || is_control(s, len);
		size_t need = bad ? 1 : len;

		if (at + need >= size)
			break;
		if (bad)
			out[at] = '?';
		else
			memcpy(out + at, s, len);
		at += need;
		s += len ? len : 1;
	}
	out[at] = '\0';
}

enum tamis_status tm_fail(struct tamis_error *err, enum tamis_status status, const char *fmt, ...)
{
	char text[sizeof err->message];
	va_list args;

	if (!err || err->status != TAMIS_OK)
		return status;
	va_start(args, fmt);
	if (vsnprintf(text, sizeof text, fmt, args) < 0)
		text[0] = '\0';
	va_end(args);
	err->status = status;
	copy_printable(err->message, sizeof err->message, text[0] ? text : tamis_status_text(status));
	return status;
}

enum tamis_status tm_no_memory(struct tamis_error *err, const char *what)
{
	return tm_fail(err, TAMIS_E_MEMORY, "out of memory while %s", what);
}

static enum tamis_status name_place(struct tamis_error *err, char *field, size_t size, const char *name)
{
	if (err->status != TAMIS_OK && field[0] == '\0' && name)
		copy_printable(field, size, name);
	return err->status;
}

enum tamis_status tm_in_file(struct tamis_error *err, const char *file)
{
	return err ? name_place(err, err->file, sizeof err->file, file) : TAMIS_E_INTERNAL;
}

enum tamis_status tm_in_node(struct tamis_error *err, const char *node)
{
	return err ? name_place(err, err->node, sizeof err->node, node) : TAMIS_E_INTERNAL;
}

enum tamis_status tm_in_tensor(struct tamis_error *err, const char *tensor)
{
	return err ? name_place(err, err->tensor, sizeof err->tensor, tensor) : TAMIS_E_INTERNAL;
}

void tamis_error_clear(struct tamis_error *err)
{
	if (err)
		memset(err, 0, sizeof *err);
}

const char *tamis_status_text(enum tamis_status status)
{
	switch (status) {
	case TAMIS_OK: return "done";
	case TAMIS_E_INTERNAL: return "internal failure";
	case TAMIS_E_USAGE: return "wrong usage";
	case TAMIS_E_INVALID: return "invalid model or data";
	case TAMIS_E_UNSUPPORTED: return "not supported";
	case TAMIS_E_GATE: return "the gate was not met";
	case TAMIS_E_OUTPUT: return "the output could not be written";
	case TAMIS_E_MEMORY: return "out of memory";
	case TAMIS_E_CANCELLED: return "cancelled";
	}
	return "unknown status";
}
