/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/channels/effect.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A reader of the group while its units go: row-major matrices over the n features that live. */
struct desk {
	const struct group_reader *reader;
	const struct layer *layer;
	const struct layer_score *score;
	int64_t n, outs;
	int64_t *feature; /* n: of the layer */
	double *p;        /* n x n: inverse of the second moments */
	double *w;        /* outs x n: weights times the root of the path gain */
	int64_t *at;      /* room for the features of one unit */
	double *block, *part, *gains;
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "weighing channels");
}

static bool in_group(const struct channel_group *x, int32_t unit)
{
	return unit >= x->first && unit < x->first + x->width;
}

static bool reads_group(const struct group_reader *r, const struct channel_group *x)
{
	for (int64_t i = 0; i < r->extent; i++)
		if (in_group(x, r->unit[i]))
			return true;
	return false;
}

const char *effect_unknown(const struct channel_groups *g, int group)
{
	bool any = false;

	for (int i = 0; i < g->n_readers; i++)
		if (reads_group(&g->readers[i], &g->list[group])) {
			const struct layer *l = g->readers[i].layer < 0 ? NULL : &g->layers->list[g->readers[i].layer];

			if (!l && !g->readers[i].recurrent)
				return "it is read by weights that are not fitted";
			if (l && (l->note || l->bias == GRAPH_NONE))
				return "a layer that reads it is not fitted";
			any |= l != NULL;
		}
	return any ? NULL : "only recurrent nodes read it";
}

/* ---- one reader ------------------------------------------------------------------------------------------------- */

static void close_desk(struct desk *d)
{
	free(d->feature);
	free(d->p);
	free(d->w);
	free(d->at);
	free(d->block);
	free(d->part);
	free(d->gains);
}

static bool is_read(const struct desk *d, const struct tensor *w, int64_t f)
{
	for (int64_t o = 0; o < d->outs; o++)
		if (tensor_get(w, layer_offset(&d->layer->view, o, f)) != 0)
			return true;
	return false;
}

/* What is dead already, never varies or has only zero weights is not on the desk: it replaces nothing. */
static void find_features(struct desk *d, const struct graph *g, const bool *dead, const struct refit_sums *m)
{
	int64_t fan_in = d->layer->view.fan_in, inner = d->layer->view.inner;
	const struct tensor *w = &g->values[d->layer->weight].constant;

	for (int64_t f = 0; f < fan_in; f++) {
		int32_t u = d->reader->unit[f / inner];

		if ((u < 0 || !dead[u]) && m->uu[f * fan_in + f] > 0 && is_read(d, w, f))
			d->feature[d->n++] = f;
	}
}

static bool invert(struct desk *d, const struct refit_sums *m)
{
	int64_t fan_in = d->layer->view.fan_in, n = d->n;
	double ridge = 0;

	for (int64_t i = 0; i < n; i++)
		ridge += EFFECT_RIDGE * m->uu[d->feature[i] * fan_in + d->feature[i]] / (double)n;
	for (int64_t i = 0; i < n; i++) {
		for (int64_t k = 0; k < n; k++)
			d->p[i * n + k] = m->uu[d->feature[i] * fan_in + d->feature[k]];
		d->p[i * n + i] += ridge;
	}
	if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'L', (lapack_int)n, d->p, (lapack_int)n)
	    || LAPACKE_dpotri_work(LAPACK_COL_MAJOR, 'L', (lapack_int)n, d->p, (lapack_int)n))
		return false;
	for (int64_t i = 0; i < n; i++)
		for (int64_t k = 0; k < i; k++)
			d->p[i * n + k] = d->p[k * n + i];
	return true;
}

static void weigh(struct desk *d, const struct graph *g)
{
	const struct tensor *w = &g->values[d->layer->weight].constant;

	for (int64_t o = 0; o < d->outs; o++) {
		double root = sqrt(d->score->gain[o]) * d->layer->view.weight_scale;

		for (int64_t i = 0; i < d->n; i++)
			d->w[o * d->n + i] = root * tensor_get(w, layer_offset(&d->layer->view, o, d->feature[i]));
	}
}

/* *usable: false where the moments are singular, or there are none. */
static enum tamis_status open_desk(const struct effect_job *job, const struct group_reader *r, struct desk *d,
                                   bool *usable, struct tamis_error *err)
{
	const struct refit_sums *m = &job->moments[r->layer];
	size_t n = (size_t)job->groups->layers->list[r->layer].view.fan_in;
	size_t wide;

	*d = (struct desk){ .reader = r, .layer = &job->groups->layers->list[r->layer],
		.score = &job->scores[r->layer] };
	*usable = m->rows > 0 && m->uu;
	if (!*usable)
		return TAMIS_OK;
	d->outs = d->layer->view.outs;
	wide = (size_t)(d->outs > (int64_t)n ? d->outs : (int64_t)n);
	d->feature = tm_array(n + 1, sizeof *d->feature);
	d->at = tm_array(n + 1, sizeof *d->at);
	if (d->feature)
		find_features(d, job->groups->graph, job->dead, m);
	d->p = tm_array_uninit((size_t)(d->n * d->n) + 1, sizeof *d->p);
	d->w = tm_array_uninit((size_t)(d->outs * d->n) + 1, sizeof *d->w);
	d->block = tm_array_uninit(n * n + 1, sizeof *d->block);
	d->part = tm_array_uninit(n * wide + 1, sizeof *d->part);
	d->gains = tm_array_uninit(n * wide + 1, sizeof *d->gains);
	if (!d->feature || !d->at || !d->p || !d->w || !d->block || !d->part || !d->gains)
		return no_memory(err);
	*usable = d->n > 0 && invert(d, m);
	if (*usable)
		weigh(d, job->groups->graph);
	return TAMIS_OK;
}

/* Features of a unit, as places on the desk; how many. */
static int64_t places_of(struct desk *d, int unit)
{
	int64_t n = 0, inner = d->layer->view.inner;

	for (int64_t i = 0; i < d->n; i++)
		if (d->reader->unit[d->feature[i] / inner] == unit)
			d->at[n++] = i;
	return n;
}

/* block: the Cholesky factor L of P_DD, lower, column-major. False where the unit is determined by others. */
static bool factor(struct desk *d, int64_t b)
{
	for (int64_t i = 0; i < b; i++)
		for (int64_t k = 0; k < b; k++)
			d->block[i * b + k] = d->p[d->at[i] * d->n + d->at[k]];
	return LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'L', (lapack_int)b, d->block, (lapack_int)b) == 0;
}

/* part: W_D, outs x b, row-major. */
static void take_columns(struct desk *d, int64_t b)
{
	for (int64_t o = 0; o < d->outs; o++)
		for (int64_t i = 0; i < b; i++)
			d->part[o * b + i] = d->w[o * d->n + d->at[i]];
}

/* sum_o w_oD (P_DD)^-1 w_oD' = |W_D L'^-1|^2; W_D row-major is its transpose column-major. */
static double effect_of(struct desk *d, int unit)
{
	int64_t b = places_of(d, unit);
	double sum = 0;

	if (!b)
		return 0;
	if (!factor(d, b))
		return INFINITY;
	take_columns(d, b);
	cblas_dtrsm(CblasColMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, (int)b, (int)d->outs, 1, d->block,
	            (int)b, d->part, (int)b);
	for (int64_t i = 0; i < d->outs * b; i++)
		sum += d->part[i] * d->part[i];
	return sum;
}

/* W -= W_D K', P -= K P_D with K = P_D' (P_DD)^-1; rows and columns of D become zero. */
static void take(struct desk *d, int unit)
{
	int64_t b = places_of(d, unit), n = d->n;

	if (!b || !factor(d, b))
		return;
	for (int64_t i = 0; i < n; i++)
		for (int64_t k = 0; k < b; k++)
			d->gains[i * b + k] = d->p[i * n + d->at[k]];
	LAPACKE_dpotrs_work(LAPACK_COL_MAJOR, 'L', (lapack_int)b, (lapack_int)n, d->block, (lapack_int)b, d->gains,
	                    (lapack_int)b);
	take_columns(d, b);
	cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)d->outs, (int)n, (int)b, -1, d->part, (int)b, d->gains,
	            (int)b, 1, d->w, (int)n);
	for (int64_t k = 0; k < b; k++)
		memcpy(d->part + k * n, d->p + d->at[k] * n, (size_t)n * sizeof *d->p);
	cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)n, (int)b, -1, d->gains, (int)b, d->part,
	            (int)n, 1, d->p, (int)n);
}

/* ---- all readers of a group ------------------------------------------------------------------------------------- */

struct desks { struct desk *list; int n; bool usable; };

static enum tamis_status open_desks(const struct effect_job *job, int group, struct desks *out,
                                    struct tamis_error *err)
{
	const struct channel_groups *g = job->groups;
	enum tamis_status s = TAMIS_OK;

	out->list = tm_array((size_t)g->n_readers + 1, sizeof *out->list);
	if (!out->list)
		return no_memory(err);
	out->usable = true;
	for (int i = 0; s == TAMIS_OK && out->usable && i < g->n_readers; i++)
		if (g->readers[i].layer >= 0 && reads_group(&g->readers[i], &g->list[group]))
			s = open_desk(job, &g->readers[i], &out->list[out->n++], &out->usable, err);
	return s;
}

static void close_desks(struct desks *d)
{
	for (int i = 0; i < d->n; i++)
		close_desk(&d->list[i]);
	free(d->list);
}

static int least(struct desks *d, const struct channel_group *x, const bool *gone, double *effect)
{
	int best = -1;

	*effect = INFINITY;
	for (int u = 0; u < x->width; u++) {
		double sum = 0;

		for (int i = 0; !gone[u] && i < d->n; i++)
			sum += effect_of(&d->list[i], x->first + u);
		if (gone[u] || !(sum < *effect))
			continue;
		*effect = sum;
		best = u;
	}
	return best;
}

static void order(struct desks *d, const struct channel_group *x, bool *gone, int steps, struct effect_curve *out)
{
	double sum = 0, effect;

	while (out->n < steps) {
		int u = least(d, x, gone, &effect);

		if (u < 0)
			return;
		sum += effect;
		gone[u] = true;
		for (int i = 0; i < d->n; i++)
			take(&d->list[i], x->first + u);
		out->unit[out->n] = x->first + u;
		out->effect[out->n++] = sum;
	}
}

void effect_free(struct effect_curve *c)
{
	free(c->unit);
	free(c->effect);
	*c = (struct effect_curve){ 0 };
}

enum tamis_status effect_order(const struct effect_job *job, int group, struct effect_curve *out,
                               struct tamis_error *err)
{
	const struct channel_group *x = &job->groups->list[group];
	struct desks desks = { 0 };
	bool *gone = tm_array((size_t)x->width + 1, sizeof *gone);
	enum tamis_status s = gone ? open_desks(job, group, &desks, err) : no_memory(err);
	bool whole = job->whole && job->whole[group];

	*out = (struct effect_curve){ 0 };
	out->unit = tm_array((size_t)x->width + 1, sizeof *out->unit);
	out->effect = tm_array((size_t)x->width + 1, sizeof *out->effect);
	if (s == TAMIS_OK && (!out->unit || !out->effect))
		s = no_memory(err);
	for (int u = 0; s == TAMIS_OK && u < x->width; u++) {
		gone[u] = job->dead[x->first + u];
		out->alive += !gone[u];
	}
	out->part = (int)fmin(ceil(job->share * out->alive), out->alive - 1);
	if (s == TAMIS_OK && desks.usable && desks.n)
		order(&desks, x, gone, whole ? out->alive : out->part, out);
	close_desks(&desks);
	free(gone);
	return s;
}
