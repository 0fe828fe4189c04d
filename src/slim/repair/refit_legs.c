/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/refit_legs.h"

#include <math.h>

#include "slim/repair/refit_sums.h"

/* Of the items, that a layer is fitted well enough on. */
static double share_of(const struct refit_job *job, const struct layer *l)
{
	double rows = REFIT_ENOUGH * (double)l->view.fan_in, items = fmax(REFIT_LEAST, rows / refit_positions(l));

	return job->items && !refit_keeps_items(job, l) ? fmin(1, items / (double)job->items) : 1;
}

/* Few chunks would leave workers idle. */
static int64_t stride_of(const struct refit_job *job, double share)
{
	int64_t most = job->chunk ? job->items / job->chunk / REFIT_LEG_CHUNKS : INT64_MAX, every = (int64_t)(1 / share);

	return every < most ? every : most > 1 ? most : 1;
}

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

/* Of the one layer of a leg. */
static double results_of(const struct refit_job *job, const struct refit_leg *leg)
{
	int i = leg->first;

	while (!refit_fits(&job->layers->list[i]))
		i++;
	return (double)(job->items * refit_positions(&job->layers->list[i]) * job->layers->list[i].view.outs) / (double)leg->every;
}

/* Legs of `each` layers; list NULL: they are only counted. */
static void lay_out(const struct refit_job *job, int each, struct refit_legs *out)
{
	int fitted = 1;

	out->n = 0;
	out->passes = out->results = 0;
	out->alone = each == 1;
	for (int i = first_fitted(job->layers) + 1; fitted && i < job->layers->n;) {
		struct refit_leg leg = next_leg(job, i, each, &fitted);

		i = leg.last;
		if (fitted && out->list)
			out->list[out->n] = leg;
		out->n += fitted > 0;
		out->passes += fitted ? 1 / (double)leg.every : 0;
		out->results += fitted == 1 && each == 1 ? results_of(job, &leg) : 0;
	}
}

static void find(const struct refit_job *job, struct refit_legs *out)
{
	if (!(job->passes > 0))
		return;
	lay_out(job, 1, out);
	for (int each = 2; out->passes > job->passes && each <= job->layers->n; each++)
		lay_out(job, each, out);
}

enum tamis_status refit_legs_find(const struct refit_job *job, struct arena *arena, struct refit_legs *out,
                                  struct tamis_error *err)
{
	*out = (struct refit_legs){ .list = arena_array(arena, (size_t)job->layers->n + 1, sizeof *out->list) };
	if (!out->list)
		return tm_no_memory(err, "refitting");
	find(job, out);
	return TAMIS_OK;
}

double refit_passes(const struct refit_job *job)
{
	struct refit_legs legs = { 0 };

	find(job, &legs);
	return legs.passes;
}

double refit_kept_floats(const struct refit_job *job, double outputs)
{
	struct refit_legs legs = { 0 };

	find(job, &legs);
	return fmin((double)job->keep, legs.results + outputs * (double)job->items / REFIT_APART);
}
