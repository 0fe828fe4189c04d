/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/score/score_state.h"

#include <stdlib.h>
#include <string.h>

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "scoring");
}

/* ---- gradients ---------------------------------------------------------------------------------------------- */

static int64_t parameter_count(const struct pass *p, int k)
{
	return p->job->graph->values[p->sums->parameter[k].value].constant.count;
}

struct gradient_ctx { struct pass *pass; struct worker *worker; int64_t items; };

static enum tamis_status add_gain(struct gradient_ctx *c, int layer, const struct tensor *g, struct tamis_error *err)
{
	const struct layer *l = &c->pass->job->layers->list[layer];
	struct partial *a = &c->worker->layer[layer];

	if (c->pass->rows[layer].first)
		copies_add_gain(&c->pass->rows[layer], l, g, a->joint, a->gain);
	else
		gains_add(l, g, a->gain);
	a->reached = true;
	return needs_add_energy(l, c->worker, a, g, c->items, err);
}

static enum tamis_status on_gradient(void *ctx, int value, const struct tensor *g, struct tamis_error *err)
{
	struct gradient_ctx *c = ctx;
	struct pass *p = c->pass;
	struct worker *w = c->worker;
	int l = p->layer_of[value], k = p->weight_of[value], q = p->parameter_of[value];

	if (l >= 0 && add_gain(c, l, g, err) != TAMIS_OK)
		return err->status;
	if (k >= 0)
		gains_square(g, w->layer[k].gradient2);
	if (q >= 0)
		gains_square(g, w->parameter[q]);
	return TAMIS_OK;
}

static enum tamis_status on_energy(void *ctx, int value, const double *energy, struct tamis_error *err)
{
	struct gradient_ctx *c = ctx;
	int l = c->pass->layer_of[value];
	struct partial *a = &c->worker->layer[l];

	(void)err;
	for (int64_t o = 0; o < c->pass->job->layers->list[l].view.outs; o++)
		a->gain[o] += energy[o];
	a->reached = true;
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
	struct gradient_ctx ctx = { p, w, c->items };
	struct run_hooks hooks = { .ctx = &ctx, .watch_grad = p->watch, .grad = on_gradient, .energy = on_energy,
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

/* ---- groups ------------------------------------------------------------------------------------------------- */

int64_t score_group(const struct score_job *j, int64_t least)
{
	return (least + j->chunk - 1) / j->chunk * j->chunk;
}

struct chunk score_batch(const struct pass *p, const struct chunk *c, int64_t from, struct tensor *part)
{
	int64_t n = c->items - from < p->job->chunk ? c->items - from : p->job->chunk;

	if (n == c->items)
		return *c;
	for (int i = 0; i < p->job->graph->n_inputs; i++) {
		part[i] = c->in[i];
		part[i].dims[0] = n;
		part[i].count = c->in[i].count / c->items * n;
		part[i].data = (char *)c->in[i].data + tensor_bytes(&c->in[i]) / (size_t)c->items * (size_t)from;
	}
	return (struct chunk){ .index = c->index, .items = n, .item = c->item + from, .in = part };
}

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
		if (a->gradient2)
			memset(a->gradient2, 0, (size_t)l->entries * sizeof *a->gradient2);
		if (a->energy)
			memset(a->energy, 0, (size_t)l->entries * sizeof *a->energy);
		a->signals = a->items = a->grid_rows = 0;
		a->reached = false;
	}
	w->values = 0;
	for (int k = 0; k < p->sums->n_parameters; k++)
		memset(w->parameter[k], 0, (size_t)parameter_count(p, k) * sizeof(float));
}

enum tamis_status score_keep_values(const struct pass *p, struct worker *w, const struct runner *r, int64_t items,
                                    struct tamis_error *err)
{
	int64_t width = p->head->width;
	enum tamis_status s = score_reserve(&w->y, &w->y_floats, (size_t)((w->values + items) * width), err);

	if (s == TAMIS_OK)
		s = head_values(p->head, r, items, w->y + w->values * width, err);
	w->values += items;
	return s;
}

enum tamis_status score_make_psi(const struct pass *p, struct worker *w, struct tamis_error *err)
{
	enum tamis_status s = score_reserve(&w->psi, &w->psi_floats, (size_t)(w->values * FEATURES_DEFAULT), err);

	return s == TAMIS_OK ? feature_map_apply(&p->map, w->y, w->values, w->psi, err) : s;
}

/* The first batch of the pilot tells the others what outputs there are. */
static enum tamis_status see_outputs(struct pass *p, struct worker *w, struct runner *r, const struct chunk *group,
                                     struct tamis_error *err)
{
	enum tamis_status s;

	if (!w->leads)
		return pilot_await(p, PILOT_HEAD, err);
	s = pilot_outputs(p, w, r, group, err);
	if (s == TAMIS_OK)
		pilot_tell(p, PILOT_HEAD);
	return s;
}

static enum tamis_status run_batch(struct pass *p, struct worker *w, struct runner *r, const struct chunk *group,
                                   int64_t from, struct tamis_error *err)
{
	struct chunk c = score_batch(p, group, from, w->part);
	enum tamis_status s = signals_run(p, w, r, &c, true, err);

	if (s == TAMIS_OK && from == 0)
		s = see_outputs(p, w, r, group, err);
	if (s == TAMIS_OK)
		s = score_keep_values(p, w, r, c.items, err);
	return s == TAMIS_OK ? add_gradients(p, w, r, &c, err) : s;
}

static enum tamis_status make_features(struct pass *p, struct worker *w, struct tamis_error *err)
{
	enum tamis_status s;

	if (!w->leads) {
		s = pilot_await(p, PILOT_MAP, err);
		return s == TAMIS_OK ? score_make_psi(p, w, err) : s;
	}
	s = pilot_map(p, w, err);
	if (s == TAMIS_OK)
		s = score_make_psi(p, w, err);
	if (s == TAMIS_OK)
		s = pilot_pivot(p, err);
	if (s == TAMIS_OK)
		pilot_tell(p, PILOT_MAP);
	return s;
}

/* With the layer's lock held. A layer that did not run with some items is not tested on this group. */
static enum tamis_status add_layer(struct pass *p, struct worker *w, int i, int64_t items, struct tamis_error *err)
{
	const struct layer *l = &p->job->layers->list[i];
	const float *u = w->layer[i].u;
	enum tamis_status s = pilot_layer(p, w, i, err);

	p->fixed[i] = true;
	if (s != TAMIS_OK || w->layer[i].items != items)
		return s;
	copies_check(&p->sums->layer[i].copies, u, items * signals_positions(l), w->layer[i].broken);
	needs_add_products(l, &w->layer[i]);
	s = signals_widen(p, w, i, u, items, err);
	return s == TAMIS_OK ? comoment_add(&p->sums->layer[i].moment, p->signal_map ? w->phi : u, l->features, w->psi, items, err)
	                     : s;
}

static enum tamis_status add_outputs(struct pass *p, struct worker *w, int64_t items, struct tamis_error *err)
{
	enum tamis_status s;

	pthread_mutex_lock(&p->lock);
	s = output_moment_add(&p->sums->psi, w->psi, items, err);
	pthread_mutex_unlock(&p->lock);
	return s;
}

/* All workers add to the same co-moments, whose bits do not depend on the order; each begins at another layer. */
static enum tamis_status add_moments(struct pass *p, struct worker *w, int64_t items, struct tamis_error *err)
{
	enum tamis_status s = add_outputs(p, w, items, err);
	int n = p->job->layers->n, first = (int)((w - p->workers) * n / p->n_workers);

	for (int k = 0; s == TAMIS_OK && k < n; k++) {
		int i = (first + k) % n;

		if (p->job->layers->list[i].note)
			continue;
		pthread_mutex_lock(&p->layer_lock[i]);
		s = add_layer(p, w, i, items, err);
		pthread_mutex_unlock(&p->layer_lock[i]);
	}
	return s;
}

static enum tamis_status work_on_group(struct pass *p, struct worker *w, struct runner *r, const struct chunk *c,
                                       struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	clear_partials(p, w);
	for (int64_t at = 0; s == TAMIS_OK && at < c->items; at += p->job->chunk)
		s = run_batch(p, w, r, c, at, err);
	if (s == TAMIS_OK)
		s = make_features(p, w, err);
	return s == TAMIS_OK ? add_moments(p, w, c->items, err) : s;
}

static enum tamis_status work(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct pass *p = ctx;
	struct worker *w = &p->workers[slot];
	enum tamis_status s;

	w->leads = p->leads && c->index == 0;
	if (w->leads)
		p->pilot = w;
	s = work_on_group(p, w, r, c, err);
	if (w->leads && s != TAMIS_OK)
		pilot_tell(p, PILOT_FAILED);
	return s;
}

static void merge_layer(const struct partial *a, struct layer_sums *to)
{
	exact_sums_add(&to->mean, a->mean);
	exact_sums_add(&to->second, a->second);
	exact_sums_add(&to->gain, a->gain);
	needs_merge(a, to);
	to->signals += a->signals;
	to->reached |= a->reached;
}

static enum tamis_status merge(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct pass *p = ctx;
	struct worker *w = &p->workers[slot];

	for (int i = 0; i < p->sums->n_layers; i++)
		if (!p->sums->layer[i].alone)
			merge_layer(&w->layer[i], &p->sums->layer[i]);
	for (int k = 0; k < p->sums->n_parameters; k++)
		exact_sums_add_floats(&p->sums->parameter[k].sum, w->parameter[k]);
	p->sums->items += c->items;
	return p->job->progress ? p->job->progress(p->job->progress_ctx, p->sums->items, err) : TAMIS_OK;
}

/* ---- setting up --------------------------------------------------------------------------------------------- */

static enum tamis_status make_layer(struct pass *p, int i, struct tamis_error *err)
{
	const struct layer *l = &p->job->layers->list[i];
	struct layer_sums *s = &p->sums->layer[i];

	*s = (struct layer_sums){ .alone = l->note != NULL, .features = l->features,
		.fan_in = l->view.fan_in, .outs = l->view.outs, .entries = l->entries, .positions = signals_positions(l) };
	if (s->alone)
		return TAMIS_OK;
	if (copies_of_rows(l, &p->job->graph->values[l->weight].constant, &p->arena, &p->rows[i], err) != TAMIS_OK)
		return err->status;
	return layer_sums_create(s, p->job->needs, err);
}

static bool is_parameter(const struct pass *p, int v)
{
	const struct value *x = &p->job->graph->values[v];

	return p->job->parameters && x->kind == VALUE_CONSTANT && dtype_is_float((int)x->constant.type) && x->n_uses
		&& x->producer == GRAPH_NONE && p->weight_of[v] < 0 && p->layer_of[v] < 0;
}

static enum tamis_status make_watch(struct pass *p, struct tamis_error *err)
{
	const struct graph *g = p->job->graph;
	struct score_sums *s = p->sums;
	size_t n = (size_t)g->n_values + 1;
	bool *weights = arena_array(&p->arena, n, sizeof *weights);

	p->watch = arena_array(&p->arena, n, sizeof *p->watch);
	p->watch_node = arena_array(&p->arena, (size_t)g->n_nodes + 1, sizeof *p->watch_node);
	p->layer_of = arena_array(&p->arena, n, sizeof *p->layer_of);
	p->weight_of = arena_array(&p->arena, n, sizeof *p->weight_of);
	p->parameter_of = arena_array(&p->arena, n, sizeof *p->parameter_of);
	s->parameter = arena_array(&s->arena, n, sizeof *s->parameter);
	if (!weights || !p->watch || !p->watch_node || !p->layer_of || !p->weight_of || !p->parameter_of || !s->parameter)
		return no_memory(err);
	for (int v = 0; v < g->n_values; v++)
		p->layer_of[v] = p->weight_of[v] = p->parameter_of[v] = -1;
	for (int i = 0; i < p->job->layers->n; i++) {
		const struct layer *l = &p->job->layers->list[i];

		weights[l->weight] = !l->note;
		if (l->note)
			continue;
		p->layer_of[g->nodes[l->node].out[0]] = i;
		p->watch[g->nodes[l->node].out[0]] = p->watch_node[l->node] = true;
		p->weight_of[l->weight] = p->job->needs & SCORE_NEEDS_GRADIENT ? i : -1;
		p->watch[l->weight] = p->job->needs & SCORE_NEEDS_GRADIENT;
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
	w->parameter = arena_array(a, (size_t)p->sums->n_parameters + 1, sizeof *w->parameter);
	w->part = arena_array(a, (size_t)p->job->graph->n_inputs + 1, sizeof *w->part);
	if (!w->layer || !w->parameter || !w->part)
		return no_memory(err);
	for (int k = 0; k < p->sums->n_parameters; k++) {
		w->parameter[k] = arena_array(a, (size_t)parameter_count(p, k) + 1, sizeof **w->parameter);
		if (!w->parameter[k])
			return no_memory(err);
	}
	for (int i = 0; i < n; i++) {
		const struct layer *l = &p->job->layers->list[i];
		struct partial *q = &w->layer[i];

		if (l->note)
			continue;
		q->mean = arena_array(a, (size_t)l->features, sizeof *q->mean);
		q->second = arena_array(a, (size_t)l->features, sizeof *q->second);
		q->gain = arena_array(a, (size_t)l->view.outs, sizeof *q->gain);
		q->broken = arena_array(a, (size_t)l->features, sizeof *q->broken);
		q->joint = arena_array(a, 2 * (size_t)l->view.outs, sizeof *q->joint);
		if (!q->mean || !q->second || !q->gain || !q->broken || !q->joint)
			return no_memory(err);
		if (needs_make_partial(p, i, q, err) != TAMIS_OK)
			return err->status;
	}
	return TAMIS_OK;
}

static enum tamis_status make_moment(void *ctx, int64_t i, int worker, struct tamis_error *err)
{
	struct pass *p = ctx;
	const struct layer *l = &p->job->layers->list[i];

	(void)worker;
	return l->note ? TAMIS_OK
	               : comoment_create(&p->sums->layer[i].moment, l->features, signals_width(p, l), FEATURES_DEFAULT, err);
}

static enum tamis_status make_moments(struct pass *p, struct tamis_error *err)
{
	size_t n = (size_t)p->job->layers->n + 1;
	enum tamis_status s = output_moment_create(&p->sums->psi, FEATURES_DEFAULT, err);

	p->fixed = arena_array(&p->arena, n, sizeof *p->fixed);
	p->layer_lock = arena_array(&p->arena, n, sizeof *p->layer_lock);
	if (!p->fixed || !p->layer_lock)
		return no_memory(err);
	for (int i = 0; i < p->job->layers->n; i++)
		pthread_mutex_init(&p->layer_lock[i], NULL);
	return s == TAMIS_OK ? pool_for(p->job->pool, p->job->layers->n, make_moment, p, err) : s;
}

static void free_workers(struct pass *p)
{
	for (int k = 0; p->workers && k < p->n_workers; k++) {
		struct worker *w = &p->workers[k];

		for (int i = 0; w->layer && i < p->job->layers->n; i++)
			free(w->layer[i].u);
		scratch_free(&w->scratch);
		free(w->phi);
		free(w->squares);
		free(w->delta);
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
	p->rows = arena_array(&p->arena, (size_t)s->n_layers + 1, sizeof *p->rows);
	if (!s->layer || !p->rows)
		return no_memory(err);
	for (int i = 0; status == TAMIS_OK && i < s->n_layers; i++)
		status = make_layer(p, i, err);
	if (status == TAMIS_OK)
		status = make_watch(p, err);
	for (int k = 0; status == TAMIS_OK && k < s->n_parameters; k++)
		status = parameter_sums_create(&s->parameter[k], p->job->graph->values[s->parameter[k].value].constant.count, err);
	return status;
}

/* Sums of squared gradients are all that is wanted of them. */
static bool wants_energies_only(const struct pass *p)
{
	bool only = !p->job->parameters && !(p->job->needs & (SCORE_NEEDS_GRADIENT | SCORE_NEEDS_ENERGY));

	for (int i = 0; i < p->sums->n_layers; i++)
		only &= !p->rows[i].first;
	return only;
}

static enum tamis_status set_up(struct pass *p, struct tamis_error *err)
{
	struct program_options options = { .training = true };
	enum tamis_status status = make_sums(p, err);

	options.energies = status == TAMIS_OK && wants_energies_only(p);
	if (status == TAMIS_OK)
		status = program_create(p->job->graph, &options, &p->program, err);
	p->workers = arena_array(&p->arena, (size_t)p->n_workers, sizeof *p->workers);
	if (p->job->rich)
		p->signal_map = arena_array(&p->arena, (size_t)p->job->layers->n + 1, sizeof *p->signal_map);
	if (status == TAMIS_OK && (!p->workers || (p->job->rich && !p->signal_map)))
		status = no_memory(err);
	for (int k = 0; status == TAMIS_OK && k < p->n_workers; k++)
		status = make_worker(p, &p->workers[k], err);
	return status == TAMIS_OK ? make_moments(p, err) : status;
}

/* ---- results ------------------------------------------------------------------------------------------------ */

static enum tamis_status collect(struct pass *p, struct tamis_error *err)
{
	for (int i = 0; i < p->sums->n_layers; i++) {
		struct layer_sums *l = &p->sums->layer[i];

		for (int k = 0; k < p->n_workers && !l->alone; k++)
			copies_split(&l->copies, p->workers[k].layer[i].broken);
		if (l->alone || !p->signal_map)
			continue;
		l->signal_scale = arena_array(&p->sums->arena, (size_t)l->features, sizeof *l->signal_scale);
		if (!l->signal_scale)
			return no_memory(err);
		memcpy(l->signal_scale, p->signal_map[i].scale, (size_t)l->features * sizeof *l->signal_scale);
	}
	return TAMIS_OK;
}

bool score_select(void *ctx, int64_t item)
{
	const struct score_job *j = ((struct pass *)ctx)->job;

	return !j->select || j->select(j->select_ctx, item);
}

static bool in_shard(void *ctx, int64_t chunk)
{
	const struct score_job *j = ((const struct pass *)ctx)->job;

	return j->shards < 2 || chunk % j->shards == j->shard;
}

static enum tamis_status run(struct pass *p, struct tamis_error *err)
{
	const struct score_job *j = p->job;
	const struct items_job groups = { .ctx = p, .select = score_select, .mine = in_shard, .work = work, .merge = merge };
	enum tamis_status s = set_up(p, err);

	p->leads = j->batching == BATCH_STACKED && (j->shards < 2 || j->shard == 0);
	if (s == TAMIS_OK && !p->leads)
		s = pilot_run(p, err);
	if (s == TAMIS_OK && (p->leads || p->stage == PILOT_MAP))
		s = items_run(p->program, j->reader, j->batching, score_group(j, SCORE_GROUP), j->pool, &groups, err);
	if (s == TAMIS_OK && p->stage != PILOT_MAP)
		s = tm_fail(err, TAMIS_E_INVALID, "no calibration item is left to fit on");
	return s == TAMIS_OK ? collect(p, err) : s;
}

enum tamis_status score_sum(const struct score_job *job, struct head *head, struct score_sums *out,
                            struct tamis_error *err)
{
	struct pass p = { .job = job, .sums = out, .head = head, .n_workers = pool_size(job->pool) };
	enum tamis_status s;

	pthread_mutex_init(&p.lock, NULL);
	pthread_cond_init(&p.told, NULL);
	s = run(&p, err);
	pthread_cond_destroy(&p.told);
	pthread_mutex_destroy(&p.lock);
	for (int i = 0; p.layer_lock && i < job->layers->n; i++)
		pthread_mutex_destroy(&p.layer_lock[i]);
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
		s = score_sums_finish(&sums, job->pool, out, err);
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
