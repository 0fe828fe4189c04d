/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/refit_pass.h"

#include <stdlib.h>
#include <string.h>

#include "ops/blas.h"
#include "slim/repair/mismatch.h"
#include "slim/score/score_state.h"

/* What one worker owns. */
struct hand {
	struct refit_sums *chunk;      /* of the chunk in hand, by layer */
	double mismatch;               /* of its outputs */
	struct runner *original;       /* NULL: the pass runs the original itself, or knows what it gives */
	struct scratch scratch;
	float *u, *z;
	size_t u_floats, z_floats;
};

struct gathering {
	const struct refit_job *job;
	const struct refit_pass *out;
	struct refit_kept *kept;       /* of the leg, or of the outputs; NULL = none */
	int64_t every;                 /* of the chunks */
	bool alone;                    /* only the original runs */
	bool *watch;                   /* by node: the layers of the leg; NULL where nothing is gathered beside a run */
	int *layer_of;                 /* by node */
	struct hand *hands;
	int n_hands;
	struct arena arena;
	double mismatch;               /* so far */
	int64_t done;
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "refitting");
}

/* ---- one layer of one chunk ------------------------------------------------------------------------------------ */

static bool knows_original(const struct gathering *w)
{
	return w->kept && w->kept->whole;
}

static enum tamis_status gather_inputs(const struct gathering *w, struct hand *h, const struct layer *l, const struct runner *r,
                                       int64_t items, int64_t *rows, struct tamis_error *err)
{
	struct layer_call c;
	int64_t pos[REFIT_POSITIONS];
	int n = refit_positions(l);
	enum tamis_status s = signals_bind(w->alone ? w->job->reference : w->job->graph, l, r, &h->scratch, items, &c, err);

	if (s != TAMIS_OK || !c.positions)
		return s;
	*rows = items * n;
	c.call.err = err;
	signals_grid(n, c.positions, pos);
	s = score_reserve(&h->u, &h->u_floats, (size_t)(*rows * l->features), err);
	return s == TAMIS_OK ? c.op->gather(&c.call, &l->view, items, pos, n, h->u) : s;
}

static enum tamis_status gather_results(const struct gathering *w, struct hand *h, const struct layer *l, const struct runner *r,
                                        const struct chunk *chunk, int64_t rows, struct tamis_error *err)
{
	struct layer_call c;
	int64_t pos[REFIT_POSITIONS], floats = rows * l->view.outs;
	int n = refit_positions(l);
	enum tamis_status s = score_reserve(&h->z, &h->z_floats, (size_t)floats, err);

	if (s == TAMIS_OK && knows_original(w))
		memcpy(h->z, refit_kept_of(w->kept, chunk->index / w->every), (size_t)floats * sizeof *h->z);
	if (s != TAMIS_OK || knows_original(w))
		return s;
	s = signals_bind(w->job->reference, l, w->alone ? r : h->original, &h->scratch, chunk->items, &c, err);
	if (s != TAMIS_OK)
		return s;
	c.call.err = err;
	signals_grid(n, c.positions, pos);
	return c.op->gather_out(&c.call, &l->view, c.out[0], chunk->items, pos, n, h->z);
}

static void add_columns(const float *x, int64_t rows, int64_t n, double *sum)
{
	for (int64_t i = 0; i < rows; i++, x += n)
		for (int64_t k = 0; k < n; k++)
			sum[k] += x[k];
}

/* Products of one chunk are float GEMMs; chunks are added in double. */
static void multiply(const struct hand *h, const struct layer *l, int64_t rows, struct refit_sums *a)
{
	int64_t d = l->view.fan_in, per = l->view.outs / l->view.groups;

	for (int64_t g = 0; g < l->view.groups; g++) {
		const float *u = h->u + g * d, *z = h->z + g * per;

		blas_gram(d, rows, u, l->features, a->chunk_uu + g * d * d);
		blas_gemm(DT_FLOAT, true, false, d, per, rows, 1, u, l->features, z, l->view.outs, 0,
		          a->chunk_uz + g * d * per, per);
	}
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

static enum tamis_status add_layer(struct gathering *w, struct hand *h, int i, const struct runner *r,
                                   const struct chunk *chunk, struct tamis_error *err)
{
	const struct layer *l = &w->job->layers->list[i];
	struct refit_sums *a = &h->chunk[i];
	enum tamis_status s;

	a->rows = 0;
	if (!refit_fits(l))
		return TAMIS_OK;
	scratch_reset(&h->scratch);
	s = gather_inputs(w, h, l, r, chunk->items, &a->rows, err);
	if (s == TAMIS_OK && a->rows)
		s = gather_results(w, h, l, r, chunk, a->rows, err);
	if (s != TAMIS_OK || !a->rows)
		return s;
	memset(a->u, 0, (size_t)l->features * sizeof *a->u);
	memset(a->z, 0, (size_t)l->view.outs * sizeof *a->z);
	add_columns(h->u, a->rows, l->features, a->u);
	add_columns(h->z, a->rows, l->view.outs, a->z);
	if (!a->chunk_uu)
		return copy_rows(h, l, a, err);
	multiply(h, l, a->rows, a);
	return TAMIS_OK;
}

/* ---- outputs --------------------------------------------------------------------------------------------------- */

/* Summed over the outputs. */
static double mismatch_of_all(const struct gathering *w, const struct hand *h, const struct runner *slim, int64_t chunk)
{
	const float *at = knows_original(w) ? refit_kept_of(w->kept, chunk / w->every) : NULL;
	double all = 0;

	for (int i = 0; i < w->job->graph->n_outputs; i++) {
		const struct tensor *a = runner_output(slim, i);
		struct tensor known = *a;

		known.data = (void *)at;
		all += mismatch_of(w->job->head, i, a, at ? &known : runner_output(h->original, i));
		at += at ? a->count : 0;
	}
	return all;
}

/* Floats alone are kept: so it is nothing but what a run would give. */
static void keep_outputs(const struct gathering *w, const struct hand *h)
{
	for (int i = 0; i < w->job->graph->n_outputs; i++) {
		const struct tensor *y = runner_output(h->original, i);

		if (y->type != DT_FLOAT)
			refit_kept_refuse(w->kept);
		refit_kept_add(w->kept, i == 0, y->data, y->count);
	}
}

/* The original, where it must, and then the network in hand. */
static enum tamis_status run_both(struct hand *h, struct runner *r, const struct chunk *c, const struct run_hooks *hooks,
                                  struct tamis_error *err)
{
	enum tamis_status s = h->original ? runner_run(h->original, c->in, NULL, err) : TAMIS_OK;

	return s == TAMIS_OK ? runner_run(r, c->in, hooks, err) : s;
}

static enum tamis_status compare(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct gathering *w = ctx;
	struct hand *h = &w->hands[slot];
	enum tamis_status s = run_both(h, r, c, NULL, err);

	if (s == TAMIS_OK)
		h->mismatch = mismatch_of_all(w, h, r, c->index);
	return s;
}

static enum tamis_status add_mismatch(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct gathering *w = ctx;

	(void)c, (void)err;
	w->mismatch += w->hands[slot].mismatch;
	if (!knows_original(w))
		keep_outputs(w, &w->hands[slot]);
	return TAMIS_OK;
}

/* ---- all layers of a chunk ------------------------------------------------------------------------------------- */

struct moment { struct gathering *all; struct hand *hand; struct runner *runner; const struct chunk *chunk; };

/* While a layer's inputs are in the caches, and before they are given up. */
static enum tamis_status on_node(void *ctx, int node, struct op_call *call, struct tamis_error *err)
{
	struct moment *m = ctx;

	(void)call;
	return add_layer(m->all, m->hand, m->all->layer_of[node], m->runner, m->chunk, err);
}

static enum tamis_status work(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct gathering *w = ctx;
	struct hand *h = &w->hands[slot];
	struct moment m = { w, h, r, c };
	const struct run_hooks hooks = { .ctx = &m, .watch_node = w->watch, .node = on_node };
	enum tamis_status s;

	for (int i = w->out->leg.first; i < w->out->leg.last; i++)
		h->chunk[i].rows = 0;
	s = run_both(h, r, c, &hooks, err);
	for (int i = w->out->leg.first; s == TAMIS_OK && w->alone && i < w->out->leg.last; i++)
		s = add_layer(w, h, i, r, c, err);
	return s;
}

static bool is_apart(const struct chunk *c)
{
	return c->index % REFIT_APART == REFIT_APART - 1;
}

static enum tamis_status merge(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct gathering *w = ctx;
	enum tamis_status s = TAMIS_OK;

	for (int i = w->out->leg.first; s == TAMIS_OK && i < w->out->leg.last; i++) {
		const struct layer *l = &w->job->layers->list[i];
		const struct refit_sums *from = &w->hands[slot].chunk[i];

		if (from->rows)
			s = refit_sums_add(l, &w->out->total[i], from, err);
		if (s == TAMIS_OK && from->rows && from->chunk_uu && w->out->apart && is_apart(c))
			s = refit_sums_add(l, &w->out->apart[i], from, err);
		if (s == TAMIS_OK && refit_fits(l) && w->kept && !w->kept->whole)
			refit_kept_add(w->kept, true, w->hands[slot].z, from->rows * l->view.outs);
	}
	w->done += c->items;
	if (s == TAMIS_OK && w->job->progress)
		s = w->job->progress(w->job->progress_ctx, w->done, err);
	return s;
}

/* ---- the pass -------------------------------------------------------------------------------------------------- */

enum tamis_status refit_sums_of(const struct refit_job *j, const struct refit_leg *leg, bool chunk, struct arena *arena,
                                struct refit_sums **out, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	*out = arena_array(arena, (size_t)j->layers->n + 1, sizeof **out);
	if (!*out)
		return no_memory(err);
	for (int i = leg->first; s == TAMIS_OK && i < leg->last; i++) {
		const struct layer *l = &j->layers->list[i];

		if (refit_fits(l))
			s = refit_sums_make(l, refit_keeps_items(j, l) ? REFIT_OF_ROWS : chunk ? REFIT_OF_CHUNK : REFIT_OF_ALL, arena,
			                    &(*out)[i], err);
	}
	return s;
}

static enum tamis_status open_hands(struct gathering *w, const struct program *original, bool sums, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	w->n_hands = pool_size(w->job->pool);
	w->hands = arena_array(&w->arena, (size_t)w->n_hands, sizeof *w->hands);
	if (!w->hands)
		return no_memory(err);
	for (int i = 0; s == TAMIS_OK && i < w->n_hands; i++) {
		if (sums)
			s = refit_sums_of(w->job, &w->out->leg, true, &w->arena, &w->hands[i].chunk, err);
		if (s == TAMIS_OK && original)
			s = runner_create(original, &w->hands[i].original, err);
	}
	return s;
}

static void close_hands(struct gathering *w)
{
	for (int i = 0; w->hands && i < w->n_hands; i++) {
		struct hand *h = &w->hands[i];

		runner_free(h->original);
		for (int k = 0; h->chunk && k < w->job->layers->n; k++)
			refit_sums_free(&h->chunk[k]);
		scratch_free(&h->scratch);
		free(h->u);
		free(h->z);
	}
	arena_free(&w->arena);
}

static bool is_taken(void *ctx, int64_t chunk)
{
	return chunk % ((struct gathering *)ctx)->every == 0;
}

static bool select_item(void *ctx, int64_t item)
{
	const struct refit_job *j = ((struct gathering *)ctx)->job;

	return !j->select || j->select(j->select_ctx, item);
}

static enum tamis_status run(struct gathering *w, const struct program *p, struct items_job *items, struct tamis_error *err)
{
	const struct refit_job *j = w->job;

	enum tamis_status s = j->progress ? j->progress(j->progress_ctx, 0, err) : TAMIS_OK;

	items->ctx = w;
	items->mine = is_taken;
	items->select = select_item;
	return s != TAMIS_OK ? s : items_run(p, j->reader, j->batching, j->chunk, j->pool, items, err);
}

static enum tamis_status watch_leg(struct gathering *w, struct tamis_error *err)
{
	size_t n = (size_t)w->job->graph->n_nodes + 1;

	w->watch = arena_array(&w->arena, n, sizeof *w->watch);
	w->layer_of = arena_array(&w->arena, n, sizeof *w->layer_of);
	if (!w->watch || !w->layer_of)
		return no_memory(err);
	for (int i = w->out->leg.first; i < w->out->leg.last; i++) {
		const struct layer *l = &w->job->layers->list[i];

		if (refit_fits(l)) {
			w->watch[l->node] = true;
			w->layer_of[l->node] = i;
		}
	}
	return TAMIS_OK;
}

/* Of the network in hand: to its outputs, or as far as the leg's layers. */
static enum tamis_status make_program(struct gathering *w, struct program **out, struct tamis_error *err)
{
	struct program_options options = { .merge_norms = true };
	enum tamis_status s = TAMIS_OK;

	if (w->out) {
		s = watch_leg(w, err);
		options = (struct program_options){ .training = true, .energies = true, .nodes = w->watch };
	}
	return s == TAMIS_OK ? program_create(w->job->graph, &options, out, err) : s;
}

/* `original` runs beside the graph in hand where it must, or alone. */
static enum tamis_status run_network(struct gathering *w, const struct program *original, struct items_job *items,
                                     struct tamis_error *err)
{
	struct program *slim = NULL;
	enum tamis_status s = w->alone ? TAMIS_OK : make_program(w, &slim, err);

	if (s == TAMIS_OK)
		s = open_hands(w, w->alone || knows_original(w) ? NULL : original, items->work == work, err);
	if (s == TAMIS_OK)
		s = run(w, w->alone ? original : slim, items, err);
	close_hands(w);
	program_free(slim);
	return s;
}

enum tamis_status refit_pass(const struct refit_job *job, const struct program *original, bool alone,
                             const struct refit_pass *out, struct tamis_error *err)
{
	struct gathering w = { .job = job, .out = out, .kept = out->kept, .every = out->leg.every, .alone = alone };
	struct items_job items = { .work = work, .merge = merge };
	enum tamis_status s = run_network(&w, original, &items, err);

	for (int i = out->leg.first; s == TAMIS_OK && i < out->leg.last; i++) {
		refit_sums_centre(&job->layers->list[i], &out->total[i]);
		if (out->apart)
			refit_sums_centre(&job->layers->list[i], &out->apart[i]);
	}
	return s;
}

enum tamis_status refit_mismatch(const struct refit_job *job, const struct program *original, struct refit_kept *kept,
                                 double *mismatch, struct tamis_error *err)
{
	struct gathering w = { .job = job, .kept = kept, .every = REFIT_APART };
	struct items_job items = { .work = compare, .merge = add_mismatch };
	enum tamis_status s = run_network(&w, original, &items, err);

	*mismatch = w.mismatch;
	return s;
}
