/* SPDX-License-Identifier: Apache-2.0 */
/* A score file, changed in its structure (mutate.c): read it, write it again, look at every layer, merge a shard with
 * another of its set, and cut a small model by it. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include <tamis_scores.pb-c.h>

#include "base/file.h"
#include "slim/scorefile/view.h"

const ProtobufCMessageDescriptor *const fuzz_message = &tamis__score_file__descriptor;

static bool unpack(const uint8_t *data, size_t size, struct score_file *f)
{
	struct tamis_error err = { 0 };
	enum tamis_status status = score_file_unpack(data, size, f, &err);

	fuzz_expect_said(status, &err);
	fuzz_taken += status == TAMIS_OK;
	return status == TAMIS_OK;
}

/* What is written is read again, and written the same. */
static void round_trip(const struct score_file *f)
{
	struct score_file again = { 0 };
	uint8_t *packed = NULL, *twice = NULL;
	size_t n = 0, m = 0;

	fuzz_expect(score_file_pack(f, &packed, &n, NULL) == TAMIS_OK, "scores to pack");
	fuzz_expect(unpack(packed, n, &again), "packed scores to be valid");
	fuzz_expect(score_file_pack(&again, &twice, &m, NULL) == TAMIS_OK, "scores to pack twice");
	fuzz_expect(n == m && memcmp(packed, twice, n) == 0, "packing to be stable");
	score_file_free(&again);
	free(packed);
	free(twice);
}

static void look(const struct score_file *f)
{
	struct scores_figures figures = { 0 };
	struct tamis_error err = { 0 };
	struct arena arena = { 0 };

	fuzz_expect_said(score_view(f, &figures, &arena, &err), &err);
	for (int i = 0; i < f->layers.n; i++) {
		tamis_error_clear(&err);
		fuzz_expect_said(score_view_tensor(f, f->layer[i].weight, -1, -1, &figures, &arena, &err), &err);
		tamis_error_clear(&err);
		fuzz_expect_said(score_view_tensor(f, f->layer[i].weight, i, 1, &figures, &arena, &err), &err);
	}
	arena_free(&arena);
}

/* FUZZ_SEEDS has shards of the same model, made with other options. */
static void merge_into_seed(const struct score_file *f, const char *seed)
{
	struct score_file sum = { 0 };
	struct tamis_error err = { 0 };
	bool *seen = NULL;
	enum tamis_status status = score_file_read(seed, 0, &sum, &err);

	fuzz_expect(status == TAMIS_OK, "a shard among the seeds");
	status = score_file_merge_start(&sum, &seen, &err);
	if (status == TAMIS_OK)
		status = score_file_merge(&sum, f, seen, &err);
	if (status == TAMIS_OK)
		status = score_file_merge_end(&sum, seen, &err);
	fuzz_expect_said(status, &err);
	free(seen);
	if (status == TAMIS_OK)
		look(&sum);
	score_file_free(&sum);
}

/* The set is taken to be of shards that found the same. */
static void merge(struct score_file *f, const uint8_t *data, size_t size)
{
	const int shards = f->shards < 3 ? f->shards : 3, first = f->shard;
	struct tamis_error err = { 0 };
	bool *seen = NULL;
	enum tamis_status status;

	f->shard = 2; /* the seeds of the other half come first in their set */
	if (f->shards > 1)
		merge_into_seed(f, strstr(f->origin.options, "obs") ? FUZZ_SEEDS "/shard_covariance" : FUZZ_SEEDS "/shard");
	f->shard = first;
	status = score_file_merge_start(f, &seen, &err);
	for (int i = 1; status == TAMIS_OK && i < shards; i++) {
		struct score_file next = { 0 };

		fuzz_expect(unpack(data, size, &next), "a shard to be read twice");
		next.shard = (next.shard - 1 + i) % next.shards + 1;
		status = score_file_merge(f, &next, seen, &err);
		score_file_free(&next);
	}
	if (status == TAMIS_OK)
		status = score_file_merge_end(f, seen, &err);
	fuzz_expect_said(status, &err);
	free(seen);
	if (status == TAMIS_OK) {
		round_trip(f);
		look(f);
	}
}

/* What the scores were made for, from the text of their options. */
static const char *criterion_in(const char *options)
{
	static const char key[] = "criterion=";
	const char *at = strstr(options, key);
	size_t n = 0;
	const struct criterion *rows = criterion_list(&n);

	for (size_t i = 0; at && i < n; i++)
		if (!strncmp(at + strlen(key), rows[i].name, strlen(rows[i].name)))
			return rows[i].name;
	return "pii";
}

/* FUZZ_MODEL is the model that the seeds were made of, on as many random items. */
static void cut(const char *path, const char *options)
{
	struct tamis_calibration_options random;
	struct tamis_slim_options slim;
	struct tamis_calibration *items = NULL;
	struct tamis_model *model = NULL;
	struct tamis_error err = { 0 };
	enum tamis_status status;

	tamis_calibration_options_default(&random);
	random.random = 16; /* of 8, none is held out */
	tamis_slim_options_default(&slim);
	slim.criterion = criterion_in(options);
	slim.scores = path;
	slim.tolerance = 1;
	slim.rounds = 2;
	slim.threads = 1;
	status = tamis_model_open(FUZZ_MODEL, NULL, &model, &err);
	if (status == TAMIS_OK)
		status = tamis_calibration_open(model, NULL, 0, &random, &items, &err);
	fuzz_expect(status == TAMIS_OK, "the model of the seeds");
	fuzz_expect_said(tamis_slim(model, items, &slim, NULL, &err), &err);
	tamis_calibration_close(items);
	tamis_model_close(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct score_file f = { 0 };

	if (unpack(data, size, &f)) {
		round_trip(&f);
		if (f.shards) {
			merge(&f, data, size);
		} else {
			look(&f);
			cut(fuzz_file("x.scores", data, size), f.origin.options);
		}
	}
	score_file_free(&f);
	return 0;
}
