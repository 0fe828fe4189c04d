/* SPDX-License-Identifier: Apache-2.0 */
#include "report/text.h"

#include "report/markup.h"
#include "report/print.h"

static bool write_figures(FILE *out, const struct tamis_report *r)
{
	switch (r->kind) {
	case REPORT_SLIM: return text_slim(out, &r->slim);
	case REPORT_INFO: return text_info(out, &r->info);
	case REPORT_CHECK: return text_check(out, &r->check);
	case REPORT_COMPARE: return text_compare(out, &r->compare);
	case REPORT_OPS: return text_ops(out, &r->ops);
	case REPORT_SCORES: return text_scores(out, &r->scores);
	case REPORT_CPU: return text_cpu(out, &r->cpu);
	case REPORT_PLAN: return text_plan(out, &r->plan);
	}
	return false;
}

/* Calls with an observer have told it their warnings already. */
static bool shows_warnings(const struct tamis_report *r)
{
	return r->kind != REPORT_SLIM && r->kind != REPORT_COMPARE && r->kind != REPORT_PLAN;
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

static bool write_whole(FILE *out, const void *report)
{
	return write_report(out, report);
}

enum tamis_status report_text(const struct tamis_report *r, char **text, struct tamis_error *err)
{
	return markup_render(write_whole, r, text, err);
}
