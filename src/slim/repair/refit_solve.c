/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/refit_solve.h"

#include <math.h>
#include <stdlib.h>

#define TRIED 8       /* blocks of rows of a layer that its ridge is tried on */
#define TRIED_ROWS 16 /* of all of them together, or one a block */
#define N_RIDGES (sizeof ridges / sizeof *ridges)

static const double ridges[] = { REFIT_LAMBDA, 1e-4, 1e-2, 1e-1 }; /* that are tried */

double refit_solve_bytes(const struct refit_job *job, const struct layer *l)
{
	bool items = refit_keeps_items(job, l);
	double d = (double)l->view.fan_in, square = items ? 0 : d * d;
	double rows = items ? (double)(job->items * refit_positions(l)) : 0;
	double most = items ? 0 : 8 * d * (double)(l->features + l->view.outs); /* the moments but for those apart */

	return refit_fits(l) ? 12 * square + most + REFIT_ROWS * (25 * d + 4 * rows) + 36 * d : 0;
}

double refit_solve_flops(const struct refit_job *job, const struct layer *l)
{
	double d = (double)l->view.fan_in, rows = (double)(job->items * refit_positions(l));
	double step = refit_keeps_items(job, l) ? 4 * d * rows : 2 * d * d;

	return refit_fits(l) ? (double)l->view.outs * REFIT_STEPS * step : 0;
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

/* Blocks of rows of all layers in one list, so that workers stay busy; the blocks are fixed, so the bits are. */
static int64_t blocks_of(const struct layer *l)
{
	int64_t per = l->view.outs / l->view.groups;

	return l->view.groups * ((per + REFIT_ROWS - 1) / REFIT_ROWS);
}

static struct refit_rows block_of(const struct refit_job *job, int layer, int64_t block, const struct refit_sums *a,
                                  double ridge)
{
	const struct layer *l = &job->layers->list[layer];
	int64_t per = l->view.outs / l->view.groups, in_group = (per + REFIT_ROWS - 1) / REFIT_ROWS;
	struct refit_rows rows = { .graph = job->graph, .reference = job->reference, .layer = l,
		.group = block / in_group, .first = block % in_group * REFIT_ROWS, .data = refit_sums_data(a), .u_mean = a->u,
		.z_mean = a->z, .ridge = ridge };

	rows.count = per - rows.first < REFIT_ROWS ? per - rows.first : REFIT_ROWS;
	return rows;
}

struct solve { const struct refit_job *job; const struct refit_sums *total; const double *ridge; };

static enum tamis_status solve_block(void *ctx, int64_t index, int worker, struct tamis_error *err)
{
	const struct solve *w = ctx;
	struct refit_rows rows;
	int i = 0;

	(void)worker;
	for (; index >= (w->total[i].rows ? blocks_of(&w->job->layers->list[i]) : 0); i++)
		index -= w->total[i].rows ? blocks_of(&w->job->layers->list[i]) : 0;
	rows = block_of(w->job, i, index, &w->total[i], w->ridge[i]);
	return refit_rows(&rows, err);
}

enum tamis_status refit_solve(const struct refit_job *job, const struct refit_sums *total, const double *ridge,
                              struct tamis_error *err)
{
	struct solve w = { job, total, ridge };
	int64_t blocks = 0;

	for (int i = 0; i < job->layers->n; i++)
		blocks += total[i].rows ? blocks_of(&job->layers->list[i]) : 0;
	return pool_for(job->pool, blocks, solve_block, &w, err);
}

/* ---- ridges ---------------------------------------------------------------------------------------------------- */

struct choosing { const struct refit_job *job; const struct refit_pass *on; double *ridge; };

/* Where a layer's rows are tried: fitted on `most`, judged on `rest`. */
struct trial { struct refit_sums most; struct refit_data rest; int64_t cut; };

static enum tamis_status error_of(const struct choosing *w, int i, const struct trial *t, double ridge, double *error,
                                  struct tamis_error *err)
{
	int64_t blocks = blocks_of(&w->job->layers->list[i]), step = blocks > TRIED ? blocks / TRIED : 1;
	int64_t rows_each = TRIED_ROWS / (blocks < TRIED ? blocks : TRIED);
	enum tamis_status s = TAMIS_OK;

	*error = 0;
	for (int64_t b = 0; s == TAMIS_OK && b < blocks; b += step) {
		struct refit_rows rows = block_of(w->job, i, b, &t->most, ridge);
		double part = 0;

		rows.count = rows.count < rows_each ? rows.count : rows_each;
		rows.data.n = t->rest.u ? t->cut : rows.data.n;
		s = refit_rows_error(&rows, &t->rest, &part, err);
		*error += part;
	}
	return s;
}

/* Items are split where they are, a quarter at the end; of moments those apart are taken out again. */
static enum tamis_status open_trial(const struct choosing *w, int i, struct arena *arena, struct trial *t,
                                    struct tamis_error *err)
{
	const struct layer *l = &w->job->layers->list[i];
	const struct refit_sums *total = &w->on->total[i];
	enum tamis_status s;

	*t = (struct trial){ .most = *total, .cut = total->rows - total->rows / REFIT_APART };
	t->rest = refit_sums_data(total);
	if (!total->uu) {
		t->rest.u += t->cut * l->features;
		t->rest.z += t->cut * l->view.outs;
		t->rest.n -= t->cut;
		return TAMIS_OK;
	}
	t->rest = refit_sums_data(&w->on->apart[i]);
	s = refit_sums_make(l, REFIT_OF_ALL, arena, &t->most, err);
	if (s == TAMIS_OK)
		refit_sums_part(l, total, &w->on->apart[i], &t->most);
	return s;
}

/* The ridge whose solution errs least on what lies apart. */
static enum tamis_status choose_ridge(void *ctx, int64_t index, int worker, struct tamis_error *err)
{
	const struct choosing *w = ctx;
	int i = (int)index;
	const struct refit_sums *total = &w->on->total[i];
	int64_t apart = total->uu && w->on->apart ? w->on->apart[i].rows : total->rows / REFIT_APART;
	struct arena arena = { 0 };
	struct trial t;
	double least = INFINITY;
	enum tamis_status s;

	(void)worker;
	w->ridge[i] = w->job->ridge > 0 ? w->job->ridge : REFIT_LAMBDA;
	if (w->job->ridge > 0 || !apart || total->rows <= apart)
		return TAMIS_OK;
	s = open_trial(w, i, &arena, &t, err);
	for (size_t k = 0; s == TAMIS_OK && k < N_RIDGES; k++) {
		double error;

		s = error_of(w, i, &t, ridges[k], &error, err);
		if (s == TAMIS_OK && error < least) {
			least = error;
			w->ridge[i] = ridges[k];
		}
	}
	arena_free(&arena);
	return s;
}

enum tamis_status refit_choose_ridges(const struct refit_job *job, const struct refit_pass *on, double *ridge,
                                      struct tamis_error *err)
{
	struct choosing w = { job, on, ridge };

	return pool_for(job->pool, job->layers->n, choose_ridge, &w, err);
}

double refit_choose_flops(const struct refit_job *job, const struct layer *l)
{
	double outs = (double)l->view.outs;

	return job->ridge > 0 ? 0 : N_RIDGES * fmin(TRIED_ROWS, outs) / outs * refit_solve_flops(job, l);
}
