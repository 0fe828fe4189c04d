/* SPDX-License-Identifier: Apache-2.0 */
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/file.h"
#include "onnx/check.h"
#include "onnx/walk.h"
#include "slim/provenance.h"

#define MAX_FINDINGS 10000

void tamis_load_options_default(struct tamis_load_options *o)
{
	if (o)
		*o = (struct tamis_load_options){ .max_bytes = DOC_MAX_PACKED };
}

void tamis_save_options_default(struct tamis_save_options *o)
{
	if (o)
		*o = (struct tamis_save_options){ .external_data = false };
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static struct doc_limits limits_of(const struct tamis_load_options *o)
{
	struct doc_limits none = { 0 };

	return o ? (struct doc_limits){ .max_bytes = o->max_bytes, .max_memory = o->max_memory } : none;
}

/* Takes the document over, whatever comes of it. */
static enum tamis_status adopt(struct document *doc, struct tamis_model **out, struct tamis_error *err)
{
	enum tamis_status s = check_or_fail(doc, err);
	struct tamis_model *m = s == TAMIS_OK ? tm_array(1, sizeof *m) : NULL;

	if (s == TAMIS_OK && !m)
		s = tm_no_memory(err, "opening the model");
	if (s != TAMIS_OK) {
		doc_free(doc);
		return s;
	}
	m->doc = doc;
	*out = m;
	return TAMIS_OK;
}

enum tamis_status tamis_model_open(const char *path, const struct tamis_load_options *options,
                                   struct tamis_model **out, struct tamis_error *err)
{
	struct tamis_error unheard;
	struct doc_limits limits = limits_of(options);
	struct document *doc;
	enum tamis_status s;

	err = api_error(err, &unheard);
	if (!path || !*path || !out)
		return tm_fail(err, TAMIS_E_USAGE, "a path and a place for the model were expected, and NULL came");
	*out = NULL;
	s = doc_load(path, &limits, &doc, err);
	if (s == TAMIS_OK)
		s = adopt(doc, out, err);
	if (s != TAMIS_OK)
		tm_in_file(err, path);
	return s;
}

static enum tamis_status refuse_external(void *ctx, ProtobufCMessage *message, struct tamis_error *err)
{
	const Onnx__TensorProto *t = (const Onnx__TensorProto *)message;

	(void)ctx;
	if (!t->has_data_location || t->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
		return TAMIS_OK;
	tm_fail(err, TAMIS_E_INVALID,
	        "the tensor lies in a file of its own, and no directory was given to look in");
	return tm_in_tensor(err, t->name ? t->name : "");
}

enum tamis_status tamis_model_open_memory(const void *bytes, size_t size, const char *dir,
                                          const struct tamis_load_options *options, struct tamis_model **out,
                                          struct tamis_error *err)
{
	struct tamis_error unheard;
	struct doc_limits limits = limits_of(options);
	struct document *doc;
	enum tamis_status s;

	err = api_error(err, &unheard);
	if ((!bytes && size) || !out)
		return tm_fail(err, TAMIS_E_USAGE, "bytes and a place for the model were expected, and NULL came");
	*out = NULL;
	s = doc_load_memory(bytes, size, dir, &limits, &doc, err);
	if (s == TAMIS_OK && !dir) {
		s = walk_messages(&doc->model->base, &onnx__tensor_proto__descriptor, refuse_external, NULL, err);
		if (s != TAMIS_OK)
			doc_free(doc);
	}
	return s == TAMIS_OK ? adopt(doc, out, err) : s;
}

void tamis_model_close(struct tamis_model *model)
{
	if (!model)
		return;
	doc_free(model->doc);
	free(model);
}

/* ---- saving -------------------------------------------------------------------------------------------- */

enum tamis_status tamis_model_save(struct tamis_model *model, const char *path,
                                   const struct tamis_save_options *options, struct tamis_error *err)
{
	struct tamis_error unheard;
	struct doc_save_options o = { .external = DOC_EXTERNAL_KEEP };

	err = api_error(err, &unheard);
	if (!model || !path || !*path)
		return tm_fail(err, TAMIS_E_USAGE, "a model and a path were expected, and NULL came");
	if (options) {
		o.external = options->external_data ? DOC_EXTERNAL_ALL : DOC_EXTERNAL_KEEP;
		o.in_place = options->in_place;
	}
	return doc_save(model->doc, path, &o, err);
}

/* ---- checking ------------------------------------------------------------------------------------------ */

static const char *place_of(struct arena *a, const struct check_finding *f)
{
	bool main_graph = !f->graph || !strcmp(f->graph, "main");
	const char *graph = main_graph ? "" : f->graph;

	return arena_printf(a, "%s%s%s%s%s%s", graph, *graph && *f->node ? ", " : "", *f->node ? "node " : "",
	                    f->node, *f->tensor ? (*graph || *f->node ? ", tensor " : "tensor ") : "", f->tensor);
}

static enum tamis_status report_findings(const char *path, const struct check_report *c,
                                         struct tamis_report **out, struct tamis_error *err)
{
	struct tamis_report *r = report_create(REPORT_CHECK);
	bool ok = r != NULL;

	if (ok) {
		r->check.model = arena_strdup(&r->arena, path);
		r->check.lines = arena_array(&r->arena, c->count + 1, sizeof *r->check.lines);
		r->check.errors = (int64_t)c->errors;
		r->check.warnings = (int64_t)c->warnings;
		ok = r->check.model && r->check.lines;
	}
	for (size_t i = 0; ok && i < c->count; i++) {
		const struct check_finding *f = &c->findings[i];
		struct check_line *l = &r->check.lines[r->check.n_lines++];

		*l = (struct check_line){ .rule = f->rule->id, .place = place_of(&r->arena, f),
			.severity = f->rule->severity == CHECK_ERROR ? "error" : "warning",
			.sentence = arena_strdup(&r->arena, f->message) };
		ok = l->place && l->sentence;
	}
	if (!ok) {
		report_free(r);
		return tm_no_memory(err, "checking the model");
	}
	*out = r;
	return TAMIS_OK;
}

enum tamis_status tamis_check(const char *path, const struct tamis_load_options *load,
                              struct tamis_report **out, int64_t *errors, struct tamis_error *err)
{
	struct tamis_error unheard;
	struct doc_limits limits = limits_of(load);
	struct check_options options = { .max_findings = MAX_FINDINGS };
	struct check_report c = { 0 };
	struct document *doc;
	enum tamis_status s;

	err = api_error(err, &unheard);
	if (!path || !*path || !out)
		return tm_fail(err, TAMIS_E_USAGE, "a path and a place for the report were expected, and NULL came");
	*out = NULL;
	s = doc_load(path, &limits, &doc, err);
	if (s != TAMIS_OK)
		return s;
	s = check_document(doc, &options, &c, err);
	if (s == TAMIS_OK)
		s = report_findings(path, &c, out, err);
	if (s == TAMIS_OK && errors)
		*errors = (int64_t)c.errors;
	check_free(&c);
	doc_free(doc);
	return s;
}

/* SHA-256 of a file's bytes in hex: what doc_load records of the model it reads. */
static enum tamis_status hash_file(const char *path, char hex[65], struct tamis_error *err)
{
	uint8_t *data, digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx ctx;
	size_t size;
	enum tamis_status s = file_read(path, DOC_MAX_PACKED, &data, &size, err);

	if (s != TAMIS_OK)
		return s;
	sha256_init(&ctx);
	sha256_update(&ctx, size, data);
	sha256_digest(&ctx, sizeof digest, digest);
	free(data);
	for (size_t i = 0; i < sizeof digest; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return TAMIS_OK;
}

enum tamis_status tamis_check_provenance(struct tamis_model *model, const char *source_path,
                                         struct tamis_error *err)
{
	struct tamis_error unheard;
	char hex[65];
	enum tamis_status s = TAMIS_OK;

	err = api_error(err, &unheard);
	if (!model)
		return tm_fail(err, TAMIS_E_USAGE, "a model was expected, and NULL came");
	if (source_path)
		s = hash_file(source_path, hex, err);
	return s == TAMIS_OK ? provenance_check(model->doc, source_path ? hex : NULL, err) : s;
}
