/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/refit.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "slim/refit_rows.h"
#include "slim/score_state.h"

/* Sums over rows of one layer: one row an item and position. */
struct sums {
	double *u, *z;       /* features, outs */
	double *uu, *uz;     /* groups x fan_in x fan_in (lower triangle), groups x fan_in x outs/groups */
	int64_t rows;
};

/* What one worker owns. */
struct hand {
	struct sums *chunk;      /* of the chunk in hand, by layer */
	struct runner *original;
	struct scratch scratch;
	float *u, *z, *product;
	size_t u_floats, z_floats, product_floats;
};

struct sweep {
	const struct refit_job *job;
	struct program *original, *slim;
	struct hand *hands;
	int n_hands;
	struct sums *total;      /* by layer */
	struct arena arena;
	int64_t done;
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "refitting");
}

static bool fitted(const struct layer *l)
{
	return !l->note && l->bias != GRAPH_NONE && l->view.fan_in <= REFIT_MAX_FAN_IN;
}

/* ---- gathering ------------------------------------------------------------------------------------------------ */

static enum tamis_status gather(struct hand *h, struct layer_call *slim, struct layer_call *original, int64_t *rows,
                                struct tamis_error *err)
{
	const struct layer *l = slim->layer;
	int64_t pos[REFIT_POSITIONS];
	int n = l->positions < REFIT_POSITIONS ? (int)l->positions : REFIT_POSITIONS;
	enum tamis_status s;

	*rows = slim->items * n;
	slim->call.err = original->call.err = err;
	signals_grid(n, slim->positions, pos);
	s = score_reserve(&h->u, &h->u_floats, (size_t)(*rows * l->features), err);
	if (s == TAMIS_OK)
		s = score_reserve(&h->z, &h->z_floats, (size_t)(*rows * l->view.outs), err);
	if (s == TAMIS_OK)
		s = slim->op->gather(&slim->call, &l->view, slim->items, pos, n, h->u);
	if (s == TAMIS_OK)
		s = original->op->gather_out(&original->call, &l->view, original->out[0], slim->items, pos, n, h->z);
	return s;
}

static void add_columns(const float *x, int64_t rows, int64_t n, double *sum)
{
	for (int64_t i = 0; i < rows; i++, x += n)
		for (int64_t k = 0; k < n; k++)
			sum[k] += x[k];
}

static void widen(const float *from, double *to, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		to[i] = from[i];
}

/* Products of one chunk are float GEMMs; chunks are added in double. */
static enum tamis_status multiply(struct hand *h, const struct layer *l, int64_t rows, struct sums *a,
                                  struct tamis_error *err)
{
	int64_t d = l->view.fan_in, per = l->view.outs / l->view.groups, wide = d > per ? d : per;
	enum tamis_status s = score_reserve(&h->product, &h->product_floats, (size_t)(d * wide), err);

	if (s != TAMIS_OK)
		return s;
	for (int64_t g = 0; g < l->view.groups; g++) {
		const float *u = h->u + g * d, *z = h->z + g * per;

		cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, (int)d, (int)rows, 1, u, (int)l->features, 0,
		            h->product, (int)d);
		widen(h->product, a->uu + g * d * d, d * d);
		cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)d, (int)per, (int)rows, 1, u, (int)l->features, z,
		            (int)l->view.outs, 0, h->product, (int)per);
		widen(h->product, a->uz + g * d * per, d * per);
	}
	return TAMIS_OK;
}

static enum tamis_status add_layer(struct sweep *w, struct hand *h, int i, const struct runner *slim, int64_t items,
                                   struct tamis_error *err)
{
	const struct layer *l = &w->job->layers->list[i];
	struct sums *a = &h->chunk[i];
	struct layer_call cs, co;
	enum tamis_status s;

	a->rows = 0;
	if (!fitted(l))
		return TAMIS_OK;
	scratch_reset(&h->scratch);
	s = signals_bind(w->job->graph, l, slim, &h->scratch, items, &cs, err);
	if (s == TAMIS_OK)
		s = signals_bind(w->job->reference, l, h->original, &h->scratch, items, &co, err);
	if (s != TAMIS_OK || !cs.positions || !co.positions)
		return s;
	s = gather(h, &cs, &co, &a->rows, err);
	if (s != TAMIS_OK)
		return s;
	memset(a->u, 0, (size_t)l->features * sizeof *a->u);
	memset(a->z, 0, (size_t)l->view.outs * sizeof *a->z);
	add_columns(h->u, a->rows, l->features, a->u);
	add_columns(h->z, a->rows, l->view.outs, a->z);
	return multiply(h, l, a->rows, a, err);
}

static enum tamis_status work(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct sweep *w = ctx;
	struct hand *h = &w->hands[slot];
	enum tamis_status s = runner_run(r, c->in, NULL, err);

	if (s == TAMIS_OK)
		s = runner_run(h->original, c->in, NULL, err);
	for (int i = 0; s == TAMIS_OK && i < w->job->layers->n; i++)
		s = add_layer(w, h, i, r, c->items, err);
	return s;
}

static void add(double *to, const double *from, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		to[i] += from[i];
}

static enum tamis_status merge(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct sweep *w = ctx;

	for (int i = 0; i < w->job->layers->n; i++) {
		const struct layer *l = &w->job->layers->list[i];
		struct sums *from = &w->hands[slot].chunk[i], *to = &w->total[i];
		int64_t d = l->view.fan_in;

		if (!from->rows)
			continue;
		add(to->u, from->u, l->features);
		add(to->z, from->z, l->view.outs);
		add(to->uu, from->uu, l->view.groups * d * d);
		add(to->uz, from->uz, d * l->view.outs);
		to->rows += from->rows;
	}
	w->done += c->items;
	return w->job->progress ? w->job->progress(w->job->progress_ctx, w->done, err) : TAMIS_OK;
}

/* ---- solving -------------------------------------------------------------------------------------------------- */

/* Centres the moments: uu -> Cov(u, u), full; uz -> Cov(u, z). */
static void centre(const struct layer *l, struct sums *a)
{
	int64_t d = l->view.fan_in, per = l->view.outs / l->view.groups;
	double n = (double)a->rows;

	for (int64_t f = 0; f < l->features; f++)
		a->u[f] /= n;
	for (int64_t o = 0; o < l->view.outs; o++)
		a->z[o] /= n;
	for (int64_t g = 0; g < l->view.groups; g++) {
		double *uu = a->uu + g * d * d, *uz = a->uz + g * d * per;
		const double *u = a->u + g * d, *z = a->z + g * per;

		for (int64_t i = 0; i < d; i++)
			for (int64_t k = 0; k <= i; k++)
				uu[i * d + k] = uu[k * d + i] = uu[i * d + k] / n - u[i] * u[k];
		for (int64_t i = 0; i < d; i++)
			for (int64_t o = 0; o < per; o++)
				uz[i * per + o] = uz[i * per + o] / n - u[i] * z[o];
	}
}

static enum tamis_status centre_one(void *ctx, int64_t i, int worker, struct tamis_error *err)
{
	struct sweep *w = ctx;

	(void)worker;
	(void)err;
	if (w->total[i].rows)
		centre(&w->job->layers->list[i], &w->total[i]);
	return TAMIS_OK;
}

/* Blocks of rows of all layers in one list, so that workers stay busy; the blocks are fixed, so the bits are. */
static int64_t blocks_of(const struct layer *l)
{
	int64_t per = l->view.outs / l->view.groups;

	return l->view.groups * ((per + REFIT_ROWS - 1) / REFIT_ROWS);
}

static enum tamis_status solve_block(void *ctx, int64_t index, int worker, struct tamis_error *err)
{
	struct sweep *w = ctx;
	const struct layer *l = w->job->layers->list;
	struct sums *a = w->total;
	struct refit_rows rows;
	int64_t per, in_group;

	(void)worker;
	while (index >= (a->rows ? blocks_of(l) : 0)) {
		index -= a->rows ? blocks_of(l) : 0;
		l++;
		a++;
	}
	per = l->view.outs / l->view.groups;
	in_group = (per + REFIT_ROWS - 1) / REFIT_ROWS;
	rows = (struct refit_rows){ .graph = w->job->graph,
		.reference = w->job->reference, .layer = l, .group = index / in_group,
		.first = index % in_group * REFIT_ROWS, .u_mean = a->u, .z_mean = a->z, .uu = a->uu, .uz = a->uz };
	rows.count = per - rows.first < REFIT_ROWS ? per - rows.first : REFIT_ROWS;
	return refit_rows(&rows, err);
}

static enum tamis_status solve(struct sweep *w, struct tamis_error *err)
{
	int64_t blocks = 0;
	enum tamis_status s = pool_for(w->job->pool, w->job->layers->n, centre_one, w, err);

	for (int i = 0; i < w->job->layers->n; i++)
		blocks += w->total[i].rows ? blocks_of(&w->job->layers->list[i]) : 0;
	return s == TAMIS_OK ? pool_for(w->job->pool, blocks, solve_block, w, err) : s;
}

/* ---- one sweep ------------------------------------------------------------------------------------------------ */

static enum tamis_status make_sums(struct sweep *w, struct sums **out, struct tamis_error *err)
{
	*out = arena_array(&w->arena, (size_t)w->job->layers->n + 1, sizeof **out);
	if (!*out)
		return no_memory(err);
	for (int i = 0; i < w->job->layers->n; i++) {
		const struct layer *l = &w->job->layers->list[i];
		struct sums *a = &(*out)[i];
		size_t d = (size_t)l->view.fan_in;

		if (!fitted(l))
			continue;
		a->u = arena_array(&w->arena, (size_t)l->features, sizeof *a->u);
		a->z = arena_array(&w->arena, (size_t)l->view.outs, sizeof *a->z);
		a->uu = arena_array(&w->arena, (size_t)l->features * d, sizeof *a->uu);
		a->uz = arena_array(&w->arena, d * (size_t)l->view.outs, sizeof *a->uz);
		if (!a->u || !a->z || !a->uu || !a->uz)
			return no_memory(err);
	}
	return TAMIS_OK;
}

static enum tamis_status set_up(struct sweep *w, struct tamis_error *err)
{
	struct program_options options = { .training = true };
	enum tamis_status s = program_create(w->job->reference, &options, &w->original, err);

	if (s == TAMIS_OK)
		s = program_create(w->job->graph, &options, &w->slim, err);
	if (s == TAMIS_OK)
		s = make_sums(w, &w->total, err);
	w->hands = arena_array(&w->arena, (size_t)w->n_hands, sizeof *w->hands);
	if (!w->hands)
		return no_memory(err);
	for (int i = 0; s == TAMIS_OK && i < w->n_hands; i++) {
		s = make_sums(w, &w->hands[i].chunk, err);
		if (s == TAMIS_OK)
			s = runner_create(w->original, &w->hands[i].original, err);
	}
	return s;
}

static void tear_down(struct sweep *w)
{
	for (int i = 0; w->hands && i < w->n_hands; i++) {
		runner_free(w->hands[i].original);
		scratch_free(&w->hands[i].scratch);
		free(w->hands[i].u);
		free(w->hands[i].z);
		free(w->hands[i].product);
	}
	program_free(w->original);
	program_free(w->slim);
	arena_free(&w->arena);
}

static bool select_item(void *ctx, int64_t item)
{
	const struct refit_job *j = ((struct sweep *)ctx)->job;

	return !j->select || j->select(j->select_ctx, item);
}

static enum tamis_status sweep(const struct refit_job *job, struct tamis_error *err)
{
	struct sweep w = { .job = job, .n_hands = pool_size(job->pool) };
	struct items_job items = { .ctx = &w, .select = select_item, .work = work, .merge = merge };
	enum tamis_status s = set_up(&w, err);

	if (s == TAMIS_OK)
		s = items_run(w.slim, job->reader, job->batching, job->chunk, job->pool, &items, err);
	if (s == TAMIS_OK)
		s = solve(&w, err);
	tear_down(&w);
	return s;
}

enum tamis_status refit_run(const struct refit_job *job, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < job->sweeps; i++)
		s = sweep(job, err);
	return s;
}
