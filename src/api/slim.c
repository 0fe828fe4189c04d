/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include <cblas.h>

#include "api/api.h"
#include "slim/forecast/forecast.h"
#include "slim/slim.h"

void tamis_slim_options_default(struct tamis_slim_options *o)
{
	if (o)
		*o = (struct tamis_slim_options){
			.criterion = "pii", .alpha = 0.05, .tolerance = 0.01, .max_disagree = -1, .temperature = -1, .confidence = 0.95,
			.keep = -1,
			.target_size = -1, .target_macs = -1, .holdout_share = -1, .granularity = TAMIS_BOTH,
			.storage = TAMIS_STORAGE_AUTO, .refit = true, .rounds = 8, .distil_rate = 0.002, .mixup = true, .provenance = true,
			.seed = 1,
		};
}

/* Between slimming and the caller's observer: warnings go into the report too. */
struct listener {
	const struct tamis_observer *caller;
	struct tamis_report *report;
	bool memory; /* ran out */
};

static int progress(void *ctx, const struct tamis_progress *p)
{
	const struct tamis_observer *o = ((struct listener *)ctx)->caller;

	return o->progress ? o->progress(o->ctx, p) : 0;
}

static void warn(void *ctx, const char *sentence)
{
	struct listener *l = ctx;

	l->memory |= report_warn(l->report, sentence) != TAMIS_OK;
	if (l->caller->warn)
		l->caller->warn(l->caller->ctx, sentence);
}

/* Only files have a hash that says something to a later reader. */
static enum tamis_status hash_items(struct tamis_calibration *c, struct tamis_error *err)
{
	uint8_t digest[32];
	enum tamis_status s;

	if (!c->source || c->random || *c->sha256)
		return TAMIS_OK;
	s = data_sha256(c->source, digest, err);
	for (size_t i = 0; s == TAMIS_OK && i < sizeof digest; i++)
		snprintf(c->sha256 + 2 * i, 3, "%02x", digest[i]);
	return s;
}

enum tamis_status api_slim_inputs(struct tamis_model *m, struct tamis_calibration *c,
                                  const struct tamis_slim_options *options, struct slim_inputs *out,
                                  struct tamis_error *err)
{
	enum tamis_status s = hash_items(c, err);

	*out = (struct slim_inputs){ .doc = m->doc, .items = &c->reader, .holdout = c->holdout.next ? &c->holdout : NULL,
		.labels = c->labels, .n_labels = c->n_labels, .random_items = c->random,
		.items_kept = (c->source ? data_keeps(c->source) : 0) + (c->held_out ? data_keeps(c->held_out) : 0),
		.calibration_sha256 = *c->sha256 ? c->sha256 : NULL, .options = options };
	return s;
}

/* The slimmer document takes the old one's place, and its place on the disk: what is relative to it stays
 * so. */
static void replace(struct tamis_model *m, struct document *slimmer)
{
	struct document old = *m->doc;

	m->doc->path = slimmer->path;
	m->doc->dir = slimmer->dir;
	m->doc->real_dir = slimmer->real_dir;
	slimmer->path = old.path;
	slimmer->dir = old.dir;
	slimmer->real_dir = old.real_dir;
	doc_free(m->doc);
	m->doc = slimmer;
}

/* What would be done, from the shapes. */
static enum tamis_status plan(struct tamis_model *model, struct tamis_calibration *data,
                              const struct tamis_slim_options *options, struct tamis_report *r,
                              struct tamis_error *err)
{
	struct slim_inputs in = { 0 };
	enum tamis_status s = api_slim_inputs(model, data, options, &in, err);

	return s == TAMIS_OK ? slim_forecast(&in, false, 0, 0, &r->plan, &r->arena, err) : s;
}

static enum tamis_status slim(struct tamis_model *model, struct tamis_calibration *data,
                              const struct tamis_slim_options *options, struct tamis_report *r,
                              struct tamis_error *err)
{
	struct listener l = { .caller = &options->observer, .report = r };
	struct tamis_slim_options o = *options;
	struct slim_inputs in = { 0 };
	struct document *slimmer = NULL;
	enum tamis_status s = api_slim_inputs(model, data, &o, &in, err);

	o.observer = (struct tamis_observer){ .ctx = &l, .progress = progress, .warn = warn };
	r->slim.blas_core = arena_strdup(&r->arena, openblas_get_corename());
	if (s == TAMIS_OK)
		s = slim_document(&in, &slimmer, &r->slim, &r->arena, err);
	if (s == TAMIS_OK && l.memory)
		s = tm_no_memory(err, "reporting warnings");
	if (s == TAMIS_OK && slimmer)
		replace(model, slimmer);
	else
		doc_free(slimmer);
	return s;
}

enum tamis_status tamis_slim(struct tamis_model *model, struct tamis_calibration *data,
                             const struct tamis_slim_options *options, struct tamis_report **out,
                             struct tamis_error *err)
{
	struct tamis_error unheard;
	struct tamis_slim_options o;
	struct tamis_report *r;
	enum tamis_status s;

	err = api_error(err, &unheard);
	if (out)
		*out = NULL;
	if (!model || !data)
		return tm_fail(err, TAMIS_E_USAGE, "a model and items were expected, and NULL came");
	tamis_slim_options_default(&o);
	if (options)
		o = *options;
	s = api_same_inputs(data, model, err);
	if (s != TAMIS_OK)
		return s;
	r = report_create(o.dry_run ? REPORT_PLAN : REPORT_SLIM);
	if (!r)
		return tm_no_memory(err, "slimming the model");
	s = o.dry_run ? plan(model, data, &o, r, err) : slim(model, data, &o, r, err);
	if (out && (s == TAMIS_OK || s == TAMIS_E_GATE))
		*out = r;
	else
		report_free(r);
	return s;
}
