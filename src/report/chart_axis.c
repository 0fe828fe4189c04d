/* SPDX-License-Identifier: Apache-2.0 */
#include "report/chart_axis.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WANTED = 6 }; /* ticks */

bool scale_has(const struct scale *s, double value)
{
	return isfinite(value) && (!s->axis->log || value > 0);
}

double scale_pixel(const struct scale *s, double value)
{
	double share = s->axis->log ? (log(value) - log(s->low)) / (log(s->high) - log(s->low))
	                            : (value - s->low) / (s->high - s->low);

	share = fmin(fmax(share, -1), 2); /* far outside is as good as outside, and keeps the numbers short */
	return s->from + share * (s->to - s->from);
}

/* ---- linear ---- */

/* The step of 1, 2 or 5 times a power of ten that makes about `WANTED` of `span`. */
static double step_for(double span)
{
	double raw = span / WANTED, power = pow(10, floor(log10(raw))), lead = raw / power;

	return power * (lead <= 1.5 ? 1 : lead <= 3.5 ? 2 : lead <= 7.5 ? 5 : 10);
}

static void linear_range(struct scale *s, bool zero)
{
	double span;

	if (zero && s->low > 0)
		s->low = 0;
	if (zero && s->high < 0)
		s->high = 0;
	if (!(s->low < s->high)) {
		s->low -= s->low == 0 ? 0 : fabs(s->low) / 2;
		s->high += s->high == 0 ? 1 : fabs(s->high) / 2;
	}
	span = step_for(s->high - s->low);
	s->low = span * floor(s->low / span + 1e-9);
	s->high = span * ceil(s->high / span - 1e-9);
}

static void linear_ticks(struct scale *s)
{
	double step = step_for(s->high - s->low), first = ceil(s->low / step - 1e-9);

	for (int i = 0; i < AXIS_TICKS && (first + i) * step <= s->high + 1e-9 * step; i++)
		s->tick[s->n_ticks++] = (first + i) * step;
}

/* ---- logarithmic ---- */

static void log_range(struct scale *s)
{
	double room;

	if (!(s->low < s->high)) {
		s->low /= 2;
		s->high *= 2;
	}
	room = exp((log(s->high) - log(s->low)) * 0.04);
	s->low = fmax(s->low / room, 1e-307);
	s->high = fmin(s->high * room, 1e307);
}

/* Powers of ten, as many apart as is needed; below two decades their doubles and halves too. */
static void log_ticks(struct scale *s)
{
	static const double few[] = {1, 2, 5}, one[] = {1};
	double decades = log10(s->high) - log10(s->low);
	const double *lead = decades < 2 ? few : one;
	int n = decades < 2 ? 3 : 1, stride = (int)ceil(decades / WANTED);
	int power = (int)floor(log10(s->low));

	if (stride < 1)
		stride = 1;
	power -= ((power % stride) + stride) % stride;
	for (; pow(10, power) <= s->high && s->n_ticks + n <= AXIS_TICKS; power += stride)
		for (int i = 0; i < n; i++) {
			double at = lead[i] * pow(10, power);

			if (at >= s->low * (1 - 1e-9) && at <= s->high * (1 + 1e-9))
				s->tick[s->n_ticks++] = at;
		}
	if (s->n_ticks < 2) {
		s->n_ticks = 0;
		linear_ticks(s);
	}
}

/* ---- both ---- */

struct scale scale_make(const struct chart_axis *axis, double low, double high, bool zero)
{
	struct scale s = {.axis = axis, .low = low, .high = high};
	bool none = !(low <= high), given = axis->low < axis->high && (!axis->log || axis->low > 0);

	if (none) {
		s.low = axis->log ? 0.1 : 0;
		s.high = 1;
	}
	if (given) {
		s.low = axis->low;
		s.high = axis->high;
	} else if (axis->log) {
		log_range(&s);
	} else {
		linear_range(&s, zero);
	}
	if (axis->log)
		log_ticks(&s);
	else
		linear_ticks(&s);
	return s;
}

/* 10 and its exponent in raised digits. */
static void power_of_ten(int exponent, char buf[PRINT_NUMBER])
{
	static const char *const raised[] = {"\u2070", "\u00b9", "\u00b2", "\u00b3", "\u2074",
	                                     "\u2075", "\u2076", "\u2077", "\u2078", "\u2079"};
	char digits[16];

	snprintf(digits, sizeof digits, "%d", exponent);
	strcpy(buf, "10");
	for (const char *d = digits; *d; d++)
		strcat(buf, *d == '-' ? "\u207b" : raised[*d - '0']);
}

const char *scale_label(const struct scale *s, double value, char buf[PRINT_NUMBER])
{
	double exponent = value > 0 ? log10(value) : 0;
	bool power = fabs(exponent - round(exponent)) < 1e-9 && (exponent > 5.5 || exponent < -3.5);

	if (fabs(value) < 1e-12 * fabs(s->high - s->low))
		value = 0;
	if (s->axis->percent)
		snprintf(buf, PRINT_NUMBER, "%.4g %%", 100 * value);
	else if (s->axis->log && power)
		power_of_ten((int)round(exponent), buf);
	else
		snprintf(buf, PRINT_NUMBER, fabs(value) < 1e7 ? "%.7g" : "%.4g", value);
	return buf;
}
