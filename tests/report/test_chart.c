/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "markup_check.h"
#include "report/chart.h"
#include "report/chart_axis.h"

static char *svg_of(const struct chart *c)
{
	struct tamis_error err = {0};
	char *svg = NULL;

	cr_assert_eq(chart_svg(c, &svg, &err), TAMIS_OK, "%s", err.message);
	cr_expect_null(markup_fault(svg), "%s in %s", markup_fault(svg), svg);
	cr_expect_null(strstr(svg, "nan"), "%s", svg);
	cr_expect_null(strstr(svg, "inf"), "%s", svg);
	return svg;
}

static int count(const char *text, const char *word)
{
	int n = 0;

	for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
		n++;
	return n;
}

Test(chart, every_mark_is_drawn)
{
	const double x[] = {1, 2, 3}, to[] = {2, 3, 4}, y[] = {0.1, 0.3, 0.2}, low[] = {0.05, 0.2, 0.1},
				 high[] = {0.2, 0.4, 0.3};
	struct chart_series s[] = {
		{.name = "line", .mark = CHART_LINE, .x = x, .y = y, .n = 3},
		{.name = "ideal", .mark = CHART_DASHED, .x = x, .y = y, .n = 3},
		{.name = "band", .mark = CHART_BAND, .x = x, .low = low, .high = high, .n = 3},
		{.name = "dots", .mark = CHART_POINTS, .x = x, .y = y, .low = low, .high = high, .n = 3},
		{.name = "blocks", .mark = CHART_BLOCKS, .x = x, .x_to = to, .y = y, .n = 3},
	};
	struct chart_rule rule = {.vertical = true, .at = 2.5, .label = "here"};
	struct chart c = {.title = "all",
	                  .x.label = "x",
	                  .y.label = "y",
	                  .series = s,
	                  .n_series = 5,
	                  .rules = &rule,
	                  .n_rules = 1};
	char *svg = svg_of(&c);

	cr_expect_eq(count(svg, "<circle"), 3);
	cr_expect_eq(count(svg, "<path"), 3);
	cr_expect_eq(count(svg, "stroke-dasharray"), 2); /* the dashed line, and the style of rules */
	cr_expect_eq(count(svg, "<rect"), 3 + 5);        /* blocks, and the legend */
	cr_expect_eq(count(svg, "class=\"rule\""), 1);
	free(svg);
}

Test(chart, bars_stand_and_lie)
{
	const char *const names[] = {"conv1", "conv2", "fc"};
	const double a[] = {0.1, 0.2, 0.3}, b[] = {0.3, NAN, 0.1};
	struct chart_series s[] = {{.name = "a", .mark = CHART_BARS, .y = a, .n = 3},
	                           {.name = "b", .mark = CHART_BARS, .y = b, .n = 3}};
	struct chart standing = {.x.names = names, .x.n_names = 3, .y.percent = true, .series = s, .n_series = 2};
	struct chart lying = {.y.names = names, .y.n_names = 3, .x.percent = true, .series = s, .n_series = 2};
	char *first = svg_of(&standing), *second = svg_of(&lying);

	cr_expect_eq(count(first, "<title>"), 5);
	cr_expect_eq(count(second, "<title>"), 5);
	cr_expect_not_null(strstr(first, "conv2"));
	cr_expect_not_null(strstr(second, "30 %"));
	free(first);
	free(second);
}

/* Names are text whatever they hold. */
Test(chart, names_stay_text)
{
	const char *evil = "</text><script>alert(1)</script>\" onload='x' & \xff\x01";
	const char *const names[] = {evil};
	const double one[] = {1};
	struct chart_series s = {.name = evil, .mark = CHART_BARS, .y = one, .n = 1};
	struct chart_rule rule = {.at = 0.5, .label = evil};
	struct chart c = {.title = evil,
	                  .x.names = names,
	                  .x.n_names = 1,
	                  .y.label = evil,
	                  .series = &s,
	                  .n_series = 1,
	                  .rules = &rule,
	                  .n_rules = 1};
	char *svg = svg_of(&c);

	cr_expect_null(strstr(svg, "<script"));
	free(svg);
}

Test(chart, nothing_to_show_is_an_empty_plot)
{
	const double bad[] = {NAN, INFINITY, -1};
	struct chart_series s = {.mark = CHART_BOTH, .x = bad, .y = bad, .n = 3};
	struct chart none = {.title = "nothing"},
				 log = {.x.log = true, .y.log = true, .series = &s, .n_series = 1};
	char *first = svg_of(&none), *second = svg_of(&log);

	cr_expect_eq(count(second, "<circle"), 0);
	free(first);
	free(second);
}

/* Any values give well-formed numbers; ticks lie in the range and rise. */
Test(chart, random_values)
{
	struct rng r = rng_make(7, 1);

	for (int trial = 0; trial < 400; trial++) {
		double x[5], y[5];
		struct chart_series s = {.mark = trial % 2 ? CHART_BOTH : CHART_LINE, .x = x, .y = y, .n = 5};
		struct chart c = {.x.log = trial % 3 == 0, .y.log = trial % 5 == 0, .series = &s, .n_series = 1};
		struct scale scale;

		for (int i = 0; i < 5; i++) {
			x[i] = (rng_uniform(&r) - 0.3) * pow(10, 40 * rng_uniform(&r) - 20);
			y[i] = rng_uniform(&r) < 0.2 ? NAN : x[i] * x[i];
		}
		free(svg_of(&c));
		scale = scale_make(&c.x, fabs(x[0]), fabs(x[0]) * (1 + rng_uniform(&r) * 1000), false);
		cr_expect_lt(scale.low, scale.high, "trial %d", trial);
		cr_expect_geq(scale.n_ticks, 2, "trial %d: %g to %g", trial, scale.low, scale.high);
		for (int i = 1; i < scale.n_ticks; i++)
			cr_expect_lt(scale.tick[i - 1], scale.tick[i], "trial %d", trial);
	}
}

Test(chart, powers_have_raised_digits)
{
	struct chart_axis axis = {.log = true};
	struct scale s = scale_make(&axis, 1e-9, 1, false);
	char buf[PRINT_NUMBER];

	cr_expect_str_eq(scale_label(&s, 1e-6, buf), "10\u207b\u2076");
	cr_expect_str_eq(scale_label(&s, 0.01, buf), "0.01");
}

Test(chart, a_locale_with_commas_changes_nothing)
{
	const double x[] = {0.5, 1.5};
	struct chart_series s = {.mark = CHART_LINE, .x = x, .y = x, .n = 2};
	struct chart c = {.series = &s, .n_series = 1};
	char *plain = svg_of(&c), *comma;

	if (!setlocale(LC_ALL, "de_DE.UTF-8"))
		cr_log_info("no locale with decimal commas here");
	comma = svg_of(&c);
	cr_expect_str_eq(plain, comma);
	free(plain);
	free(comma);
}
