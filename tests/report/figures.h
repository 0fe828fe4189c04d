/* SPDX-License-Identifier: Apache-2.0 */
/* Reports filled with plain, hostile or missing figures, for the tests of the renderings. */
#ifndef TEST_REPORT_FIGURES_H
#define TEST_REPORT_FIGURES_H

#include "report/report.h"

enum filling { FILL_NOTHING, FILL_PLAIN, FILL_HOSTILE };
enum { N_KINDS = REPORT_PLAN + 1, N_FILLINGS = 3 };

/* A report of any kind, freed with report_free; NULL when out of memory. */
struct tamis_report *make_report(enum report_kind kind, enum filling filling);

#endif
