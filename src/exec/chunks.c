/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/chunks.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "reading items");
}

static bool selected(const struct chunk_source *p, int64_t item)
{
	return !p->job->select || p->job->select(p->job->ctx, item);
}

/* Moves to the next selected item; reads on when the batch is used up. */
static enum tamis_status advance(struct chunk_source *p, struct tamis_error *err)
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

static enum tamis_status reserve(struct chunk_buffer *s, int i, size_t bytes, struct tamis_error *err)
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

static enum tamis_status copy_whole(struct chunk_buffer *s, int i, const struct tensor *from, struct tamis_error *err)
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
static bool same_items(const struct chunk_buffer *s, const struct batch *b)
{
	for (int i = 0; i < b->n; i++)
		if (s->in[i].type != b->in[i].type || s->in[i].rank != b->in[i].rank
		    || memcmp(s->in[i].dims + 1, b->in[i].dims + 1, (size_t)(b->in[i].rank - 1) * sizeof(int64_t)))
			return false;
	return true;
}

static enum tamis_status copy_item(const struct chunk_source *p, struct chunk_buffer *s, int i, struct tamis_error *err)
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

static enum tamis_status add_item(struct chunk_source *p, struct chunk_buffer *s, struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	for (int i = 0; status == TAMIS_OK && i < p->n_in; i++)
		status = p->batch.whole ? copy_whole(s, i, &p->batch.in[i], err) : copy_item(p, s, i, err);
	if (status != TAMIS_OK)
		return status;
	s->item[s->chunk.items++] = p->batch.first + p->at++;
	return TAMIS_OK;
}

enum tamis_status chunk_fill(struct chunk_source *p, struct chunk_buffer *s, struct tamis_error *err)
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

enum tamis_status chunk_buffer_make(const struct chunk_source *p, struct chunk_buffer *s, struct tamis_error *err)
{
	s->item = tm_array((size_t)p->limit, sizeof *s->item);
	s->in = tm_array((size_t)p->n_in + 1, sizeof *s->in);
	s->cap = tm_array((size_t)p->n_in + 1, sizeof *s->cap);
	return s->item && s->in && s->cap ? TAMIS_OK : no_memory(err);
}

void chunk_buffer_free(struct chunk_buffer *s, int n_in)
{
	for (int i = 0; s->in && i < n_in; i++)
		free(s->in[i].data);
	free(s->in);
	free(s->cap);
	free(s->item);
}
