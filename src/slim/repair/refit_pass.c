/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/refit_pass.h"

#include <stdlib.h>
#include <string.h>

#include "graph/part.h"
#include "slim/repair/mismatch.h"
#include "slim/score/score_state.h"

/* What one worker owns. */
struct hand {
	struct refit_sums *chunk;      /* of the chunk in hand, by layer */
	double mismatch;               /* of its outputs */
	struct runner *slim;           /* of the network in hand; NULL: the original runs alone */
	struct tensor *in;             /* of that: the graph's inputs, then what crosses a border */
	struct scratch scratch;
	float *u, *z;
	size_t u_floats, z_floats;
	float **results;               /* by layer: copies of z that are to be kept */
	float *outputs;                /* the same of the outputs */
	int64_t n_outputs;
	struct refit_crossing crossing; /* of the chunk in hand */
};

struct gathering {
	const struct refit_job *job;
	const struct refit_pass *out;
	struct refit_kept *kept;
	int64_t step;                  /* of the chunks, each so many-th runs */
	bool alone;                    /* only the original runs */
	bool beside;                   /* it runs, too */
	bool fills;                    /* its outputs are to be kept: no run before found that there were too many */
	int64_t wave;                  /* of chunks that are held: the first one in hand */
	bool *watch;                   /* by node: the layers of the leg; NULL where all run alone */
	int *layer_of;                 /* by node */
	struct hand *hands;
	int n_hands;
	struct arena arena;
	double mismatch;               /* so far */
	double done;                   /* items, in parts of the network */
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "refitting");
}

/* ---- one layer of one chunk ------------------------------------------------------------------------------------ */

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

static enum tamis_status gather_results(const struct gathering *w, struct hand *h, int i, const struct runner *original,
                                        const struct chunk *chunk, int64_t rows, struct tamis_error *err)
{
	const struct layer *l = &w->job->layers->list[i];
	struct layer_call c;
	int64_t pos[REFIT_POSITIONS], floats = rows * l->view.outs;
	int n = refit_positions(l);
	enum tamis_status s = score_reserve(&h->z, &h->z_floats, (size_t)floats, err);
	bool known = !w->alone && refit_kept_whole(w->kept, i);

	if (s == TAMIS_OK && known)
		memcpy(h->z, refit_kept_of(w->kept, i, chunk->index / w->kept->of[i].every), (size_t)floats * sizeof *h->z);
	if (s != TAMIS_OK || known)
		return s;
	s = signals_bind(w->job->reference, l, original, &h->scratch, chunk->items, &c, err);
	if (s != TAMIS_OK)
		return s;
	c.call.err = err;
	signals_grid(n, c.positions, pos);
	return c.op->gather_out(&c.call, &l->view, c.out[0], chunk->items, pos, n, h->z);
}

/* Of what the original gives, that legs will ask for. */
static bool is_kept(const struct gathering *w, int i, const struct chunk *chunk)
{
	int64_t every = w->alone ? w->kept->of[i].every : 0;

	return every && chunk->index % every == 0;
}

/* NULL where memory ran out: merging notes that. */
static void keep_results(const struct gathering *w, struct hand *h, int i, const struct chunk *chunk, int64_t rows)
{
	size_t floats = (size_t)(rows * w->job->layers->list[i].view.outs);

	if (!is_kept(w, i, chunk))
		return;
	h->results[i] = tm_array_uninit(floats, sizeof(float));
	if (h->results[i])
		memcpy(h->results[i], h->z, floats * sizeof(float));
}

static void add_columns(const float *x, int64_t rows, int64_t n, double *sum)
{
	for (int64_t i = 0; i < rows; i++, x += n)
		for (int64_t k = 0; k < n; k++)
			sum[k] += x[k];
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

static enum tamis_status add_layer(struct gathering *w, struct hand *h, int i, const struct runner *original,
                                   const struct chunk *chunk, struct tamis_error *err)
{
	const struct layer *l = &w->job->layers->list[i];
	const struct runner *r = w->alone ? original : h->slim;
	struct refit_sums *a = &h->chunk[i];
	enum tamis_status s;

	a->rows = 0;
	if (!refit_fits(l))
		return TAMIS_OK;
	scratch_reset(&h->scratch);
	s = gather_inputs(w, h, l, r, chunk->items, &a->rows, err);
	if (s == TAMIS_OK && a->rows)
		s = gather_results(w, h, i, original, chunk, a->rows, err);
	if (s != TAMIS_OK || !a->rows)
		return s;
	keep_results(w, h, i, chunk, a->rows);
	memset(a->u, 0, (size_t)l->features * sizeof *a->u);
	memset(a->z, 0, (size_t)l->view.outs * sizeof *a->z);
	add_columns(h->u, a->rows, l->features, a->u);
	add_columns(h->z, a->rows, l->view.outs, a->z);
	if (!a->chunk_uu)
		return copy_rows(h, l, a, err);
	refit_sums_multiply(l, a->rows, h->u, h->z, a->chunk_uu, a->chunk_uz);
	return TAMIS_OK;
}

/* ---- outputs --------------------------------------------------------------------------------------------------- */

/* Summed over the outputs. */
static double mismatch_of_all(const struct gathering *w, const struct hand *h, const struct runner *original, int64_t chunk)
{
	const float *at = !w->beside ? refit_kept_of(w->kept, w->job->layers->n, chunk / REFIT_APART) : NULL;
	double all = 0;

	for (int i = 0; i < w->job->graph->n_outputs; i++) {
		const struct tensor *a = runner_output(h->slim, i);
		struct tensor known = *a;

		known.data = (void *)at;
		all += mismatch_of(w->job->head, i, a, at ? &known : runner_output(original, i));
		at += at ? a->count : 0;
	}
	return all;
}

/* The network in hand, from the leg's border on. */
static enum tamis_status run_slim(const struct gathering *w, struct hand *h, const struct chunk *c, const struct run_hooks *hooks,
                                  struct tamis_error *err)
{
	int n = w->job->graph->n_inputs;
	const struct refit_border *from = w->out ? w->out->leg.from : NULL;

	if (from)
		memcpy(h->in, refit_held_of(w->out->from, c->index)->in, (size_t)(n + from->n) * sizeof *h->in);
	memcpy(h->in, c->in, (size_t)n * sizeof *h->in);
	return runner_run(h->slim, h->in, hooks, err);
}

static enum tamis_status compare(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct gathering *w = ctx;
	struct hand *h = &w->hands[slot];
	enum tamis_status s = w->beside ? runner_run(r, c->in, NULL, err) : TAMIS_OK;

	if (s == TAMIS_OK)
		s = run_slim(w, h, c, NULL, err);
	if (s != TAMIS_OK)
		return s;
	h->mismatch = mismatch_of_all(w, h, r, c->index);
	if (w->fills)
		h->outputs = refit_kept_outputs(r, w->job->graph->n_outputs, &h->n_outputs);
	return TAMIS_OK;
}

static enum tamis_status add_mismatch(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct gathering *w = ctx;
	struct hand *h = &w->hands[slot];

	(void)c, (void)err;
	w->mismatch += h->mismatch;
	if (w->fills)
		refit_kept_add(w->kept, w->job->layers->n, h->outputs, h->n_outputs);
	h->outputs = NULL;
	return TAMIS_OK;
}

/* ---- all layers of a chunk ------------------------------------------------------------------------------------- */

struct moment { struct gathering *all; struct hand *hand; struct runner *original; const struct chunk *chunk; };

/* While a layer's inputs are in the caches, and before they are given up. */
static enum tamis_status on_node(void *ctx, int node, struct op_call *call, struct tamis_error *err)
{
	struct moment *m = ctx;

	(void)call;
	return add_layer(m->all, m->hand, m->all->layer_of[node], m->original, m->chunk, err);
}

static enum tamis_status run_alone(struct gathering *w, struct hand *h, struct runner *r, const struct chunk *c,
                                   struct tamis_error *err)
{
	enum tamis_status s = runner_run(r, c->in, NULL, err);

	for (int i = w->out->leg.first; s == TAMIS_OK && i < w->out->leg.last; i++)
		s = add_layer(w, h, i, r, c, err);
	return s;
}

/* Chunks that only later legs gather run for what they hand over. */
static enum tamis_status run_leg(struct gathering *w, struct hand *h, struct runner *r, const struct chunk *c,
                                 struct tamis_error *err)
{
	bool gathers = c->index % w->out->leg.every == 0;
	struct moment m = { w, h, r, c };
	const struct run_hooks hooks = { .ctx = &m, .watch_node = w->watch, .node = on_node };
	enum tamis_status s = gathers && w->beside ? runner_run(r, c->in, NULL, err) : TAMIS_OK;

	if (s == TAMIS_OK)
		s = run_slim(w, h, c, gathers ? &hooks : NULL, err);
	if (s != TAMIS_OK || !w->out->leg.to)
		return s;
	return refit_crossing_copy(w->out->leg.to, c, w->job->graph->n_inputs, h->slim, &h->crossing) ? TAMIS_OK : no_memory(err);
}

static enum tamis_status work(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct gathering *w = ctx;
	struct hand *h = &w->hands[slot];

	for (int i = w->out->leg.first; i < w->out->leg.last; i++)
		h->chunk[i].rows = 0;
	return w->alone ? run_alone(w, h, r, c, err) : run_leg(w, h, r, c, err);
}

static bool is_apart(const struct chunk *c)
{
	return c->index % REFIT_APART == REFIT_APART - 1;
}

static enum tamis_status merge_layer(struct gathering *w, struct hand *h, int i, const struct chunk *c, struct tamis_error *err)
{
	const struct layer *l = &w->job->layers->list[i];
	const struct refit_sums *from = &h->chunk[i];
	enum tamis_status s = TAMIS_OK;

	if (from->rows)
		s = refit_sums_add(l, &w->out->total[i], from, err);
	if (s == TAMIS_OK && from->rows && w->out->apart && w->out->apart[i].uu && is_apart(c))
		s = refit_sums_add(l, &w->out->apart[i], from, err);
	if (s == TAMIS_OK && is_kept(w, i, c)) {
		refit_kept_add(w->kept, i, h->results[i], from->rows * l->view.outs);
		h->results[i] = NULL;
	}
	return s;
}

/* What was held for this chunk is of no use behind the next border. */
static enum tamis_status hand_over(struct gathering *w, struct hand *h, const struct chunk *c, struct tamis_error *err)
{
	if (w->alone || !w->out->leg.to)
		return TAMIS_OK;
	if (w->out->leg.from)
		refit_held_drop(w->out->from, c->index);
	return refit_held_add(w->out->to, &h->crossing, err);
}

static enum tamis_status merge(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct gathering *w = ctx;
	struct hand *h = &w->hands[slot];
	enum tamis_status s = TAMIS_OK;

	for (int i = w->out->leg.first; s == TAMIS_OK && i < w->out->leg.last; i++)
		s = merge_layer(w, h, i, c, err);
	if (s == TAMIS_OK)
		s = hand_over(w, h, c, err);
	w->done += (double)c->items * w->out->leg.share;
	if (s == TAMIS_OK && w->job->progress)
		s = w->job->progress(w->job->progress_ctx, (int64_t)w->done, err);
	return s;
}

/* ---- the pass -------------------------------------------------------------------------------------------------- */

static enum refit_sums_kind kind_of(const struct refit_job *j, const struct layer *l, bool chunk)
{
	if (refit_keeps_items(j, l) || (chunk && refit_few_rows(l, j->chunk * refit_positions(l))))
		return REFIT_OF_ROWS;
	return chunk ? REFIT_OF_CHUNK : REFIT_OF_ALL;
}

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
			s = refit_sums_make(l, kind_of(j, l, chunk), arena, &(*out)[i], err);
	}
	return s;
}

static enum tamis_status open_hand(struct gathering *w, struct hand *h, const struct program *slim, struct tamis_error *err)
{
	size_t inputs = (size_t)w->job->graph->n_inputs + (w->out && w->out->leg.from ? (size_t)w->out->leg.from->n : 0);
	enum tamis_status s = TAMIS_OK;

	h->in = arena_array(&w->arena, inputs + 1, sizeof *h->in);
	h->results = arena_array(&w->arena, (size_t)w->job->layers->n + 1, sizeof *h->results);
	if (!h->in || !h->results)
		return no_memory(err);
	if (w->out)
		s = refit_sums_of(w->job, &w->out->leg, true, &w->arena, &h->chunk, err);
	return s == TAMIS_OK && slim ? runner_create(slim, &h->slim, err) : s;
}

static enum tamis_status open_hands(struct gathering *w, const struct program *slim, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	w->n_hands = pool_size(w->job->pool);
	w->hands = arena_array(&w->arena, (size_t)w->n_hands, sizeof *w->hands);
	if (!w->hands)
		return no_memory(err);
	for (int i = 0; s == TAMIS_OK && i < w->n_hands; i++)
		s = open_hand(w, &w->hands[i], slim, err);
	return s;
}

static void close_hands(struct gathering *w)
{
	for (int i = 0; w->hands && i < w->n_hands; i++) {
		struct hand *h = &w->hands[i];

		runner_free(h->slim);
		for (int k = 0; k < w->job->layers->n; k++) {
			if (h->chunk)
				refit_sums_free(&h->chunk[k]);
			free(h->results ? h->results[k] : NULL);
		}
		refit_crossing_free(&h->crossing);
		scratch_free(&h->scratch);
		free(h->outputs);
		free(h->u);
		free(h->z);
	}
}

static bool is_taken(void *ctx, int64_t chunk)
{
	return chunk % ((struct gathering *)ctx)->step == 0;
}

static bool select_item(void *ctx, int64_t item)
{
	const struct refit_job *j = ((struct gathering *)ctx)->job;

	return !j->select || j->select(j->select_ctx, item);
}

static enum tamis_status begin(struct gathering *w, const struct program *slim, struct tamis_error *err)
{
	const struct refit_job *j = w->job;
	enum tamis_status s = open_hands(w, slim, err);

	return s == TAMIS_OK && j->progress ? j->progress(j->progress_ctx, 0, err) : s;
}

static enum tamis_status run(struct gathering *w, const struct program *original, const struct program *slim, struct items_job items,
                             struct tamis_error *err)
{
	const struct refit_job *j = w->job;
	enum tamis_status s = begin(w, slim, err);

	items.ctx = w;
	items.mine = is_taken;
	items.select = select_item;
	if (s == TAMIS_OK)
		s = items_run(original, j->reader, j->batching, j->chunk, j->pool, &items, err);
	close_hands(w);
	return s;
}

/* ---- chunks that are held ---------------------------------------------------------------------------------------- */

static struct chunk held_chunk(const struct gathering *w, int64_t index)
{
	const struct refit_crossing *c = refit_held_of(w->out->from, index);

	return (struct chunk){ .index = index, .items = c->items, .in = c->in };
}

static enum tamis_status work_on_held(void *ctx, int64_t index, int worker, struct tamis_error *err)
{
	struct gathering *w = ctx;
	struct chunk c = held_chunk(w, w->wave + index * w->step);

	(void)worker;
	return work(w, NULL, &c, (int)index, err);
}

/* As items_run, but nothing is read: what crossed the border is all that a run needs. */
static enum tamis_status run_held(struct gathering *w, const struct program *slim, struct tamis_error *err)
{
	int64_t end = w->out->from->chunks * w->out->from->every;
	enum tamis_status s = begin(w, slim, err);

	for (w->wave = 0; s == TAMIS_OK && w->wave < end; w->wave += w->n_hands * w->step) {
		int64_t left = (end - w->wave + w->step - 1) / w->step, n = left < w->n_hands ? left : w->n_hands;

		s = pool_for(w->job->pool, n, work_on_held, w, err);
		for (int64_t i = 0; s == TAMIS_OK && i < n; i++) {
			struct chunk c = held_chunk(w, w->wave + i * w->step);

			s = merge(w, &c, (int)i, err);
		}
	}
	close_hands(w);
	return s;
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

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

/* The network in hand between the leg's borders. */
static const struct graph *part_of(struct gathering *w)
{
	const struct refit_border *from = w->out->leg.from, *to = w->out->leg.to;
	struct tensor *shapes;
	struct part part = { .gone = from ? from->gone : NULL, .given = from ? from->value : NULL, .n_given = from ? from->n : 0,
		.kept = to ? to->value : NULL, .n_kept = to ? to->n : 0 };

	if (!from && !to)
		return w->job->graph;
	shapes = arena_array(&w->arena, (size_t)w->job->graph->n_values + 1, sizeof *shapes);
	for (int i = 0; shapes && i < part.n_given; i++)
		shapes[part.given[i]] = w->job->plan->value[part.given[i]].shape;
	part.shapes = shapes;
	return shapes ? graph_part(w->job->graph, &part, &w->arena) : NULL;
}

/* As far as the leg's layers and what it hands over. */
static enum tamis_status leg_program(struct gathering *w, struct program **out, struct tamis_error *err)
{
	const struct graph *g = part_of(w);
	const struct refit_border *to = w->out->leg.to;
	bool *wanted = arena_array(&w->arena, (size_t)w->job->graph->n_nodes + 1, sizeof *wanted);
	struct program_options options = { .training = true, .energies = true, .nodes = wanted };

	if (!g || !wanted)
		return no_memory(err);
	memcpy(wanted, w->watch, (size_t)w->job->graph->n_nodes * sizeof *wanted);
	for (int i = 0; to && i < to->n; i++)
		if (g->values[to->value[i]].producer != GRAPH_NONE)
			wanted[g->values[to->value[i]].producer] = true;
	return program_create(g, &options, out, err);
}

static bool all_kept(const struct gathering *w)
{
	for (int i = w->out->leg.first; i < w->out->leg.last; i++)
		if (refit_fits(&w->job->layers->list[i]) && !refit_kept_whole(w->kept, i))
			return false;
	return true;
}

static enum tamis_status run_part(struct gathering *w, const struct program *original, struct items_job items,
                                    struct tamis_error *err)
{
	const struct program_options options = { .training = true, .nodes = w->watch };
	struct program *slim = NULL, *beside = NULL;
	enum tamis_status s = leg_program(w, &slim, err);

	w->beside = !all_kept(w);
	if (s == TAMIS_OK && w->beside)
		s = program_create(w->job->reference, &options, &beside, err);
	if (s == TAMIS_OK && !w->beside && w->out->leg.from && !w->out->leg.from->inputs)
		s = run_held(w, slim, err);
	else if (s == TAMIS_OK)
		s = run(w, beside ? beside : original, slim, items, err);
	program_free(slim);
	program_free(beside);
	return s;
}

static enum tamis_status centre(const struct gathering *w, struct refit_sums *sums, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = w->out->leg.first; s == TAMIS_OK && sums && i < w->out->leg.last; i++) {
		s = refit_sums_settle(&w->job->layers->list[i], &sums[i], err);
		if (s == TAMIS_OK)
			refit_sums_centre(&w->job->layers->list[i], &sums[i]);
	}
	return s;
}

enum tamis_status refit_pass(const struct refit_job *job, const struct program *original, bool alone,
                             const struct refit_pass *out, struct tamis_error *err)
{
	struct gathering w = { .job = job, .out = out, .kept = out->kept, .step = out->leg.step, .alone = alone };
	const struct items_job items = { .work = work, .merge = merge };
	enum tamis_status s = TAMIS_OK;

	if (!alone)
		s = watch_leg(&w, err);
	if (s == TAMIS_OK)
		s = alone ? run(&w, original, NULL, items, err) : run_part(&w, original, items, err);
	if (s == TAMIS_OK)
		s = centre(&w, out->total, err);
	if (s == TAMIS_OK)
		s = centre(&w, out->apart, err);
	arena_free(&w.arena);
	return s;
}

enum tamis_status refit_mismatch(const struct refit_job *job, const struct program *original, struct refit_kept *kept,
                                 double *mismatch, struct tamis_error *err)
{
	struct gathering w = { .job = job, .kept = kept, .step = REFIT_APART };
	const struct items_job items = { .work = compare, .merge = add_mismatch };
	const struct program_options options = { .merge_norms = true };
	struct program *slim = NULL;
	enum tamis_status s = program_create(job->graph, &options, &slim, err);

	w.beside = !refit_kept_whole(kept, job->layers->n);
	w.fills = w.beside && !kept->of[job->layers->n].refused;
	if (s == TAMIS_OK)
		s = run(&w, original, slim, items, err);
	*mismatch = w.mismatch;
	program_free(slim);
	arena_free(&w.arena);
	return s;
}
