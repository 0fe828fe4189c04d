/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/refit.h"

#include <stdlib.h>
#include <string.h>

#include "slim/repair/refit_pass.h"
#include "slim/repair/refit_solve.h"
#include "slim/repair/tune.h"

struct refit {
	struct refit_job job;
	struct program *original;
	struct refit_pass on_original; /* what it gives each layer */
	struct refit_legs legs;        /* what comes after it */
	struct refit_kept kept;        /* what the original gave */
	struct refit_held held;        /* between the last leg that handed anything over and the one in hand */
	double *ridge;                 /* by layer */
	double error;                  /* of the outputs, as it was last measured */
	struct tensor *before;         /* by layer, weights and then biases: what the leg in hand began with, or the first */
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

/* ---- on the network in hand ------------------------------------------------------------------------------------- */

static void begin_part(struct refit *r, int part)
{
	if (!refit_kept_whole(&r->kept, part))
		refit_kept_restart(&r->kept, part);
}

static enum tamis_status find_mismatch(struct refit *r, double *out, struct tamis_error *err)
{
	int outputs = r->job.layers->n;
	enum tamis_status s;

	begin_part(r, outputs);
	s = refit_mismatch(&r->job, r->original, &r->kept, out, err);
	if (s == TAMIS_OK)
		refit_kept_close(&r->kept, outputs);
	return s;
}

/* What was found may be too much where the outputs are far from linear in it, and where layers of a leg all make up for
 * what came wrong from before them. */
static enum tamis_status go_while_better(struct refit *r, struct tamis_error *err)
{
	double now, share = 1;
	enum tamis_status s = find_mismatch(r, &now, err);

	while (s == TAMIS_OK && !(now <= r->error) && share > REFIT_SHORTEST) {
		share /= 2;
		go_back(r, 0.5);
		s = find_mismatch(r, &now, err);
	}
	if (s == TAMIS_OK && !(now <= r->error))
		undo(r);
	else
		r->error = now;
	return s;
}

static enum tamis_status run_leg(struct refit *r, struct refit_pass *on, struct tamis_error *err)
{
	struct refit_held next = { .at = on->leg.to, .every = on->leg.step };
	enum tamis_status s;

	on->from = &r->held;
	on->to = &next;
	s = refit_pass(&r->job, r->original, false, on, err);
	if (on->leg.to) {
		refit_held_free(&r->held);
		r->held = next;
	}
	return s;
}

static enum tamis_status fit_leg(struct refit *r, int leg, struct tamis_error *err)
{
	struct arena arena = { 0 };
	struct refit_pass on = { .leg = r->legs.list[leg], .kept = &r->kept };
	enum tamis_status s = refit_sums_of(&r->job, &on.leg, false, &arena, &on.total, err);

	if (s == TAMIS_OK)
		s = run_leg(r, &on, err);
	if (s == TAMIS_OK)
		s = refit_solve(&r->job, on.total, r->ridge, err);
	for (int i = 0; on.total && i < r->job.layers->n; i++)
		refit_sums_free(&on.total[i]);
	arena_free(&arena);
	return s;
}

static enum tamis_status fit_in_order(struct refit *r, struct tamis_error *err)
{
	const struct refit_legs *legs = &r->legs;
	enum tamis_status s;

	r->error = 0;
	s = legs->n ? find_mismatch(r, &r->error, err) : TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < legs->n; i++) {
		if (!legs->alone || i == 0)
			save(r);
		s = fit_leg(r, i, err);
		if (s == TAMIS_OK && (!legs->alone || i + 1 == legs->n))
			s = go_while_better(r, err);
	}
	refit_held_free(&r->held);
	return s;
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

/* The outputs are compared often: what they may take is left to them. */
static enum tamis_status open_kept(struct refit *r, struct tamis_error *err)
{
	const struct refit_job *j = &r->job;
	int n = j->layers->n;
	double outputs = 0;
	enum tamis_status s = refit_kept_open(&r->kept, n + 2, j->keep, &r->arena, err);

	if (s != TAMIS_OK)
		return s;
	for (int i = 0; j->plan && i < j->graph->n_outputs; i++)
		outputs += (double)j->plan->value[j->graph->outputs[i]].shape.count * (double)j->items / REFIT_APART;
	for (int k = 0; k < r->legs.n; k++)
		for (int i = r->legs.list[k].first; i < r->legs.list[k].last; i++)
			r->kept.of[i].every = refit_fits(&j->layers->list[i]) ? r->legs.list[k].every : 0;
	r->kept.of[n].every = REFIT_APART;
	r->kept.of[n + 1].every = 1;
	if (outputs < (double)j->keep)
		r->kept.most -= (size_t)outputs;
	return TAMIS_OK;
}

static void close_kept(struct refit *r)
{
	for (int i = 0; i < r->job.layers->n; i++)
		refit_kept_close(&r->kept, i);
	r->kept.most = r->job.keep;
}

static enum tamis_status gather(struct refit *r, struct tamis_error *err)
{
	static const struct program_options training = { .training = true };
	struct refit_pass *on = &r->on_original;
	enum tamis_status s = program_create(r->job.reference, &training, &r->original, err);

	on->leg = (struct refit_leg){ .last = r->job.layers->n, .every = 1, .step = 1,
		.share = REFIT_FIRST };
	on->kept = &r->kept;
	r->ridge = arena_array(&r->arena, (size_t)r->job.layers->n + 1, sizeof *r->ridge);
	if (s == TAMIS_OK && !r->ridge)
		s = no_memory(err);
	if (s == TAMIS_OK)
		s = refit_legs_find(&r->job, &r->arena, &r->legs, err);
	if (s == TAMIS_OK)
		s = open_kept(r, err);
	if (s == TAMIS_OK)
		s = make_room(r, err);
	if (s == TAMIS_OK)
		s = refit_sums_of(&r->job, &on->leg, false, &r->arena, &on->total, err);
	if (s == TAMIS_OK && r->job.ridge <= 0)
		s = refit_sums_of(&r->job, &on->leg, false, &r->arena, &on->apart, err);
	if (s == TAMIS_OK)
		s = refit_pass(&r->job, r->original, true, on, err);
	if (s == TAMIS_OK)
		close_kept(r);
	return s;
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
	refit_kept_free(&r->kept);
	refit_held_free(&r->held);
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
	enum tamis_status s = refit_choose_ridges(&r->job, &r->on_original, r->ridge, err);

	if (s == TAMIS_OK)
		s = refit_solve(&r->job, r->on_original.total, r->ridge, err);
	return s == TAMIS_OK ? fit_in_order(r, err) : s;
}

bool refit_wants_tuning(double spent, double limit)
{
	return spent > TUNE_WANTED * limit && spent <= TUNE_HOPELESS * limit;
}

static enum tamis_status tune(struct refit *r, struct tamis_error *err)
{
	int outputs = r->job.layers->n + 1;
	enum tamis_status s;

	begin_part(r, outputs);
	s = tune_step(&r->job, r->original, &r->kept, err);
	if (s == TAMIS_OK)
		refit_kept_close(&r->kept, outputs);
	return s;
}

/* Until a step would lead away from the original's outputs. */
enum tamis_status refit_tune(struct refit *r, struct tamis_error *err)
{
	bool more = tune_every(&r->job) > 0;
	enum tamis_status s = more ? find_mismatch(r, &r->error, err) : TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && more && i < TUNE_STEPS; i++) {
		double before = r->error;

		save(r);
		s = tune(r, err);
		if (s == TAMIS_OK)
			s = go_while_better(r, err);
		more = r->error < before;
	}
	return s;
}

double refit_error(const struct refit *r)
{
	return r->error;
}

enum tamis_status refit_measure(struct refit *r, struct tamis_error *err)
{
	return find_mismatch(r, &r->error, err);
}

const double *refit_ridges(const struct refit *r)
{
	return r->ridge;
}
