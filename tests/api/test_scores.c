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

/* Reads a damaged file in every way there is: an answer or a sentence. */
static void read_damaged(struct world *w, const char *path, const uint8_t *bytes, size_t size, bool shard)
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
}

static void damage(struct world *w, uint8_t *bytes, size_t n, bool shard)
{
	struct rng r = rng_make(17, shard);
	char path[160];

	snprintf(path, sizeof path, "%s", world_path(w, "damaged"));
	for (int trial = 0; trial < 400; trial++) {
		/* the front holds the small fields: half of the hits go there */
		size_t at = (size_t)(rng_uniform(&r) * (double)(trial % 2 && n > 700 ? 700 : n));
		uint8_t old = bytes[at];

		bytes[at] = (uint8_t)(rng_uniform(&r) * 256);
		read_damaged(w, path, bytes, n, shard);
		bytes[at] = old;
		if (trial % 4 == 0)
			read_damaged(w, path, bytes, at, shard);
	}
}

Test(scores, damaged_files_are_refused_by_a_sentence)
{
	struct tamis_score_options o;
	struct world w;
	uint8_t *bytes;
	size_t n;

	world_open(&w, 120, 3);
	tamis_score_options_default(&o);
	bytes = score(&w, &o, "whole", &n);
	damage(&w, bytes, n, false);
	free(bytes);
	o.shard = o.shards = 1;
	bytes = score(&w, &o, "shard", &n);
	damage(&w, bytes, n, true);
	free(bytes);
	world_close(&w);
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
