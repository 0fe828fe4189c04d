/* SPDX-License-Identifier: Apache-2.0 */
/* The iterator: piece after piece, items gathered into batches across pieces while their shapes agree. */
#include "data/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "data/source.h"

#define DEFAULT_MAX_MEMORY (8ULL << 30)

void source_warn(struct data_source *s, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (!s->options.warn)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	s->options.warn(s->options.warn_ctx, text);
}

/* ---- opening ---- */

static enum tamis_status take_inputs(struct data_source *s, const struct data_input *inputs, int n,
                                     struct tamis_error *err)
{
	size_t count = (size_t)n;

	s->inputs = arena_array(&s->arena, count, sizeof *s->inputs);
	s->paired = arena_array(&s->arena, count, sizeof *s->paired);
	s->warned_narrowed = arena_array(&s->arena, count, sizeof *s->warned_narrowed);
	s->batch = arena_array(&s->arena, count, sizeof *s->batch);
	s->room = arena_array(&s->arena, count, sizeof *s->room);
	if (!s->inputs || !s->paired || !s->warned_narrowed || !s->batch || !s->room)
		return tm_no_memory(err, "opening calibration data");
	memcpy(s->inputs, inputs, count * sizeof *inputs);
	s->n_inputs = n;
	return TAMIS_OK;
}

static enum tamis_status gather(struct data_source *s, const char *const *specs, size_t n,
                                struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	if (s->options.random > 0 && n > 0)
		return tm_fail(err, TAMIS_E_USAGE, "random items were asked for, and calibration data was named as "
		               "well");
	if (s->options.random > 0)
		return pieces_add_random(s, err);
	if (n == 0)
		return tm_fail(err, TAMIS_E_USAGE, "no calibration data was named");
	for (size_t i = 0; i < n && status == TAMIS_OK; i++)
		status = pieces_add(s, specs[i], err);
	return status == TAMIS_OK ? pieces_add_paired(s, err) : status;
}

static enum tamis_status expect_complete(struct data_source *s, const struct piece *p, struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	for (int i = 0; i < s->n_inputs && status == TAMIS_OK; i++) {
		struct arena a = {0};
		char *path = set_path(&a, p->path, &s->inputs[i]);
		uint64_t size;
		int fd = -1;

		status = path ? open_regular(path, &fd, &size, err) : tm_no_memory(err, "opening calibration data");
		if (status == TAMIS_OK) {
			close(fd);
		} else {
			tm_in_file(err, path);
			tm_in_tensor(err, s->inputs[i].name);
		}
		arena_free(&a);
	}
	return status;
}

/* Of the sets in ONNX layout only the first is decoded: they have no headers apart from their contents. */
static enum tamis_status inspect(struct data_source *s, struct piece *p, bool first, struct tamis_error *err)
{
	struct table t;
	enum tamis_status status;

	p->items = 1;
	if (p->kind == PIECE_SET && !first)
		return expect_complete(s, p, err);
	status = table_open(s, p, &t, err);
	if (status != TAMIS_OK)
		return status;
	p->items = t.items;
	status = kept_plan(s, p, &t, err);
	table_close(&t);
	return status;
}

static enum tamis_status inspect_all(struct data_source *s, const char *name, struct tamis_error *err)
{
	for (size_t i = 0; i < s->n_pieces; i++) {
		struct piece *p = &s->pieces[i];
		enum tamis_status status = inspect(s, p, i == 0, err);

		if (status != TAMIS_OK)
			return status;
		if (!tm_add(s->count, p->items, &s->count))
			return tm_fail(err, TAMIS_E_INVALID, "the number of items overflows");
	}
	if (s->count > 0)
		return TAMIS_OK;
	tm_fail(err, TAMIS_E_INVALID, "the calibration data holds no items");
	tm_in_file(err, name);
	return TAMIS_E_INVALID;
}

enum tamis_status data_open(const char *const *specs, size_t n_specs, const struct data_input *inputs,
                            int n_inputs, const struct data_options *options, struct data_source **out,
                            struct tamis_error *err)
{
	struct data_source *s = tm_array(1, sizeof *s);
	enum tamis_status status;

	*out = NULL;
	if (!s)
		return tm_no_memory(err, "opening calibration data");
	if (options)
		s->options = *options;
	if (s->options.max_memory == 0)
		s->options.max_memory = DEFAULT_MAX_MEMORY;
	status = n_inputs > 0 ? take_inputs(s, inputs, n_inputs, err)
	                      : tm_fail(err, TAMIS_E_INVALID, "the model has no inputs to feed");
	if (status == TAMIS_OK)
		status = gather(s, specs, n_specs, err);
	if (status == TAMIS_OK)
		status = inspect_all(s, n_specs ? specs[0] : NULL, err);
	if (status != TAMIS_OK) {
		data_close(s);
		return status;
	}
	*out = s;
	return TAMIS_OK;
}

/* ---- iterating ---- */

static void drop_batch(struct data_source *s)
{
	for (int i = 0; i < s->n_inputs; i++) {
		if (!s->lent)
			free(s->batch[i].data);
		s->batch[i] = (struct tensor){0};
		s->room[i] = 0;
	}
	s->lent = false;
}

static void close_piece(struct data_source *s)
{
	if (s->lent)
		drop_batch(s);
	if (s->is_open)
		table_close(&s->open);
	s->is_open = false;
}

void data_close(struct data_source *s)
{
	if (!s)
		return;
	close_piece(s);
	drop_batch(s);
	for (size_t i = 0; i < s->n_lists; i++)
		json_decref(s->lists[i]);
	free(s->lists);
	for (size_t i = 0; i < s->n_pieces; i++)
		kept_free(s, &s->pieces[i]);
	free(s->pieces);
	arena_free(&s->arena);
	free(s);
}

static enum tamis_status rewind_source(void *self, struct tamis_error *err)
{
	struct data_source *s = self;

	(void)err;
	close_piece(s);
	s->next = 0;
	s->position = 0;
	return TAMIS_OK;
}

/* Type and shape of one item of an input in the open piece, without the item axis. */
static struct tensor item_of(const struct data_source *s, int i)
{
	const struct data_input *in = &s->inputs[i];
	struct tensor t = {0};
	int64_t dims[TENSOR_MAX_RANK] = {0};
	int skip = s->open.whole ? 0 : 1;

	if (s->open.columns)
		return s->open.columns[i].item;
	for (int k = 0; k < in->rank; k++)
		dims[k] = in->dims[k] < 0 ? 1 : in->dims[k]; /* random: only a first dimension may be open */
	tensor_shape(&t, in->type, in->rank - skip, dims + skip, NULL);
	return t;
}

/* In a piece that is fed whole, what could be stacked gets a first axis of 1. */
static bool stacks(const struct data_source *s, int i)
{
	return !s->open.whole || (s->open.columns && !s->open.columns[i].whole);
}

static enum tamis_status shape_batch(const struct data_source *s, int i, int64_t items, struct tensor *out,
                                     struct tamis_error *err)
{
	struct tensor item = item_of(s, i);
	int64_t dims[TENSOR_MAX_RANK + 1] = {items};
	int lead = stacks(s, i) ? 1 : 0;

	memcpy(dims + lead, item.dims, (size_t)item.rank * sizeof *dims);
	return tensor_shape(out, item.type, item.rank + lead, dims, err);
}

static bool same_items(const struct data_source *s)
{
	for (int i = 0; i < s->n_inputs; i++) {
		struct tensor item = item_of(s, i);
		const struct tensor *b = &s->batch[i];

		if (b->type != item.type || b->rank != item.rank + 1 ||
		    memcmp(b->dims + 1, item.dims, (size_t)item.rank * sizeof *item.dims) != 0)
			return false;
	}
	return true;
}

/* How many items one batch may hold: as many as max_memory allows, at least 1, unless one alone is too
 * large. */
static enum tamis_status fit_memory(const struct data_source *s, int64_t want, int64_t *fits,
                                    struct tamis_error *err)
{
	uint64_t each = 0;
	int64_t most;

	for (int i = 0; i < s->n_inputs; i++) {
		struct tensor item = item_of(s, i);

		if (!tm_add(each, (uint64_t)tensor_bytes(&item), &each))
			each = UINT64_MAX;
	}
	if (each > s->options.max_memory)
		return tm_fail(err, TAMIS_E_MEMORY, "one item takes %llu bytes, and %llu are allowed",
		               (unsigned long long)each, (unsigned long long)s->options.max_memory);
	most = each ? (int64_t)(s->options.max_memory / each) : want;
	*fits = want < most ? want : most;
	return TAMIS_OK;
}

/* Buffers grow and are kept from batch to batch. */
static enum tamis_status make_room(struct data_source *s, int64_t items, struct tamis_error *err)
{
	for (int i = 0; i < s->n_inputs; i++) {
		void *data = s->batch[i].data;
		enum tamis_status status = shape_batch(s, i, items, &s->batch[i], err);
		size_t bytes = tensor_bytes(&s->batch[i]);

		if (status != TAMIS_OK)
			return status;
		if (data && bytes <= s->room[i])
			continue;
		free(data);
		s->batch[i].data = tm_array_uninit(bytes, 1);
		s->room[i] = s->batch[i].data ? bytes : 0;
		if (!s->batch[i].data)
			return tm_no_memory(err, "making room for items");
	}
	return TAMIS_OK;
}

static void fill_random(struct data_source *s, int i, int64_t first, int64_t n, uint8_t *out)
{
	struct tensor item = item_of(s, i);
	size_t bytes = tensor_bytes(&item);

	for (int64_t k = 0; k < n; k++) {
		item.data = out + (size_t)k * bytes;
		random_fill(s, i, first + k, &item);
	}
}

/* The next n items of the open piece, to lie behind the first `have` of the batch. */
static enum tamis_status fill(struct data_source *s, int64_t have, int64_t n, struct tamis_error *err)
{
	for (int i = 0; i < s->n_inputs; i++) {
		struct tensor item = item_of(s, i);
		uint8_t *out = (uint8_t *)s->batch[i].data + (size_t)have * tensor_bytes(&item);
		enum tamis_status status = TAMIS_OK;

		if (s->open.columns)
			status = column_read(&s->open.columns[i], n, out, err);
		else
			fill_random(s, i, s->open.at, n, out);
		if (status != TAMIS_OK) {
			tm_in_tensor(err, s->inputs[i].name);
			return status;
		}
	}
	s->open.at += n;
	return TAMIS_OK;
}

static enum tamis_status open_next(struct data_source *s, struct tamis_error *err)
{
	struct piece *p = &s->pieces[s->next];
	enum tamis_status status = table_open(s, p, &s->open, err);

	if (status != TAMIS_OK)
		return status;
	s->is_open = true;
	if (s->open.items == p->items)
		return TAMIS_OK;
	tm_fail(err, TAMIS_E_INVALID, "the file had %lld items when it was opened, and now it has %lld",
	        (long long)p->items, (long long)s->open.items);
	tm_in_file(err, p->path);
	return TAMIS_E_INVALID;
}

static void lend_set(struct data_source *s)
{
	drop_batch(s);
	for (int i = 0; i < s->n_inputs; i++)
		s->batch[i] = s->open.tensors[i];
	s->lent = true;
	s->open.at = 1;
}

/* One feed, as it is. */
static enum tamis_status next_whole(struct data_source *s, struct tamis_error *err)
{
	int64_t fits;
	enum tamis_status status;

	if (s->open.tensors) {
		lend_set(s);
		return TAMIS_OK;
	}
	status = fit_memory(s, 1, &fits, err);
	if (status == TAMIS_OK)
		status = make_room(s, 1, err);
	return status == TAMIS_OK ? fill(s, 0, 1, err) : status;
}

/* From the open piece into the batch, which holds b->items and has room for *room (0: not made yet). */
static enum tamis_status next_stacked(struct data_source *s, int64_t want, int64_t *room, struct batch *b,
                                      struct tamis_error *err)
{
	int64_t left = s->count - s->position, n = s->open.items - s->open.at;
	enum tamis_status status = TAMIS_OK;

	if (*room == 0) {
		status = fit_memory(s, want < left ? want : left, room, err);
		if (status == TAMIS_OK)
			status = make_room(s, *room, err);
	}
	if (status != TAMIS_OK)
		return status;
	if (n > *room - b->items)
		n = *room - b->items;
	status = fill(s, b->items, n, err);
	if (status == TAMIS_OK)
		b->items += n;
	return status;
}

/* One piece's share of a batch; *done when the batch is to be handed out. */
static enum tamis_status advance(struct data_source *s, int64_t want, int64_t *room, struct batch *b,
                                 bool *done, struct tamis_error *err)
{
	enum tamis_status status;

	*done = b->items > 0 && (s->open.whole || !same_items(s));
	if (*done)
		return TAMIS_OK;
	if (!s->open.whole) {
		status = next_stacked(s, want, room, b, err);
		*done = b->items == *room;
		return status;
	}
	status = next_whole(s, err);
	b->items = 1;
	b->whole = true;
	*done = true;
	return status;
}

static enum tamis_status read_batch(struct data_source *s, int64_t want, struct batch *b,
                                    struct tamis_error *err)
{
	int64_t room = 0;
	bool done = false;

	while (!done) {
		enum tamis_status status = TAMIS_OK;

		if (s->is_open && s->open.at == s->open.items) {
			s->pieces[s->next].was_read = true;
			close_piece(s);
			s->next++;
		}
		if (!s->is_open && s->next == s->n_pieces)
			break;
		if (!s->is_open)
			status = open_next(s, err);
		if (status == TAMIS_OK && s->open.items > 0)
			status = advance(s, want, &room, b, &done, err);
		if (status != TAMIS_OK) {
			tm_in_file(err, s->pieces[s->next].path);
			return status;
		}
	}
	return TAMIS_OK;
}

static enum tamis_status next_batch(void *self, int64_t max_items, struct batch *b, struct tamis_error *err)
{
	struct data_source *s = self;
	enum tamis_status status;

	*b = (struct batch){.first = s->position, .n = s->n_inputs, .in = s->batch};
	if (max_items < 1)
		return tm_fail(err, TAMIS_E_INTERNAL, "a batch of %lld items was asked for", (long long)max_items);
	status = read_batch(s, max_items, b, err);
	if (status != TAMIS_OK) {
		b->items = 0;
		return status;
	}
	for (int i = 0; i < s->n_inputs && b->items > 0 && !b->whole; i++) {
		s->batch[i].count = s->batch[i].count / s->batch[i].dims[0] * b->items;
		s->batch[i].dims[0] = b->items;
	}
	s->position += b->items;
	return TAMIS_OK;
}

static int64_t count_items(void *self)
{
	return data_count(self);
}

struct feed_reader data_reader(struct data_source *s)
{
	return (struct feed_reader){.self = s, .next = next_batch, .rewind = rewind_source, .count = count_items};
}

int64_t data_count(const struct data_source *s)
{
	return s->count;
}

uint64_t data_keeps(const struct data_source *s)
{
	return s->keeps;
}

bool data_is_random(const struct data_source *s)
{
	return s->options.random > 0;
}
