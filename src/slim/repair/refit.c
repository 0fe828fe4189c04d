/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/refit.h"

#include <stdlib.h>
#include <string.h>

#include "slim/repair/refit_pass.h"
#include "slim/repair/refit_solve.h"

struct refit {
	struct refit_job job;
	struct program *original;
	struct refit_pass on_original; /* what it gives each layer */
	double *ridge;                 /* by layer */
	struct tensor *before;         /* by layer, weights and then biases: what the sweep in hand began with */
	struct arena arena;
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "refitting");
}

/* ---- weights before and after ---------------------------------------------------------------------------------- */

static struct tensor *constant_of(const struct refit *r, int i)
{
	const struct layers *all = r->job.layers;

	return &r->job.graph->values[i < all->n ? all->list[i].weight : all->list[i - all->n].bias].constant;
}

static enum tamis_status make_room(struct refit *r, struct tamis_error *err)
{
	int n = r->job.layers->n;

	r->before = arena_array(&r->arena, 2 * (size_t)n + 1, sizeof *r->before);
	for (int i = 0; r->before && i < 2 * n; i++) {
		if (!refit_fits(&r->job.layers->list[i % n]))
			continue;
		r->before[i] = *constant_of(r, i);
		r->before[i].data = arena_array(&r->arena, tensor_bytes(constant_of(r, i)) + 1, 1);
		if (!r->before[i].data)
			return no_memory(err);
	}
	return r->before ? TAMIS_OK : no_memory(err);
}

static void save(struct refit *r)
{
	for (int i = 0; i < 2 * r->job.layers->n; i++)
		if (r->before[i].data)
			memcpy(r->before[i].data, constant_of(r, i)->data, tensor_bytes(&r->before[i]));
}

static void undo(struct refit *r)
{
	for (int i = 0; i < 2 * r->job.layers->n; i++)
		if (r->before[i].data)
			memcpy(constant_of(r, i)->data, r->before[i].data, tensor_bytes(&r->before[i]));
}

/* Only so far from what was before. A weight that survives must not become zero by chance: it would be taken for a cut one. */
static void go_back(struct refit *r, double share)
{
	for (int i = 0; i < 2 * r->job.layers->n; i++) {
		struct tensor *t = r->before[i].data ? constant_of(r, i) : NULL;

		for (int64_t k = 0; t && k < t->count; k++) {
			double from = tensor_get(&r->before[i], k);

			tensor_set(t, k, from + share * (tensor_get(t, k) - from));
			if (tensor_get(t, k) == 0)
				tensor_set(t, k, from);
		}
	}
}

/* ---- sweeps on the network in hand ------------------------------------------------------------------------------ */

/* How far sweeps go, and the outputs' error before and after the last one. */
struct progress { double share, before, after; };

/* Layers that are fitted side by side all make up for what came wrong from before them, which deep networks bear only in part. */
static enum tamis_status go_while_better(struct refit *r, struct progress *p, struct tamis_error *err)
{
	enum tamis_status s;

	if (p->share < 1)
		go_back(r, p->share);
	s = refit_mismatch(&r->job, r->original, &p->after, err);
	while (s == TAMIS_OK && !(p->after <= p->before) && p->share > REFIT_SHORTEST) {
		p->share /= 2;
		go_back(r, 0.5);
		s = refit_mismatch(&r->job, r->original, &p->after, err);
	}
	if (s == TAMIS_OK && !(p->after <= p->before)) {
		undo(r);
		p->after = p->before;
	}
	return s;
}

static enum tamis_status sweep(struct refit *r, struct progress *p, struct tamis_error *err)
{
	struct arena arena = { 0 };
	struct refit_pass on = { 0 };
	enum tamis_status s = refit_sums_of(&r->job, &arena, &on.total, err);

	if (s == TAMIS_OK)
		s = refit_pass(&r->job, r->original, false, &on, &p->before, err);
	save(r);
	if (s == TAMIS_OK)
		s = refit_solve(&r->job, on.total, r->ridge, err);
	for (int i = 0; on.total && i < r->job.layers->n; i++)
		refit_sums_free(&on.total[i]);
	arena_free(&arena);
	return s == TAMIS_OK ? go_while_better(r, p, err) : s;
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

static enum tamis_status gather(struct refit *r, struct tamis_error *err)
{
	static const struct program_options training = { .training = true };
	enum tamis_status s = program_create(r->job.reference, &training, &r->original, err);

	r->ridge = arena_array(&r->arena, (size_t)r->job.layers->n + 1, sizeof *r->ridge);
	if (s == TAMIS_OK && !r->ridge)
		s = no_memory(err);
	if (s == TAMIS_OK)
		s = make_room(r, err);
	if (s == TAMIS_OK)
		s = refit_sums_of(&r->job, &r->arena, &r->on_original.total, err);
	if (s == TAMIS_OK && r->job.ridge <= 0)
		s = refit_sums_of(&r->job, &r->arena, &r->on_original.apart, err);
	return s == TAMIS_OK ? refit_pass(&r->job, r->original, true, &r->on_original, NULL, err) : s;
}

enum tamis_status refit_open(const struct refit_job *job, struct refit **out, struct tamis_error *err)
{
	*out = tm_array(1, sizeof **out);
	if (!*out)
		return no_memory(err);
	(*out)->job = *job;
	return gather(*out, err);
}

void refit_close(struct refit *r)
{
	if (!r)
		return;
	for (int i = 0; i < r->job.layers->n; i++) {
		if (r->on_original.total)
			refit_sums_free(&r->on_original.total[i]);
		if (r->on_original.apart)
			refit_sums_free(&r->on_original.apart[i]);
	}
	program_free(r->original);
	arena_free(&r->arena);
	free(r);
}

const struct refit_sums *refit_moments(const struct refit *r)
{
	return r->on_original.total;
}

enum tamis_status refit_run(struct refit *r, struct tamis_error *err)
{
	struct progress p = { .share = 1, .before = 1 };
	enum tamis_status s = refit_choose_ridges(&r->job, &r->on_original, r->ridge, err);

	if (s == TAMIS_OK)
		s = refit_solve(&r->job, r->on_original.total, r->ridge, err);
	for (int i = 1; s == TAMIS_OK && i < r->job.sweeps && p.after <= REFIT_GAIN * p.before; i++)
		s = sweep(r, &p, err);
	return s;
}

const double *refit_ridges(const struct refit *r)
{
	return r->ridge;
}
