/* SPDX-License-Identifier: Apache-2.0 */
/* A caller's callbacks as a reader. Feeds are shaped as a session would take them; where the first axis of
 * every input counts items, they are cut and gathered into batches of the size that is asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/memory.h"

struct feeds {
	struct tamis_reader caller;
	const struct data_input *inputs;
	int n;
	struct tensor *feed;  /* the feed in hand, in input order; its data are the caller's */
	bool have, end;
	int64_t items, at;    /* of the feed: items (0 = fed whole) and those already given */
	struct tensor *batch; /* gathered items, in memory of our own */
	size_t *cap;          /* bytes behind each of them */
	struct tensor *given; /* what the last batch points at */
	int64_t first;
};

/* ---- one feed ------------------------------------------------------------------------------------------ */

static enum tamis_status refuse(struct tamis_error *err, const char *name, const char *expected,
                                const char *came)
{
	tm_fail(err, TAMIS_E_INVALID, "expected %s, and %s came", expected, came);
	return tm_in_tensor(err, name);
}

static const char *declared_text(const struct data_input *in, char *buf, size_t size)
{
	size_t at = (size_t)snprintf(buf, size, "%s", dtype_name((int)in->type));

	for (int i = 0; i < in->rank && at < size; i++) {
		at += (size_t)snprintf(buf + at, size - at, "%s", i ? "," : "[");
		if (at < size && in->dims[i] < 0)
			at += (size_t)snprintf(buf + at, size - at, "?");
		else if (at < size)
			at += (size_t)snprintf(buf + at, size - at, "%lld", (long long)in->dims[i]);
	}
	if (at < size && in->rank >= 0)
		snprintf(buf + at, size - at, in->rank ? "]" : "[]");
	return buf;
}

static bool fits(const struct data_input *in, const struct tensor *t)
{
	if (t->type != in->type || (in->rank >= 0 && t->rank != in->rank))
		return false;
	for (int i = 0; i < in->rank; i++)
		if (in->dims[i] >= 0 && t->dims[i] != in->dims[i])
			return false;
	return true;
}

static enum tamis_status take_tensor(struct feeds *f, const struct tamis_feed_tensor *from,
                                     struct tamis_error *err)
{
	char expected[256], came[128];
	struct tensor t = { .type = DT_UNDEFINED };
	int i = 0;
	enum tamis_status s;

	if (!from->name || !from->data || (from->rank > 0 && !from->dims) || from->rank < 0)
		return tm_fail(err, TAMIS_E_INVALID, "a tensor of a feed lacks its name, its shape or its data");
	while (i < f->n && strcmp(f->inputs[i].name, from->name))
		i++;
	if (i == f->n)
		return refuse(err, from->name, "the names of the graph inputs", "another one");
	if (!dtype_known(from->type) || from->type == DT_STRING)
		return refuse(err, from->name, "a number type of TensorProto.DataType", "another one");
	s = tensor_shape(&t, (enum dtype)from->type, from->rank, from->dims, err);
	if (s != TAMIS_OK) {
		tm_in_tensor(err, from->name);
		return s;
	}
	if (!fits(&f->inputs[i], &t))
		return refuse(err, from->name, declared_text(&f->inputs[i], expected, sizeof expected),
		              tensor_describe(&t, came, sizeof came));
	if (f->feed[i].data)
		return refuse(err, from->name, "one tensor an input", "two");
	f->feed[i] = t;
	f->feed[i].data = (void *)from->data;
	return TAMIS_OK;
}

/* Items along the first axis of every input; 0 where the feed cannot be cut. */
static int64_t items_of(const struct feeds *f)
{
	int64_t items = 0;

	for (int i = 0; i < f->n; i++) {
		const struct tensor *t = &f->feed[i];
		const struct data_input *in = &f->inputs[i];

		if (t->rank < 1 || (in->rank > 0 && in->dims[0] > 1) || (i && t->dims[0] != items) || t->dims[0] < 1)
			return 0;
		items = t->dims[0];
		if (t->count / items * dtype_bits((int)t->type) % 8)
			return 0;
	}
	return items;
}

static enum tamis_status fetch(struct feeds *f, struct tamis_error *err)
{
	const struct tamis_feed_tensor *tensors = NULL;
	size_t n = 0;
	enum tamis_status s = TAMIS_OK;

	if (f->caller.next(f->caller.ctx, &tensors, &n))
		return tm_fail(err, TAMIS_E_CANCELLED, "stopped by the caller's reader");
	f->end = n == 0;
	for (int i = 0; i < f->n; i++)
		f->feed[i].data = NULL;
	for (size_t i = 0; s == TAMIS_OK && i < n; i++)
		s = take_tensor(f, &tensors[i], err);
	for (int i = 0; s == TAMIS_OK && !f->end && i < f->n; i++)
		if (!f->feed[i].data)
			s = refuse(err, f->inputs[i].name, "a tensor for every graph input", "none for this one");
	f->have = s == TAMIS_OK && !f->end;
	f->items = f->have ? items_of(f) : 0;
	f->at = 0;
	return s;
}

/* ---- batches ------------------------------------------------------------------------------------------- */

static bool same_item(const struct feeds *f)
{
	for (int i = 0; i < f->n; i++) {
		const struct tensor *a = &f->batch[i], *b = &f->feed[i];

		if (a->rank != b->rank || memcmp(a->dims + 1, b->dims + 1, (size_t)(a->rank - 1) * sizeof *a->dims))
			return false;
	}
	return true;
}

static enum tamis_status reserve(struct feeds *f, int i, size_t bytes, struct tamis_error *err)
{
	void *p = f->batch[i].data;
	size_t cap = f->cap[i];

	if (p && bytes <= cap)
		return TAMIS_OK;
	if (!tm_grow(&p, &cap, bytes ? bytes : 1, 1))
		return tm_no_memory(err, "reading items");
	f->batch[i].data = p;
	f->cap[i] = cap;
	return TAMIS_OK;
}

/* Appends `take` items of the feed in hand behind the `have` that are gathered. */
static enum tamis_status gather(struct feeds *f, int64_t have, int64_t take, struct tamis_error *err)
{
	for (int i = 0; i < f->n; i++) {
		const struct tensor *from = &f->feed[i];
		size_t each = tensor_bytes(from) / (size_t)f->items;
		enum tamis_status s = reserve(f, i, each * (size_t)(have + take), err);
		void *data = f->batch[i].data;

		if (s != TAMIS_OK)
			return s;
		if (each)
			memcpy((char *)data + each * (size_t)have, (const char *)from->data + each * (size_t)f->at,
			       each * (size_t)take);
		f->batch[i] = *from;
		f->batch[i].data = data;
		f->batch[i].dims[0] = have + take;
		f->batch[i].count = from->count / f->items * (have + take);
	}
	f->at += take;
	f->have = f->at < f->items;
	return TAMIS_OK;
}

static void give(struct feeds *f, const struct tensor *from, int64_t items, bool whole, struct batch *b)
{
	*b = (struct batch){ .first = f->first, .items = items, .whole = whole, .n = f->n, .in = f->given };
	if (items)
		memcpy(f->given, from, (size_t)f->n * sizeof *from);
	f->first += items;
}

static enum tamis_status next(void *self, int64_t max_items, struct batch *b, struct tamis_error *err)
{
	struct feeds *f = self;
	int64_t have = 0;
	enum tamis_status s = TAMIS_OK;

	while (have < max_items) {
		if (!f->have && !f->end)
			s = fetch(f, err);
		if (s != TAMIS_OK)
			return s;
		if (f->end || (have && (!f->items || !same_item(f))))
			break;
		if (!f->items) {
			f->have = false;
			give(f, f->feed, 1, true, b);
			return TAMIS_OK;
		}
		int64_t left = f->items - f->at, take = left < max_items - have ? left : max_items - have;

		s = gather(f, have, take, err);
		if (s != TAMIS_OK)
			return s;
		have += take;
	}
	give(f, f->batch, have, false, b);
	return TAMIS_OK;
}

static enum tamis_status rewind_feeds(void *self, struct tamis_error *err)
{
	struct feeds *f = self;

	f->have = f->end = false;
	f->items = f->at = f->first = 0;
	if (f->caller.rewind(f->caller.ctx))
		return tm_fail(err, TAMIS_E_CANCELLED, "stopped by the caller's reader");
	return TAMIS_OK;
}

static int64_t unknown_count(void *self)
{
	(void)self;
	return -1;
}

static void destroy(void *self)
{
	struct feeds *f = self;

	for (int i = 0; f->batch && i < f->n; i++)
		free(f->batch[i].data);
	free(f->batch);
	free(f->cap);
	free(f->feed);
	free(f->given);
	free(f);
}

enum tamis_status api_feeds(const struct tamis_reader *callbacks, const struct data_input *inputs,
                            int n_inputs, struct feed_reader *out, struct tamis_error *err)
{
	struct feeds *f = tm_array(1, sizeof *f);
	size_t n = (size_t)n_inputs + 1;

	if (!f)
		return tm_no_memory(err, "opening the items");
	f->caller = *callbacks;
	f->inputs = inputs;
	f->n = n_inputs;
	f->feed = tm_array(n, sizeof *f->feed);
	f->batch = tm_array(n, sizeof *f->batch);
	f->given = tm_array(n, sizeof *f->given);
	f->cap = tm_array(n, sizeof *f->cap);
	if (!f->feed || !f->batch || !f->given || !f->cap) {
		destroy(f);
		return tm_no_memory(err, "opening the items");
	}
	*out = (struct feed_reader){ .self = f, .next = next, .rewind = rewind_feeds, .count = unknown_count,
		.destroy = destroy };
	return TAMIS_OK;
}
