/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/distil.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What one worker owns. */
struct hand {
	struct runner *runner;
	struct mixup mixup;
	struct tensor *in, *seed;
	size_t *capacity;
	float *gradient;       /* of the shard in hand, adam.total; the batch's own where there is one hand only */
	const float **target;  /* DISTIL_SHARD */
	int64_t *label;
	double loss;
};

struct shard { int64_t from, items; }; /* of the order */

struct training {
	struct distil *distil;
	const struct distil_leg *leg;
	struct program *program;
	struct adam adam;
	bool *watch;
	struct hand *hands;
	int n_hands;
	struct store *store;   /* whose block is walked */
	bool backward, mixes;
	int64_t limit;         /* items that gradients are only added up over, without a step; 0 = training */
	int64_t *order, n_order;
	size_t cap_order;
	struct shard *shards;  /* of one batch */
	int64_t wave;          /* index of the first shard in hand */
	float *gradient;       /* sum over the batch */
	float *best;
	double loss, done, total; /* of a walk; items done and to do in this leg */
	int64_t epoch, block;
	double rate;
	int64_t trial;         /* items that a walk back and forth ends after; 0 = all */
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "distilling");
}

/* Another for each epoch of each leg, and block of it. */
static uint64_t stream_of(const struct training *t)
{
	return rng_hash(t->leg ? t->leg->stream : 0, (uint64_t)t->epoch << 32 | (uint64_t)t->block);
}

/* ---- a shard --------------------------------------------------------------------------------------------------- */

struct gathering { struct training *training; struct hand *hand; };

static enum tamis_status on_gradient(void *ctx, int value, const struct tensor *g, struct tamis_error *err)
{
	struct gathering *c = ctx;

	(void)err;
	adam_gather(&c->training->adam, value, g, c->hand->gradient);
	return TAMIS_OK;
}

static void ignore_no_reverse(void *ctx, int node)
{
	(void)ctx;
	(void)node;
}

static enum tamis_status go_back(struct training *t, struct hand *h, struct tamis_error *err)
{
	struct gathering ctx = { t, h };
	struct run_hooks hooks = { .ctx = &ctx, .watch_grad = t->watch, .grad = on_gradient,
		.no_reverse = ignore_no_reverse };

	if (h->gradient != t->gradient)
		memset(h->gradient, 0, (size_t)t->adam.total * sizeof *h->gradient);
	return runner_reverse(h->runner, h->seed, &hooks, err);
}

/* Mixtures have none. */
static const int64_t *labels_of(const struct training *t, struct hand *h, const struct shard *shard, int64_t mixed)
{
	const struct distil_job *j = &t->distil->job;

	if (!j->labels)
		return NULL;
	for (int64_t i = 0; i < shard->items; i++) {
		int64_t item = t->store->list[t->order[shard->from + i]].item;

		h->label[i] = i >= mixed && item < j->n_labels ? j->labels[item] : -1;
	}
	return h->label;
}

/* Half of the items, each with one that stays as it is. */
static int64_t mixtures_in(const struct training *t, const struct shard *shard)
{
	if (!t->mixes || !t->backward)
		return 0;
	return shard->items > 1 ? shard->items / 2 : shard->from % 2 == 0 && shard->from + 1 < t->n_order;
}

static enum tamis_status mix_shard(const struct training *t, struct hand *h, const struct shard *shard, int64_t mixed,
                                   struct tamis_error *err)
{
	struct rng r = rng_make(rng_hash(t->distil->job.seed, stream_of(t)), (uint64_t)shard->from);

	h->mixup.store = t->store;
	return mixup_shard(&h->mixup, t->order + shard->from + mixed, shard->items, mixed, &r, h->in, h->target, err);
}

static enum tamis_status run_shard(struct training *t, struct hand *h, const struct shard *shard,
                                   struct tamis_error *err)
{
	const int64_t *order = t->order + shard->from, mixed = mixtures_in(t, shard);
	const int64_t *label = labels_of(t, h, shard, mixed);
	int n_out = t->distil->job.graph->n_outputs;
	enum tamis_status s = store_stack(t->store, order, shard->items, h->in, h->capacity, err);

	for (int64_t i = 0; i < shard->items; i++)
		h->target[i] = t->store->list[order[i]].target;
	if (s == TAMIS_OK && mixed)
		s = mix_shard(t, h, shard, mixed, err);
	if (s == TAMIS_OK)
		s = runner_run(h->runner, h->in, NULL, err);
	if (s == TAMIS_OK)
		s = match_outputs(&t->distil->match, h->runner, h->target, t->store->list[order[0]].floats, label,
		                  shard->items, t->backward ? h->seed : NULL, &h->loss, err);
	if (s == TAMIS_OK && t->backward)
		s = go_back(t, h, err);
	for (int o = 0; t->backward && o < n_out; o++)
		tensor_free(&h->seed[o]);
	return s;
}

static enum tamis_status shard_body(void *ctx, int64_t index, int worker, struct tamis_error *err)
{
	struct training *t = ctx;

	(void)worker;
	return run_shard(t, &t->hands[index], &t->shards[t->wave + index], err);
}

/* ---- a batch --------------------------------------------------------------------------------------------------- */

static int64_t cut_batch(struct training *t, int64_t from, int64_t to)
{
	int64_t n = 0, most = t->store->job.chunk < DISTIL_SHARD ? t->store->job.chunk : DISTIL_SHARD;

	while (from < to) {
		int64_t items = store_together(t->store, t->order + from, to - from < most ? to - from : most);

		t->shards[n++] = (struct shard){ from, items };
		from += items;
	}
	return n;
}

static double step_size(const struct training *t)
{
	double at = t->total > 0 ? fmin(1, t->done / t->total) : 0;

	return t->rate * (1 + cos(acos(-1) * (t->leg->from + (t->leg->to - t->leg->from) * at))) / 2;
}

static enum tamis_status run_wave(struct training *t, int64_t n, double *loss, struct tamis_error *err)
{
	enum tamis_status s = pool_for(t->distil->job.fit.pool, n, shard_body, t, err);

	for (int64_t i = 0; s == TAMIS_OK && i < n; i++) {
		const float *from = t->hands[i].gradient;

		*loss += t->hands[i].loss;
		for (int64_t k = 0; t->backward && from != t->gradient && k < t->adam.total; k++)
			t->gradient[k] += from[k];
	}
	return s;
}

static enum tamis_status run_batch(struct training *t, int64_t from, int64_t to, struct tamis_error *err)
{
	const struct distil_job *j = &t->distil->job;
	int64_t n = cut_batch(t, from, to);
	double loss = 0;
	enum tamis_status s = TAMIS_OK;

	if (t->backward && !t->limit)
		memset(t->gradient, 0, (size_t)t->adam.total * sizeof *t->gradient);
	for (t->wave = 0; s == TAMIS_OK && t->wave < n; t->wave += t->n_hands)
		s = run_wave(t, n - t->wave < t->n_hands ? n - t->wave : t->n_hands, &loss, err);
	t->loss += loss;
	if (s == TAMIS_OK && t->backward && !t->limit && isfinite(loss))
		s = adam_step(&t->adam, t->gradient, 1 / (double)(to - from), step_size(t), j->fit.pool, err);
	t->done += t->backward ? (double)(to - from) : 0;
	if (s == TAMIS_OK && j->progress)
		s = j->progress(j->progress_ctx, to - from, err);
	return s;
}

/* ---- a block of items, an epoch -------------------------------------------------------------------------------- */

/* Fisher, Yates. */
static void shuffle(struct training *t)
{
	struct rng g = rng_make(t->distil->job.seed, stream_of(t));

	for (int64_t i = t->n_order - 1; t->backward && !t->limit && i > 0; i--) {
		int64_t k = (int64_t)rng_below(&g, (uint64_t)i + 1), x = t->order[i];

		t->order[i] = t->order[k];
		t->order[k] = x;
	}
}

static bool is_tried(const struct training *t)
{
	return t->trial && t->backward && t->done >= (double)t->trial;
}

static enum tamis_status walk_block(void *ctx, struct tamis_error *err)
{
	struct training *t = ctx;
	enum tamis_status s = TAMIS_OK;

	if (!tm_grow((void **)&t->order, &t->cap_order, (size_t)t->store->n, sizeof *t->order))
		return no_memory(err);
	t->n_order = t->store->n;
	if (t->limit)
		t->n_order = (int64_t)fmin((double)t->n_order, (double)t->limit - t->done);
	for (int64_t i = 0; i < t->n_order; i++)
		t->order[i] = i;
	shuffle(t);
	t->block++;
	for (int64_t i = 0; s == TAMIS_OK && i < t->n_order && !is_tried(t); i += DISTIL_BATCH)
		s = run_batch(t, i, i + DISTIL_BATCH < t->n_order ? i + DISTIL_BATCH : t->n_order, err);
	return s;
}

static enum tamis_status walk(struct training *t, struct store *store, bool backward, struct tamis_error *err)
{
	t->store = store;
	t->backward = backward;
	t->loss = 0;
	t->block = 0;
	return store_walk(store, walk_block, t, err);
}

/* Mean loss of the check items. */
static enum tamis_status check(struct training *t, double *loss, struct tamis_error *err)
{
	enum tamis_status s = walk(t, &t->distil->check, false, err);

	*loss = s == TAMIS_OK ? t->loss / (double)t->distil->check.items : NAN;
	return s;
}

/* Notes the state when it is the best so far; NaN never is. */
static enum tamis_status consider(struct training *t, struct distil_result *r, struct tamis_error *err)
{
	double loss;
	enum tamis_status s = check(t, &loss, err);

	if (s == TAMIS_OK && (isnan(r->before) || loss < r->after)) {
		r->after = loss;
		adam_save(&t->adam, t->best);
	}
	if (isnan(r->before))
		r->before = loss;
	return s;
}

/* What a refit has found is lost within some steps of Adam where these are larger than what is left to mend, and many epochs
 * do not bring it back. */
static enum tamis_status find_rate(struct training *t, double before, struct tamis_error *err)
{
	double after = NAN;
	enum tamis_status s = TAMIS_OK;

	t->trial = DISTIL_TRIAL;
	for (int i = 0; s == TAMIS_OK && i < DISTIL_TRIALS && !(after <= DISTIL_WORSE * before); i++) {
		if (i)
			t->rate /= DISTIL_SLOWER;
		s = walk(t, &t->distil->fit, true, err);
		if (s == TAMIS_OK)
			s = check(t, &after, err);
		adam_restore(&t->adam, t->best);
		adam_forget(&t->adam);
		t->done = 0;
	}
	t->trial = 0;
	return s;
}

static enum tamis_status train(struct training *t, struct distil_result *r, struct tamis_error *err)
{
	enum tamis_status s = t->leg->settle ? consider(t, r, err) : TAMIS_OK;

	t->rate = t->leg->rate;
	t->total = (double)t->distil->fit.items * t->leg->epochs;
	if (s == TAMIS_OK && t->leg->settle && t->leg->epochs)
		s = find_rate(t, r->before, err);
	for (t->epoch = 0; s == TAMIS_OK && t->epoch < t->leg->epochs; t->epoch++) {
		s = walk(t, &t->distil->fit, true, err);
		if (s == TAMIS_OK && t->leg->settle)
			s = consider(t, r, err);
	}
	if (s == TAMIS_OK && t->leg->settle)
		adam_restore(&t->adam, t->best);
	else if (s == TAMIS_OK && t->leg->judge)
		s = check(t, &r->after, err);
	return s;
}

/* ---- setting up ------------------------------------------------------------------------------------------------ */

static enum tamis_status make_hand(struct training *t, struct hand *h, struct tamis_error *err)
{
	const struct graph *g = t->distil->job.graph;
	enum tamis_status s;

	h->in = tm_array((size_t)g->n_inputs + 1, sizeof *h->in);
	h->capacity = tm_array((size_t)g->n_inputs + 1, sizeof *h->capacity);
	h->seed = tm_array((size_t)g->n_outputs + 1, sizeof *h->seed);
	h->gradient = t->n_hands == 1 ? t->gradient : tm_array_uninit((size_t)t->adam.total + 1, sizeof *h->gradient);
	h->target = tm_array(DISTIL_SHARD, sizeof *h->target);
	h->label = tm_array(DISTIL_SHARD, sizeof *h->label);
	if (!h->in || !h->capacity || !h->seed || !h->gradient || !h->target || !h->label)
		return no_memory(err);
	s = runner_create(t->program, &h->runner, err);
	return s == TAMIS_OK && t->mixes ? mixup_open(&t->distil->fit, &h->mixup, err) : s;
}

static void free_hand(const struct training *t, struct hand *h)
{
	for (int i = 0; h->in && i < t->distil->job.graph->n_inputs; i++)
		free(h->in[i].data);
	runner_free(h->runner);
	mixup_close(&h->mixup);
	free(h->in);
	free(h->capacity);
	free(h->seed);
	if (h->gradient != t->gradient)
		free(h->gradient);
	free(h->target);
	free(h->label);
}

static enum tamis_status set_up(struct training *t, struct tamis_error *err)
{
	const struct distil_job *j = &t->distil->job;
	struct program_options options = { .training = true, .joined = true, .held_zeros = !t->limit };
	enum tamis_status s = adam_open(j->graph, j->parameters, t->limit > 0, &t->adam, err);

	if (s == TAMIS_OK)
		s = program_create(j->graph, &options, &t->program, err);
	if (s != TAMIS_OK)
		return s;
	t->mixes = !t->limit && j->mixup && mixup_fits(j->graph);
	t->hands = tm_array((size_t)t->n_hands, sizeof *t->hands);
	t->watch = tm_array((size_t)j->graph->n_values + 1, sizeof *t->watch);
	t->shards = tm_array(DISTIL_BATCH, sizeof *t->shards);
	t->gradient = tm_array((size_t)t->adam.total + 1, sizeof *t->gradient);
	t->best = tm_array((size_t)t->adam.total + 1, sizeof *t->best);
	if (!t->hands || !t->watch || !t->shards || !t->gradient || !t->best)
		return no_memory(err);
	for (int i = 0; i < t->adam.n; i++)
		t->watch[t->adam.list[i].value] = true;
	for (int i = 0; s == TAMIS_OK && i < t->n_hands; i++)
		s = make_hand(t, &t->hands[i], err);
	return s;
}

static void tear_down(struct training *t)
{
	for (int i = 0; t->hands && i < t->n_hands; i++)
		free_hand(t, &t->hands[i]);
	free(t->hands);
	free(t->watch);
	free(t->shards);
	free(t->gradient);
	free(t->best);
	free(t->order);
	program_free(t->program);
	adam_close(&t->adam);
}

enum tamis_status distil_run(struct distil *d, const struct distil_leg *leg, struct distil_result *out,
                             struct tamis_error *err)
{
	struct training t = { .distil = d, .leg = leg, .n_hands = pool_size(d->job.fit.pool) };
	enum tamis_status s = set_up(&t, err);

	*out = (struct distil_result){ NAN, NAN };
	if (s == TAMIS_OK)
		s = train(&t, out, err);
	tear_down(&t);
	return s;
}

enum tamis_status distil_gradient(struct distil *d, int64_t items, float *gradient, struct tamis_error *err)
{
	struct training t = { .distil = d, .limit = items, .n_hands = pool_size(d->job.fit.pool) };
	enum tamis_status s = set_up(&t, err);

	if (s == TAMIS_OK)
		s = walk(&t, &d->fit, true, err);
	if (s == TAMIS_OK)
		memcpy(gradient, t.gradient, (size_t)t.adam.total * sizeof *gradient);
	tear_down(&t);
	return s;
}

/* ---- opening --------------------------------------------------------------------------------------------------- */

static enum tamis_status nothing(void *ctx, struct tamis_error *err)
{
	(void)ctx;
	(void)err;
	return TAMIS_OK;
}

/* Energy of the block of check items about the mean of each output value; about zero where items have different outputs. */
static enum tamis_status find_energy(void *ctx, struct tamis_error *err)
{
	struct distil *d = ctx;
	const struct store *s = &d->check;
	int64_t n = s->list[0].floats;
	double *mean = tm_array((size_t)n + 1, sizeof *mean), energy = 0;

	if (!mean)
		return no_memory(err);
	for (int64_t i = 0; i < s->n; i++)
		n = s->list[i].floats == n ? n : 0;
	for (int64_t i = 0; i < s->n; i++)
		for (int64_t k = 0; k < n; k++)
			mean[k] += s->list[i].target[k] / (double)s->n;
	for (int64_t i = 0; i < s->n; i++)
		for (int64_t k = 0; k < s->list[i].floats; k++) {
			double y = s->list[i].target[k] - (n ? mean[k] : 0);

			energy += y * y;
		}
	free(mean);
	if (d->match.energy <= 0)
		d->match.energy = energy / (double)s->n;
	return TAMIS_OK;
}

enum tamis_status distil_open(const struct distil_job *job, struct distil *out, struct tamis_error *err)
{
	enum tamis_status s;

	*out = (struct distil){ .job = *job, .match.head = job->fit.head };
	s = store_open(&job->fit, &out->fit, err);
	if (s == TAMIS_OK)
		s = store_open(&job->check, &out->check, err);
	if (s == TAMIS_OK)
		s = store_walk(&out->check, find_energy, out, err);
	if (!(out->match.energy > 0))
		out->match.energy = 1;
	if (s == TAMIS_OK)
		s = store_walk(&out->fit, nothing, out, err);
	if (s != TAMIS_OK)
		distil_close(out);
	return s;
}

void distil_close(struct distil *d)
{
	store_close(&d->fit);
	store_close(&d->check);
	*d = (struct distil){ 0 };
}
