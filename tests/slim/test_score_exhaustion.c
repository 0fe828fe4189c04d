/* SPDX-License-Identifier: Apache-2.0 */
/* Scoring into a file, by a shard too, and cutting by one, while allocations fail: each call says
 * so and gives back all it took. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "blocks.h"
#include "slim/forecast/forecast.h"
#include "slim/scorefile/scoring.h"
#include "slimming.h"

static char path[64];

static enum tamis_status put_away(struct slimming *s, int shards)
{
	struct score_file f = { 0 };
	enum tamis_status status = slim_score(&s->in, shards, shards, &f, &s->err);

	if (status == TAMIS_OK)
		status = score_file_write(&f, path, &s->err);
	score_file_free(&f);
	return status;
}

static enum tamis_status score_all(struct slimming *s)
{
	return put_away(s, 0);
}

/* One shard of one, read again and merged. */
static enum tamis_status score_shard(struct slimming *s)
{
	struct score_file f = { 0 };
	bool *seen = NULL;
	enum tamis_status status = put_away(s, 1);

	if (status == TAMIS_OK)
		status = score_file_read(path, 0, &f, &s->err);
	if (status == TAMIS_OK)
		status = score_file_merge_start(&f, &seen, &s->err);
	if (status == TAMIS_OK)
		status = score_file_merge_end(&f, seen, &s->err);
	free(seen);
	score_file_free(&f);
	return status;
}

static enum tamis_status cut_by_file(struct slimming *s)
{
	return slim_document(&s->in, &s->out, &s->figures, &s->arena, &s->err);
}

static enum tamis_status foretell(struct slimming *s)
{
	struct forecast_figures f;

	return slim_forecast(&s->in, false, 0, 0, &f, &s->arena, &s->err);
}

static const struct stage { const char *name; enum tamis_status (*run)(struct slimming *s); } stages[] = {
	{ "a shard", score_shard },
	{ "a score file", score_all },
	{ "a cut by it", cut_by_file },
	{ "a forecast", foretell },
};

static enum tamis_status watched(const struct stage *stage, struct slimming *s, long fail_at, long fail_for)
{
	enum tamis_status status;

	blocks_watch(fail_at, fail_for);
	status = stage->run(s);
	blocks_rest();
	return status;
}

static void expect_nothing_left(const struct stage *stage, struct slimming *s, long at)
{
	slimming_forget(s);
	cr_assert_eq(blocks_live(), 0, "%s, call %ld: %ld blocks are left", stage->name, at, blocks_live());
}

/* Memory is gone from one call on, or for that call alone; the file of the last stage that went well stays. */
static void starve(const struct stage *stage, struct slimming *s)
{
	long all;

	cr_assert_eq(watched(stage, s, 0, 0), TAMIS_OK, "%s: %s", stage->name, s->err.message);
	all = blocks_calls();
	cr_assert_gt(all, 100);
	expect_nothing_left(stage, s, 0);
	for (long at = 1; at < all; at += 1 + at / 12 + (at > 60 ? all / 100 : 0)) {
		enum tamis_status status;

		cr_assert_eq(watched(stage, s, at, -1), TAMIS_E_MEMORY, "%s: without memory from call %ld of %ld on: %s",
		             stage->name, at, all, s->err.message);
		expect_nothing_left(stage, s, at);
		status = watched(stage, s, at, 1);
		cr_assert(status == TAMIS_OK || status == TAMIS_E_MEMORY, "%s: call %ld of %ld fails, status %d: %s", stage->name,
		          at, all, status, s->err.message);
		expect_nothing_left(stage, s, at);
	}
}

static void starve_all(struct document *d, const char *criterion, enum tamis_features features)
{
	char dir[] = "/tmp/tamis-scores-XXXXXX";
	struct slimming s;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/scores", dir);
	slimming_open(&s, d, 60, 2);
	s.o.tolerance = 1;
	s.o.chunk = 16;
	s.o.keep = 0.5;
	s.o.refit = false;
	s.o.criterion = criterion;
	s.o.features = features;
	for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
		s.o.scores = stages[i].run == cut_by_file ? path : NULL;
		starve(&stages[i], &s);
	}
	slimming_close(&s);
	unlink(path);
	cr_assert_eq(rmdir(dir), 0, "temporary files are left");
}

Test(score_exhaustion, memory_runs_out)
{
	starve_all(net_logits(1), "pii", TAMIS_FEATURES_LINEAR);
	starve_all(net_block(1), "fisher", TAMIS_FEATURES_LINEAR);
	starve_all(net_deep(1), "taylor", TAMIS_FEATURES_RICH);
}
