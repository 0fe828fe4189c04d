/* SPDX-License-Identifier: Apache-2.0 */
/* The report, and the rules of the model as a whole. */
#include "onnx/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "onnx/checker.h"

enum { DEFAULT_FINDINGS = 100, PLACE = 160 };

static const struct check_rule rules[] = {
#define X(name, id, severity, text) { id, CHECK_##severity, text },
	CHECK_RULES(X)
#undef X
};

const struct check_rule *check_rules(size_t *n)
{
	*n = RULE_COUNT;
	return rules;
}

const char *check_text(struct checker *c, const char *fmt, ...)
{
	char text[1024];
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	char *copy = n < 0 ? NULL : arena_strdup(&c->report->arena, text);
	c->no_memory = c->no_memory || !copy;
	return copy ? copy : "";
}

static const char *place_text(struct checker *c, const char *text)
{
	return text && *text ? check_text(c, "%.*s", PLACE, text) : "";
}

/* The list grows in the arena by doubling; what is outgrown stays there until the report goes. */
static bool room_for_one(struct check_report *r)
{
	size_t n = r->count;
	if (n & (n - 1) || n == 1)
		return true;
	size_t cap = n ? 2 * n : 2;
	struct check_finding *bigger = arena_array(&r->arena, cap, sizeof *bigger);
	if (!bigger)
		return false;
	if (n)
		memcpy(bigger, r->findings, n * sizeof *bigger);
	r->findings = bigger;
	return true;
}

void check_found(struct checker *c, enum rule rule, const char *node, const char *tensor, const char *fmt,
                 ...)
{
	struct check_report *r = c->report;
	char text[900];
	if (rules[rule].severity == CHECK_ERROR)
		r->errors++;
	else
		r->warnings++;
	if (r->count >= c->options.max_findings)
		return;
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (!room_for_one(r)) {
		c->no_memory = true;
		return;
	}
	r->findings[r->count++] = (struct check_finding){ &rules[rule], place_text(c, c->graph), place_text(c, node),
		                                          place_text(c, tensor), check_text(c, "%s", text) };
}

bool check_add(struct checker *c, struct name_table *t, const char *name, int64_t value, int64_t *old)
{
	enum name_table_result r = name_table_add(t, name, value, old);
	if (r == NAME_NO_MEMORY)
		c->no_memory = true;
	return r != NAME_OLD;
}

const char *check_or_empty(const char *s)
{
	return s ? s : "";
}

const char *check_domain(const char *domain)
{
	return !domain || strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

void check_imports(struct checker *c, Onnx__OperatorSetIdProto **imports, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *domain = check_domain(imports[i]->domain);
		int64_t version = imports[i]->has_version ? imports[i]->version : 0;
		if (!check_add(c, &c->imports, domain, version, NULL))
			check_found(c, RULE_OPSET_DUPLICATE, NULL, NULL, "domain '%.100s' is imported more than once", domain);
		if (version < 1 || version > INT32_MAX)
			check_found(c, RULE_OPSET_VERSION, NULL, NULL, "version %lld of domain '%.100s' does not exist",
			            (long long)version, domain);
	}
}

void check_metadata(struct checker *c, Onnx__StringStringEntryProto **entries, size_t n)
{
	struct name_table keys = { 0 };
	for (size_t i = 0; i < n; i++) {
		const char *key = check_or_empty(entries[i]->key);
		if (!check_add(c, &keys, key, 0, NULL))
			check_found(c, RULE_METADATA_DUPLICATE, NULL, NULL,
			            "key '%.100s' of metadata_props is given more than once", key);
	}
	name_table_free(&keys);
}

static void check_version(struct checker *c)
{
	const Onnx__ModelProto *m = c->doc->model;
	if (!m->has_ir_version)
		check_found(c, RULE_IR_MISSING, NULL, NULL, "ir_version is missing");
	else if (m->ir_version < CHECK_IR_MIN)
		check_found(c, RULE_IR_OLD, NULL, NULL, "ir_version is %lld; at least %d was expected",
		            (long long)m->ir_version, CHECK_IR_MIN);
	else if (m->ir_version > CHECK_IR_MAX)
		check_found(c, RULE_IR_NEW, NULL, NULL, "ir_version is %lld; tamis knows up to %d and carries on",
		            (long long)m->ir_version, CHECK_IR_MAX);
}

static void check_model(struct checker *c)
{
	const Onnx__ModelProto *m = c->doc->model;
	c->graph = "main";
	check_version(c);
	check_imports(c, m->opset_import, m->n_opset_import);
	if (m->n_opset_import == 0)
		check_found(c, RULE_OPSET_MISSING, NULL, NULL, "opset_import is empty");
	check_metadata(c, m->metadata_props, m->n_metadata_props);
	check_functions(c);
	c->graph = "main";
	if (m->graph)
		check_graph(c, m->graph);
	else
		check_found(c, RULE_GRAPH_MISSING, NULL, NULL, "the model has no graph");
}

enum tamis_status check_document(const struct document *doc, const struct check_options *options,
                                 struct check_report *out, struct tamis_error *err)
{
	*out = (struct check_report){ 0 };
	struct checker c = { .doc = doc, .report = out, .function = -1 };
	if (options)
		c.options = *options;
	if (c.options.max_findings == 0)
		c.options.max_findings = DEFAULT_FINDINGS;
	c.ir = doc->model->has_ir_version ? doc->model->ir_version : CHECK_IR_MAX;
	check_model(&c);
	name_table_free(&c.imports);
	name_table_free(&c.functions);
	name_table_free(&c.function_domains);
	if (!c.no_memory)
		return TAMIS_OK;
	check_free(out);
	return tm_no_memory(err, "checking the model");
}

enum tamis_status check_verdict(const struct check_report *report, struct tamis_error *err)
{
	if (report->errors == 0)
		return TAMIS_OK;
	const struct check_finding *first = NULL;
	for (size_t i = 0; i < report->count && !first; i++)
		if (report->findings[i].rule->severity == CHECK_ERROR)
			first = &report->findings[i];
	if (!first)
		return tm_fail(err, TAMIS_E_INVALID, "the model breaks the ONNX rules in %zu places", report->errors);
	char more[48] = "";
	if (report->errors > 1)
		snprintf(more, sizeof more, "; %zu more errors", report->errors - 1);
	tm_fail(err, TAMIS_E_INVALID, "%s [%s]%s", first->message, first->rule->id, more);
	if (*first->node)
		tm_in_node(err, first->node);
	if (*first->tensor)
		tm_in_tensor(err, first->tensor);
	return TAMIS_E_INVALID;
}

enum tamis_status check_or_fail(const struct document *doc, struct tamis_error *err)
{
	struct check_report report;
	enum tamis_status st = check_document(doc, NULL, &report, err);
	if (st == TAMIS_OK)
		st = check_verdict(&report, err);
	check_free(&report);
	return st;
}

void check_free(struct check_report *report)
{
	arena_free(&report->arena);
	*report = (struct check_report){ 0 };
}
