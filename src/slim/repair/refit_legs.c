/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/refit_legs.h"

#include <math.h>
#include <stdlib.h>

#include "slim/repair/refit_sums.h"

/* ---- on how many items ------------------------------------------------------------------------------------------ */

/* Of the items, that a layer is fitted well enough on. */
static double share_of(const struct refit_job *job, const struct layer *l)
{
	double rows = REFIT_ENOUGH * (double)l->view.fan_in, items = fmax(REFIT_LEAST, rows / refit_positions(l));

	return job->items && !refit_keeps_items(job, l) ? fmin(1, items / (double)job->items) : 1;
}

/* Few chunks would leave workers idle. A power of two, so that the chunks of one leg are among those of any with a smaller one. */
static int64_t stride_of(const struct refit_job *job, double share)
{
	int64_t most = job->chunk ? job->items / job->chunk / REFIT_LEG_CHUNKS : INT64_MAX, every = 1;

	while (2 * every <= most && 2 * (double)every * share <= 1)
		every *= 2;
	return every;
}

/* ---- which layers ----------------------------------------------------------------------------------------------- */

static int first_fitted(const struct layers *l)
{
	int i = 0;

	while (i < l->n && !refit_fits(&l->list[i]))
		i++;
	return i;
}

static struct refit_leg next_leg(const struct refit_job *job, int first, int each, int *fitted)
{
	const struct layers *l = job->layers;
	struct refit_leg leg = { .first = first, .last = first };
	double share = 0;

	*fitted = 0;
	for (; leg.last < l->n && *fitted < each; leg.last++)
		if (refit_fits(&l->list[leg.last])) {
			share = fmax(share, share_of(job, &l->list[leg.last]));
			++*fitted;
		}
	leg.every = *fitted ? stride_of(job, share) : 1;
	return leg;
}

static void lay_out(const struct refit_job *job, int each, struct refit_legs *out)
{
	int fitted = 1;

	out->n = 0;
	out->alone = each == 1;
	for (int i = first_fitted(job->layers) + 1; fitted && i < job->layers->n;) {
		struct refit_leg leg = next_leg(job, i, each, &fitted);

		i = leg.last;
		if (fitted)
			out->list[out->n++] = leg;
	}
}

/* ---- from where ------------------------------------------------------------------------------------------------- */

static int node_of(const struct refit_job *job, const struct refit_leg *leg, bool last)
{
	int node = GRAPH_NONE;

	for (int i = leg->first; i < leg->last; i++) {
		int n = job->layers->list[i].node;

		if (refit_fits(&job->layers->list[i]) && (node == GRAPH_NONE || (last ? n > node : n < node)))
			node = n;
	}
	return node;
}

/* Of the MACs between the border and the leg's last layer. */
static double part_of_network(const struct refit_job *job, const struct refit_leg *leg)
{
	const struct layers *l = job->layers;
	int from = leg->from ? leg->from->node : 0, to = node_of(job, leg, true);
	double all = 0, part = 0;

	for (int i = 0; i < l->n; i++) {
		all += l->list[i].macs;
		part += l->list[i].node >= from && l->list[i].node <= to ? l->list[i].macs : 0;
	}
	return all > 0 ? part / all : 1;
}

/* Before each leg's layers, for those and all behind them; the last leg has none. NULL where it cannot be held. */
static enum tamis_status find_borders(const struct refit_job *job, const struct refit_legs *legs, struct arena *arena,
                                      struct refit_border **out, struct tamis_error *err)
{
	bool *wanted = tm_array((size_t)job->graph->n_nodes + 1, sizeof *wanted);
	enum tamis_status s = wanted ? TAMIS_OK : tm_no_memory(err, "refitting");

	for (int k = legs->n - 1; s == TAMIS_OK && k >= 0; k--) {
		const struct refit_leg *leg = &legs->list[k];

		for (int i = leg->first; i < leg->last; i++)
			wanted[job->layers->list[i].node] |= refit_fits(&job->layers->list[i]);
		if (k + 1 < legs->n)
			s = refit_border_before(job, node_of(job, leg, false), wanted, arena, &out[k], err);
	}
	free(wanted);
	return s;
}

static int last_with(const struct refit_legs *legs, int64_t step)
{
	int k = legs->n - 1;

	while (k >= 0 && legs->list[k].every < step)
		k--;
	return k;
}

/* Legs that gather each `step`-th chunk or fewer go on from each other, as far as what crosses can be held, and those that gather more
 * begin at the inputs. step 0: all do. Returns the passes that they take together. */
static double place(const struct refit_job *job, struct refit_legs *legs, struct refit_border *const *border, int64_t step)
{
	int last = step ? last_with(legs, step) : -1;
	const struct refit_border *held = NULL;
	double passes = 0;

	for (int k = 0; k < legs->n; k++) {
		struct refit_leg *leg = &legs->list[k];
		bool follows = step && leg->every >= step;
		const struct refit_border *b = follows && k < last ? border[k] : NULL;

		leg->from = follows ? held : NULL;
		leg->to = b && b->bytes * (double)job->items / (double)step <= (double)job->hold ? b : NULL;
		leg->step = leg->to ? step : leg->every;
		leg->share = job->plan ? part_of_network(job, leg) : 1;
		held = leg->to ? leg->to : held;
		passes += leg->share / (double)leg->step;
	}
	return passes;
}

/* What one leg hands over is run on as many chunks as the next asks for: which of them do so is what takes the least. */
static enum tamis_status place_best(const struct refit_job *job, struct refit_legs *legs, struct arena *arena, struct tamis_error *err)
{
	struct refit_border **border = arena_array(arena, (size_t)legs->n + 1, sizeof *border);
	int64_t best = 0, most = 1;
	enum tamis_status s = border ? TAMIS_OK : tm_no_memory(err, "refitting");

	if (s == TAMIS_OK && job->plan)
		s = find_borders(job, legs, arena, border, err);
	if (s != TAMIS_OK)
		return s;
	legs->passes = place(job, legs, border, 0);
	for (int k = 0; k < legs->n; k++)
		most = legs->list[k].every > most ? legs->list[k].every : most;
	for (int64_t step = 1; job->plan && step <= most; step *= 2) {
		double passes = place(job, legs, border, step);

		best = passes < legs->passes ? step : best;
		legs->passes = fmin(passes, legs->passes);
	}
	place(job, legs, border, best);
	return TAMIS_OK;
}

static enum tamis_status try_legs(const struct refit_job *job, int each, struct refit_legs *out, struct arena *arena,
                                  struct tamis_error *err)
{
	lay_out(job, each, out);
	return place_best(job, out, arena, err);
}

enum tamis_status refit_legs_find(const struct refit_job *job, struct arena *arena, struct refit_legs *out,
                                  struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	*out = (struct refit_legs){ .list = arena_array(arena, (size_t)job->layers->n + 1, sizeof *out->list) };
	if (!out->list)
		return tm_no_memory(err, "refitting");
	if (job->passes > 0)
		s = try_legs(job, 1, out, arena, err);
	for (int each = 2; s == TAMIS_OK && out->passes > job->passes && each <= job->layers->n; each++)
		s = try_legs(job, each, out, arena, err);
	return s;
}

enum tamis_status refit_effort(const struct refit_job *job, double outputs, struct refit_effort *out, struct tamis_error *err)
{
	struct arena arena = { 0 };
	struct refit_legs legs;
	double results = 0, held = 0;
	enum tamis_status s = refit_legs_find(job, &arena, &legs, err);

	for (int k = 0; s == TAMIS_OK && k < legs.n; k++) {
		const struct refit_leg *leg = &legs.list[k];

		for (int i = leg->first; i < leg->last; i++) {
			const struct layer *l = &job->layers->list[i];

			if (refit_fits(l))
				results += (double)(job->items * refit_positions(l) * l->view.outs) / (double)leg->every;
		}
		if (leg->to)
			held = fmax(held, leg->to->bytes * (double)job->items / (double)leg->step);
	}
	*out = (struct refit_effort){ .passes = legs.passes, .held = held,
		.kept = fmin((double)job->keep, results + outputs * (double)job->items / (job->tune ? 1 : REFIT_APART)) };
	arena_free(&arena);
	return s;
}
