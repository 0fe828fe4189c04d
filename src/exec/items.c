/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/items.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"
#include "exec/chunks.h"

/* The most of a chunk: items, and bytes of values. In forward programs values should stay in the caches, which 1 MiB
 * do, but weights are read once a chunk: so much more that reading an eighth of them hides behind it. */
enum { FORWARD_ITEMS = 16, FORWARD_BYTES = 1 << 20, WEIGHT_SHARE = 8, FORWARD_MOST = 16 << 20 };
enum { TRAINING_ITEMS = 32, TRAINING_BYTES = 64 << 20, TRAINING_MOST = 256 << 20 };

/* Chunk number k of those worked on lies in slot k modulo the slots, from when it is filled until it is merged. */
struct slot {
	struct chunk_buffer buffer;
	enum tamis_status status; /* of its work, with the error below */
	struct tamis_error error;
	bool done;
};

/* A line of chunks. The calling thread fills free slots and merges finished ones, in order, before each chunk that it
 * works on itself; the other workers take what is filled, so that nobody waits for the slowest of a round. */
struct line {
	const struct program *program;
	struct chunk_source source;
	struct pool *pool;
	int n_slots;
	struct slot *slots;
	struct runner **runners;   /* by worker */
	/* Written under the lock: chunks filled, taken and merged so far, whether one failed, whether no more will come. */
	int64_t filled, taken, merged;
	bool failed, closed;
	_Atomic uint64_t news;     /* counts changes */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Of the calling thread alone: what reading came to, told when the chunks before it are merged. */
	enum tamis_status reading;
	struct tamis_error reading_error;
	bool end;
};

/* ---- taking and working --------------------------------------------------------------------------------------- */

static struct slot *slot_of(const struct line *l, int64_t k)
{
	return &l->slots[k % l->n_slots];
}

static void tell_change(struct line *l)
{
	atomic_fetch_add(&l->news, 1);
	pthread_cond_broadcast(&l->changed);
}

/* Waits for a change, with the lock held on entry and return. */
static void await_change(struct line *l)
{
	uint64_t seen = atomic_load(&l->news);

	pthread_mutex_unlock(&l->lock);
	pool_spin(&l->news, seen);
	pthread_mutex_lock(&l->lock);
	while (atomic_load(&l->news) == seen)
		pthread_cond_wait(&l->changed, &l->lock);
}

/* The next filled slot, in order; NULL when there is none (now, or ever where `wait`), or when a chunk failed. */
static struct slot *take(struct line *l, bool wait)
{
	struct slot *s = NULL;

	pthread_mutex_lock(&l->lock);
	while (wait && l->taken == l->filled && !l->closed)
		await_change(l);
	if (l->taken < l->filled && !l->failed)
		s = slot_of(l, l->taken++);
	pthread_mutex_unlock(&l->lock);
	return s;
}

static void work_on(struct line *l, struct slot *s, int worker)
{
	const struct items_job *job = l->source.job;

	tamis_error_clear(&s->error);
	s->status = job->work(job->ctx, l->runners[worker], &s->buffer.chunk, (int)(s - l->slots), &s->error);
	pthread_mutex_lock(&l->lock);
	s->done = true;
	l->failed |= s->status != TAMIS_OK;
	tell_change(l);
	pthread_mutex_unlock(&l->lock);
}

static void help(struct line *l, int worker)
{
	struct slot *s;

	while ((s = take(l, true)))
		work_on(l, s, worker);
}

/* ---- the calling thread --------------------------------------------------------------------------------------- */

static void fill_one(struct line *l, struct slot *s)
{
	const struct items_job *job = l->source.job;

	do {
		if (job->max_chunks && l->source.chunks >= job->max_chunks)
			s->buffer.chunk.items = 0;
		else
			l->reading = chunk_fill(&l->source, &s->buffer, &l->reading_error);
		l->end = l->reading != TAMIS_OK || !s->buffer.chunk.items;
	} while (!l->end && job->mine && !job->mine(job->ctx, s->buffer.chunk.index));
}

static void fill_free(struct line *l)
{
	while (!l->end && l->filled - l->merged < l->n_slots) {
		struct slot *s = slot_of(l, l->filled);

		fill_one(l, s);
		if (l->end)
			return;
		pthread_mutex_lock(&l->lock);
		s->done = false;
		l->filled++;
		tell_change(l);
		pthread_mutex_unlock(&l->lock);
	}
}

static void pass_error(struct tamis_error *to, const struct tamis_error *from)
{
	if (to)
		*to = *from;
}

static bool first_done(struct line *l)
{
	bool done;

	pthread_mutex_lock(&l->lock);
	done = l->merged < l->taken && slot_of(l, l->merged)->done;
	pthread_mutex_unlock(&l->lock);
	return done;
}

static enum tamis_status merge_done(struct line *l, struct tamis_error *err)
{
	const struct items_job *job = l->source.job;

	while (first_done(l)) {
		int64_t at = l->merged % l->n_slots;
		struct slot *s = &l->slots[at];
		enum tamis_status status = s->status;

		if (status != TAMIS_OK)
			pass_error(err, &s->error);
		else if (job->merge)
			status = job->merge(job->ctx, &s->buffer.chunk, (int)at, err);
		if (status != TAMIS_OK)
			return status;
		l->merged++;
	}
	return TAMIS_OK;
}

static void await_first(struct line *l)
{
	pthread_mutex_lock(&l->lock);
	while (!slot_of(l, l->merged)->done)
		await_change(l);
	pthread_mutex_unlock(&l->lock);
}

static void close_line(struct line *l, bool failed)
{
	pthread_mutex_lock(&l->lock);
	l->closed = true;
	l->failed |= failed;
	tell_change(l);
	pthread_mutex_unlock(&l->lock);
}

static enum tamis_status lead(struct line *l, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	while (s == TAMIS_OK) {
		struct slot *mine;

		fill_free(l);
		mine = take(l, false);
		if (mine)
			work_on(l, mine, 0);
		else if (l->merged < l->filled)
			await_first(l);
		else
			break;
		s = merge_done(l, err);
	}
	close_line(l, s != TAMIS_OK);
	if (s == TAMIS_OK && l->reading != TAMIS_OK)
		pass_error(err, &l->reading_error);
	return s == TAMIS_OK ? l->reading : s;
}

static enum tamis_status take_part(void *ctx, int64_t index, int worker, struct tamis_error *err)
{
	(void)index;
	if (worker == 0)
		return lead(ctx, err);
	help(ctx, worker);
	return TAMIS_OK;
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

static enum tamis_status open_line(struct line *l, struct tamis_error *err)
{
	int workers = pool_size(l->pool);
	enum tamis_status s = TAMIS_OK;

	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->changed, NULL);
	l->slots = tm_array((size_t)l->n_slots, sizeof *l->slots);
	l->runners = tm_array((size_t)workers, sizeof *l->runners);
	if (!l->slots || !l->runners)
		return tm_no_memory(err, "reading items");
	for (int i = 0; s == TAMIS_OK && i < l->n_slots; i++)
		s = chunk_buffer_make(&l->source, &l->slots[i].buffer, err);
	for (int i = 0; s == TAMIS_OK && i < workers; i++)
		s = runner_create(l->program, &l->runners[i], err);
	return s;
}

static void free_line(struct line *l)
{
	for (int i = 0; l->slots && i < l->n_slots; i++)
		chunk_buffer_free(&l->slots[i].buffer, l->source.n_in);
	for (int i = 0; l->runners && i < pool_size(l->pool); i++)
		runner_free(l->runners[i]);
	free(l->slots);
	free(l->runners);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
}

/* ---- the size of a chunk --------------------------------------------------------------------------------------- */

static uint64_t weight_bytes(const struct program *p)
{
	uint64_t bytes = 0;

	for (int i = 0; i < p->n_steps; i++)
		for (int k = 0; k < p->steps[i].n_in; k++) {
			int v = p->steps[i].in[k];

			bytes += v != GRAPH_NONE && p->constant[v].data ? tensor_bytes(&p->constant[v]) : 0;
		}
	return bytes;
}

static uint64_t most_bytes(const struct program *p)
{
	uint64_t weights = weight_bytes(p), share = weights / WEIGHT_SHARE;

	if (p->options.training)
		return weights > TRAINING_MOST ? TRAINING_MOST : weights > TRAINING_BYTES ? weights : TRAINING_BYTES;
	return share > FORWARD_MOST ? FORWARD_MOST : share > FORWARD_BYTES ? share : FORWARD_BYTES;
}

int64_t items_chunk(const struct plan *one, uint64_t limit)
{
	uint64_t each = one->block_bytes + 1, most = most_bytes(one->program);
	int64_t n = one->program->options.training ? TRAINING_ITEMS : FORWARD_ITEMS;

	most = limit && limit < most ? limit : most;
	while (n > 1 && (uint64_t)n * each > most)
		n /= 2;
	return n;
}

int items_slots(const struct pool *pool)
{
	return pool_size(pool) == 1 ? 1 : 2 * pool_size(pool);
}

enum tamis_status items_run(const struct program *program, struct feed_reader *reader, enum batching batching,
                            int64_t chunk, struct pool *pool, const struct items_job *job, struct tamis_error *err)
{
	struct line l = { .program = program, .pool = pool, .n_slots = job->slots ? job->slots : pool_size(pool),
		.source = { .reader = reader, .job = job, .batching = batching, .limit = chunk > 0 ? chunk : 1,
		            .n_in = program->graph->n_inputs } };
	enum tamis_status s = reader->rewind(reader->self, err);

	if (s != TAMIS_OK)
		return s;
	s = open_line(&l, err);
	if (s == TAMIS_OK)
		s = pool_for(pool, pool_size(pool), take_part, &l, err);
	free_line(&l);
	return s;
}
