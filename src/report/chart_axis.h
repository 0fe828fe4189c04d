/* SPDX-License-Identifier: Apache-2.0 */
/* Where values lie on an axis of a chart, and which of them are written beside it. */
#ifndef REPORT_CHART_AXIS_H
#define REPORT_CHART_AXIS_H

#include "report/chart.h"
#include "report/print.h"

enum { AXIS_TICKS = 16 };

/* An axis with its range settled. */
struct scale {
	const struct chart_axis *axis;
	double low, high; /* low < high; both positive on a logarithmic axis */
	double from, to;  /* pixels of low and high */
	double tick[AXIS_TICKS];
	int n_ticks;
};

/* Settles range and ticks for values between low and high (low > high: there are none). `zero`: what stands
 * on the axis stands on zero. Pixels are still to be set. */
struct scale scale_make(const struct chart_axis *axis, double low, double high, bool zero);

/* Whether a value has a place. */
bool scale_has(const struct scale *s, double value);

/* Its pixel; outside the range it lies outside from .. to. */
double scale_pixel(const struct scale *s, double value);

/* A value as ticks and hints write it: "0.05", "5 %", "10^-6" with raised digits. Returns buf. */
const char *scale_label(const struct scale *s, double value, char buf[PRINT_NUMBER]);

#endif
