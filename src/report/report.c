/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>

static const struct model_figures no_figures = {
	.nodes = -1, .initializers = -1, .parameters = -1, .nonzeros = -1, .connections = -1,
	.connections_nonzero = -1,
	.macs = -1, .macs_nonzero = -1, .file_bytes = -1, .gzip_bytes = -1, .channels = -1,
};

static void empty_slim(struct slim_figures *s)
{
	*s = (struct slim_figures){
		.alpha = NAN, .before = no_figures, .after = no_figures, .tests = -1, .significant = -1, .inverted = -1,
		.channels_removed = -1, .keep = NAN, .seconds_score = NAN, .seconds_search = NAN,
		.seconds_total = NAN,
	};
	s->gate = (struct gate_figures){
		.fit_items = -1, .held_out_items = -1, .tolerance = NAN, .confidence = NAN, .value = NAN,
		.bound = NAN, .disagreement = NAN, .disagreement_upper = NAN, .worst = NAN, .looks = -1,
		.label_loss = NAN, .label_p = NAN, .accuracy_before = NAN, .accuracy_after = NAN,
		.calibration_error = NAN, .temperature = NAN, .expected = NAN, .tempered = NAN,
	};
}

static void empty_compare(struct compare_figures *c)
{
	*c = (struct compare_figures){
		.items = -1, .agree = -1, .agree_lower = NAN, .agree_upper = NAN, .max_abs = NAN, .max_rel = NAN,
		.relative_squared_error = NAN, .expected_loss = NAN, .accuracy_a = NAN, .accuracy_b = NAN,
		.mcnemar_p = NAN,
		.only_a = -1, .only_b = -1,
	};
}

struct tamis_report *report_create(enum report_kind kind)
{
	struct tamis_report *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->kind = kind;
	switch (kind) {
	case REPORT_SLIM: empty_slim(&r->slim); break;
	case REPORT_INFO: r->info.ir_version = -1; r->info.figures = no_figures; break;
	case REPORT_COMPARE: empty_compare(&r->compare); break;
	case REPORT_CHECK:
	case REPORT_OPS:
	case REPORT_SCORES:
	case REPORT_PLAN:
	case REPORT_CPU: break;
	}
	return r;
}

enum tamis_status report_warn(struct tamis_report *r, const char *sentence)
{
	void *warnings = r->warnings;
	char *copy = arena_strdup(&r->arena, sentence);

	if (!copy || !tm_grow(&warnings, &r->cap_warnings, r->n_warnings + 1, sizeof *r->warnings))
		return TAMIS_E_MEMORY;
	r->warnings = warnings;
	r->warnings[r->n_warnings++] = copy;
	return TAMIS_OK;
}

void report_free(struct tamis_report *r)
{
	if (!r)
		return;
	free(r->warnings);
	score_file_free(&r->score_file);
	arena_free(&r->arena);
	free(r);
}
