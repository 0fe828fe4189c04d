/* SPDX-License-Identifier: Apache-2.0 */
/* Score files: shards add up to the bits of one run, and nothing in a file is believed. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "world.h"

enum { ITEMS = 330, MOST_SHARDS = 7 };

static uint8_t *score(struct world *w, struct tamis_score_options *o, const char *name, size_t *size)
{
	struct tamis_calibration *c = world_items(w);
	uint8_t *bytes;

	cr_assert_eq(tamis_score(w->model, c, world_path(w, name), o, NULL, &w->err), TAMIS_OK, "%s", w->err.message);
	tamis_calibration_close(c);
	bytes = world_read(world_path(w, name), size);
	cr_assert_not_null(bytes);
	return bytes;
}

/* The shards in an order that is not theirs, with other numbers of workers. */
static uint8_t *score_in_shards(struct world *w, struct tamis_score_options *o, int shards, size_t *size)
{
	char path[MOST_SHARDS][160];
	const char *paths[MOST_SHARDS];
	uint8_t *bytes;

	o->shards = shards;
	for (int i = 0; i < shards; i++) {
		char name[32];

		o->shard = (i + 1) % shards + 1;
		o->threads = 1 + i % 3;
		snprintf(name, sizeof name, "s%d.%d", o->shard, shards);
		free(score(w, o, name, size));
		snprintf(path[i], sizeof path[i], "%s", world_path(w, name));
		paths[i] = path[i];
	}
	o->shard = o->shards = 0;
	cr_assert_eq(tamis_scores_merge(paths, (size_t)shards, world_path(w, "merged"), NULL, &w->err), TAMIS_OK, "%s",
	             w->err.message);
	bytes = world_read(world_path(w, "merged"), size);
	cr_assert_not_null(bytes);
	return bytes;
}

static void check_shards(struct tamis_score_options *o)
{
	static const int shards[] = { 1, 2, MOST_SHARDS };
	struct world w;
	uint8_t *whole;
	size_t n;

	world_open(&w, ITEMS, 3);
	whole = score(&w, o, "whole", &n);
	for (size_t i = 0; i < sizeof shards / sizeof *shards; i++) {
		size_t m;
		uint8_t *merged = score_in_shards(&w, o, shards[i], &m);

		cr_assert_eq(n, m, "%d shards", shards[i]);
		cr_assert_arr_eq(whole, merged, n, "%d shards", shards[i]);
		free(merged);
	}
	free(whole);
	world_close(&w);
}

Test(scores, shards_add_up_to_the_bits_of_one_run)
{
	struct tamis_score_options o;

	tamis_score_options_default(&o);
	o.chunk = 16;
	check_shards(&o);
	o.chunk = 5;
	o.criterion = "fisher";
	o.fdr = TAMIS_FDR_BY;
	check_shards(&o);
	o.features = TAMIS_FEATURES_RICH;
	check_shards(&o);
	o.criterion = "obs";
	check_shards(&o);
}

/* More shards than chunks: some are empty. */
Test(scores, empty_shards)
{
	struct tamis_score_options o;

	tamis_score_options_default(&o);
	o.chunk = 64;
	check_shards(&o);
}

static enum tamis_status merge(struct world *w, const char *a, const char *b)
{
	const char *const paths[] = { a, b };

	w->err = (struct tamis_error){ 0 };
	return tamis_scores_merge(paths, b ? 2 : 1, world_path(w, "merged"), NULL, &w->err);
}

Test(scores, only_a_set_is_merged)
{
	struct tamis_score_options o;
	struct world w;
	char first[160], second[160], other[160], whole[160];
	size_t n;

	world_open(&w, ITEMS, 3);
	tamis_score_options_default(&o);
	free(score(&w, &o, "whole", &n));
	o.shards = 2;
	o.shard = 1;
	free(score(&w, &o, "first", &n));
	o.shard = 2;
	free(score(&w, &o, "second", &n));
	o.seed = 2;
	free(score(&w, &o, "other", &n));
	snprintf(first, sizeof first, "%s", world_path(&w, "first"));
	snprintf(second, sizeof second, "%s", world_path(&w, "second"));
	snprintf(other, sizeof other, "%s", world_path(&w, "other"));
	snprintf(whole, sizeof whole, "%s", world_path(&w, "whole"));
	cr_expect_eq(merge(&w, first, NULL), TAMIS_E_INVALID);
	cr_expect_str_eq(w.err.message, "shard 2 of 2 is missing");
	cr_expect_eq(merge(&w, second, second), TAMIS_E_INVALID);
	cr_expect_str_eq(w.err.message, "shard 2 of 2 came twice");
	cr_expect_eq(merge(&w, first, other), TAMIS_E_INVALID);
	cr_expect_str_eq(w.err.message, "the shard is made with other options than the first one");
	cr_expect_eq(merge(&w, first, whole), TAMIS_E_INVALID);
	cr_expect_eq(merge(&w, whole, NULL), TAMIS_E_INVALID);
	cr_expect_eq(merge(&w, second, first), TAMIS_OK, "%s", w.err.message);
	world_close(&w);
}

/* ---- hostile files ------------------------------------------------------------------------------------------ */

/* Whatever numbers it holds: a cut that the gate has judged, or a sentence. */
static void cut_by_damaged(struct world *w, const char *path, const char *criterion)
{
	struct tamis_calibration *c = world_items(w);
	struct tamis_model *m;
	struct tamis_slim_options o;
	enum tamis_status s;

	w->err = (struct tamis_error){ 0 };
	cr_assert_eq(tamis_model_open(world_path(w, "m.onnx"), NULL, &m, &w->err), TAMIS_OK);
	tamis_slim_options_default(&o);
	o.criterion = criterion;
	o.scores = path;
	o.threads = 1;
	o.refit = false;
	o.tolerance = 0.9;
	o.max_memory = 1 << 28;
	s = tamis_slim(m, c, &o, NULL, &w->err);
	cr_assert(s == TAMIS_OK || s == TAMIS_E_INVALID || s == TAMIS_E_MEMORY || s == TAMIS_E_USAGE || s == TAMIS_E_GATE,
	          "%d: %s", s, w->err.message);
	tamis_calibration_close(c);
	tamis_model_close(m);
}

/* Reads a damaged file in every way there is: an answer or a sentence. */
static void read_damaged(struct world *w, const char *path, const uint8_t *bytes, size_t size, bool shard,
                         const char *criterion)
{
	const char *const one[] = { path };
	struct tamis_scores_options o;
	struct tamis_report *r = NULL;
	enum tamis_status s;

	world_write(path, bytes, size);
	tamis_scores_options_default(&o);
	o.tensor = shard ? NULL : "w1";
	w->err = (struct tamis_error){ 0 };
	s = tamis_scores(path, &o, &r, &w->err);
	cr_assert(s == TAMIS_OK || s == TAMIS_E_INVALID || s == TAMIS_E_MEMORY || s == TAMIS_E_USAGE, "%d: %s", s,
	          w->err.message);
	cr_assert(s == TAMIS_OK || w->err.message[0]);
	if (s == TAMIS_OK) {
		char *html = NULL, *text = NULL;

		cr_assert_eq(tamis_report_html(r, &html, NULL), TAMIS_OK);
		cr_assert_eq(tamis_report_text(r, &text, NULL), TAMIS_OK);
		free(html);
		free(text);
	}
	tamis_report_free(r);
	w->err = (struct tamis_error){ 0 };
	s = tamis_scores_merge(one, 1, world_path(w, "merged"), NULL, &w->err);
	cr_assert(s == TAMIS_OK || s == TAMIS_E_INVALID || s == TAMIS_E_MEMORY || s == TAMIS_E_USAGE, "%d: %s", s,
	          w->err.message);
	cut_by_damaged(w, path, criterion);
}

static void damage(struct world *w, uint8_t *bytes, size_t n, bool shard, const char *criterion)
{
	struct rng r = rng_make(17, shard);
	char path[160];

	snprintf(path, sizeof path, "%s", world_path(w, "damaged"));
	for (int trial = 0; trial < 400; trial++) {
		/* the front holds the small fields: half of the hits go there */
		size_t at = (size_t)(rng_uniform(&r) * (double)(trial % 2 && n > 700 ? 700 : n));
		uint8_t old = bytes[at];

		bytes[at] = (uint8_t)(rng_uniform(&r) * 256);
		read_damaged(w, path, bytes, n, shard, criterion);
		bytes[at] = old;
		if (trial % 4 == 0)
			read_damaged(w, path, bytes, at, shard, criterion);
	}
}

static void check_damage(const char *criterion)
{
	struct tamis_score_options o;
	struct world w;
	uint8_t *bytes;
	size_t n;

	world_open(&w, 120, 3);
	tamis_score_options_default(&o);
	o.criterion = criterion;
	bytes = score(&w, &o, "whole", &n);
	damage(&w, bytes, n, false, criterion);
	free(bytes);
	o.shard = o.shards = 1;
	bytes = score(&w, &o, "shard", &n);
	damage(&w, bytes, n, true, criterion);
	free(bytes);
	world_close(&w);
}

Test(scores, damaged_files_are_refused_by_a_sentence)
{
	check_damage("pii");
}

Test(scores, damaged_covariances_are_refused_by_a_sentence)
{
	check_damage("obs");
}

Test(scores, other_files_are_refused)
{
	struct tamis_report *r = NULL;
	struct world w;
	char path[160];

	world_open(&w, 20, 3);
	snprintf(path, sizeof path, "%s", world_path(&w, "m.onnx"));
	cr_expect_eq(tamis_scores(path, NULL, &r, &w.err), TAMIS_E_INVALID);
	w.err = (struct tamis_error){ 0 };
	world_write(path, "", 0);
	cr_expect_eq(tamis_scores(path, NULL, &r, &w.err), TAMIS_E_INVALID);
	cr_expect_str_eq(w.err.message, "the file is no score file");
	world_close(&w);
}

/* ---- cutting by a file -------------------------------------------------------------------------------------- */

/* Slims the model as it is in m.onnx; the bytes of the result, or NULL where there is none. */
static uint8_t *slim(struct world *w, const struct tamis_slim_options *o, struct tamis_report **report, size_t *size)
{
	struct tamis_model *m;
	struct tamis_calibration *c;
	uint8_t *bytes = NULL;
	enum tamis_status s;

	w->err = (struct tamis_error){ 0 };
	cr_assert_eq(tamis_model_open(world_path(w, "m.onnx"), NULL, &m, &w->err), TAMIS_OK);
	c = world_items(w);
	s = tamis_slim(m, c, o, report, &w->err);
	if (s == TAMIS_OK) {
		cr_assert_eq(tamis_model_save(m, world_path(w, "slim.onnx"), NULL, &w->err), TAMIS_OK);
		bytes = world_read(world_path(w, "slim.onnx"), size);
	}
	tamis_calibration_close(c);
	tamis_model_close(m);
	return bytes;
}

static void check_same_cut(struct tamis_score_options *score_with, struct tamis_slim_options *slim_with)
{
	struct world w;
	char path[160];
	uint8_t *plain, *taken;
	size_t n, m;

	world_open(&w, ITEMS, 3);
	slim_with->tolerance = 0.5;
	slim_with->scores = NULL;
	snprintf(path, sizeof path, "%s", world_path(&w, "scores"));
	free(score(&w, score_with, "scores", &n));
	plain = slim(&w, slim_with, NULL, &n);
	cr_assert_not_null(plain, "%s", w.err.message);
	slim_with->scores = path;
	taken = slim(&w, slim_with, NULL, &m);
	cr_assert_not_null(taken, "%s", w.err.message);
	cr_assert_eq(n, m);
	cr_assert_arr_eq(plain, taken, n);
	free(plain);
	free(taken);
	world_close(&w);
}

Test(scores, a_cut_by_a_file_is_the_cut_of_a_run)
{
	struct tamis_score_options o;
	struct tamis_slim_options s;

	tamis_score_options_default(&o);
	tamis_slim_options_default(&s);
	check_same_cut(&o, &s);
	s.refit = false;
	check_same_cut(&o, &s);
	o.features = s.features = TAMIS_FEATURES_RICH;
	o.fdr = s.fdr = TAMIS_FDR_BY;
	check_same_cut(&o, &s);
	o.criterion = s.criterion = "taylor";
	o.seed = s.seed = 8;
	check_same_cut(&o, &s);
	o.criterion = s.criterion = "fisher";
	check_same_cut(&o, &s);
	o.criterion = s.criterion = "obs";
	check_same_cut(&o, &s);
}

static void refused(struct world *w, const struct tamis_slim_options *o, enum tamis_status status, const char *sentence)
{
	size_t n;

	cr_expect_null(slim(w, o, NULL, &n));
	cr_expect_eq(w->err.status, status, "%s", w->err.message);
	cr_expect_not_null(strstr(w->err.message, sentence), "%s", w->err.message);
}

Test(scores, a_file_that_contradicts_the_call_is_refused)
{
	struct tamis_score_options o;
	struct tamis_slim_options s;
	struct world w;
	char path[160], shard[160], model[160];
	size_t n;

	world_open(&w, ITEMS, 3);
	tamis_score_options_default(&o);
	tamis_slim_options_default(&s);
	snprintf(path, sizeof path, "%s", world_path(&w, "scores"));
	snprintf(shard, sizeof shard, "%s", world_path(&w, "shard"));
	snprintf(model, sizeof model, "%s", world_path(&w, "m.onnx"));
	free(score(&w, &o, "scores", &n));
	s.scores = path;
	s.criterion = "taylor";
	refused(&w, &s, TAMIS_E_USAGE, "made with other options");
	s.criterion = "pii";
	s.features = TAMIS_FEATURES_RICH;
	refused(&w, &s, TAMIS_E_USAGE, "features=rich");
	s.features = TAMIS_FEATURES_LINEAR;
	s.alpha = 0.1;
	refused(&w, &s, TAMIS_E_USAGE, "alpha 0.05 and rule bh, not with alpha 0.1");
	s.alpha = 0.05;
	s.seed = 2;
	refused(&w, &s, TAMIS_E_USAGE, "seed 1, not 2");
	s.seed = 1;
	s.holdout_share = 0.4;
	refused(&w, &s, TAMIS_E_USAGE, "share held out");
	s.holdout_share = -1;
	s.scores = model;
	refused(&w, &s, TAMIS_E_INVALID, "score file");
	o.shard = o.shards = 1;
	free(score(&w, &o, "shard", &n));
	s.scores = shard;
	refused(&w, &s, TAMIS_E_INVALID, "merge the set first");
	world_close(&w);
}

Test(scores, scores_of_another_model_are_refused)
{
	struct tamis_score_options o;
	struct tamis_slim_options s;
	struct world w, other;
	char path[160];
	size_t n;

	world_open(&w, ITEMS, 3);
	world_open(&other, ITEMS, 4);
	tamis_score_options_default(&o);
	tamis_slim_options_default(&s);
	snprintf(path, sizeof path, "%s", world_path(&other, "scores"));
	free(score(&other, &o, "scores", &n));
	s.scores = path;
	refused(&w, &s, TAMIS_E_INVALID, "of another model");
	world_close(&other);
	world_close(&w);
}

/* As many items, but others; the report says so. */
Test(scores, scores_of_other_items_are_taken_with_a_warning)
{
	struct tamis_score_options o;
	struct tamis_slim_options s;
	struct tamis_report *r = NULL;
	struct world w;
	char path[160], *text = NULL;
	const int64_t dims[] = { ITEMS, WIDTH };
	uint8_t *bytes;
	size_t n;

	world_open(&w, ITEMS, 3);
	tamis_score_options_default(&o);
	tamis_slim_options_default(&s);
	s.tolerance = 0.2;
	snprintf(path, sizeof path, "%s", world_path(&w, "scores"));
	free(score(&w, &o, "scores", &n));
	w.items[0] += 1;
	world_write_npy(world_path(&w, "x.npy"), DT_FLOAT, 2, dims, w.items);
	s.scores = path;
	bytes = slim(&w, &s, &r, &n);
	cr_assert_not_null(bytes, "%s", w.err.message);
	cr_assert_eq(tamis_report_json(r, &text, NULL), TAMIS_OK);
	cr_expect_not_null(strstr(text, "come from other items"), "%s", text);
	free(text);
	free(bytes);
	tamis_report_free(r);
	world_close(&w);
}
