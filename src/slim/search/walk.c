/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/search/walk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LAST 6 /* states of the path that are never dropped */

/* ---- the path ------------------------------------------------------------------------------------------------- */

static int64_t dispensable(const struct walk *w)
{
	int64_t best = 1;
	double least = INFINITY;

	for (int64_t i = 1; i < w->n_path - LAST; i++) {
		double gap = w->path[i - 1].keep / w->path[i + 1].keep;

		if (gap < least) {
			least = gap;
			best = i;
		}
	}
	return best;
}

enum tamis_status walk_join(struct walk *w, const struct graph *g, const struct parameters *p, double spent,
                            struct tamis_error *err)
{
	struct snapshot now;
	enum tamis_status s = snapshot_take(g, p, w->keep, &now, err);

	if (s != TAMIS_OK)
		return s;
	now.spent = spent;
	while (w->n_path && w->path[w->n_path - 1].spent >= spent && w->path[w->n_path - 1].spent > WALK_SURE)
		snapshot_free(&w->path[--w->n_path]);
	if (w->n_path == WALK_PATH) {
		int64_t i = dispensable(w);

		snapshot_free(&w->path[i]);
		memmove(&w->path[i], &w->path[i + 1], (size_t)(w->n_path - i - 1) * sizeof *w->path);
		w->n_path--;
	}
	w->path[w->n_path++] = now;
	return TAMIS_OK;
}

enum tamis_status walk_note_gentlest(struct walk *w, const struct graph *g, const struct parameters *p,
                                     struct tamis_error *err)
{
	if (w->gentlest.bytes && w->gentlest.keep >= w->keep)
		return TAMIS_OK;
	snapshot_free(&w->gentlest);
	return snapshot_take(g, p, w->keep, &w->gentlest, err);
}

enum tamis_status walk_note_best(struct walk *w, const struct graph *g, const struct parameters *p, double loss,
                                 struct tamis_error *err)
{
	if (w->best.bytes && !(loss < w->best_loss) && (isnan(loss) || !isnan(w->best_loss)))
		return TAMIS_OK;
	snapshot_free(&w->best);
	w->best_loss = loss;
	return snapshot_take(g, p, w->keep, &w->best, err);
}

void walk_free(struct walk *w)
{
	for (int64_t i = 0; i < w->n_path; i++)
		snapshot_free(&w->path[i]);
	snapshot_free(&w->gentlest);
	snapshot_free(&w->best);
	*w = (struct walk){ 0 };
}

/* ---- to bytes and back ------------------------------------------------------------------------------------------ */

/* Fields as they are in memory: a checkpoint is read by the machine that wrote it. */
struct fields { int64_t rounds, fine, bad, n_path; double keep, best_loss; };
struct snapshot_fields { double keep, spent; int64_t kept; uint64_t size; };

static uint8_t *put(uint8_t *to, const void *from, size_t size)
{
	if (size)
		memcpy(to, from, size);
	return to + size;
}

static uint8_t *put_snapshot(uint8_t *to, const struct snapshot *s)
{
	struct snapshot_fields f = { s->keep, s->spent, s->kept, s->size };

	return put(put(to, &f, sizeof f), s->bytes, s->size);
}

static enum tamis_status save(const struct walk *w, const struct snapshot *now, const struct checkpoint *c,
                              struct tamis_error *err)
{
	struct fields f = { w->rounds, w->fine, w->bad, w->n_path, w->keep, w->best_loss };
	size_t size = sizeof f + (size_t)(w->n_path + 3) * sizeof(struct snapshot_fields) + now->size + w->gentlest.size
		+ w->best.size;
	uint8_t *bytes, *at;
	enum tamis_status s;

	for (int64_t i = 0; i < w->n_path; i++)
		size += w->path[i].size;
	bytes = tm_array_uninit(size, 1);
	if (!bytes)
		return tm_no_memory(err, "writing the checkpoint");
	at = put_snapshot(put_snapshot(put_snapshot(put(bytes, &f, sizeof f), now), &w->gentlest), &w->best);
	for (int64_t i = 0; i < w->n_path; i++)
		at = put_snapshot(at, &w->path[i]);
	s = checkpoint_save(c, bytes, size, err);
	free(bytes);
	return s;
}

enum tamis_status walk_save(const struct walk *w, const struct graph *g, const struct parameters *p,
                            const struct checkpoint *c, struct tamis_error *err)
{
	struct snapshot now;
	enum tamis_status s = snapshot_take(g, p, w->keep, &now, err);

	if (s == TAMIS_OK)
		s = save(w, &now, c, err);
	snapshot_free(&now);
	return s;
}

struct source { const uint8_t *at, *end; };

static bool take(struct source *s, void *to, size_t size)
{
	if ((size_t)(s->end - s->at) < size)
		return false;
	memcpy(to, s->at, size);
	s->at += size;
	return true;
}

static enum tamis_status damaged(struct tamis_error *err)
{
	return tm_fail(err, TAMIS_E_INVALID, "the checkpoint does not hold what a search leaves");
}

/* A snapshot without bytes stands for none. */
static enum tamis_status take_snapshot(struct source *s, struct snapshot *out, struct tamis_error *err)
{
	struct snapshot_fields f;

	*out = (struct snapshot){ 0 };
	if (!take(s, &f, sizeof f) || f.size > (uint64_t)(s->end - s->at))
		return damaged(err);
	*out = (struct snapshot){ .keep = f.keep, .spent = f.spent, .kept = f.kept, .size = (size_t)f.size };
	out->bytes = f.size ? tm_array_uninit(out->size, 1) : NULL;
	if (f.size && !out->bytes)
		return tm_no_memory(err, "reading the checkpoint");
	return out->bytes && !take(s, out->bytes, out->size) ? damaged(err) : TAMIS_OK;
}

static enum tamis_status load(struct walk *w, struct source *from, struct snapshot *now, struct tamis_error *err)
{
	struct fields f;
	enum tamis_status s;

	*now = (struct snapshot){ 0 };
	if (!take(from, &f, sizeof f) || f.n_path < 0 || f.n_path > WALK_PATH)
		return damaged(err);
	*w = (struct walk){ .rounds = f.rounds, .fine = f.fine, .bad = f.bad, .keep = f.keep,
		.best_loss = f.best_loss };
	s = take_snapshot(from, now, err);
	if (s == TAMIS_OK)
		s = take_snapshot(from, &w->gentlest, err);
	if (s == TAMIS_OK)
		s = take_snapshot(from, &w->best, err);
	while (s == TAMIS_OK && w->n_path < f.n_path)
		s = take_snapshot(from, &w->path[w->n_path++], err);
	return s;
}

enum tamis_status walk_resume(struct walk *w, struct graph *g, const struct parameters *p, const struct checkpoint *c,
                              struct tamis_error *err)
{
	uint8_t *bytes = NULL;
	size_t size = 0;
	struct snapshot now;
	struct source from;
	enum tamis_status s = checkpoint_load(c, &bytes, &size, err);

	if (s != TAMIS_OK || !bytes)
		return s;
	from = (struct source){ bytes, bytes + size };
	s = load(w, &from, &now, err);
	if (s == TAMIS_OK)
		s = snapshot_restore(&now, g, p, err);
	snapshot_free(&now);
	free(bytes);
	return s;
}
