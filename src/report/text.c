/* SPDX-License-Identifier: Apache-2.0 */
#include "report/text.h"

#include <locale.h>
#include <stdlib.h>

#include "report/print.h"

static bool write_figures(FILE *out, const struct tamis_report *r)
{
	switch (r->kind) {
	case REPORT_SLIM: return text_slim(out, &r->slim);
	case REPORT_INFO: return text_info(out, &r->info);
	case REPORT_CHECK: return text_check(out, &r->check);
	case REPORT_COMPARE: return text_compare(out, &r->compare);
	case REPORT_OPS: return text_ops(out, &r->ops);
	case REPORT_CPU: return text_cpu(out, &r->cpu);
	}
	return false;
}

/* Calls with an observer have told it their warnings already. */
static bool shows_warnings(const struct tamis_report *r)
{
	return r->kind != REPORT_SLIM && r->kind != REPORT_COMPARE;
}

static bool write_report(FILE *out, const struct tamis_report *r)
{
	bool ok = write_figures(out, r);

	if (ok && r->kind != REPORT_CPU && r->cpu.processor) {
		fputc('\n', out);
		ok = text_cpu(out, &r->cpu);
	}
	for (size_t i = 0; ok && shows_warnings(r) && i < r->n_warnings; i++) {
		fputs(i ? "warning: " : "\nwarning: ", out);
		ok = print_wrapped(out, 9, 9, r->warnings[i]);
	}
	return ok;
}

/* Under the C locale of this thread only, so that a caller's decimal commas do not reach the figures. */
enum tamis_status report_text(const struct tamis_report *r, char **text, struct tamis_error *err)
{
	size_t size = 0;
	char *buf = NULL;
	FILE *out = open_memstream(&buf, &size);
	locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0), before;
	bool ok = out && plain;

	*text = NULL;
	if (ok) {
		before = uselocale(plain);
		ok = write_report(out, r) && !ferror(out);
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
