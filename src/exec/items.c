/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/items.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

/* The most of a chunk: items, and bytes of values. In forward programs values should stay in the caches, which 2 MiB
 * do, but weights are read once a chunk: so much more that reading an eighth of them hides behind it. */
enum { FORWARD_ITEMS = 16, FORWARD_BYTES = 2 << 20, WEIGHT_SHARE = 8, FORWARD_MOST = 16 << 20 };
enum { TRAINING_ITEMS = 64, TRAINING_BYTES = 256 << 20 };

/* A chunk with memory of its own, so that the reader can go on while it is worked on. */
struct slot {
	struct chunk chunk;
	int64_t *item;
	struct tensor *in;
	size_t *cap; /* bytes behind each tensor */
	struct runner *runner;
};

struct pump {
	const struct program *program;
	struct feed_reader *reader;
	const struct items_job *job;
	enum batching batching;
	int64_t limit;      /* items a chunk */
	int n_in, n_slots;
	struct slot *slots;
	int64_t chunks;     /* made so far */
	/* The batch in hand: items [at, batch.items) are still to be taken. */
	struct batch batch;
	int64_t at;
	bool end;
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "reading items");
}

/* ---- filling a chunk ---------------------------------------------------------------------------------------- */

static bool selected(const struct pump *p, int64_t item)
{
	return !p->job->select || p->job->select(p->job->ctx, item);
}

/* Moves to the next selected item; reads on when the batch is used up. */
static enum tamis_status advance(struct pump *p, struct tamis_error *err)
{
	enum tamis_status s;

	while (!p->end) {
		while (p->at < p->batch.items && !selected(p, p->batch.first + p->at))
			p->at++;
		if (p->at < p->batch.items)
			return TAMIS_OK;
		s = p->reader->next(p->reader->self, p->limit, &p->batch, err);
		if (s == TAMIS_OK)
			s = batch_check(&p->batch, p->n_in, err);
		if (s != TAMIS_OK)
			return s;
		p->at = 0;
		p->end = p->batch.items == 0;
	}
	return TAMIS_OK;
}

static enum tamis_status reserve(struct slot *s, int i, size_t bytes, struct tamis_error *err)
{
	void *data = s->in[i].data;

	if (bytes > s->cap[i] || !data) {
		void *bigger = tm_array_uninit(bytes ? bytes : 1, 1);

		if (!bigger)
			return no_memory(err);
		if (data && s->cap[i])
			memcpy(bigger, data, s->cap[i]);
		free(data);
		s->in[i].data = bigger;
		s->cap[i] = bytes;
	}
	return TAMIS_OK;
}

/* Bytes behind the elements of a string tensor; 0 for all others. */
static size_t text_bytes(const struct tensor *t)
{
	const struct tm_string *text = t->data;
	size_t bytes = 0;

	for (int64_t i = 0; t->type == DT_STRING && i < t->count; i++)
		bytes += text[i].len;
	return bytes;
}

/* The reader's text is gone with its next batch: it follows the elements in the chunk's own memory. */
static void copy_text(struct tensor *t, char *room)
{
	struct tm_string *text = t->data;

	for (int64_t i = 0; t->type == DT_STRING && i < t->count; i++) {
		if (text[i].len)
			memcpy(room, text[i].data, text[i].len);
		text[i].data = room;
		room += text[i].len;
	}
}

static enum tamis_status copy_whole(struct slot *s, int i, const struct tensor *from, struct tamis_error *err)
{
	enum tamis_status status = reserve(s, i, tensor_bytes(from) + text_bytes(from), err);
	void *data = s->in[i].data;

	if (status != TAMIS_OK)
		return status;
	if (from->count)
		memcpy(data, from->data, tensor_bytes(from));
	s->in[i] = *from;
	s->in[i].data = data;
	copy_text(&s->in[i], (char *)data + tensor_bytes(from));
	return TAMIS_OK;
}

static size_t item_bytes(const struct tensor *t)
{
	return tensor_bytes(t) / (size_t)t->dims[0];
}

/* Whether an item of the batch in hand has the same shape as those the chunk holds. */
static bool same_items(const struct slot *s, const struct batch *b)
{
	for (int i = 0; i < b->n; i++)
		if (s->in[i].type != b->in[i].type || s->in[i].rank != b->in[i].rank
		    || memcmp(s->in[i].dims + 1, b->in[i].dims + 1, (size_t)(b->in[i].rank - 1) * sizeof(int64_t)))
			return false;
	return true;
}

static enum tamis_status copy_item(const struct pump *p, struct slot *s, int i, struct tamis_error *err)
{
	const struct tensor *from = &p->batch.in[i];
	size_t bytes = item_bytes(from);
	int64_t have = s->chunk.items;
	enum tamis_status status;
	size_t room;
	void *data;

	if (!tm_mul(bytes, (size_t)(p->batching == BATCH_ONE ? 1 : p->limit), &room))
		return no_memory(err);
	status = reserve(s, i, room, err);
	if (status != TAMIS_OK)
		return status;
	data = s->in[i].data;
	if (bytes)
		memcpy((char *)data + (size_t)have * bytes, (const char *)from->data + (size_t)p->at * bytes, bytes);
	s->in[i] = *from;
	s->in[i].data = data;
	s->in[i].dims[0] = have + 1;
	s->in[i].count = from->count / from->dims[0] * (have + 1);
	return TAMIS_OK;
}

static enum tamis_status add_item(struct pump *p, struct slot *s, struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	for (int i = 0; status == TAMIS_OK && i < p->n_in; i++)
		status = p->batch.whole ? copy_whole(s, i, &p->batch.in[i], err) : copy_item(p, s, i, err);
	if (status != TAMIS_OK)
		return status;
	s->item[s->chunk.items++] = p->batch.first + p->at++;
	return TAMIS_OK;
}

static enum tamis_status fill(struct pump *p, struct slot *s, struct tamis_error *err)
{
	enum tamis_status status = advance(p, err);
	int64_t limit = p->batching == BATCH_ONE ? 1 : p->limit;

	s->chunk = (struct chunk){ .index = p->chunks, .item = s->item, .in = s->in };
	while (status == TAMIS_OK && !p->end && s->chunk.items < limit) {
		bool whole = p->batch.whole;

		if (s->chunk.items && (whole || !same_items(s, &p->batch)))
			break;
		status = add_item(p, s, err);
		if (whole)
			break;
		if (status == TAMIS_OK)
			status = advance(p, err);
	}
	p->chunks += status == TAMIS_OK && s->chunk.items > 0;
	return status;
}

/* ---- waves -------------------------------------------------------------------------------------------------- */

static enum tamis_status work(void *ctx, int64_t index, int worker, struct tamis_error *err)
{
	struct pump *p = ctx;
	struct slot *s = &p->slots[index];

	(void)worker;
	return p->job->work(p->job->ctx, s->runner, &s->chunk, (int)index, err);
}

static enum tamis_status wave(struct pump *p, struct pool *pool, bool *more, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;
	int n = 0;

	while (s == TAMIS_OK && n < p->n_slots && (!p->job->max_chunks || p->chunks < p->job->max_chunks)) {
		s = fill(p, &p->slots[n], err);
		if (s != TAMIS_OK || !p->slots[n].chunk.items)
			break;
		n += !p->job->mine || p->job->mine(p->job->ctx, p->slots[n].chunk.index);
	}
	if (s == TAMIS_OK)
		s = pool_for(pool, n, work, p, err);
	for (int i = 0; s == TAMIS_OK && p->job->merge && i < n; i++)
		s = p->job->merge(p->job->ctx, &p->slots[i].chunk, i, err);
	*more = n == p->n_slots;
	return s;
}

static enum tamis_status make_slots(struct pump *p, struct tamis_error *err)
{
	p->slots = tm_array((size_t)p->n_slots, sizeof *p->slots);
	if (!p->slots)
		return no_memory(err);
	for (int i = 0; i < p->n_slots; i++) {
		struct slot *s = &p->slots[i];
		enum tamis_status status = runner_create(p->program, &s->runner, err);

		if (status != TAMIS_OK)
			return status;
		s->item = tm_array((size_t)p->limit, sizeof *s->item);
		s->in = tm_array((size_t)p->n_in + 1, sizeof *s->in);
		s->cap = tm_array((size_t)p->n_in + 1, sizeof *s->cap);
		if (!s->item || !s->in || !s->cap)
			return no_memory(err);
	}
	return TAMIS_OK;
}

static void free_slots(struct pump *p)
{
	for (int i = 0; p->slots && i < p->n_slots; i++) {
		struct slot *s = &p->slots[i];

		for (int k = 0; s->in && k < p->n_in; k++)
			free(s->in[k].data);
		free(s->in);
		free(s->cap);
		free(s->item);
		runner_free(s->runner);
	}
	free(p->slots);
}

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
	uint64_t share = weight_bytes(p) / WEIGHT_SHARE;

	if (p->options.training)
		return TRAINING_BYTES;
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

enum tamis_status items_run(const struct program *program, struct feed_reader *reader, enum batching batching,
                            int64_t chunk, struct pool *pool, const struct items_job *job, struct tamis_error *err)
{
	struct pump p = { .program = program, .reader = reader, .job = job, .batching = batching,
		.limit = chunk > 0 ? chunk : 1, .n_in = program->graph->n_inputs, .n_slots = pool_size(pool) };
	enum tamis_status s = reader->rewind(reader->self, err);
	bool more = true;

	if (s == TAMIS_OK)
		s = make_slots(&p, err);
	while (s == TAMIS_OK && more)
		s = wave(&p, pool, &more, err);
	free_slots(&p);
	return s;
}
