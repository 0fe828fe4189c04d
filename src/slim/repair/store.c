/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/store.h"

#include <stdlib.h>
#include <string.h>

#include "slim/repair/match.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "keeping items to distil on");
}

enum tamis_status store_open(const struct store_job *job, struct store *out, struct tamis_error *err)
{
	struct program_options options = { .merge_norms = true };

	*out = (struct store){ .job = *job };
	if (!out->job.bytes)
		out->job.bytes = STORE_BYTES;
	return program_create(job->original, &options, &out->program, err);
}

static void clear(struct store *s)
{
	arena_free(&s->arena);
	s->n = 0;
}

void store_close(struct store *s)
{
	clear(s);
	free(s->list);
	program_free(s->program);
	*s = (struct store){ 0 };
}

/* ---- filling -------------------------------------------------------------------------------------------------- */

struct filling {
	struct store *store;
	float **target;   /* by worker: outputs of its chunk, item by item */
	int64_t *floats;  /* by worker: of one item */
	enum tamis_status (*body)(void *ctx, struct tamis_error *err);
	void *ctx;
	int64_t blocks;
};

static enum tamis_status work(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct filling *f = ctx;
	const struct head *h = f->store->job.head;
	enum tamis_status s = runner_run(r, c->in, NULL, err);

	if (s != TAMIS_OK)
		return s;
	f->floats[slot] = match_target_size(h, r, c->items);
	free(f->target[slot]);
	f->target[slot] = tm_array_uninit((size_t)(f->floats[slot] * c->items) + 1, sizeof(float));
	if (!f->target[slot])
		return no_memory(err);
	for (int64_t i = 0; i < c->items; i++)
		match_target(h, r, c->items, i, f->target[slot] + i * f->floats[slot]);
	return TAMIS_OK;
}

/* The bytes of a string live in the chunk: they are copied behind the item. */
static bool keep_text(struct arena *a, struct tensor *t)
{
	struct tm_string *text = t->data;

	for (int64_t i = 0; t->type == DT_STRING && i < t->count; i++) {
		char *copy = arena_alloc(a, text[i].len + 1);

		if (!copy)
			return false;
		if (text[i].len)
			memcpy(copy, text[i].data, text[i].len);
		text[i].data = copy;
	}
	return true;
}

/* Item i of a chunk of `items`. */
static bool keep_input(struct arena *a, const struct tensor *from, int64_t i, int64_t items, struct tensor *to)
{
	size_t bytes = tensor_bytes(from) / (size_t)items;

	*to = *from;
	if (items > 1) {
		to->dims[0] = 1;
		to->count = from->count / items;
	}
	to->data = arena_alloc(a, bytes + 1);
	if (to->data && bytes)
		memcpy(to->data, (const char *)from->data + (size_t)i * bytes, bytes);
	return to->data && keep_text(a, to);
}

static enum tamis_status keep_item(struct filling *f, const struct chunk *c, int64_t i, int slot,
                                   struct tamis_error *err)
{
	struct store *s = f->store;
	int n_in = s->program->graph->n_inputs;
	int64_t floats = f->floats[slot];
	struct tensor *in = arena_array(&s->arena, (size_t)n_in + 1, sizeof *in);
	float *target = arena_array(&s->arena, (size_t)floats + 1, sizeof *target);

	if (!in || !target || !tm_grow((void **)&s->list, &s->cap, (size_t)s->n + 1, sizeof *s->list))
		return no_memory(err);
	for (int k = 0; k < n_in; k++)
		if (!keep_input(&s->arena, &c->in[k], i, c->items, &in[k]))
			return no_memory(err);
	memcpy(target, f->target[slot] + i * floats, (size_t)floats * sizeof *target);
	s->list[s->n++] = (struct stored){ .item = c->item[i], .in = in, .target = target, .floats = floats };
	return TAMIS_OK;
}

static enum tamis_status flush(struct filling *f, struct tamis_error *err)
{
	f->blocks++;
	return f->store->n ? f->body(f->ctx, err) : TAMIS_OK;
}

static enum tamis_status merge(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct filling *f = ctx;
	struct store *s = f->store;
	enum tamis_status status = TAMIS_OK;

	if (s->n && s->arena.used >= s->job.bytes) {
		status = flush(f, err);
		clear(s);
	}
	for (int64_t i = 0; status == TAMIS_OK && i < c->items; i++)
		status = keep_item(f, c, i, slot, err);
	s->items += c->items;
	return status;
}

static bool select_item(void *ctx, int64_t item)
{
	const struct store_job *j = &((struct filling *)ctx)->store->job;

	return !j->select || j->select(j->select_ctx, item);
}

static enum tamis_status read_all(struct filling *f, struct tamis_error *err)
{
	struct store *s = f->store;
	struct items_job job = { .ctx = f, .select = select_item, .work = work, .merge = merge,
		.slots = items_slots(s->job.pool) };
	enum tamis_status status;

	clear(s);
	s->items = 0;
	status = items_run(s->program, s->job.reader, s->job.batching, s->job.chunk, s->job.pool, &job, err);
	if (status == TAMIS_OK && !s->items)
		return tm_fail(err, TAMIS_E_INVALID, "no calibration item is left to distil on");
	s->whole = status == TAMIS_OK && !f->blocks;
	return status == TAMIS_OK ? flush(f, err) : status;
}

enum tamis_status store_walk(struct store *s, enum tamis_status (*body)(void *ctx, struct tamis_error *err), void *ctx,
                             struct tamis_error *err)
{
	size_t slots = (size_t)items_slots(s->job.pool);
	struct filling f = { .store = s, .body = body, .ctx = ctx };
	enum tamis_status status;

	if (s->whole)
		return body(ctx, err);
	f.target = tm_array(slots, sizeof *f.target);
	f.floats = tm_array(slots, sizeof *f.floats);
	status = f.target && f.floats ? read_all(&f, err) : no_memory(err);
	for (size_t i = 0; f.target && i < slots; i++)
		free(f.target[i]);
	free(f.target);
	free(f.floats);
	return status;
}

/* ---- stacking ------------------------------------------------------------------------------------------------- */

static bool same_inputs(const struct stored *a, const struct stored *b, int n)
{
	for (int i = 0; i < n; i++)
		if (a->in[i].type != b->in[i].type || !tensor_same_shape(&a->in[i], &b->in[i]))
			return false;
	return a->floats == b->floats;
}

int64_t store_together(const struct store *s, const int64_t *order, int64_t most)
{
	int64_t n = 1;

	while (s->job.batching == BATCH_STACKED && n < most
	       && same_inputs(&s->list[order[0]], &s->list[order[n]], s->program->graph->n_inputs))
		n++;
	return n;
}

static enum tamis_status stack_input(const struct store *s, const int64_t *order, int64_t n, int k, struct tensor *to,
                                     size_t *capacity, struct tamis_error *err)
{
	const struct tensor *first = &s->list[order[0]].in[k];
	size_t bytes = tensor_bytes(first), want = bytes * (size_t)n + 1;
	void *data = to->data;

	if (want > *capacity) {
		free(data);
		to->data = data = tm_array_uninit(want, 1);
		*capacity = data ? want : 0;
	}
	if (!data)
		return no_memory(err);
	*to = *first;
	to->data = data;
	if (n > 1) {
		to->dims[0] = n;
		to->count = first->count * n;
	}
	for (int64_t i = 0; bytes && i < n; i++)
		memcpy((char *)data + (size_t)i * bytes, s->list[order[i]].in[k].data, bytes);
	return TAMIS_OK;
}

enum tamis_status store_stack(const struct store *s, const int64_t *order, int64_t n, struct tensor *in, size_t *capacity,
                              struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	for (int k = 0; status == TAMIS_OK && k < s->program->graph->n_inputs; k++)
		status = stack_input(s, order, n, k, &in[k], &capacity[k], err);
	return status;
}

