/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <ctype.h>
#include <jansson.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "figures.h"
#include "markup_check.h"
#include "report/print.h"
#include "report/unicode.h"

static char *text_of(const struct tamis_report *r)
{
	struct tamis_error err = {0};
	char *text = NULL;

	cr_assert_eq(report_text(r, &text, &err), TAMIS_OK, "%s", err.message);
	return text;
}

static json_t *json_of(const struct tamis_report *r, char **raw)
{
	struct tamis_error err = {0};
	json_error_t why;
	json_t *parsed;

	cr_assert_eq(report_json(r, raw, &err), TAMIS_OK, "%s", err.message);
	parsed = json_loads(*raw, JSON_REJECT_DUPLICATES, &why);
	cr_assert_not_null(parsed, "%s at line %d", why.text, why.line);
	return parsed;
}

Test(render, text_of_every_kind_fits_and_is_printable)
{
	for (int k = 0; k < N_KINDS; k++)
		for (int f = 0; f < N_FILLINGS; f++) {
			struct tamis_report *r = make_report((enum report_kind)k, (enum filling)f);
			char *text = text_of(r), *rest = text, *line;

			cr_expect(f == FILL_NOTHING || strlen(text) > 20, "kind %d filling %d", k, f);
			while ((line = strsep(&rest, "\n"))) {
				char *clean = unicode_printable(line);

				cr_expect_str_eq(line, clean, "kind %d filling %d", k, f);
				cr_expect_leq(unicode_width(line), PRINT_WIDTH, "kind %d filling %d: %s", k, f, line);
				free(clean);
			}
			free(text);
			report_free(r);
		}
}

/* Whatever a model's names hold, a page is well-formed, runs nothing and loads nothing. */
Test(render, pages_are_harmless)
{
	for (int k = 0; k < N_KINDS; k++)
		for (int f = 0; f < N_FILLINGS; f++) {
			struct tamis_report *r = make_report((enum report_kind)k, (enum filling)f);
			struct tamis_error err = {0};
			char *html = NULL;
			enum tamis_status status = report_html(r, &html, &err);

			if (k != REPORT_SLIM && k != REPORT_SCORES) {
				cr_expect_eq(status, TAMIS_E_USAGE, "kind %d", k);
				cr_expect_null(html);
			} else {
				cr_assert_eq(status, TAMIS_OK, "kind %d: %s", k, err.message);
				cr_expect_null(markup_fault(html), "kind %d filling %d: %s", k, f, markup_fault(html));
				cr_expect_null(strstr(html, "<script"));
			}
			free(html);
			report_free(r);
		}
}

/* Every number in the tree is finite (JSON knows no other) and every key is in snake case. */
static void check_tree(json_t *value)
{
	const char *key;
	json_t *item;
	size_t i;

	if (json_is_array(value))
		json_array_foreach(value, i, item)
			check_tree(item);
	if (!json_is_object(value))
		return;
	json_object_foreach(value, key, item) {
		for (const char *p = key; *p; p++)
			cr_expect(islower((unsigned char)*p) || *p == '_', "key '%s'", key);
		check_tree(item);
	}
}

Test(render, json_of_every_kind_parses_and_names_its_schema)
{
	static const char *const schemas[] = {"tamis.slim/1", "tamis.info/1", "tamis.check/1",
		"tamis.compare/1", "tamis.ops/1",
		"tamis.scores/1", "tamis.cpu/1", "tamis.plan/1"};

	for (int k = 0; k < N_KINDS; k++)
		for (int f = 0; f < N_FILLINGS; f++) {
			struct tamis_report *r = make_report((enum report_kind)k, (enum filling)f);
			char *raw = NULL;
			json_t *tree = json_of(r, &raw);

			cr_expect_eq(strncmp(raw, "{\n  \"schema\": ", 14), 0, "the schema comes first");
			cr_expect_str_eq(json_string_value(json_object_get(tree, "schema")), schemas[k]);
			cr_expect_eq(json_array_size(json_object_get(tree, "warnings")), f == FILL_NOTHING ? 0 : 1);
			check_tree(tree);
			json_decref(tree);
			free(raw);
			report_free(r);
		}
}

Test(render, what_does_not_apply_is_null)
{
	struct tamis_report *r = make_report(REPORT_SLIM, FILL_NOTHING);
	char *raw = NULL;
	json_t *tree = json_of(r, &raw), *before = json_object_get(tree, "before");

	cr_expect(json_is_null(json_object_get(tree, "keep")));
	cr_expect(json_is_null(json_object_get(tree, "model")));
	cr_expect(json_is_null(json_object_get(before, "parameters")));
	cr_expect(json_is_null(json_object_get(before, "macs")));
	cr_expect(json_is_null(json_object_get(json_object_get(tree, "gate"), "bound")));
	json_decref(tree);
	free(raw);
	report_free(r);
}

Test(render, figures_come_back_from_json)
{
	struct tamis_report *r = make_report(REPORT_SLIM, FILL_PLAIN);
	char *raw = NULL;
	json_t *tree = json_of(r, &raw), *layer = json_array_get(json_object_get(tree, "layers"), 0);

	cr_expect_eq(json_integer_value(json_object_get(json_object_get(tree, "before"), "parameters")), 431080);
	cr_expect_eq(json_real_value(json_object_get(tree, "alpha")), 0.05);
	cr_expect_not_null(strstr(raw, "\"alpha\": 0.05,"), "written as a person would");
	cr_expect_str_eq(json_string_value(json_object_get(layer, "weight")), "conv1.weight");
	cr_expect(json_is_null(json_object_get(layer, "note")));
	cr_expect(json_is_true(json_object_get(json_object_get(tree, "gate"), "passed")));
	json_decref(tree);
	free(raw);
	report_free(r);
}

Test(render, the_table_says_what_was_gained_and_lost)
{
	static const char *const expected[] = {"parameters", "431,080", "300,000", "1.44x",
		("gate passed: expected accuracy loss "
		 "0.0042, at most 0.0087 with confidence 0.95; tolerance 0.01"), "98.80 %", "60 channels removed",
		"every runtime",
		"onnxruntime expands it", "conv1.weight: an input of the graph too"};
	struct tamis_report *r = make_report(REPORT_SLIM, FILL_PLAIN);
	char *text = text_of(r);

	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
		cr_expect_not_null(strstr(text, expected[i]), "'%s' in:\n%s", expected[i], text);
	free(text);
	r->slim.gate.passed = false;
	text = text_of(r);
	cr_expect_not_null(strstr(text, "gate NOT passed"));
	free(text);
	report_free(r);
}

/* The same bytes, twice and under a locale with decimal commas where the machine has one. */
Test(render, renderings_depend_on_nothing_but_the_report)
{
	static const char *const locales[] = {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8"};
	struct tamis_report *r = make_report(REPORT_SLIM, FILL_PLAIN);
	char *text = text_of(r), *again, *raw = NULL, *raw_again = NULL;

	json_decref(json_of(r, &raw));
	for (size_t i = 0; i < sizeof locales / sizeof *locales; i++)
		if (setlocale(LC_ALL, locales[i]))
			break;
	again = text_of(r);
	json_decref(json_of(r, &raw_again));
	cr_expect_str_eq(text, again);
	cr_expect_str_eq(raw, raw_again);
	free(text);
	free(again);
	free(raw);
	free(raw_again);
	report_free(r);
}
