/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "api/api.h"
#include "base/memory.h"
#include "slim/forecast/forecast.h"
#include "slim/scorefile/scoring.h"

void tamis_score_options_default(struct tamis_score_options *o)
{
	if (o)
		*o = (struct tamis_score_options){ .criterion = "pii", .alpha = 0.05, .holdout_share = -1, .seed = 1 };
}

void tamis_scores_options_default(struct tamis_scores_options *o)
{
	if (o)
		*o = (struct tamis_scores_options){ .output = -1, .input = -1 };
}

static struct tamis_slim_options slim_options(const struct tamis_score_options *o)
{
	struct tamis_slim_options s;

	tamis_slim_options_default(&s);
	s.criterion = o->criterion;
	s.head = o->head;
	s.alpha = o->alpha;
	s.holdout_share = o->holdout_share;
	s.features = o->features;
	s.fdr = o->fdr;
	s.only = o->only;
	s.skip = o->skip;
	s.mutable_initializers = o->mutable_initializers;
	s.seed = o->seed;
	s.threads = o->threads;
	s.chunk = o->chunk;
	s.max_memory = o->max_memory;
	s.observer = o->observer;
	return s;
}

/* The report keeps the file, whose names and arrays it shows. */
static enum tamis_status describe(struct score_file *f, const char *path, const struct tamis_scores_options *o,
                                  struct tamis_report **out, struct tamis_error *err)
{
	struct tamis_report *r = report_create(REPORT_SCORES);
	enum tamis_status s = r ? TAMIS_OK : tm_no_memory(err, "describing scores");

	if (s == TAMIS_OK) {
		r->score_file = *f;
		*f = (struct score_file){ 0 };
		r->scores.path = arena_strdup(&r->arena, path);
		s = r->scores.path ? score_view(&r->score_file, &r->scores, &r->arena, err) : tm_no_memory(err, "describing scores");
	}
	if (s == TAMIS_OK && o && o->tensor)
		s = score_view_tensor(&r->score_file, o->tensor, o->output, o->input, &r->scores, &r->arena, err);
	if (s == TAMIS_OK)
		*out = r;
	else
		report_free(r);
	return s;
}

static enum tamis_status finish(struct score_file *f, const char *path, struct tamis_report **out,
                                struct tamis_error *err)
{
	enum tamis_status s = score_file_write(f, path, err);

	if (s == TAMIS_OK && out)
		s = describe(f, path, NULL, out, err);
	return s;
}

static enum tamis_status plan(const struct slim_inputs *in, const struct tamis_score_options *o, struct tamis_report **out,
                              struct tamis_error *err)
{
	struct tamis_report *r = report_create(REPORT_PLAN);
	enum tamis_status s = r ? slim_forecast(in, true, o->shard, o->shards, &r->plan, &r->arena, err)
	                        : tm_no_memory(err, "planning a run");

	if (s == TAMIS_OK && out)
		*out = r;
	else
		report_free(r);
	return s;
}

static enum tamis_status run(const struct slim_inputs *in, const struct tamis_score_options *o, const char *path,
                             struct tamis_report **out, struct tamis_error *err)
{
	struct score_file f = { 0 };
	enum tamis_status s = slim_score(in, o->shard, o->shards, &f, err);

	if (s == TAMIS_OK)
		s = finish(&f, path, out, err);
	score_file_free(&f);
	return s;
}

enum tamis_status tamis_score(struct tamis_model *model, struct tamis_calibration *data, const char *path,
                              const struct tamis_score_options *options, struct tamis_report **out,
                              struct tamis_error *err)
{
	struct tamis_score_options o;
	struct tamis_slim_options slim;
	struct slim_inputs in = { 0 };
	enum tamis_status s;

	if (out)
		*out = NULL;
	tamis_score_options_default(&o);
	if (options)
		o = *options;
	if (!model || !data || (!path && !o.dry_run))
		return tm_fail(err, TAMIS_E_USAGE, "a model, items and a path were expected, and NULL came");
	if (o.shards < 0 || o.shard < 0 || o.shard > o.shards || (o.shards && !o.shard))
		return tm_fail(err, TAMIS_E_USAGE, "a shard from 1 to the number of shards was expected, and %d of %d came",
		               o.shard, o.shards);
	slim = slim_options(&o);
	s = api_same_inputs(data, model, err);
	if (s == TAMIS_OK)
		s = api_slim_inputs(model, data, &slim, &in, err);
	if (s != TAMIS_OK)
		return s;
	return o.dry_run ? plan(&in, &o, out, err) : run(&in, &o, path, out, err);
}

/* One after the other, so that two shards are in memory at most. */
static enum tamis_status merge(const char *const *paths, size_t n, struct score_file *sum, struct tamis_error *err)
{
	enum tamis_status s = score_file_read(paths[0], 0, sum, err);
	bool *seen = NULL;

	if (s == TAMIS_OK)
		s = score_file_merge_start(sum, &seen, err);
	if (s != TAMIS_OK)
		tm_in_file(err, paths[0]);
	for (size_t i = 1; s == TAMIS_OK && i < n; i++) {
		struct score_file next = { 0 };

		s = score_file_read(paths[i], 0, &next, err);
		if (s == TAMIS_OK)
			s = score_file_merge(sum, &next, seen, err);
		if (s != TAMIS_OK)
			tm_in_file(err, paths[i]);
		score_file_free(&next);
	}
	if (s == TAMIS_OK)
		s = score_file_merge_end(sum, seen, err);
	free(seen);
	return s;
}

enum tamis_status tamis_scores_merge(const char *const *paths, size_t n_paths, const char *out_path,
                                     struct tamis_report **out, struct tamis_error *err)
{
	struct score_file sum = { 0 };
	enum tamis_status s;

	if (out)
		*out = NULL;
	if (!paths || !n_paths || !out_path)
		return tm_fail(err, TAMIS_E_USAGE, "score files and a path were expected, and none came");
	s = merge(paths, n_paths, &sum, err);
	if (s == TAMIS_OK)
		s = finish(&sum, out_path, out, err);
	score_file_free(&sum);
	return s;
}

enum tamis_status tamis_scores(const char *path, const struct tamis_scores_options *options, struct tamis_report **out,
                               struct tamis_error *err)
{
	struct tamis_scores_options o;
	struct score_file f = { 0 };
	enum tamis_status s;

	if (!path || !out)
		return tm_fail(err, TAMIS_E_USAGE, "a path and a place for the report were expected, and NULL came");
	*out = NULL;
	tamis_scores_options_default(&o);
	if (options)
		o = *options;
	s = score_file_read(path, o.max_bytes, &f, err);
	if (s == TAMIS_OK)
		s = describe(&f, path, &o, out, err);
	score_file_free(&f);
	return s;
}
