/* SPDX-License-Identifier: Apache-2.0 */
#include "report/markup.h"

#include <locale.h>
#include <stdlib.h>

#include "report/unicode.h"

bool markup_text(FILE *out, const char *s)
{
	char *clean = unicode_printable(s ? s : "");

	if (!clean)
		return false;
	for (const char *c = clean; *c; c++)
		switch (*c) {
		case '&': fputs("&amp;", out); break;
		case '<': fputs("&lt;", out); break;
		case '>': fputs("&gt;", out); break;
		case '"': fputs("&quot;", out); break;
		case '\'': fputs("&#39;", out); break;
		default: fputc(*c, out);
		}
	free(clean);
	return true;
}

enum tamis_status markup_render(bool (*write)(FILE *out, const void *what), const void *what, char **text,
                                struct tamis_error *err)
{
	size_t size = 0;
	char *buf = NULL;
	FILE *out = open_memstream(&buf, &size);
	locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0), before;
	bool ok = out && plain;

	*text = NULL;
	if (ok) {
		before = uselocale(plain);
		ok = write(out, what) && !ferror(out);
		uselocale(before);
	}
	if (out && fclose(out) != 0)
		ok = false;
	if (plain)
		freelocale(plain);
	if (!ok) {
		free(buf);
		return tm_no_memory(err, "writing a report");
	}
	*text = buf;
	return TAMIS_OK;
}
