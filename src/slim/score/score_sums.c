/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/score/score_sums.h"

#include <math.h>
#include <string.h>

#include "stat/dependence.h"

#define DIGITS EXACT_SUMS_DIGITS
#define SQUARES_DIGITS 2 /* of sums of squares: resolves 2^-32 of the largest, and there may be many */

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "scoring");
}

enum tamis_status layer_sums_create(struct layer_sums *s, unsigned needs, struct tamis_error *err)
{
	enum tamis_status status = exact_sums_create(&s->mean, s->features, DIGITS, err);

	if (status == TAMIS_OK)
		status = exact_sums_create(&s->second, s->features, DIGITS, err);
	if (status == TAMIS_OK)
		status = exact_sums_create(&s->gain, s->outs, DIGITS, err);
	if (status == TAMIS_OK && needs & SCORE_NEEDS_GRADIENT)
		status = exact_sums_create(&s->gradient2, s->entries, SQUARES_DIGITS, err);
	if (status == TAMIS_OK && needs & SCORE_NEEDS_ENERGY)
		status = exact_sums_create(&s->energy, s->entries, SQUARES_DIGITS, err);
	if (status == TAMIS_OK && needs & SCORE_NEEDS_COVARIANCE && s->fan_in <= SCORE_MAX_COVARIANCE)
		status = exact_sums_create(&s->products, s->features * (s->fan_in + 1), SQUARES_DIGITS, err);
	return status;
}

enum tamis_status parameter_sums_create(struct parameter_sums *s, int64_t entries, struct tamis_error *err)
{
	return exact_sums_create(&s->sum, entries, SQUARES_DIGITS, err);
}

/* ---- merging ------------------------------------------------------------------------------------------------ */

static enum tamis_status merge_layer(struct layer_sums *into, const struct layer_sums *from, struct tamis_error *err)
{
	enum tamis_status s;

	if (into->alone != from->alone || into->positions != from->positions || into->entries != from->entries
	    || into->features != from->features || into->fan_in != from->fan_in || into->outs != from->outs
	    || !into->signal_scale != !from->signal_scale)
		return tm_fail(err, TAMIS_E_INVALID, "sums to merge must be of the same layers");
	if (into->alone)
		return TAMIS_OK;
	if (into->signal_scale
	    && memcmp(into->signal_scale, from->signal_scale, (size_t)into->features * sizeof *into->signal_scale))
		return tm_fail(err, TAMIS_E_INVALID, "sums to merge must have seen the same first items");
	s = comoment_merge(&into->moment, &from->moment, err);
	if (s == TAMIS_OK)
		s = exact_sums_merge(&into->mean, &from->mean, err);
	if (s == TAMIS_OK)
		s = exact_sums_merge(&into->second, &from->second, err);
	if (s == TAMIS_OK)
		s = exact_sums_merge(&into->gain, &from->gain, err);
	if (s == TAMIS_OK)
		s = exact_sums_merge(&into->gradient2, &from->gradient2, err);
	if (s == TAMIS_OK)
		s = exact_sums_merge(&into->energy, &from->energy, err);
	if (s == TAMIS_OK)
		s = exact_sums_merge(&into->products, &from->products, err);
	if (s != TAMIS_OK)
		return s;
	copies_meet(&into->copies, &from->copies);
	into->signals += from->signals;
	into->grid_rows += from->grid_rows;
	into->reached |= from->reached;
	return TAMIS_OK;
}

enum tamis_status score_sums_merge(struct score_sums *into, const struct score_sums *from, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	if (into->n_layers != from->n_layers || into->n_parameters != from->n_parameters)
		return tm_fail(err, TAMIS_E_INVALID, "sums to merge must be of the same model");
	s = output_moment_merge(&into->psi, &from->psi, err);
	for (int i = 0; s == TAMIS_OK && i < into->n_layers; i++)
		s = merge_layer(&into->layer[i], &from->layer[i], err);
	for (int k = 0; s == TAMIS_OK && k < into->n_parameters; k++)
		s = exact_sums_merge(&into->parameter[k].sum, &from->parameter[k].sum, err);
	into->items += from->items;
	return s;
}

/* ---- finishing ---------------------------------------------------------------------------------------------- */

/* Sums over a count, into an array of the arena; NULL when out of memory. */
static double *over(struct arena *a, const struct exact_sums *s, double count)
{
	double *x = arena_array(a, (size_t)s->n, sizeof *x);

	for (int64_t i = 0; x && i < s->n; i++)
		x[i] = count > 0 ? exact_sums_value(s, i) / count : 0;
	return x;
}

/* E u_f^2 over the positions that the test looks at. */
static double second_at_grid(const struct comoment *c, int64_t f)
{
	double sum = 0;

	for (int p = 0; p < c->width; p++) {
		double mean = comoment_mean(c, f, p);

		sum += comoment_variance(c, f, p) + mean * mean;
	}
	return sum / c->width;
}

/* A few positions see too much or too little of a signal that is strong at some only, or is padding at the border: its
 * dependence is that of the grid, its energy that of all positions. Not for rich features: of theirs no energy is summed. */
static void weigh_by_energy(const struct layer_sums *l, struct layer_score *out)
{
	if (l->moment.width != l->positions || !l->moment.n)
		return;
	for (int64_t f = 0; f < l->features; f++) {
		double seen = second_at_grid(&l->moment, f);

		if (seen > 0 && isfinite(out->second[f] / seen))
			out->relevance[f] *= out->second[f] / seen;
	}
}

struct finish { const struct score_sums *sums; struct scores *scores; };

static enum tamis_status test_layer(void *ctx, int64_t i, int worker, struct tamis_error *err)
{
	const struct score_sums *all = ((struct finish *)ctx)->sums;
	const struct layer_sums *l = &all->layer[i];
	struct layer_score *out = &((struct finish *)ctx)->scores->layer[i];

	(void)worker;
	if (l->alone)
		return TAMIS_OK;
	/* A layer whose rows never divided by the items was not tested. */
	for (int64_t f = 0; !l->signals && f < l->features; f++)
		out->p[f] = 1;
	if (!l->signals)
		return TAMIS_OK;
	if (dependence_test(&l->moment, &all->psi, l->positions, out->relevance, out->p, err) != TAMIS_OK)
		return err->status;
	/* Features of standardised signals: back to the signal's units, where the linear part is what it would be alone. */
	for (int64_t f = 0; l->signal_scale && f < l->features; f++) {
		double scale = (double)l->signal_scale[f];

		out->relevance[f] = scale > 0 ? out->relevance[f] / (scale * scale) : 0;
	}
	weigh_by_energy(l, out);
	return TAMIS_OK;
}

/* From E u u' and E u, all by group, to Cov(u), full. */
static void centre(const struct layer_sums *l, double *cov)
{
	const double *mean = cov + l->features * l->fan_in;
	int64_t d = l->fan_in;

	for (int64_t g = 0; g < l->features; g += d, cov += d * d)
		for (int64_t i = 0; i < d; i++)
			for (int64_t k = 0; k <= i; k++)
				cov[i * d + k] = cov[k * d + i] = cov[i * d + k] - mean[g + i] * mean[g + k];
}

/* What only some criteria need. */
static enum tamis_status finish_needs(const struct layer_sums *l, double items, struct layer_score *out, struct arena *a,
                                      struct tamis_error *err)
{
	out->gradient2 = l->gradient2.n ? over(a, &l->gradient2, items) : NULL;
	out->energy = l->energy.n ? over(a, &l->energy, items) : NULL;
	out->covariance = l->products.n ? over(a, &l->products, (double)l->grid_rows) : NULL;
	if ((l->gradient2.n && !out->gradient2) || (l->energy.n && !out->energy) || (l->products.n && !out->covariance))
		return no_memory(err);
	if (out->covariance)
		centre(l, out->covariance);
	return TAMIS_OK;
}

static enum tamis_status finish_layer(const struct score_sums *all, const struct layer_sums *l, struct layer_score *out,
                                      struct arena *a, struct tamis_error *err)
{
	double signals = (double)l->signals, items = (double)all->items;

	out->mean = over(a, &l->mean, signals);
	out->second = over(a, &l->second, signals);
	out->gain = over(a, &l->gain, items);
	out->relevance = arena_array(a, (size_t)l->features, sizeof *out->relevance);
	out->p = arena_array(a, (size_t)l->features, sizeof *out->p);
	out->blind = !l->reached;
	if (!out->mean || !out->second || !out->gain || !out->relevance || !out->p)
		return no_memory(err);
	for (int64_t o = 0; out->blind && o < l->outs; o++)
		out->gain[o] = 1;
	if (finish_needs(l, items, out, a, err) != TAMIS_OK)
		return err->status;
	return copies_copy(&l->copies, a, &out->copies, err);
}

/* The sums behind the tests go on to the scores, for p-values near a threshold. */
static void hand_over_moments(struct score_sums *s, struct scores *out)
{
	out->psi_moment = s->psi;
	s->psi = (struct output_moment){ 0 };
	for (int i = 0; i < s->n_layers; i++) {
		out->moment[i] = s->layer[i].moment;
		s->layer[i].moment = (struct comoment){ 0 };
	}
}

enum tamis_status score_sums_finish(struct score_sums *s, struct pool *pool, struct scores *out, struct tamis_error *err)
{
	struct finish finish = { s, out };
	enum tamis_status status = TAMIS_OK;

	out->n_layers = s->n_layers;
	out->items = s->items;
	out->layer = arena_array(&out->arena, (size_t)s->n_layers + 1, sizeof *out->layer);
	out->parameter = arena_array(&out->arena, (size_t)s->n_parameters + 1, sizeof *out->parameter);
	out->moment = arena_array(&out->arena, (size_t)s->n_layers + 1, sizeof *out->moment);
	if (!out->layer || !out->parameter || !out->moment)
		return no_memory(err);
	for (int i = 0; status == TAMIS_OK && i < s->n_layers; i++)
		if (!s->layer[i].alone)
			status = finish_layer(s, &s->layer[i], &out->layer[i], &out->arena, err);
	if (status == TAMIS_OK)
		status = pool_for(pool, s->n_layers, test_layer, &finish, err);
	for (int k = 0; status == TAMIS_OK && k < s->n_parameters; k++) {
		struct parameter_score *p = &out->parameter[out->n_parameters++];

		p->value = s->parameter[k].value;
		p->gradient2 = over(&out->arena, &s->parameter[k].sum, (double)s->items);
		status = p->gradient2 ? TAMIS_OK : no_memory(err);
	}
	hand_over_moments(s, out);
	return status;
}

void score_sums_free(struct score_sums *s)
{
	for (int i = 0; s->layer && i < s->n_layers; i++) {
		comoment_free(&s->layer[i].moment);
		exact_sums_free(&s->layer[i].mean);
		exact_sums_free(&s->layer[i].second);
		exact_sums_free(&s->layer[i].gain);
		exact_sums_free(&s->layer[i].gradient2);
		exact_sums_free(&s->layer[i].energy);
		exact_sums_free(&s->layer[i].products);
	}
	for (int k = 0; s->parameter && k < s->n_parameters; k++)
		exact_sums_free(&s->parameter[k].sum);
	output_moment_free(&s->psi);
	arena_free(&s->arena);
	*s = (struct score_sums){ 0 };
}
