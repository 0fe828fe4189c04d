/* SPDX-License-Identifier: Apache-2.0 */
/* Members come in the order they are set here; README.md of this folder documents them. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/json_object.h"
#include "report/markup.h"
#include "report/report.h"
#include "report/unicode.h"

/* ---- slim ---- */

static struct object model_object(const struct model_figures *m)
{
	struct object o = object_start();

	object_count(&o, "nodes", m->nodes);
	object_count(&o, "initializers", m->initializers);
	object_count(&o, "parameters", m->parameters);
	object_count(&o, "nonzeros", m->nonzeros);
	object_count(&o, "connections", m->connections);
	object_count(&o, "connections_nonzero", m->connections_nonzero);
	object_large(&o, "macs", m->macs);
	object_large(&o, "macs_nonzero", m->macs_nonzero);
	object_count(&o, "file_bytes", m->file_bytes);
	object_count(&o, "gzip_bytes", m->gzip_bytes);
	object_count(&o, "channels", m->channels);
	return o;
}

static struct object gate_object(const struct gate_figures *g)
{
	struct object o = object_start();

	object_text(&o, "kind", g->kind);
	object_bool(&o, "passed", g->passed);
	object_count(&o, "fit_items", g->fit_items);
	object_count(&o, "held_out_items", g->held_out_items);
	object_real(&o, "tolerance", g->tolerance);
	object_real(&o, "confidence", g->confidence);
	object_real(&o, "value", g->value);
	object_real(&o, "bound", g->bound);
	object_real(&o, "disagreement", g->disagreement);
	object_real(&o, "disagreement_upper", g->disagreement_upper);
	object_real(&o, "worst", g->worst);
	object_count(&o, "looks", g->looks);
	object_text(&o, "spending", g->spending);
	object_real(&o, "label_loss", g->label_loss);
	object_real(&o, "label_p", g->label_p);
	object_real(&o, "accuracy_before", g->accuracy_before);
	object_real(&o, "accuracy_after", g->accuracy_after);
	object_real(&o, "calibration_error", g->calibration_error);
	object_real(&o, "temperature", g->temperature);
	object_real(&o, "expected_loss", g->expected);
	object_real(&o, "tempered_loss", g->tempered);
	object_real(&o, "given_temperature", g->given_temperature > 0 ? g->given_temperature : NAN);
	return o;
}

static struct object look_object(const void *item)
{
	const struct look_line *l = item;
	struct object o = object_start();

	object_real(&o, "keep", l->keep);
	object_real(&o, "ratio", l->ratio);
	object_real(&o, "value", l->value);
	object_real(&o, "bound", l->bound);
	object_real(&o, "disagreement", l->disagreement);
	object_bool(&o, "passed", l->passed);
	return o;
}

static struct object layer_object(const void *item)
{
	const struct layer_line *l = item;
	struct object o = object_start();

	object_text(&o, "node", l->node);
	object_text(&o, "op", l->op);
	object_text(&o, "weight", l->weight);
	object_text(&o, "shape", l->shape);
	object_count(&o, "entries", l->entries);
	object_count(&o, "kept", l->kept);
	object_count(&o, "features", l->features);
	object_count(&o, "significant", l->significant);
	object_count(&o, "channels", l->channels);
	object_count(&o, "channels_kept", l->channels_kept);
	object_text(&o, "storage", l->storage);
	object_text(&o, "note", l->note);
	return o;
}

static struct object seconds_object(const struct slim_figures *s)
{
	struct object o = object_start();

	object_real(&o, "score", s->seconds_score);
	object_real(&o, "search", s->seconds_search);
	object_real(&o, "total", s->seconds_total);
	return o;
}

static void set_slim(struct object *o, const struct slim_figures *s)
{
	object_text(o, "model", s->model);
	object_text(o, "criterion", s->criterion);
	object_text(o, "features", s->features);
	object_text(o, "fdr", s->fdr);
	object_real(o, "alpha", s->alpha);
	object_set(o, "seed", json_integer((json_int_t)s->seed));
	object_bool(o, "dry_run", false); /* a dry run has a report of its own; keys stay */
	object_bool(o, "random_items", s->random_items);
	object_bool(o, "ir_raised", s->ir_raised);
	object_count(o, "tests", s->tests);
	object_count(o, "significant", s->significant);
	object_count(o, "inverted", s->inverted);
	object_real(o, "keep", s->keep);
	object_count(o, "channels_removed", s->channels_removed);
	object_count(o, "nodes_folded", s->nodes_folded);
	object_member(o, "before", model_object(&s->before));
	object_member(o, "after", model_object(&s->after));
	object_member(o, "gate", gate_object(&s->gate));
	object_array(o, "looks", s->looks, s->n_looks, sizeof *s->looks, look_object);
	object_array(o, "layers", s->layers, s->n_layers, sizeof *s->layers, layer_object);
	object_text(o, "blas_core", s->blas_core);
	object_member(o, "seconds", seconds_object(s));
}

/* ---- the others ---- */

static struct object info_layer_object(const void *item)
{
	const struct info_layer *l = item;
	struct object o = object_start();

	object_text(&o, "node", l->node);
	object_text(&o, "op", l->op);
	object_text(&o, "weight", l->weight);
	object_text(&o, "shape", l->shape);
	object_count(&o, "entries", l->entries);
	object_count(&o, "zeros", l->zeros);
	object_large(&o, "macs", l->macs);
	object_bool(&o, "slimmable", l->slimmable);
	object_text(&o, "note", l->note);
	return o;
}

static struct object info_member_object(const void *item)
{
	const struct info_member *m = item;
	struct object o = object_start();

	object_text(&o, "role", m->role);
	object_text(&o, "name", m->name);
	object_text(&o, "op", m->op);
	return o;
}

static struct object info_group_object(const void *item)
{
	const struct info_group *g = item;
	struct object o = object_start();

	object_count(&o, "units", g->units);
	object_large(&o, "macs", g->macs);
	object_large(&o, "bytes", g->bytes);
	object_text(&o, "note", g->why);
	object_text(&o, "note_node", g->why_node);
	object_text(&o, "note_op", g->why_op);
	object_array(&o, "members", g->members, g->n_members, sizeof *g->members, info_member_object);
	return o;
}

static struct object info_count_object(const void *item)
{
	const struct info_count *c = item;
	struct object o = object_start();

	object_text(&o, "domain", c->domain);
	object_text(&o, "op", c->op);
	object_count(&o, "nodes", c->nodes);
	object_bool(&o, "supported", c->supported);
	return o;
}

static void set_info(struct object *o, const struct info_figures *f)
{
	object_text(o, "model", f->model);
	object_text(o, "producer", f->producer);
	object_count(o, "ir_version", f->ir_version);
	object_text(o, "opsets", f->opsets);
	object_lines(o, "inputs", f->inputs);
	object_lines(o, "outputs", f->outputs);
	object_member(o, "figures", model_object(&f->figures));
	object_array(o, "operators", f->ops, f->n_ops, sizeof *f->ops, info_count_object);
	object_array(o, "layers", f->layers, f->n_layers, sizeof *f->layers, info_layer_object);
	if (f->groups)
		object_array(o, "groups", f->groups, f->n_groups, sizeof *f->groups, info_group_object);
}

static struct object check_object(const void *item)
{
	const struct check_line *l = item;
	struct object o = object_start();

	object_text(&o, "rule", l->rule);
	object_text(&o, "severity", l->severity);
	object_text(&o, "place", l->place);
	object_text(&o, "sentence", l->sentence);
	return o;
}

static void set_check(struct object *o, const struct check_figures *f)
{
	object_text(o, "model", f->model);
	object_count(o, "errors", f->errors);
	object_count(o, "warning_count", f->warnings);
	object_array(o, "findings", f->lines, f->n_lines, sizeof *f->lines, check_object);
}

static void set_compare(struct object *o, const struct compare_figures *f)
{
	object_text(o, "a", f->a);
	object_text(o, "b", f->b);
	object_count(o, "items", f->items);
	object_count(o, "agree", f->agree);
	object_real(o, "agree_lower", f->agree_lower);
	object_real(o, "agree_upper", f->agree_upper);
	object_real(o, "max_abs", f->max_abs);
	object_real(o, "max_rel", f->max_rel);
	object_real(o, "relative_squared_error", f->relative_squared_error);
	object_real(o, "expected_loss", f->expected_loss);
	object_real(o, "accuracy_a", f->accuracy_a);
	object_real(o, "accuracy_b", f->accuracy_b);
	object_real(o, "mcnemar_p", f->mcnemar_p);
	object_count(o, "only_a", f->only_a);
	object_count(o, "only_b", f->only_b);
}

static struct object op_object(const void *item)
{
	const struct op_line *l = item;
	struct object o = object_start();

	object_text(&o, "domain", l->domain);
	object_text(&o, "name", l->name);
	object_count(&o, "since", l->since);
	object_count(&o, "until", l->until);
	object_bool(&o, "gradient", l->reverse);
	object_bool(&o, "linear", l->linear);
	return o;
}

static void set_ops(struct object *o, const struct ops_figures *f)
{
	object_array(o, "operators", f->lines, f->n_lines, sizeof *f->lines, op_object);
}

static void set_cpu(struct object *o, const struct cpu_figures *c)
{
	object_text(o, "processor", c->processor);
	object_text(o, "blas", c->blas);
	object_text(o, "blas_core", c->blas_core);
	object_text(o, "advice", c->advice);
	object_text(o, "convolution", c->convolution);
	object_count(o, "threads", c->threads);
}

/* ---- the whole ---- */

static const char *const schemas[] = {
	[REPORT_SLIM] = "tamis.slim/1", [REPORT_INFO] = "tamis.info/1", [REPORT_CHECK] = "tamis.check/1",
	[REPORT_COMPARE] = "tamis.compare/1", [REPORT_OPS] = "tamis.ops/1", [REPORT_CPU] = "tamis.cpu/1",
	[REPORT_SCORES] = "tamis.scores/1", [REPORT_PLAN] = "tamis.plan/1",
};

static void set_kind(struct object *o, const struct tamis_report *r)
{
	switch (r->kind) {
	case REPORT_SLIM: set_slim(o, &r->slim); break;
	case REPORT_INFO: set_info(o, &r->info); break;
	case REPORT_CHECK: set_check(o, &r->check); break;
	case REPORT_COMPARE: set_compare(o, &r->compare); break;
	case REPORT_OPS: set_ops(o, &r->ops); break;
	case REPORT_SCORES: json_scores(o, &r->scores); break;
	case REPORT_CPU: set_cpu(o, &r->cpu); break;
	case REPORT_PLAN: json_plan(o, &r->plan); break;
	}
}

static struct object report_object(const struct tamis_report *r)
{
	struct object o = object_start();
	json_t *warnings = json_array();

	object_text(&o, "schema", schemas[r->kind]);
	object_text(&o, "tamis", TAMIS_VERSION);
	set_kind(&o, r);
	if (r->kind != REPORT_CPU && r->cpu.processor) {
		struct object cpu = object_start();

		set_cpu(&cpu, &r->cpu);
		object_member(&o, "cpu", cpu);
	}
	for (size_t i = 0; warnings && i < r->n_warnings; i++)
		o.failed |= json_array_append_new(warnings, object_string(r->warnings[i])) != 0;
	object_set(&o, "warnings", warnings);
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
