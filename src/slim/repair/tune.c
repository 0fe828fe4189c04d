/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "slim/repair/mismatch.h"
#include "slim/repair/refit_sums.h"
#include "slim/repair/tune_rows.h"

/* What one worker owns: sums of the chunk in hand. */
struct hand {
	struct runner *original;
	float *slope, *probe;      /* items x width */
	size_t floats;             /* of each */
	double *sum, *square;      /* width / 2: of the results, by channel */
	int64_t *count;            /* by layer: of each of these */
	struct tensor *seed;       /* one per graph output */
	float *outputs;            /* of the original, to be kept */
	int64_t n_outputs;
};

struct tuning {
	const struct refit_job *job;
	struct refit_kept *kept;
	int part;                  /* of that, that is the original's outputs */
	bool beside;               /* they are not whole: it runs, too, */
	bool fills;                /* and they are to be kept, unless it was found that there are too many */
	int64_t every;
	int *layer_of;             /* by value: whose results it is; -1 = no layer's */
	bool *watch;
	int64_t *first;            /* by layer, among the channels of all; its scales start at twice that, and shifts behind them */
	int64_t width;
	struct hand *hands;
	int n_hands;
	float *rows;               /* n x width */
	size_t cap;
	int64_t n, done;
	double *slope, *sum, *square, *count; /* width; width / 2; by layer */
	struct arena arena;
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "refitting");
}

/* ---- how much --------------------------------------------------------------------------------------------------- */

int64_t tune_width(const struct layers *l)
{
	int64_t n = 0;

	for (int i = 0; i < l->n; i++)
		n += refit_fits(&l->list[i]) ? 2 * l->list[i].view.outs : 0;
	return n;
}

int64_t tune_every(const struct refit_job *job)
{
	double width = (double)tune_width(job->layers), room = width > 0 ? (double)job->tune / width : 0;
	double most = fmin(TUNE_ITEMS, room), items = (double)job->items * (REFIT_APART - 1) / REFIT_APART;

	return most < 1 || !job->head ? 0 : items > most ? (int64_t)ceil(items / most) : 1;
}

double tune_passes(const struct refit_job *job)
{
	int64_t every = tune_every(job);

	return every ? (double)TUNE_STEPS * TUNE_WORK * (REFIT_APART - 1) / REFIT_APART / (double)every : 0;
}

/* Among the chunks that are not compared on. */
static int64_t place_of(int64_t chunk)
{
	return chunk - chunk / REFIT_APART - 1;
}

/* Every so many-th of those. */
static bool is_taken(void *ctx, int64_t chunk)
{
	const struct tuning *w = ctx;

	return chunk % REFIT_APART && place_of(chunk) % w->every == 0;
}

/* ---- a chunk ---------------------------------------------------------------------------------------------------- */

/* A reverse pass: where the gradients go. */
struct reversing { struct tuning *all; struct hand *hand; struct runner *runner; int64_t items; float *to; };

static enum tamis_status on_gradient(void *ctx, int value, const struct tensor *g, struct tamis_error *err)
{
	struct reversing *m = ctx;
	int i = m->all->layer_of[value];
	const struct tensor *z = runner_value(m->runner, value);

	(void)err;
	if (z && z->count == g->count)
		tune_rows_add(&m->all->job->layers->list[i], z, g, m->items, m->all->width, m->to + 2 * m->all->first[i]);
	return TAMIS_OK;
}

static void ignore_no_reverse(void *ctx, int node)
{
	(void)ctx;
	(void)node;
}

/* Takes the seeds' data back. */
static enum tamis_status go_back(struct tuning *w, struct hand *h, struct runner *r, int64_t items, float *to,
                                 struct tamis_error *err)
{
	struct reversing ctx = { w, h, r, items, to };
	struct run_hooks hooks = { .ctx = &ctx, .watch_grad = w->watch, .grad = on_gradient, .no_reverse = ignore_no_reverse };
	enum tamis_status s = runner_reverse(r, h->seed, &hooks, err);

	for (int i = 0; i < w->job->graph->n_outputs; i++)
		tensor_free(&h->seed[i]);
	return s;
}

static enum tamis_status make_room(const struct tuning *w, struct hand *h, int64_t items, struct tamis_error *err)
{
	size_t want = (size_t)(items * w->width), half = (size_t)w->width / 2;

	if (want > h->floats) {
		free(h->slope);
		free(h->probe);
		h->slope = tm_array_uninit(want, sizeof *h->slope);
		h->probe = tm_array_uninit(want, sizeof *h->probe);
		h->floats = h->slope && h->probe ? want : 0;
	}
	if (!h->floats)
		return no_memory(err);
	memset(h->slope, 0, want * sizeof *h->slope);
	memset(h->probe, 0, want * sizeof *h->probe);
	memset(h->sum, 0, half * sizeof *h->sum);
	memset(h->square, 0, half * sizeof *h->square);
	return TAMIS_OK;
}

static void add_results(const struct tuning *w, struct hand *h, const struct runner *r)
{
	for (int i = 0; i < w->job->layers->n; i++) {
		const struct layer *l = &w->job->layers->list[i];
		const struct tensor *z = refit_fits(l) ? runner_value(r, w->job->graph->nodes[l->node].out[0]) : NULL;

		h->count[i] = z ? tune_sums_add(l, z, h->sum + w->first[i], h->square + w->first[i]) : 0;
	}
}

static enum tamis_status run_original(struct tuning *w, struct hand *h, const struct chunk *c, struct tamis_error *err)
{
	enum tamis_status s = w->beside ? runner_run(h->original, c->in, NULL, err) : TAMIS_OK;

	if (s == TAMIS_OK && w->fills)
		h->outputs = refit_kept_outputs(h->original, w->job->graph->n_outputs, &h->n_outputs);
	return s;
}

/* Seeds of how far the outputs are from the original's. */
static enum tamis_status seed_mismatch(const struct tuning *w, struct hand *h, const struct runner *r, int64_t chunk,
                                       struct tamis_error *err)
{
	const float *at = w->beside ? NULL : refit_kept_of(w->kept, w->part, place_of(chunk) / w->every);
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; i < w->job->graph->n_outputs; i++)
		h->seed[i] = (struct tensor){ .type = DT_UNDEFINED };
	for (int i = 0; s == TAMIS_OK && i < w->job->graph->n_outputs; i++) {
		struct tensor known = *runner_output(r, i);

		known.data = (void *)at;
		at += at ? known.count : 0;
		s = mismatch_slope(w->job->head, i, runner_output(r, i), known.data ? &known : runner_output(h->original, i), &h->seed[i], err);
	}
	return s;
}

static enum tamis_status work(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct tuning *w = ctx;
	struct hand *h = &w->hands[slot];
	enum tamis_status s = make_room(w, h, c->items, err);

	if (s == TAMIS_OK)
		s = run_original(w, h, c, err);
	if (s == TAMIS_OK)
		s = runner_run(r, c->in, NULL, err);
	if (s != TAMIS_OK)
		return s;
	add_results(w, h, r);
	s = seed_mismatch(w, h, r, c->index, err);
	if (s == TAMIS_OK)
		s = go_back(w, h, r, c->items, h->slope, err);
	if (s == TAMIS_OK)
		s = head_seed(w->job->head, r, NULL, c->item, c->items, 0, h->seed, err);
	return s == TAMIS_OK ? go_back(w, h, r, c->items, h->probe, err) : s;
}

static enum tamis_status merge(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct tuning *w = ctx;
	struct hand *h = &w->hands[slot];
	size_t floats = (size_t)(c->items * w->width);

	if (!tm_grow((void **)&w->rows, &w->cap, (size_t)(w->n + c->items) * (size_t)w->width, sizeof *w->rows))
		return no_memory(err);
	memcpy(w->rows + w->n * w->width, h->probe, floats * sizeof *w->rows);
	for (int64_t k = 0; k < c->items * w->width; k++)
		w->slope[k % w->width] += h->slope[k];
	for (int64_t k = 0; k < w->width / 2; k++) {
		w->sum[k] += h->sum[k];
		w->square[k] += h->square[k];
	}
	for (int i = 0; i < w->job->layers->n; i++)
		w->count[i] += (double)h->count[i];
	if (w->fills)
		refit_kept_add(w->kept, w->part, h->outputs, h->n_outputs);
	h->outputs = NULL;
	w->n += c->items;
	w->done += TUNE_WORK * c->items;
	return w->job->progress ? w->job->progress(w->job->progress_ctx, w->done, err) : TAMIS_OK;
}

/* ---- the pass --------------------------------------------------------------------------------------------------- */

static bool select_item(void *ctx, int64_t item)
{
	const struct refit_job *j = ((struct tuning *)ctx)->job;

	return !j->select || j->select(j->select_ctx, item);
}

static enum tamis_status lay_out(struct tuning *w, struct tamis_error *err)
{
	const struct graph *g = w->job->graph;
	const struct layers *l = w->job->layers;
	size_t half = (size_t)w->width / 2 + 1;
	int64_t first = 0;

	w->layer_of = arena_array(&w->arena, (size_t)g->n_values + 1, sizeof *w->layer_of);
	w->watch = arena_array(&w->arena, (size_t)g->n_values + 1, sizeof *w->watch);
	w->first = arena_array(&w->arena, (size_t)l->n + 1, sizeof *w->first);
	w->slope = arena_array(&w->arena, 2 * half, sizeof *w->slope);
	w->sum = arena_array(&w->arena, half, sizeof *w->sum);
	w->square = arena_array(&w->arena, half, sizeof *w->square);
	w->count = arena_array(&w->arena, (size_t)l->n + 1, sizeof *w->count);
	if (!w->layer_of || !w->watch || !w->first || !w->slope || !w->sum || !w->square || !w->count)
		return no_memory(err);
	for (int i = 0; i < l->n; i++) {
		int z = g->nodes[l->list[i].node].out[0];

		w->first[i] = first;
		if (!refit_fits(&l->list[i]))
			continue;
		w->watch[z] = true;
		w->layer_of[z] = i;
		first += l->list[i].view.outs;
	}
	return TAMIS_OK;
}

static enum tamis_status open_hands(struct tuning *w, const struct program *original, struct tamis_error *err)
{
	size_t half = (size_t)w->width / 2 + 1;
	enum tamis_status s = TAMIS_OK;

	w->n_hands = pool_size(w->job->pool);
	w->hands = arena_array(&w->arena, (size_t)w->n_hands, sizeof *w->hands);
	if (!w->hands)
		return no_memory(err);
	for (int i = 0; s == TAMIS_OK && i < w->n_hands; i++) {
		struct hand *h = &w->hands[i];

		h->sum = arena_array(&w->arena, half, sizeof *h->sum);
		h->square = arena_array(&w->arena, half, sizeof *h->square);
		h->count = arena_array(&w->arena, (size_t)w->job->layers->n + 1, sizeof *h->count);
		h->seed = arena_array(&w->arena, (size_t)w->job->graph->n_outputs + 1, sizeof *h->seed);
		s = h->sum && h->square && h->count && h->seed ? runner_create(original, &h->original, err) : no_memory(err);
	}
	return s;
}

static void close_all(struct tuning *w)
{
	for (int i = 0; w->hands && i < w->n_hands; i++) {
		runner_free(w->hands[i].original);
		free(w->hands[i].slope);
		free(w->hands[i].probe);
		free(w->hands[i].outputs);
	}
	free(w->rows);
	arena_free(&w->arena);
}

/* All at once: to grow takes twice the memory. */
static enum tamis_status make_rows(struct tuning *w, struct tamis_error *err)
{
	const struct refit_job *j = w->job;
	double items = (double)j->items * (REFIT_APART - 1) / REFIT_APART / (double)w->every + (double)j->chunk;
	size_t want = (size_t)fmin(items * (double)w->width, (double)j->tune);

	return tm_grow((void **)&w->rows, &w->cap, want, sizeof *w->rows) ? TAMIS_OK : no_memory(err);
}

static enum tamis_status gather(struct tuning *w, const struct program *original, struct tamis_error *err)
{
	static const struct program_options training = { .training = true, .joined = true };
	const struct refit_job *j = w->job;
	struct items_job items = { .ctx = w, .select = select_item, .mine = is_taken, .work = work, .merge = merge };
	struct program *slim = NULL;
	enum tamis_status s = lay_out(w, err);

	if (s == TAMIS_OK)
		s = make_rows(w, err);
	if (s == TAMIS_OK)
		s = open_hands(w, original, err);
	if (s == TAMIS_OK)
		s = program_create(j->graph, &training, &slim, err);
	if (s == TAMIS_OK && j->progress)
		s = j->progress(j->progress_ctx, 0, err);
	if (s == TAMIS_OK)
		s = items_run(slim, j->reader, j->batching, j->chunk, j->pool, &items, err);
	program_free(slim);
	return s;
}

/* ---- the step --------------------------------------------------------------------------------------------------- */

struct channel { double mean, deviation; };

static struct channel channel_of(const struct tuning *w, int layer, int64_t o)
{
	double n = w->count[layer], mean = n > 0 ? w->sum[w->first[layer] + o] / n : 0;
	double square = n > 0 ? w->square[w->first[layer] + o] / n : 0;

	return (struct channel){ mean, sqrt(fmax(0, square - mean * mean)) };
}

/* Gradients of one layer's scales about zero and of its shifts become those of scales about the mean and of shifts in
 * deviations. */
static void change_layer(struct tuning *w, int layer, int64_t outs, float *mean, float *deviation)
{
	double *slope = w->slope + 2 * w->first[layer];

	for (int64_t o = 0; o < outs; o++) {
		struct channel c = channel_of(w, layer, o);

		mean[o] = (float)c.mean;
		deviation[o] = (float)c.deviation;
		slope[o] -= c.mean * slope[outs + o];
		slope[outs + o] *= c.deviation;
	}
	for (int64_t t = 0; t < w->n; t++) {
		float *scale = w->rows + t * w->width + 2 * w->first[layer], *shift = scale + outs;

		for (int64_t o = 0; o < outs; o++) {
			scale[o] -= mean[o] * shift[o];
			shift[o] *= deviation[o];
		}
	}
}

static enum tamis_status change_units(struct tuning *w, struct tamis_error *err)
{
	float *room = arena_array(&w->arena, (size_t)w->width + 1, sizeof *room);

	for (int i = 0; room && i < w->job->layers->n; i++)
		if (refit_fits(&w->job->layers->list[i]))
			change_layer(w, i, w->job->layers->list[i].view.outs, room, room + w->width / 2);
	return room ? TAMIS_OK : no_memory(err);
}

/* A weight that survives must not become zero by chance: it would be taken for a cut one. */
static void scale_row(const struct layer *l, struct tensor *weight, int64_t o, double by)
{
	for (int64_t d = 0; d < l->view.fan_in; d++) {
		int64_t at = layer_offset(&l->view, o, d);
		double before = tensor_get(weight, at);

		tensor_set(weight, at, before * by);
		if (tensor_get(weight, at) == 0)
			tensor_set(weight, at, before);
	}
}

/* z becomes mean + (1 + scale) (z - mean) + shift. */
static void move_channel(const struct layer *l, struct graph *g, int64_t o, double scale, double mean, double shift)
{
	struct tensor *bias = &g->values[l->bias].constant;
	double before = tensor_get(bias, o), by = shift - scale * mean;

	scale_row(l, &g->values[l->weight].constant, o, 1 + scale);
	if (l->bias_kind == BIAS_INPUT)
		tensor_set(bias, o, before * (1 + scale) + by / l->view.bias_scale);
	else
		tensor_set(bias, o, l->bias_kind == BIAS_MEAN ? before - by : before + by);
}

static void move(const struct tuning *w, const double *x)
{
	for (int i = 0; i < w->job->layers->n; i++) {
		const struct layer *l = &w->job->layers->list[i];
		const double *at = x + 2 * w->first[i];

		for (int64_t o = 0; refit_fits(l) && o < l->view.outs; o++) {
			struct channel c = channel_of(w, i, o);
			double shift = c.deviation * at[l->view.outs + o];

			if (isfinite(at[o]) && isfinite(shift) && (at[o] != 0 || shift != 0))
				move_channel(l, w->job->graph, o, at[o], c.mean, shift);
		}
	}
}

static enum tamis_status solve(struct tuning *w, struct tamis_error *err)
{
	struct tune_system system = { w->rows, w->n, w->width, w->slope, w->job->pool };
	double *x = tm_array((size_t)w->width + 1, sizeof *x);
	enum tamis_status s = x ? TAMIS_OK : no_memory(err);

	if (s == TAMIS_OK)
		s = change_units(w, err);
	if (s == TAMIS_OK)
		s = tune_solve(&system, x, err);
	if (s == TAMIS_OK)
		move(w, x);
	free(x);
	return s;
}

enum tamis_status tune_step(const struct refit_job *job, const struct program *original, struct refit_kept *kept,
                            struct tamis_error *err)
{
	struct tuning w = { .job = job, .kept = kept, .part = job->layers->n + 1,
		.beside = !refit_kept_whole(kept, job->layers->n + 1), .every = tune_every(job), .width = tune_width(job->layers) };
	enum tamis_status s;

	w.fills = w.beside && !kept->of[w.part].refused;
	s = w.every ? gather(&w, original, err) : TAMIS_OK;

	if (s == TAMIS_OK && w.n)
		s = solve(&w, err);
	close_all(&w);
	return s;
}
