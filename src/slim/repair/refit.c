/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/refit.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "slim/repair/refit_sums.h"
#include "slim/score/score_state.h"

#define TRIED 8       /* blocks of rows of a layer that its ridge is tried on */
#define TRIED_ROWS 16 /* of all of them together, or one a block */
#define N_RIDGES (sizeof ridges / sizeof *ridges)

static const double ridges[] = { REFIT_LAMBDA, 1e-4, 1e-2, 1e-1 }; /* that are tried */

/* Features of a layer that no row reads any more. */
struct unread { int64_t *list, n; };

/* What one worker owns. */
struct hand {
	struct refit_sums *chunk;      /* of the chunk in hand, by layer */
	double mismatch;               /* of its outputs */
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
	struct refit_sums *total, *apart; /* by layer: of most chunks, and of those that ridges are chosen on */
	double *ridge;           /* by layer */
	struct unread *unread;   /* by layer; NULL: inputs are those of the slimmed network */
	struct tensor *before;   /* by layer, weights and then biases: what this sweep began with. NULL in the first */
	double mismatch;         /* of the outputs, over some chunks */
	struct arena arena;
	int64_t done;
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "refitting");
}

static bool fitted(const struct layer *l)
{
	return !l->note && l->bias != GRAPH_NONE;
}

static int positions_of(const struct layer *l)
{
	return l->positions < REFIT_POSITIONS ? (int)l->positions : REFIT_POSITIONS;
}

/* More inputs than rows: the items themselves are smaller than their moments, and no sum of squares is needed. */
static bool keeps_items(const struct refit_job *j, const struct layer *l)
{
	return l->view.fan_in > REFIT_MAX_FAN_IN || (j->items && l->view.fan_in > j->items * positions_of(l));
}

double refit_layer_bytes(const struct refit_job *job, const struct layer *l, int64_t items)
{
	double d = (double)l->view.fan_in, both = (double)(l->features + l->view.outs);
	double rows = (double)items * positions_of(l) * both * sizeof(float);

	if (!fitted(l))
		return 0;
	if (keeps_items(job, l))
		return 2 * fmin(rows, (double)REFIT_MAX_BYTES);
	return 8 * ((double)l->features * d + d * (double)l->view.outs + both);
}

double refit_solve_bytes(const struct refit_job *job, const struct layer *l)
{
	double d = (double)l->view.fan_in, square = keeps_items(job, l) ? 0 : d * d;
	double rows = keeps_items(job, l) ? (double)(job->items * positions_of(l)) : 0;

	return fitted(l) ? 12 * square + REFIT_ROWS * (25 * d + 4 * rows) + 28 * d : 0;
}

/* ---- gathering ------------------------------------------------------------------------------------------------ */

static void zero_columns(float *x, int64_t rows, int64_t n, const struct unread *which)
{
	for (int64_t i = 0; i < rows; i++, x += n)
		for (int64_t k = 0; k < which->n; k++)
			x[which->list[k]] = 0;
}

static enum tamis_status gather(struct hand *h, struct layer_call *slim, struct layer_call *original,
                                const struct unread *unread, int64_t *rows, struct tamis_error *err)
{
	const struct layer *l = slim->layer;
	struct layer_call *source = unread ? original : slim;
	int64_t pos[REFIT_POSITIONS];
	int n = positions_of(l);
	enum tamis_status s;

	*rows = slim->items * n;
	slim->call.err = original->call.err = err;
	signals_grid(n, slim->positions, pos);
	s = score_reserve(&h->u, &h->u_floats, (size_t)(*rows * l->features), err);
	if (s == TAMIS_OK)
		s = score_reserve(&h->z, &h->z_floats, (size_t)(*rows * l->view.outs), err);
	if (s == TAMIS_OK)
		s = source->op->gather(&source->call, &l->view, slim->items, pos, n, h->u);
	if (s == TAMIS_OK && unread)
		zero_columns(h->u, *rows, l->features, unread);
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
static enum tamis_status multiply(struct hand *h, const struct layer *l, int64_t rows, struct refit_sums *a,
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

static enum tamis_status copy_rows(const struct hand *h, const struct layer *l, struct refit_sums *a,
                                   struct tamis_error *err)
{
	size_t u = (size_t)(a->rows * l->features), z = (size_t)(a->rows * l->view.outs);

	if (!tm_grow((void **)&a->item_u, &a->cap_u, u, sizeof(float))
	    || !tm_grow((void **)&a->item_z, &a->cap_z, z, sizeof(float)))
		return no_memory(err);
	memcpy(a->item_u, h->u, u * sizeof(float));
	memcpy(a->item_z, h->z, z * sizeof(float));
	return TAMIS_OK;
}

static enum tamis_status add_layer(struct sweep *w, struct hand *h, int i, const struct runner *slim, int64_t items,
                                   struct tamis_error *err)
{
	const struct layer *l = &w->job->layers->list[i];
	struct refit_sums *a = &h->chunk[i];
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
	s = gather(h, &cs, &co, w->unread ? &w->unread[i] : NULL, &a->rows, err);
	if (s != TAMIS_OK)
		return s;
	memset(a->u, 0, (size_t)l->features * sizeof *a->u);
	memset(a->z, 0, (size_t)l->view.outs * sizeof *a->z);
	add_columns(h->u, a->rows, l->features, a->u);
	add_columns(h->z, a->rows, l->view.outs, a->z);
	return a->uu ? multiply(h, l, a->rows, a, err) : copy_rows(h, l, a, err);
}

/* Squared error over energy, summed over the outputs. */
static double mismatch(const struct graph *g, const struct runner *slim, const struct runner *original)
{
	double all = 0;

	for (int i = 0; i < g->n_outputs; i++) {
		const struct tensor *a = runner_output(slim, i), *b = runner_output(original, i);
		bool numbers = a->count == b->count && (dtype_is_float((int)b->type) || dtype_is_integer((int)b->type));
		double error = 0, energy = 0;

		for (int64_t k = 0; numbers && k < b->count; k++) {
			double want = tensor_get(b, k), off = tensor_get(a, k) - want;

			error += off * off;
			energy += want * want;
		}
		all += energy > 0 ? error / energy : 0;
	}
	return all;
}

static bool is_compared(void *ctx, int64_t chunk)
{
	(void)ctx;
	return chunk % REFIT_APART == 0;
}

static enum tamis_status run_both(struct sweep *w, struct hand *h, struct runner *r, const struct chunk *c,
                                  struct tamis_error *err)
{
	enum tamis_status s = runner_run(r, c->in, NULL, err);

	if (s == TAMIS_OK)
		s = runner_run(h->original, c->in, NULL, err);
	h->mismatch = s == TAMIS_OK && w->before && is_compared(w, c->index) ? mismatch(w->job->graph, r, h->original) : 0;
	return s;
}

static enum tamis_status work(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct sweep *w = ctx;
	struct hand *h = &w->hands[slot];
	enum tamis_status s = run_both(w, h, r, c, err);

	for (int i = 0; s == TAMIS_OK && i < w->job->layers->n; i++)
		s = add_layer(w, h, i, r, c->items, err);
	return s;
}

static bool is_apart(const struct sweep *w, const struct chunk *c, const struct refit_sums *total)
{
	return total->uu && w->job->ridge <= 0 && c->index % REFIT_APART == REFIT_APART - 1;
}

static enum tamis_status merge(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct sweep *w = ctx;
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < w->job->layers->n; i++) {
		const struct refit_sums *from = &w->hands[slot].chunk[i];
		struct refit_sums *to = is_apart(w, c, &w->total[i]) ? &w->apart[i] : &w->total[i];

		if (from->rows)
			s = refit_sums_add(&w->job->layers->list[i], to, from, err);
	}
	w->mismatch += w->hands[slot].mismatch;
	w->done += c->items;
	if (s == TAMIS_OK && w->job->progress)
		s = w->job->progress(w->job->progress_ctx, w->done, err);
	return s;
}

/* ---- solving -------------------------------------------------------------------------------------------------- */

/* Blocks of rows of all layers in one list, so that workers stay busy; the blocks are fixed, so the bits are. */
static int64_t blocks_of(const struct layer *l)
{
	int64_t per = l->view.outs / l->view.groups;

	return l->view.groups * ((per + REFIT_ROWS - 1) / REFIT_ROWS);
}

static struct refit_rows block_of(const struct sweep *w, int layer, int64_t block)
{
	const struct layer *l = &w->job->layers->list[layer];
	const struct refit_sums *a = &w->total[layer];
	int64_t per = l->view.outs / l->view.groups, in_group = (per + REFIT_ROWS - 1) / REFIT_ROWS;
	struct refit_rows rows = { .graph = w->job->graph, .reference = w->job->reference, .layer = l,
		.group = block / in_group, .first = block % in_group * REFIT_ROWS, .data = refit_sums_data(a), .u_mean = a->u,
		.z_mean = a->z, .ridge = w->ridge[layer] };

	rows.count = per - rows.first < REFIT_ROWS ? per - rows.first : REFIT_ROWS;
	return rows;
}

static enum tamis_status solve_block(void *ctx, int64_t index, int worker, struct tamis_error *err)
{
	struct sweep *w = ctx;
	struct refit_rows rows;
	int i = 0;

	(void)worker;
	for (; index >= (w->total[i].rows ? blocks_of(&w->job->layers->list[i]) : 0); i++)
		index -= w->total[i].rows ? blocks_of(&w->job->layers->list[i]) : 0;
	rows = block_of(w, i, index);
	return refit_rows(&rows, err);
}

double refit_solve_flops(const struct refit_job *job, const struct layer *l)
{
	double d = (double)l->view.fan_in, rows = (double)(job->items * positions_of(l));
	double step = keeps_items(job, l) ? 4 * d * rows : 2 * d * d;
	double outs = (double)l->view.outs, tried = job->ridge > 0 ? 0 : N_RIDGES * fmin(TRIED_ROWS, outs);

	return fitted(l) ? (outs + tried) * REFIT_STEPS * step : 0;
}

/* The error of a few rows of a layer, solved without what lies apart. Items are split where they are, a quarter at the
 * end. */
static enum tamis_status error_apart(const struct sweep *w, int i, double ridge, double *error, struct tamis_error *err)
{
	const struct layer *l = &w->job->layers->list[i];
	int64_t blocks = blocks_of(l), step = blocks > TRIED ? blocks / TRIED : 1;
	int64_t rows_each = TRIED_ROWS / (blocks < TRIED ? blocks : TRIED);
	struct refit_data apart = refit_sums_data(w->total[i].uu ? &w->apart[i] : &w->total[i]);
	int64_t cut = apart.n - apart.n / REFIT_APART;
	enum tamis_status s = TAMIS_OK;

	*error = 0;
	if (apart.u)
		apart = (struct refit_data){ .u = apart.u + cut * l->features, .z = apart.z + cut * l->view.outs,
			.n = apart.n - cut };
	for (int64_t b = 0; s == TAMIS_OK && b < blocks; b += step) {
		struct refit_rows rows = block_of(w, i, b);
		double part = 0;

		rows.ridge = ridge;
		rows.count = rows.count < rows_each ? rows.count : rows_each;
		rows.data.n = apart.u ? cut : rows.data.n;
		s = refit_rows_error(&rows, &apart, &part, err);
		*error += part;
	}
	return s;
}

/* The ridge whose solution errs least on what lies apart; then all moments are joined. */
static enum tamis_status choose_ridge(void *ctx, int64_t index, int worker, struct tamis_error *err)
{
	struct sweep *w = ctx;
	int i = (int)index;
	const struct layer *l = &w->job->layers->list[i];
	int64_t apart = w->total[i].uu ? w->apart[i].rows : w->total[i].rows / REFIT_APART;
	double least = INFINITY;
	enum tamis_status s = TAMIS_OK;

	(void)worker;
	w->ridge[i] = w->job->ridge > 0 ? w->job->ridge : REFIT_LAMBDA;
	refit_sums_centre(l, &w->total[i]);
	refit_sums_centre(l, &w->apart[i]);
	for (size_t k = 0; s == TAMIS_OK && w->job->ridge <= 0 && apart && w->total[i].rows > apart
	     && k < N_RIDGES; k++) {
		double error;

		s = error_apart(w, i, ridges[k], &error, err);
		if (s == TAMIS_OK && error < least) {
			least = error;
			w->ridge[i] = ridges[k];
		}
	}
	if (w->total[i].rows && w->total[i].uu)
		refit_sums_join(l, &w->total[i], &w->apart[i]);
	return s;
}

static enum tamis_status solve(struct sweep *w, struct tamis_error *err)
{
	int64_t blocks = 0;
	enum tamis_status s = pool_for(w->job->pool, w->job->layers->n, choose_ridge, w, err);

	for (int i = 0; i < w->job->layers->n; i++) {
		blocks += w->total[i].rows ? blocks_of(&w->job->layers->list[i]) : 0;
		if (w->job->chosen)
			w->job->chosen[i] = w->ridge[i];
	}
	if (s == TAMIS_OK && w->unread && w->job->choose)
		s = w->job->choose(w->job->choose_ctx, w->total, err);
	return s == TAMIS_OK ? pool_for(w->job->pool, blocks, solve_block, w, err) : s;
}

/* ---- one sweep ------------------------------------------------------------------------------------------------ */

static enum tamis_status make_sums(struct sweep *w, struct refit_sums **out, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	*out = arena_array(&w->arena, (size_t)w->job->layers->n + 1, sizeof **out);
	if (!*out)
		return no_memory(err);
	for (int i = 0; s == TAMIS_OK && i < w->job->layers->n; i++) {
		const struct layer *l = &w->job->layers->list[i];

		if (fitted(l))
			s = refit_sums_make(l, keeps_items(w->job, l), &w->arena, &(*out)[i], err);
	}
	return s;
}

static void free_sums(const struct sweep *w, struct refit_sums *a)
{
	for (int i = 0; a && i < w->job->layers->n; i++)
		refit_sums_free(&a[i]);
}

static bool is_unread(const struct layer *l, const struct tensor *weight, int64_t f)
{
	int64_t per = l->view.outs / l->view.groups, first = f / l->view.fan_in * per;

	for (int64_t o = first; o < first + per; o++)
		if (tensor_get(weight, layer_offset(&l->view, o, f % l->view.fan_in)) != 0)
			return false;
	return true;
}

static enum tamis_status find_unread(struct sweep *w, struct tamis_error *err)
{
	const struct layers *all = w->job->layers;

	w->unread = arena_array(&w->arena, (size_t)all->n + 1, sizeof *w->unread);
	if (!w->unread)
		return no_memory(err);
	for (int i = 0; i < all->n; i++) {
		const struct layer *l = &all->list[i];
		struct unread *u = &w->unread[i];

		if (!fitted(l))
			continue;
		u->list = arena_array(&w->arena, (size_t)l->features, sizeof *u->list);
		if (!u->list)
			return no_memory(err);
		for (int64_t f = 0; f < l->features; f++)
			if (is_unread(l, &w->job->graph->values[l->weight].constant, f))
				u->list[u->n++] = f;
	}
	return TAMIS_OK;
}

static struct tensor *constant_of(const struct sweep *w, int i)
{
	const struct layers *all = w->job->layers;

	return &w->job->graph->values[i < all->n ? all->list[i].weight : all->list[i - all->n].bias].constant;
}

static enum tamis_status save(struct sweep *w, struct tamis_error *err)
{
	int n = w->job->layers->n;

	w->before = arena_array(&w->arena, 2 * (size_t)n + 1, sizeof *w->before);
	for (int i = 0; w->before && i < 2 * n; i++) {
		if (!fitted(&w->job->layers->list[i % n]))
			continue;
		w->before[i] = *constant_of(w, i);
		w->before[i].data = arena_array(&w->arena, tensor_bytes(constant_of(w, i)), 1);
		if (!w->before[i].data)
			return no_memory(err);
		memcpy(w->before[i].data, constant_of(w, i)->data, tensor_bytes(constant_of(w, i)));
	}
	return w->before ? TAMIS_OK : no_memory(err);
}

static void undo(struct sweep *w)
{
	for (int i = 0; i < 2 * w->job->layers->n; i++)
		if (w->before[i].data)
			memcpy(constant_of(w, i)->data, w->before[i].data, tensor_bytes(&w->before[i]));
}

static enum tamis_status set_up(struct sweep *w, struct tamis_error *err)
{
	struct program_options options = { .training = true };
	enum tamis_status s = program_create(w->job->reference, &options, &w->original, err);

	if (s == TAMIS_OK)
		s = program_create(w->job->graph, &options, &w->slim, err);
	if (s == TAMIS_OK)
		s = make_sums(w, &w->total, err);
	if (s == TAMIS_OK)
		s = make_sums(w, &w->apart, err);
	if (s != TAMIS_OK)
		return s;
	w->ridge = arena_array(&w->arena, (size_t)w->job->layers->n + 1, sizeof *w->ridge);
	w->hands = arena_array(&w->arena, (size_t)w->n_hands, sizeof *w->hands);
	if (!w->ridge || !w->hands)
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
		free_sums(w, w->hands[i].chunk);
		scratch_free(&w->hands[i].scratch);
		free(w->hands[i].u);
		free(w->hands[i].z);
		free(w->hands[i].product);
	}
	free_sums(w, w->total);
	free_sums(w, w->apart);
	program_free(w->original);
	program_free(w->slim);
	arena_free(&w->arena);
}

static bool select_item(void *ctx, int64_t item)
{
	const struct refit_job *j = ((struct sweep *)ctx)->job;

	return !j->select || j->select(j->select_ctx, item);
}

static enum tamis_status compare(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct sweep *w = ctx;

	return run_both(w, &w->hands[slot], r, c, err);
}

static enum tamis_status add_mismatch(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct sweep *w = ctx;

	(void)c, (void)err;
	w->mismatch += w->hands[slot].mismatch;
	return TAMIS_OK;
}

/* Layers that are fitted side by side all make up for what came wrong from before them, which deep networks do not bear. */
static enum tamis_status undo_unless_better(struct sweep *w, struct tamis_error *err)
{
	const struct refit_job *job = w->job;
	struct items_job items = { .ctx = w, .select = select_item, .mine = is_compared, .work = compare,
		.merge = add_mismatch };
	double before = w->mismatch;
	enum tamis_status s;

	w->mismatch = 0;
	program_free(w->slim);
	w->slim = NULL;
	s = program_create(job->graph, &(struct program_options){ .training = true }, &w->slim, err);
	if (s == TAMIS_OK)
		s = items_run(w->slim, job->reader, job->batching, job->chunk, job->pool, &items, err);
	if (s == TAMIS_OK && !(w->mismatch <= before))
		undo(w);
	return s;
}

static enum tamis_status sweep(const struct refit_job *job, bool first, struct tamis_error *err)
{
	struct sweep w = { .job = job, .n_hands = pool_size(job->pool) };
	struct items_job items = { .ctx = &w, .select = select_item, .work = work, .merge = merge };
	enum tamis_status s = set_up(&w, err);

	if (s == TAMIS_OK)
		s = first ? find_unread(&w, err) : save(&w, err);
	if (s == TAMIS_OK)
		s = items_run(w.slim, job->reader, job->batching, job->chunk, job->pool, &items, err);
	if (s == TAMIS_OK)
		s = solve(&w, err);
	if (s == TAMIS_OK && w.before)
		s = undo_unless_better(&w, err);
	tear_down(&w);
	return s;
}

enum tamis_status refit_run(const struct refit_job *job, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < job->sweeps; i++)
		s = sweep(job, i == 0, err);
	return s;
}
