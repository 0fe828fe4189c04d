/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/score_state.h"

#include <stdlib.h>
#include <string.h>

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "scoring");
}

static enum tamis_status add_signals(struct pass *p, struct worker *w, int index, const struct runner *r,
                                     int64_t items, struct tamis_error *err)
{
	const struct layer *l = &p->job->layers->list[index];
	int64_t pos[SCORE_POSITIONS];
	struct layer_call c;
	int n = signals_positions(l);
	enum tamis_status s;

	if (l->note)
		return TAMIS_OK;
	scratch_reset(&w->scratch);
	s = signals_bind(p->job->graph, l, r, &w->scratch, items, &c, err);
	if (s != TAMIS_OK || !c.positions)
		return s;
	signals_grid(n, c.positions, pos);
	s = signals_gather(w, &c, pos, n, err);
	if (s != TAMIS_OK)
		return s;
	s = signals_widen(p, w, index, w->u, items, err);
	if (s == TAMIS_OK)
		s = comoment_add(&w->moment[index], p->signal_map ? w->phi : w->u, l->features, w->psi, items, err);
	if (s == TAMIS_OK && c.positions == n)
		signals_add_rows(&w->layer[index], w->u, items * n, l->features);
	else if (s == TAMIS_OK)
		s = signals_add_means(w, &c, &w->layer[index], err);
	return s;
}

/* ---- gradients ---------------------------------------------------------------------------------------------- */

struct gradient_ctx { struct pass *pass; struct worker *worker; };

/* sum over items and positions of delta^2, per channel of the axis. */
static void add_gain(const struct layer *l, const struct tensor *g, double *gain)
{
	int axis = l->view.out_axis < 0 ? l->view.out_axis + g->rank : l->view.out_axis;
	int64_t outer = tensor_extent(g, 0, axis), inner = tensor_extent(g, axis + 1, g->rank);
	int64_t outs = g->dims[axis];

	for (int64_t a = 0; a < outer; a++)
		for (int64_t o = 0; o < outs; o++)
			for (int64_t i = 0; i < inner; i++) {
				double d = tensor_get(g, (a * outs + o) * inner + i);

				gain[o] += d * d;
			}
}

static enum tamis_status keep_parameter(struct worker *w, int k, const struct tensor *g, struct tamis_error *err)
{
	if (!w->parameter[k].data) {
		w->parameter[k] = *g;
		w->parameter[k].data = NULL;
		if (tensor_alloc(&w->parameter[k], err) != TAMIS_OK)
			return err->status;
	}
	return tensor_convert(g, &w->parameter[k], err);
}

static enum tamis_status on_gradient(void *ctx, int value, const struct tensor *g, struct tamis_error *err)
{
	struct gradient_ctx *c = ctx;
	struct pass *p = c->pass;
	int l = p->layer_of[value];

	if (l >= 0) {
		add_gain(&p->job->layers->list[l], g, c->worker->layer[l].gain);
		c->worker->layer[l].reached = true;
	}
	if (p->weight_of[value] >= 0)
		for (int64_t i = 0; i < g->count; i++)
			c->worker->layer[p->weight_of[value]].gradient[i] = (float)tensor_get(g, i);
	if (p->parameter_of[value] >= 0)
		return keep_parameter(c->worker, p->parameter_of[value], g, err);
	return TAMIS_OK;
}

static void ignore_no_reverse(void *ctx, int node)
{
	(void)ctx;
	(void)node;
}

static enum tamis_status add_gradients(struct pass *p, struct worker *w, struct runner *r, const struct chunk *c,
                                       struct tamis_error *err)
{
	struct gradient_ctx ctx = { p, w };
	struct run_hooks hooks = { .ctx = &ctx, .watch_grad = p->watch, .grad = on_gradient,
		.no_reverse = ignore_no_reverse };
	int n = p->job->graph->n_outputs;
	struct tensor *seed = tm_array((size_t)n + 1, sizeof *seed);
	enum tamis_status s;

	if (!seed)
		return no_memory(err);
	s = head_seed(p->head, r, &p->map, c->item, c->items, p->job->seed, seed, err);
	if (s == TAMIS_OK)
		s = runner_reverse(r, seed, &hooks, err);
	for (int i = 0; i < n; i++)
		tensor_free(&seed[i]);
	free(seed);
	return s;
}

/* ---- chunks ------------------------------------------------------------------------------------------------- */

static void clear_partials(struct pass *p, struct worker *w)
{
	for (int i = 0; i < p->job->layers->n; i++) {
		const struct layer *l = &p->job->layers->list[i];
		struct partial *a = &w->layer[i];

		if (l->note)
			continue;
		memset(a->mean, 0, (size_t)l->features * sizeof *a->mean);
		memset(a->second, 0, (size_t)l->features * sizeof *a->second);
		memset(a->gain, 0, (size_t)l->view.outs * sizeof *a->gain);
		a->signals = 0;
		a->reached = false;
	}
	for (int i = 0; i < p->sums->n_parameters; i++)
		tensor_free(&w->parameter[i]);
}

static enum tamis_status make_psi(struct pass *p, struct worker *w, const struct runner *r, int64_t items,
                                  struct tamis_error *err)
{
	enum tamis_status s = score_reserve(&w->y, &w->y_floats, (size_t)(items * p->head->width), err);

	if (s == TAMIS_OK)
		s = score_reserve(&w->psi, &w->psi_floats, (size_t)(items * FEATURES_DEFAULT), err);
	if (s == TAMIS_OK)
		s = head_values(p->head, r, items, w->y, err);
	if (s == TAMIS_OK)
		s = feature_map_apply(&p->map, w->y, items, w->psi, err);
	return s;
}

static enum tamis_status work(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct pass *p = ctx;
	struct worker *w = &p->workers[slot];
	enum tamis_status s;

	clear_partials(p, w);
	s = runner_run(r, c->in, NULL, err);
	if (s == TAMIS_OK)
		s = make_psi(p, w, r, c->items, err);
	if (s == TAMIS_OK)
		s = output_moment_add(&w->psi_moment, w->psi, c->items, err);
	for (int i = 0; s == TAMIS_OK && i < p->job->layers->n; i++)
		s = add_signals(p, w, i, r, c->items, err);
	if (s == TAMIS_OK)
		s = add_gradients(p, w, r, c, err);
	return s;
}

static void merge_layer(const struct partial *a, struct layer_sums *to)
{
	exact_sums_add(&to->mean, a->mean);
	exact_sums_add(&to->second, a->second);
	exact_sums_add(&to->gain, a->gain);
	/* The gradient of a chunk is the sum over its items. Labels are drawn independently and a score has mean zero, so
	 * the expected square of the sum is the sum of the items' squares. */
	for (int64_t i = 0; i < to->fisher.n; i++)
		a->gradient[i] *= a->gradient[i];
	exact_sums_add_floats(&to->fisher, a->gradient);
	to->signals += a->signals;
	to->reached |= a->reached;
}

static enum tamis_status merge_parameter(const struct tensor *gradient, struct parameter_sums *to, struct tamis_error *err)
{
	float *square = tm_array((size_t)to->sum.n + 1, sizeof *square);

	if (!square)
		return no_memory(err);
	for (int64_t i = 0; i < gradient->count; i++) {
		double g = tensor_get(gradient, i);

		square[i] = (float)(g * g);
	}
	exact_sums_add_floats(&to->sum, square);
	free(square);
	return TAMIS_OK;
}

static enum tamis_status merge(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct pass *p = ctx;
	struct worker *w = &p->workers[slot];
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; i < p->sums->n_layers; i++)
		if (!p->sums->layer[i].alone)
			merge_layer(&w->layer[i], &p->sums->layer[i]);
	for (int k = 0; s == TAMIS_OK && k < p->sums->n_parameters; k++)
		s = merge_parameter(&w->parameter[k], &p->sums->parameter[k], err);
	p->sums->items += c->items;
	return s == TAMIS_OK && p->job->progress ? p->job->progress(p->job->progress_ctx, p->sums->items, err) : s;
}

/* ---- setting up --------------------------------------------------------------------------------------------- */

static enum tamis_status make_layer(struct pass *p, int i, struct tamis_error *err)
{
	const struct layer *l = &p->job->layers->list[i];
	struct layer_sums *s = &p->sums->layer[i];

	*s = (struct layer_sums){ .alone = l->note != NULL, .features = l->features, .outs = l->view.outs,
		.entries = l->entries, .positions = signals_positions(l) };
	return s->alone ? TAMIS_OK : layer_sums_create(s, p->job->fisher, err);
}

static bool is_parameter(const struct pass *p, int v)
{
	const struct value *x = &p->job->graph->values[v];

	return x->kind == VALUE_CONSTANT && dtype_is_float((int)x->constant.type) && x->n_uses
		&& x->producer == GRAPH_NONE && p->weight_of[v] < 0 && p->layer_of[v] < 0;
}

static enum tamis_status make_watch(struct pass *p, struct tamis_error *err)
{
	const struct graph *g = p->job->graph;
	struct score_sums *s = p->sums;
	size_t n = (size_t)g->n_values + 1;
	bool *weights = arena_array(&p->arena, n, sizeof *weights);

	p->watch = arena_array(&p->arena, n, sizeof *p->watch);
	p->layer_of = arena_array(&p->arena, n, sizeof *p->layer_of);
	p->weight_of = arena_array(&p->arena, n, sizeof *p->weight_of);
	p->parameter_of = arena_array(&p->arena, n, sizeof *p->parameter_of);
	s->parameter = arena_array(&s->arena, n, sizeof *s->parameter);
	if (!weights || !p->watch || !p->layer_of || !p->weight_of || !p->parameter_of || !s->parameter)
		return no_memory(err);
	for (int v = 0; v < g->n_values; v++)
		p->layer_of[v] = p->weight_of[v] = p->parameter_of[v] = -1;
	for (int i = 0; i < p->job->layers->n; i++) {
		const struct layer *l = &p->job->layers->list[i];

		weights[l->weight] = !l->note;
		if (l->note)
			continue;
		p->layer_of[g->nodes[l->node].out[0]] = i;
		p->watch[g->nodes[l->node].out[0]] = true;
		p->weight_of[l->weight] = p->job->fisher ? i : -1;
		p->watch[l->weight] = p->job->fisher;
	}
	for (int v = 0; v < g->n_values; v++)
		if (!weights[v] && is_parameter(p, v)) {
			s->parameter[s->n_parameters].value = v;
			p->watch[v] = true;
			p->parameter_of[v] = s->n_parameters++;
		}
	return TAMIS_OK;
}

static enum tamis_status make_worker(struct pass *p, struct worker *w, struct tamis_error *err)
{
	int n = p->job->layers->n;
	struct arena *a = &p->arena;

	w->layer = arena_array(a, (size_t)n + 1, sizeof *w->layer);
	w->moment = arena_array(a, (size_t)n + 1, sizeof *w->moment);
	w->parameter = arena_array(a, (size_t)p->sums->n_parameters + 1, sizeof *w->parameter);
	if (!w->layer || !w->moment || !w->parameter)
		return no_memory(err);
	for (int i = 0; i < n; i++) {
		const struct layer *l = &p->job->layers->list[i];
		struct partial *q = &w->layer[i];

		if (l->note)
			continue;
		q->mean = arena_array(a, (size_t)l->features, sizeof *q->mean);
		q->second = arena_array(a, (size_t)l->features, sizeof *q->second);
		q->gain = arena_array(a, (size_t)l->view.outs, sizeof *q->gain);
		q->gradient = p->job->fisher ? arena_array(a, (size_t)l->entries, sizeof *q->gradient) : NULL;
		if (!q->mean || !q->second || !q->gain || (p->job->fisher && !q->gradient))
			return no_memory(err);
	}
	return TAMIS_OK;
}

static enum tamis_status first_moments(struct pass *p, struct tamis_error *err)
{
	struct worker *w = &p->workers[0];
	enum tamis_status s = output_moment_create(&w->psi_moment, FEATURES_DEFAULT, err);

	for (int i = 0; s == TAMIS_OK && i < p->job->layers->n; i++) {
		const struct layer *l = &p->job->layers->list[i];

		if (!l->note)
			s = comoment_create(&w->moment[i], l->features, signals_width(p, l), FEATURES_DEFAULT, err);
	}
	return s;
}

/* After the pilot: the other workers share the first one's pivots. */
static enum tamis_status other_moments(struct pass *p, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int k = 1; s == TAMIS_OK && k < p->n_workers; k++) {
		struct worker *w = &p->workers[k];

		s = output_moment_create_like(&w->psi_moment, &p->workers[0].psi_moment, err);
		for (int i = 0; s == TAMIS_OK && i < p->job->layers->n; i++)
			if (!p->job->layers->list[i].note)
				s = comoment_create_like(&w->moment[i], &p->workers[0].moment[i], err);
	}
	return s;
}

static void free_workers(struct pass *p)
{
	for (int k = 0; p->workers && k < p->n_workers; k++) {
		struct worker *w = &p->workers[k];

		for (int i = 0; w->moment && i < p->job->layers->n; i++)
			comoment_free(&w->moment[i]);
		for (int i = 0; w->parameter && i < p->sums->n_parameters; i++)
			tensor_free(&w->parameter[i]);
		output_moment_free(&w->psi_moment);
		scratch_free(&w->scratch);
		free(w->u);
		free(w->phi);
		free(w->y);
		free(w->psi);
	}
}

static enum tamis_status make_sums(struct pass *p, struct tamis_error *err)
{
	struct score_sums *s = p->sums;
	enum tamis_status status = TAMIS_OK;

	s->n_layers = p->job->layers->n;
	s->layer = arena_array(&s->arena, (size_t)s->n_layers + 1, sizeof *s->layer);
	if (!s->layer)
		return no_memory(err);
	for (int i = 0; status == TAMIS_OK && i < s->n_layers; i++)
		status = make_layer(p, i, err);
	if (status == TAMIS_OK)
		status = make_watch(p, err);
	for (int k = 0; status == TAMIS_OK && k < s->n_parameters; k++)
		status = parameter_sums_create(&s->parameter[k], p->job->graph->values[s->parameter[k].value].constant.count, err);
	return status;
}

static enum tamis_status set_up(struct pass *p, struct tamis_error *err)
{
	struct program_options options = { .training = true };
	enum tamis_status status = program_create(p->job->graph, &options, &p->program, err);

	p->workers = arena_array(&p->arena, (size_t)p->n_workers, sizeof *p->workers);
	if (p->job->rich)
		p->signal_map = arena_array(&p->arena, (size_t)p->job->layers->n + 1, sizeof *p->signal_map);
	if (status == TAMIS_OK && (!p->workers || (p->job->rich && !p->signal_map)))
		status = no_memory(err);
	if (status == TAMIS_OK)
		status = make_sums(p, err);
	for (int k = 0; status == TAMIS_OK && k < p->n_workers; k++)
		status = make_worker(p, &p->workers[k], err);
	return status == TAMIS_OK ? first_moments(p, err) : status;
}

/* ---- results ------------------------------------------------------------------------------------------------ */

static enum tamis_status merge_moments(struct pass *p, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int k = 1; s == TAMIS_OK && k < p->n_workers; k++) {
		s = output_moment_merge(&p->workers[0].psi_moment, &p->workers[k].psi_moment, err);
		for (int i = 0; s == TAMIS_OK && i < p->job->layers->n; i++)
			if (!p->job->layers->list[i].note)
				s = comoment_merge(&p->workers[0].moment[i], &p->workers[k].moment[i], err);
	}
	return s;
}

/* The first worker's merged moments become the sums'. */
static enum tamis_status collect(struct pass *p, struct tamis_error *err)
{
	struct worker *w = &p->workers[0];
	enum tamis_status s = merge_moments(p, err);

	p->sums->psi = w->psi_moment;
	w->psi_moment = (struct output_moment){ 0 };
	for (int i = 0; i < p->sums->n_layers; i++) {
		struct layer_sums *l = &p->sums->layer[i];

		l->moment = w->moment[i];
		w->moment[i] = (struct comoment){ 0 };
		if (l->alone || !p->signal_map)
			continue;
		l->signal_scale = arena_array(&p->sums->arena, (size_t)l->features, sizeof *l->signal_scale);
		if (!l->signal_scale)
			return no_memory(err);
		memcpy(l->signal_scale, p->signal_map[i].scale, (size_t)l->features * sizeof *l->signal_scale);
	}
	return s;
}

static bool select_item(void *ctx, int64_t item)
{
	const struct score_job *j = ((struct pass *)ctx)->job;

	return !j->select || j->select(j->select_ctx, item);
}

static bool in_shard(void *ctx, int64_t chunk)
{
	const struct score_job *j = ((struct pass *)ctx)->job;

	return chunk % j->shards == j->shard;
}

static enum tamis_status run(struct pass *p, struct tamis_error *err)
{
	const struct score_job *j = p->job;
	struct items_job job = { .ctx = p, .select = select_item, .mine = j->shards > 1 ? in_shard : NULL, .work = work,
		.merge = merge };
	enum tamis_status s = set_up(p, err);

	if (s != TAMIS_OK)
		return s;
	s = pilot_run(p, err);
	if (s == TAMIS_OK)
		s = other_moments(p, err);
	if (s == TAMIS_OK)
		s = items_run(p->program, j->reader, j->batching, j->chunk, j->pool, &job, err);
	return s == TAMIS_OK ? collect(p, err) : s;
}

enum tamis_status score_sum(const struct score_job *job, struct head *head, struct score_sums *out,
                            struct tamis_error *err)
{
	struct pass p = { .job = job, .sums = out, .head = head, .n_workers = pool_size(job->pool) };
	enum tamis_status s = run(&p, err);

	free_workers(&p);
	for (int i = 0; p.signal_map && i < job->layers->n; i++)
		signal_map_free(&p.signal_map[i]);
	feature_map_free(&p.map);
	program_free(p.program);
	arena_free(&p.arena);
	return s;
}

enum tamis_status score_run(const struct score_job *job, struct head *head, struct scores *out,
                            struct tamis_error *err)
{
	struct score_sums sums = { 0 };
	enum tamis_status s = score_sum(job, head, &sums, err);

	if (s == TAMIS_OK)
		s = score_sums_finish(&sums, out, err);
	score_sums_free(&sums);
	return s;
}

void scores_free(struct scores *s)
{
	for (int i = 0; s->moment && i < s->n_layers; i++)
		comoment_free(&s->moment[i]);
	output_moment_free(&s->psi_moment);
	arena_free(&s->arena);
	*s = (struct scores){ 0 };
}
