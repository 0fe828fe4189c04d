/* SPDX-License-Identifier: Apache-2.0 */
/* The plain-text form of each kind of report. Every function writes whole lines and is false when out of
 * memory. */
#ifndef REPORT_TEXT_H
#define REPORT_TEXT_H

#include <stdio.h>

#include "report/report.h"

bool text_slim(FILE *out, const struct slim_figures *s);
bool text_info(FILE *out, const struct info_figures *f);
bool text_check(FILE *out, const struct check_figures *f);
bool text_compare(FILE *out, const struct compare_figures *f);
bool text_ops(FILE *out, const struct ops_figures *f);
bool text_scores(FILE *out, const struct scores_figures *f);
bool text_plan(FILE *out, const struct forecast_figures *f);
bool text_cpu(FILE *out, const struct cpu_figures *f);

#endif
