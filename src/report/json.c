/* SPDX-License-Identifier: Apache-2.0 */
/* Members come in the order they are set here; README.md of this folder documents them. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/markup.h"
#include "report/report.h"
#include "report/unicode.h"

/* An object under construction; the first failure is remembered, so that the builders read as lists. */
struct object {
	json_t *json;
	bool failed;
};

static struct object object_start(void)
{
	struct object o = {.json = json_object()};

	o.failed = !o.json;
	return o;
}

/* Takes the value over, also on failure. */
static void set(struct object *o, const char *key, json_t *value)
{
	if (!value || !o->json || json_object_set_new(o->json, key, value) != 0) {
		if (!o->json)
			json_decref(value);
		o->failed = true;
	}
}

static void set_object(struct object *o, const char *key, struct object value)
{
	o->failed |= value.failed;
	set(o, key, value.json);
}

static json_t *text_value(const char *s)
{
	char *clean = s ? unicode_repair(s) : NULL;
	json_t *value = s ? (clean ? json_string(clean) : NULL) : json_null();

	free(clean);
	return value;
}

static void set_text(struct object *o, const char *key, const char *s)
{
	set(o, key, text_value(s));
}

static void set_real(struct object *o, const char *key, double x)
{
	set(o, key, isfinite(x) ? json_real(x) : json_null());
}

/* -1 stands for "does not apply". */
static void set_count(struct object *o, const char *key, int64_t n)
{
	set(o, key, n >= 0 ? json_integer(n) : json_null());
}

static void set_large(struct object *o, const char *key, double x)
{
	if (x >= 0 && x < 9e18)
		set_count(o, key, (int64_t)llround(x));
	else
		set(o, key, json_null());
}

static void set_bool(struct object *o, const char *key, bool b)
{
	set(o, key, json_boolean(b));
}

/* An array of n objects, the i-th made by `make` from the element at `items + i * size`. */
static void set_array(struct object *o, const char *key, const void *items, size_t n, size_t size,
                      struct object (*make)(const void *))
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < n; i++) {
		struct object item = make((const char *)items + i * size);

		if (json_array_append_new(array, item.json) != 0 || item.failed)
			o->failed = true;
	}
	set(o, key, array);
}

/* Each line of a text as one string. */
static void set_lines(struct object *o, const char *key, const char *lines)
{
	json_t *array = json_array();
	char *copy = lines ? unicode_repair(lines) : NULL, *rest = copy;

	if (lines && !copy)
		o->failed = true;
	while (array && rest && *rest) {
		char *line = strsep(&rest, "\n");

		o->failed |= json_array_append_new(array, json_string(line)) != 0;
	}
	free(copy);
	set(o, key, array);
}

/* ---- slim ---- */

static struct object model_object(const struct model_figures *m)
{
	struct object o = object_start();

	set_count(&o, "nodes", m->nodes);
	set_count(&o, "initializers", m->initializers);
	set_count(&o, "parameters", m->parameters);
	set_count(&o, "nonzeros", m->nonzeros);
	set_count(&o, "connections", m->connections);
	set_count(&o, "connections_nonzero", m->connections_nonzero);
	set_large(&o, "macs", m->macs);
	set_large(&o, "macs_nonzero", m->macs_nonzero);
	set_count(&o, "file_bytes", m->file_bytes);
	set_count(&o, "gzip_bytes", m->gzip_bytes);
	set_count(&o, "channels", m->channels);
	return o;
}

static struct object gate_object(const struct gate_figures *g)
{
	struct object o = object_start();

	set_text(&o, "kind", g->kind);
	set_bool(&o, "passed", g->passed);
	set_count(&o, "fit_items", g->fit_items);
	set_count(&o, "held_out_items", g->held_out_items);
	set_real(&o, "tolerance", g->tolerance);
	set_real(&o, "confidence", g->confidence);
	set_real(&o, "value", g->value);
	set_real(&o, "bound", g->bound);
	set_real(&o, "disagreement", g->disagreement);
	set_real(&o, "disagreement_upper", g->disagreement_upper);
	set_real(&o, "worst", g->worst);
	set_count(&o, "looks", g->looks);
	set_text(&o, "spending", g->spending);
	set_real(&o, "label_loss", g->label_loss);
	set_real(&o, "label_p", g->label_p);
	set_real(&o, "accuracy_before", g->accuracy_before);
	set_real(&o, "accuracy_after", g->accuracy_after);
	set_real(&o, "calibration_error", g->calibration_error);
	set_real(&o, "temperature", g->temperature);
	return o;
}

static struct object look_object(const void *item)
{
	const struct look_line *l = item;
	struct object o = object_start();

	set_real(&o, "keep", l->keep);
	set_real(&o, "ratio", l->ratio);
	set_real(&o, "value", l->value);
	set_real(&o, "bound", l->bound);
	set_real(&o, "disagreement", l->disagreement);
	set_bool(&o, "passed", l->passed);
	return o;
}

static struct object layer_object(const void *item)
{
	const struct layer_line *l = item;
	struct object o = object_start();

	set_text(&o, "node", l->node);
	set_text(&o, "op", l->op);
	set_text(&o, "weight", l->weight);
	set_text(&o, "shape", l->shape);
	set_count(&o, "entries", l->entries);
	set_count(&o, "kept", l->kept);
	set_count(&o, "features", l->features);
	set_count(&o, "significant", l->significant);
	set_count(&o, "channels", l->channels);
	set_count(&o, "channels_kept", l->channels_kept);
	set_text(&o, "storage", l->storage);
	set_text(&o, "note", l->note);
	return o;
}

static struct object seconds_object(const struct slim_figures *s)
{
	struct object o = object_start();

	set_real(&o, "score", s->seconds_score);
	set_real(&o, "search", s->seconds_search);
	set_real(&o, "total", s->seconds_total);
	return o;
}

static void set_slim(struct object *o, const struct slim_figures *s)
{
	set_text(o, "model", s->model);
	set_text(o, "criterion", s->criterion);
	set_text(o, "features", s->features);
	set_text(o, "fdr", s->fdr);
	set_real(o, "alpha", s->alpha);
	set(o, "seed", json_integer((json_int_t)s->seed));
	set_bool(o, "dry_run", s->dry_run);
	set_bool(o, "random_items", s->random_items);
	set_bool(o, "ir_raised", s->ir_raised);
	set_count(o, "tests", s->tests);
	set_count(o, "significant", s->significant);
	set_count(o, "inverted", s->inverted);
	set_real(o, "keep", s->keep);
	set_count(o, "channels_removed", s->channels_removed);
	set_object(o, "before", model_object(&s->before));
	set_object(o, "after", model_object(&s->after));
	set_object(o, "gate", gate_object(&s->gate));
	set_array(o, "looks", s->looks, s->n_looks, sizeof *s->looks, look_object);
	set_array(o, "layers", s->layers, s->n_layers, sizeof *s->layers, layer_object);
	set_text(o, "blas_core", s->blas_core);
	set_object(o, "seconds", seconds_object(s));
}

/* ---- the others ---- */

static struct object info_layer_object(const void *item)
{
	const struct info_layer *l = item;
	struct object o = object_start();

	set_text(&o, "node", l->node);
	set_text(&o, "op", l->op);
	set_text(&o, "weight", l->weight);
	set_text(&o, "shape", l->shape);
	set_count(&o, "entries", l->entries);
	set_count(&o, "zeros", l->zeros);
	set_large(&o, "macs", l->macs);
	set_bool(&o, "slimmable", l->slimmable);
	set_text(&o, "note", l->note);
	return o;
}

static struct object info_count_object(const void *item)
{
	const struct info_count *c = item;
	struct object o = object_start();

	set_text(&o, "domain", c->domain);
	set_text(&o, "op", c->op);
	set_count(&o, "nodes", c->nodes);
	set_bool(&o, "supported", c->supported);
	return o;
}

static void set_info(struct object *o, const struct info_figures *f)
{
	set_text(o, "model", f->model);
	set_text(o, "producer", f->producer);
	set_count(o, "ir_version", f->ir_version);
	set_text(o, "opsets", f->opsets);
	set_lines(o, "inputs", f->inputs);
	set_lines(o, "outputs", f->outputs);
	set_object(o, "figures", model_object(&f->figures));
	set_array(o, "operators", f->ops, f->n_ops, sizeof *f->ops, info_count_object);
	set_array(o, "layers", f->layers, f->n_layers, sizeof *f->layers, info_layer_object);
}

static struct object check_object(const void *item)
{
	const struct check_line *l = item;
	struct object o = object_start();

	set_text(&o, "rule", l->rule);
	set_text(&o, "severity", l->severity);
	set_text(&o, "place", l->place);
	set_text(&o, "sentence", l->sentence);
	return o;
}

static void set_check(struct object *o, const struct check_figures *f)
{
	set_text(o, "model", f->model);
	set_count(o, "errors", f->errors);
	set_count(o, "warning_count", f->warnings);
	set_array(o, "findings", f->lines, f->n_lines, sizeof *f->lines, check_object);
}

static void set_compare(struct object *o, const struct compare_figures *f)
{
	set_text(o, "a", f->a);
	set_text(o, "b", f->b);
	set_count(o, "items", f->items);
	set_count(o, "agree", f->agree);
	set_real(o, "agree_lower", f->agree_lower);
	set_real(o, "agree_upper", f->agree_upper);
	set_real(o, "max_abs", f->max_abs);
	set_real(o, "max_rel", f->max_rel);
	set_real(o, "relative_squared_error", f->relative_squared_error);
	set_real(o, "expected_loss", f->expected_loss);
	set_real(o, "accuracy_a", f->accuracy_a);
	set_real(o, "accuracy_b", f->accuracy_b);
	set_real(o, "mcnemar_p", f->mcnemar_p);
	set_count(o, "only_a", f->only_a);
	set_count(o, "only_b", f->only_b);
}

static struct object op_object(const void *item)
{
	const struct op_line *l = item;
	struct object o = object_start();

	set_text(&o, "domain", l->domain);
	set_text(&o, "name", l->name);
	set_count(&o, "since", l->since);
	set_count(&o, "until", l->until);
	set_bool(&o, "gradient", l->reverse);
	set_bool(&o, "linear", l->linear);
	return o;
}

static void set_ops(struct object *o, const struct ops_figures *f)
{
	set_array(o, "operators", f->lines, f->n_lines, sizeof *f->lines, op_object);
}

static void set_cpu(struct object *o, const struct cpu_figures *c)
{
	set_text(o, "processor", c->processor);
	set_text(o, "blas", c->blas);
	set_text(o, "blas_core", c->blas_core);
	set_text(o, "advice", c->advice);
	set_text(o, "convolution", c->convolution);
	set_count(o, "threads", c->threads);
}

/* ---- the whole ---- */

static const char *const schemas[] = {
	[REPORT_SLIM] = "tamis.slim/1", [REPORT_INFO] = "tamis.info/1", [REPORT_CHECK] = "tamis.check/1",
	[REPORT_COMPARE] = "tamis.compare/1", [REPORT_OPS] = "tamis.ops/1", [REPORT_CPU] = "tamis.cpu/1",
};

static void set_kind(struct object *o, const struct tamis_report *r)
{
	switch (r->kind) {
	case REPORT_SLIM: set_slim(o, &r->slim); break;
	case REPORT_INFO: set_info(o, &r->info); break;
	case REPORT_CHECK: set_check(o, &r->check); break;
	case REPORT_COMPARE: set_compare(o, &r->compare); break;
	case REPORT_OPS: set_ops(o, &r->ops); break;
	case REPORT_CPU: set_cpu(o, &r->cpu); break;
	}
}

static struct object report_object(const struct tamis_report *r)
{
	struct object o = object_start();
	json_t *warnings = json_array();

	set_text(&o, "schema", schemas[r->kind]);
	set_text(&o, "tamis", TAMIS_VERSION);
	set_kind(&o, r);
	if (r->kind != REPORT_CPU && r->cpu.processor) {
		struct object cpu = object_start();

		set_cpu(&cpu, &r->cpu);
		set_object(&o, "cpu", cpu);
	}
	for (size_t i = 0; warnings && i < r->n_warnings; i++)
		o.failed |= json_array_append_new(warnings, text_value(r->warnings[i])) != 0;
	set(&o, "warnings", warnings);
	return o;
}

/* 15 digits: 0.05 comes out as 0.05. */
static bool write_json(FILE *out, const void *report)
{
	struct object o = report_object(report);
	bool ok = !o.failed && json_dumpf(o.json, out, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) == 0;

	json_decref(o.json);
	return ok;
}

enum tamis_status report_json(const struct tamis_report *r, char **json, struct tamis_error *err)
{
	return markup_render(write_json, r, json, err);
}
