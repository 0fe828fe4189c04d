/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/scorefile/file.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "ops/blas.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "working on a score file");
}

int score_file_find(const struct score_file *f, const char *weight)
{
	for (int i = 0; i < f->layers.n; i++)
		if (f->layer[i].weight && !strcmp(f->layer[i].weight, weight))
			return i;
	return -1;
}

enum tamis_status score_file_scores(const struct score_file *f, int layer, float *out, struct tamis_error *err)
{
	return criterion_find("pii")->score(&f->layers.list[layer], &f->scores.layer[layer], f->layer[layer].w, f->origin.seed,
	                                    out, err);
}

/* ---- finishing ---------------------------------------------------------------------------------------------- */

/* Inverted p-values take the place of the approximate ones. */
static enum tamis_status test_all(struct score_file *f, struct tamis_error *err)
{
	struct significance sig = { 0 };
	enum tamis_status s = significance_find(&f->layers, &f->scores, f->origin.fdr, f->origin.alpha, &sig, err);

	for (int i = 0; s == TAMIS_OK && i < f->layers.n; i++) {
		const struct layer *l = &f->layers.list[i];
		size_t bytes = (size_t)l->features * sizeof(double);

		if (l->note)
			continue;
		f->layer[i].q = arena_alloc(&f->arena, bytes + 1);
		if (!f->layer[i].q) {
			s = no_memory(err);
			break;
		}
		memcpy(f->layer[i].q, sig.q[i], bytes);
		memcpy(f->scores.layer[i].p, sig.p[i], bytes);
	}
	significance_free(&sig);
	return s;
}

static enum tamis_status sum_up(struct score_file *f, int i, struct tamis_error *err)
{
	const struct layer *l = &f->layers.list[i];
	struct scored_layer *to = &f->layer[i];
	float *score = tm_array((size_t)l->entries + 1, sizeof *score);
	double *wide = tm_array((size_t)l->entries + 1, sizeof *wide);
	enum tamis_status s = score && wide ? TAMIS_OK : no_memory(err);

	if (s == TAMIS_OK) {
		s = score_file_scores(f, i, score, err);
		for (int64_t k = 0; k < l->entries; k++)
			wide[k] = (double)score[k];
	}
	if (s == TAMIS_OK)
		s = distribution_of(wide, l->entries, &to->score, err);
	if (s == TAMIS_OK)
		s = distribution_of(f->scores.layer[i].p, l->features, &to->p, err);
	free(score);
	free(wide);
	return s;
}

static enum tamis_status finish_parameters(struct score_file *f, struct tamis_error *err)
{
	for (int k = 0; k < f->n_parameters; k++) {
		struct scored_parameter *p = &f->parameter[k];

		p->score = arena_array(&f->arena, (size_t)p->entries + 1, sizeof *p->score);
		if (!p->score)
			return no_memory(err);
		for (int64_t i = 0; i < p->entries; i++)
			p->score[i] = (float)((double)p->w[i] * (double)p->w[i] * f->scores.parameter[k].gradient2[i]);
		p->w = NULL;
	}
	return TAMIS_OK;
}

/* The moments have done their work: a whole file goes without them. */
static void drop_moments(struct scores *s)
{
	for (int i = 0; s->moment && i < s->n_layers; i++)
		comoment_free(&s->moment[i]);
	output_moment_free(&s->psi_moment);
	s->moment = NULL;
}

enum tamis_status score_file_finish(struct score_file *f, struct tamis_error *err)
{
	enum tamis_status s;

	blas_prepare(); /* eigenvalues are to have the same bits as in a run, whose workers have done so */
	if (!f->sums.items)
		return tm_fail(err, TAMIS_E_INVALID, "no item was scored");
	s = score_sums_finish(&f->sums, NULL, &f->scores, err);
	if (s == TAMIS_OK)
		s = test_all(f, err);
	for (int i = 0; s == TAMIS_OK && i < f->layers.n; i++)
		if (!f->layers.list[i].note)
			s = sum_up(f, i, err);
	if (s == TAMIS_OK)
		s = finish_parameters(f, err);
	drop_moments(&f->scores);
	f->items = f->sums.items;
	f->shard = f->shards = 0;
	score_sums_free(&f->sums);
	return s;
}

/* ---- merging ------------------------------------------------------------------------------------------------ */

static bool same_text(const char *a, const char *b)
{
	return !a || !b ? a == b : !strcmp(a, b);
}

static const char *difference(const struct score_origin *a, const struct score_origin *b)
{
	if (!same_text(a->source_sha256, b->source_sha256))
		return "of another model";
	if (!same_text(a->calibration_sha256, b->calibration_sha256))
		return "of other items";
	if (a->seed != b->seed || a->from != b->from || a->to != b->to || a->chunk != b->chunk || a->stacked != b->stacked
	    || a->random != b->random || a->alpha != b->alpha || a->fdr != b->fdr || !same_text(a->options, b->options))
		return "made with other options";
	if (a->head.kind != b->head.kind || a->head.width != b->head.width || a->head.classes != b->head.classes)
		return "of other outputs";
	return NULL;
}

static enum tamis_status check_shard(const struct score_file *first, const struct score_file *f, bool *seen,
                                     struct tamis_error *err)
{
	const char *what = difference(&first->origin, &f->origin);

	if (!f->shards)
		return tm_fail(err, TAMIS_E_INVALID, "a shard was expected, and these scores are whole");
	if (f->shards != first->shards)
		return tm_fail(err, TAMIS_E_INVALID, "a shard of a set of %d was expected, and one of a set of %d came",
		               first->shards, f->shards);
	if (what)
		return tm_fail(err, TAMIS_E_INVALID, "the shard is %s than the first one", what);
	if (seen[f->shard - 1])
		return tm_fail(err, TAMIS_E_INVALID, "shard %d of %d came twice", f->shard, f->shards);
	seen[f->shard - 1] = true;
	return TAMIS_OK;
}

enum tamis_status score_file_merge_start(struct score_file *sum, bool **seen, struct tamis_error *err)
{
	*seen = tm_array((size_t)sum->shards + 1, sizeof **seen);
	return *seen ? check_shard(sum, sum, *seen, err) : no_memory(err);
}

enum tamis_status score_file_merge(struct score_file *sum, const struct score_file *next, bool *seen,
                                   struct tamis_error *err)
{
	enum tamis_status s = check_shard(sum, next, seen, err);

	return s == TAMIS_OK ? score_sums_merge(&sum->sums, &next->sums, err) : s;
}

enum tamis_status score_file_merge_end(struct score_file *sum, const bool *seen, struct tamis_error *err)
{
	for (int i = 0; i < sum->shards; i++)
		if (!seen[i])
			return tm_fail(err, TAMIS_E_INVALID, "shard %d of %d is missing", i + 1, sum->shards);
	return score_file_finish(sum, err);
}

/* ---- files -------------------------------------------------------------------------------------------------- */

enum tamis_status score_file_write(const struct score_file *f, const char *path, struct tamis_error *err)
{
	struct file_writer w;
	uint8_t *data = NULL;
	size_t size = 0;
	enum tamis_status s = score_file_pack(f, &data, &size, err);

	if (s == TAMIS_OK)
		s = file_writer_open(&w, path, err);
	if (s == TAMIS_OK) {
		s = file_writer_write(&w, data, size, err);
		if (s == TAMIS_OK)
			s = file_writer_commit(&w, err);
		file_writer_abort(&w);
	}
	free(data);
	return s;
}

enum tamis_status score_file_read(const char *path, uint64_t max_bytes, struct score_file *out, struct tamis_error *err)
{
	uint8_t *data = NULL;
	size_t size = 0;
	size_t most = max_bytes && max_bytes < INT32_MAX ? (size_t)max_bytes : INT32_MAX;
	enum tamis_status s = file_read(path, most, &data, &size, err);

	if (s == TAMIS_OK)
		s = score_file_unpack(data, size, out, err);
	free(data);
	if (s != TAMIS_OK)
		tm_in_file(err, path);
	return s;
}

void score_file_free(struct score_file *f)
{
	score_sums_free(&f->sums);
	scores_free(&f->scores);
	layers_free(&f->layers);
	arena_free(&f->arena);
	*f = (struct score_file){ 0 };
}
