/* SPDX-License-Identifier: Apache-2.0 */
/* Items through a program: which chunks are made, that results depend on nothing but the source and the chunk size,
 * and how a model that lets items see each other is found out. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exec/items.h"
#include "random.h"

/* ---- a reader that keeps its promises and no more -------------------------------------------------------------- */

enum { WIDTH = 4 };

/* Item i is `width_of(i)` numbers i + k/8. Batches are of changing size, and what the last one held is overwritten. */
struct source {
	int64_t items, at;
	int64_t ragged;  /* items of one width in a row before it changes; 0 = all alike */
	bool whole;
	int fail_at;     /* this call of next fails; 0 = none */
	int calls;
	int spoil;       /* which promise to break; 0 = none */
	float *data;
	struct tensor in[2];
};

static int64_t width_of(const struct source *s, int64_t i)
{
	return s->ragged ? WIDTH + i / s->ragged % 3 : WIDTH;
}

static void spoil(struct source *s, struct batch *b)
{
	switch (s->spoil) {
	case 1: b->n = 2; break;
	case 2: b->items = -1; break;
	case 3: s->in[0].rank = 0; break;
	case 4: s->in[0].dims[0]++; break;
	case 5: b->whole = true; break;
	case 6: s->in[0].type = DT_STRING; break;
	case 7: s->in[0].type = DT_INT4; s->in[0].count = b->items; break;
	default: break;
	}
}

static enum tamis_status next(void *self, int64_t max_items, struct batch *b, struct tamis_error *err)
{
	struct source *s = self;
	int64_t n = 0, width = width_of(s, s->at);

	cr_assert_geq(max_items, 1);
	if (++s->calls == s->fail_at)
		return tm_fail(err, TAMIS_E_INVALID, "the data end early");
	if (s->data)
		memset(s->data, 0x7f, tensor_bytes(&s->in[0]));
	free(s->data);
	s->data = NULL;
	max_items = s->whole ? 1 : s->at == 0 ? max_items : 1 + (max_items - 1) * (s->calls % 4) / 3;
	while (s->at + n < s->items && n < max_items && width_of(s, s->at + n) == width)
		n++;
	*b = (struct batch){ .first = s->at, .items = n, .whole = s->whole, .n = 1, .in = s->in };
	if (!n)
		return TAMIS_OK;
	cr_assert_eq(tensor_shape(&s->in[0], DT_FLOAT, 2, (int64_t[]){ n, width }, NULL), TAMIS_OK);
	s->in[0].data = s->data = malloc(tensor_bytes(&s->in[0]));
	for (int64_t i = 0; i < s->in[0].count; i++)
		s->data[i] = (float)(s->at + i / width) + (float)(i % width) / 8;
	s->at += n;
	spoil(s, b);
	return TAMIS_OK;
}

static enum tamis_status rewind_source(void *self, struct tamis_error *err)
{
	(void)err;
	((struct source *)self)->at = 0;
	return TAMIS_OK;
}

static struct feed_reader reader_of(struct source *s)
{
	return (struct feed_reader){ .self = s, .next = next, .rewind = rewind_source };
}

/* ---- a job that writes down what it sees ----------------------------------------------------------------------- */

struct seen { int64_t chunk, item; double sum; };

struct record {
	struct seen list[512];
	int n;
	struct { double sum[64]; const struct chunk *c; } slot[8];
	int64_t only_odd, fail_work, fail_merge; /* item or chunk; -1 = none */
	int64_t last_chunk;
};

static bool odd(void *ctx, int64_t item)
{
	(void)ctx;
	return item % 2 == 1;
}

static enum tamis_status work(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct record *k = ctx;
	enum tamis_status s = runner_run(r, c->in, NULL, err);
	const struct tensor *y;

	if (s != TAMIS_OK)
		return s;
	if (c->index == k->fail_work || c->index == k->fail_work + 1)
		return tm_fail(err, TAMIS_E_CANCELLED, "no more after chunk %lld", (long long)c->index);
	y = runner_output(r, 0);
	cr_assert_eq(y->dims[0], c->items);
	for (int64_t i = 0; i < c->items; i++) {
		k->slot[slot].sum[i] = 0;
		for (int64_t e = 0; e < y->dims[1]; e++)
			k->slot[slot].sum[i] += tensor_get(y, i * y->dims[1] + e);
	}
	return TAMIS_OK;
}

static enum tamis_status merge(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct record *k = ctx;

	cr_assert_eq(c->index, k->last_chunk + 1, "chunks are merged in order");
	k->last_chunk = c->index;
	if (c->index == k->fail_merge)
		return tm_fail(err, TAMIS_E_OUTPUT, "merging %lld", (long long)c->index);
	for (int64_t i = 0; i < c->items; i++) {
		cr_assert(!k->n || c->item[i] > k->list[k->n - 1].item);
		k->list[k->n++] = (struct seen){ c->index, c->item[i], k->slot[slot].sum[i] };
	}
	return TAMIS_OK;
}

struct rig { struct document *d; struct graph *g; struct program *p; };

static struct rig start(struct document *d)
{
	struct program_options options = { .merge_norms = false };
	struct tamis_error err = { 0 };
	struct rig k = { .d = d, .g = model_graph(d) };

	cr_assert_eq(program_create(k.g, &options, &k.p, &err), TAMIS_OK, "%s", err.message);
	return k;
}

static void finish(struct rig *k)
{
	program_free(k->p);
	graph_free(k->g);
	doc_free(k->d);
}

/* y = 2 x, of any width */
static struct document *doubling(void)
{
	struct document *d = model_new(13);

	model_input(d, "x", DT_FLOAT, DIMS(-1, -1));
	model_node(d, "Add", "x x", "y");
	model_output(d, "y");
	return d;
}

struct setting { int64_t items, ragged, chunk; bool whole, select; enum batching batching; int64_t max_chunks; };

static void run(const struct rig *k, const struct setting *t, int workers, struct record *out)
{
	struct source s = { .items = t->items, .ragged = t->ragged, .whole = t->whole };
	struct feed_reader r = reader_of(&s);
	struct items_job job = { .ctx = out, .select = t->select ? odd : NULL, .work = work, .merge = merge,
		.max_chunks = t->max_chunks };
	struct tamis_error err = { 0 };
	struct pool *pool = NULL;

	*out = (struct record){ .fail_work = -2, .fail_merge = -1, .last_chunk = -1 };
	if (workers)
		cr_assert_eq(pool_create(workers, &pool, &err), TAMIS_OK);
	for (int round = 0; round < 2; round++) { /* the second run starts from the first item again */
		out->n = 0;
		out->last_chunk = -1;
		cr_assert_eq(items_run(k->p, &r, t->batching, t->chunk, pool, &job, &err), TAMIS_OK, "%s", err.message);
	}
	pool_destroy(pool);
	free(s.data);
}

/* The chunks that the rules ask for: full unless the shape changes or the items end. */
static void check_chunks(const struct setting *t, const struct record *k)
{
	struct source s = { .ragged = t->ragged };
	int64_t limit = t->whole || t->batching == BATCH_ONE ? 1 : t->chunk, chunk = -1, fill = limit, width = 0;
	int n = 0;

	for (int64_t i = 0; i < t->items; i++) {
		double w = (double)width_of(&s, i);

		if (t->select && i % 2 == 0)
			continue;
		if (fill == limit || width_of(&s, i) != width) {
			chunk++;
			fill = 0;
			width = width_of(&s, i);
		}
		fill++;
		if (t->max_chunks && chunk >= t->max_chunks)
			break;
		cr_assert_lt(n, k->n, "item %lld is missing", (long long)i);
		cr_assert_eq(k->list[n].item, i);
		cr_assert_eq(k->list[n].chunk, chunk, "item %lld is in chunk %lld, not %lld", (long long)i,
		             (long long)k->list[n].chunk, (long long)chunk);
		cr_assert_eq(k->list[n].sum, 2 * ((double)i * w + w * (w - 1) / 16), "item %lld has another's numbers", (long long)i);
		n++;
	}
	cr_assert_eq(n, k->n);
}

static const struct setting settings[] = {
	{ .items = 1, .chunk = 1, .batching = BATCH_ONE },
	{ .items = 20, .chunk = 1, .batching = BATCH_ONE },
	{ .items = 20, .chunk = 7, .batching = BATCH_ONE },
	{ .items = 20, .chunk = 7, .batching = BATCH_STACKED },
	{ .items = 21, .chunk = 7, .batching = BATCH_STACKED },
	{ .items = 20, .chunk = 32, .batching = BATCH_STACKED },
	{ .items = 200, .chunk = 1, .batching = BATCH_STACKED },
	{ .items = 50, .chunk = 4, .select = true, .batching = BATCH_STACKED },
	{ .items = 50, .chunk = 4, .select = true, .batching = BATCH_ONE },
	{ .items = 60, .chunk = 8, .ragged = 5, .batching = BATCH_STACKED },
	{ .items = 60, .chunk = 8, .ragged = 1, .batching = BATCH_STACKED },
	{ .items = 60, .chunk = 3, .ragged = 5, .select = true, .batching = BATCH_STACKED },
	{ .items = 60, .chunk = 8, .ragged = 5, .batching = BATCH_ONE },
	{ .items = 60, .chunk = 4, .max_chunks = 3, .batching = BATCH_STACKED },
	{ .items = 60, .chunk = 4, .max_chunks = 15, .batching = BATCH_STACKED },
	{ .items = 0, .chunk = 4, .batching = BATCH_STACKED },
	{ .items = 1, .chunk = 4, .select = true, .batching = BATCH_STACKED },
};

Test(items, chunks_for_any_number_of_workers)
{
	static struct record one, many;
	struct rig k = start(doubling());

	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
		run(&k, &settings[i], 0, &one);
		check_chunks(&settings[i], &one);
		for (int workers = 1; workers <= 3; workers++) {
			run(&k, &settings[i], workers, &many);
			cr_assert_eq(many.n, one.n);
			for (int n = 0; n < one.n; n++)
				cr_assert(many.list[n].item == one.list[n].item && many.list[n].chunk == one.list[n].chunk
				          && many.list[n].sum == one.list[n].sum, "setting %zu, %d workers", i, workers);
		}
	}
	finish(&k);
}

/* A whole feed is one item, whatever its first axis. */
static enum tamis_status count_rows(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	enum tamis_status s = runner_run(r, c->in, NULL, err);

	(void)slot;
	cr_assert_eq(c->items, 1);
	cr_assert_eq(c->index, c->item[0]);
	if (s == TAMIS_OK)
		cr_assert_eq(tensor_get(runner_output(r, 0), 0), 2 * (double)c->item[0]);
	__atomic_add_fetch((int *)ctx, 1, __ATOMIC_RELAXED);
	return s;
}

Test(items, whole_feeds)
{
	struct rig k = start(doubling());
	struct tamis_error err = { 0 };

	for (int workers = 1; workers <= 3; workers++) {
		struct source s = { .items = 11, .whole = true, .ragged = 1 };
		struct feed_reader r = reader_of(&s);
		struct pool *pool = NULL;
		enum batching batching = BATCH_STACKED;
		int n = 0;
		struct items_job job = { .ctx = &n, .work = count_rows };

		cr_assert_eq(pool_create(workers, &pool, &err), TAMIS_OK);
		cr_assert_eq(items_batching(k.p, &r, &batching, &err), TAMIS_OK);
		cr_expect_eq(batching, BATCH_ONE);
		cr_assert_eq(items_run(k.p, &r, BATCH_STACKED, 5, pool, &job, &err), TAMIS_OK, "%s", err.message);
		cr_expect_eq(n, 11);
		pool_destroy(pool);
		free(s.data);
	}
	finish(&k);
}

/* Text belongs to the reader until its next batch; chunks of several workers outlive it. */
struct text_source { int at; char *text; struct tm_string s[1]; struct tensor in[1]; };

static enum tamis_status next_text(void *self, int64_t max_items, struct batch *b, struct tamis_error *err)
{
	struct text_source *s = self;

	(void)max_items;
	(void)err;
	if (s->text)
		memset(s->text, '#', 8);
	free(s->text);
	s->text = NULL;
	*b = (struct batch){ .first = s->at, .items = s->at < 6, .whole = true, .n = 1, .in = s->in };
	if (s->at == 6)
		return TAMIS_OK;
	s->text = malloc(8);
	memset(s->text, 'a' + s->at++, 8);
	s->s[0] = (struct tm_string){ s->text, 8 };
	s->in[0] = (struct tensor){ .type = DT_STRING, .rank = 1, .dims = { 1 }, .count = 1, .data = s->s };
	return TAMIS_OK;
}

static enum tamis_status rewind_text(void *self, struct tamis_error *err)
{
	(void)err;
	((struct text_source *)self)->at = 0;
	return TAMIS_OK;
}

static enum tamis_status read_text(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	const struct tm_string *s = c->in[0].data;

	(void)ctx;
	(void)r;
	(void)slot;
	(void)err;
	cr_assert_eq(s->len, 8);
	cr_assert(s->data[0] == 'a' + c->item[0] && s->data[7] == s->data[0]);
	return TAMIS_OK;
}

Test(items, strings_of_whole_feeds)
{
	struct rig k = start(doubling());
	struct text_source s = { 0 };
	struct feed_reader r = { .self = &s, .next = next_text, .rewind = rewind_text };
	struct items_job job = { .work = read_text };
	struct tamis_error err = { 0 };
	struct pool *pool = NULL;

	cr_assert_eq(pool_create(3, &pool, &err), TAMIS_OK);
	cr_assert_eq(items_run(k.p, &r, BATCH_ONE, 1, pool, &job, &err), TAMIS_OK, "%s", err.message);
	pool_destroy(pool);
	free(s.text);
	finish(&k);
}

/* ---- errors ---------------------------------------------------------------------------------------------------- */

static enum tamis_status fail(const struct rig *k, struct source s, struct record *out, int workers, struct tamis_error *err)
{
	static int turn; /* tight and roomy lines, in turns */
	struct feed_reader r = reader_of(&s);
	struct items_job job = { .ctx = out, .work = work, .merge = merge };
	struct pool *pool = NULL;
	enum tamis_status status;

	out->last_chunk = -1;
	out->n = 0;
	memset(err, 0, sizeof *err);
	cr_assert_eq(pool_create(workers, &pool, err), TAMIS_OK);
	job.slots = turn++ % 2 ? items_slots(pool) : 0;
	s.items = 40;
	r.self = &s;
	status = items_run(k->p, &r, BATCH_STACKED, 4, pool, &job, err);
	cr_expect_eq(err->status, status);
	pool_destroy(pool);
	free(s.data);
	return status;
}

Test(items, errors_of_work_merge_and_reader)
{
	struct rig k = start(doubling());
	static struct record out;
	struct tamis_error err;

	for (int i = 0; i < 200; i++) {
		int workers = 1 + i % 4;

		out = (struct record){ .fail_work = 5, .fail_merge = -1 };
		cr_expect_eq(fail(&k, (struct source){ 0 }, &out, workers, &err), TAMIS_E_CANCELLED);
		cr_expect_str_eq(err.message, "no more after chunk 5", "the lowest of several failures");
		cr_expect_eq(out.last_chunk, 4, "all chunks before the failure are merged, and none after");
		out = (struct record){ .fail_work = -2, .fail_merge = 3 };
		cr_expect_eq(fail(&k, (struct source){ 0 }, &out, workers, &err), TAMIS_E_OUTPUT);
		cr_expect_eq(out.last_chunk, 3);
		out = (struct record){ .fail_work = -2, .fail_merge = -1 };
		cr_expect_eq(fail(&k, (struct source){ .fail_at = 3 }, &out, workers, &err), TAMIS_E_INVALID);
		cr_expect_str_eq(err.message, "the data end early");
		cr_expect_eq(out.last_chunk, 0, "chunks before the reader's failure are merged, not %lld", (long long)out.last_chunk);
	}
	finish(&k);
}

Test(items, readers_that_break_their_promises)
{
	struct rig k = start(doubling());
	static struct record out;
	struct tamis_error err;

	for (int i = 1; i <= 7; i++) {
		struct source s = { .items = 9, .spoil = i };
		struct feed_reader r = reader_of(&s);
		enum batching batching;

		out = (struct record){ .fail_work = -2, .fail_merge = -1 };
		cr_expect_eq(fail(&k, (struct source){ .spoil = i }, &out, 2, &err), TAMIS_E_INVALID, "promise %d", i);
		cr_expect(strstr(err.message, "batch"), "%s", err.message);
		cr_expect_eq(items_batching(k.p, &r, &batching, NULL), TAMIS_E_INVALID, "promise %d", i);
		free(s.data);
	}
	finish(&k);
}

/* ---- may items be stacked? ------------------------------------------------------------------------------------- */

static enum batching decide(struct document *d, int64_t items)
{
	struct rig k = start(d);
	struct source s = { .items = items };
	struct feed_reader r = reader_of(&s);
	struct tamis_error err = { 0 };
	enum batching b = BATCH_ONE;

	cr_assert_eq(items_batching(k.p, &r, &b, &err), TAMIS_OK, "%s", err.message);
	cr_expect_eq(s.at, 0, "the reader is rewound");
	free(s.data);
	finish(&k);
	return b;
}

static struct document *model_of(int64_t first, const char *op, const char *axis_name, int64_t axis)
{
	struct document *d = model_new(12);
	Onnx__NodeProto *n;

	model_input(d, "x", DT_FLOAT, DIMS(first, WIDTH));
	n = model_node(d, op, "x", "y");
	if (axis_name && !strcmp(axis_name, "axes"))
		node_ints(d, n, axis_name, 1, &axis);
	else if (axis_name)
		node_int(d, n, axis_name, axis);
	model_output(d, "y");
	return d;
}

static struct document *reshaped(int64_t rows, int64_t columns)
{
	struct document *d = model_new(13);

	model_input(d, "x", DT_FLOAT, DIMS(-1, WIDTH));
	model_ints(d, "shape", 2, (int64_t[]){ rows, columns });
	model_node(d, "Reshape", "x shape", "y");
	model_output(d, "y");
	return d;
}

/* y = x - mean over the items, or over the numbers of an item; also -x. */
static struct document *centred(int64_t axis, const char *first, const char *second)
{
	struct document *d = model_new(12);

	model_input(d, "x", DT_FLOAT, DIMS(-1, WIDTH));
	node_ints(d, model_node(d, "ReduceMean", "x", "m"), "axes", 1, &axis);
	model_node(d, "Sub", "x m", "y");
	model_node(d, "Neg", "x", "n");
	if (first)
		model_output(d, first);
	if (second)
		model_output(d, second);
	return d;
}

/* Infinite where x > 1.2, so all but some numbers of the first two items; the mean over items shows in the others. */
static struct document *infinite(void)
{
	struct document *d = centred(0, NULL, NULL);

	model_constant(d, "limit", DT_FLOAT, DIMS(1), (double[]){ 1.2 }, NULL);
	model_constant(d, "inf", DT_FLOAT, DIMS(1), (double[]){ INFINITY }, NULL);
	model_node(d, "Greater", "x limit", "c");
	model_node(d, "Where", "c inf y", "z");
	model_output(d, "z");
	return d;
}

Test(batching, models_that_take_items_apart)
{
	cr_expect_eq(decide(model_of(-1, "Relu", NULL, 0), 10), BATCH_STACKED);
	cr_expect_eq(decide(model_of(1, "Relu", NULL, 0), 10), BATCH_STACKED, "a declared 1 alone is no obstacle");
	cr_expect_eq(decide(model_of(-1, "Softmax", "axis", 1), 10), BATCH_STACKED);
	cr_expect_eq(decide(centred(1, "y", "n"), 10), BATCH_STACKED);
	cr_expect_eq(decide(reshaped(-1, WIDTH), 10), BATCH_STACKED);
	cr_expect_eq(decide(reshaped(0, WIDTH), 2), BATCH_STACKED);
}

Test(batching, models_that_do_not)
{
	cr_expect_eq(decide(model_of(-1, "Relu", NULL, 0), 1), BATCH_ONE, "one item tells nothing");
	cr_expect_eq(decide(model_of(2, "Relu", NULL, 0), 10), BATCH_ONE, "declared for two");
	cr_expect_eq(decide(model_of(-1, "Softmax", "axis", 0), 10), BATCH_ONE);
	cr_expect_eq(decide(model_of(-1, "ReduceSum", "axes", 0), 10), BATCH_ONE);
	cr_expect_eq(decide(model_of(-1, "Transpose", NULL, 0), 10), BATCH_ONE);
	cr_expect_eq(decide(centred(0, "y", NULL), 10), BATCH_ONE);
	cr_expect_eq(decide(centred(0, "y", "n"), 10), BATCH_ONE, "one output of two is enough");
	cr_expect_eq(decide(centred(0, "n", "y"), 10), BATCH_ONE);
	cr_expect_eq(decide(reshaped(1, WIDTH), 10), BATCH_ONE, "a stacked run that fails is no error");
	cr_expect_eq(decide(reshaped(1, -1), 10), BATCH_ONE);
	cr_expect_eq(decide(reshaped(-1, 2), 10), BATCH_STACKED, "two rows an item are fine");
	cr_expect_eq(decide(infinite(), 10), BATCH_ONE, "an infinity does not hide the rest");
}

Test(batching, no_item)
{
	struct rig k = start(doubling());
	struct source s = { .items = 0 };
	struct feed_reader r = reader_of(&s);
	struct tamis_error err = { 0 };
	enum batching b;

	cr_expect_eq(items_batching(k.p, &r, &b, &err), TAMIS_E_INVALID);
	cr_expect_str_eq(err.message, "the calibration data hold no item");
	finish(&k);
}

/* Stacked and one by one, random networks agree as far as the trial asks for. */
Test(batching, random_networks_item_by_item)
{
	int stacked = 0;

	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct program_options options = { .merge_norms = false };
		struct rig k = { .d = random_model(seed, 12, DT_FLOAT, true) };
		struct tensor all[2], one[2];
		struct runner *a = NULL, *b = NULL;

		k.g = model_graph(k.d);
		cr_assert_eq(program_create(k.g, &options, &k.p, NULL), TAMIS_OK);
		cr_assert_eq(runner_create(k.p, &a, NULL), TAMIS_OK);
		cr_assert_eq(runner_create(k.p, &b, NULL), TAMIS_OK);
		random_inputs(seed, DT_FLOAT, 3, all);
		cr_assert_eq(runner_run(a, all, NULL, NULL), TAMIS_OK);
		for (int item = 0; item < 3; item++) {
			for (int i = 0; i < 2; i++) {
				one[i] = all[i];
				one[i].dims[0] = 1;
				one[i].count /= 3;
				one[i].data = (float *)all[i].data + item * one[i].count;
			}
			cr_assert_eq(runner_run(b, one, NULL, NULL), TAMIS_OK);
			for (int o = 0; o < k.g->n_outputs; o++) {
				const struct tensor *x = runner_output(a, o), *y = runner_output(b, o);

				cr_assert_eq(x->count, 3 * y->count);
				for (int64_t e = 0; e < y->count; e++)
					cr_assert_float_eq(tensor_get(x, item * y->count + e), tensor_get(y, e), 1e-4, "seed %llu",
					                   (unsigned long long)seed);
				stacked++;
			}
		}
		runner_free(a);
		runner_free(b);
		finish(&k);
		tensor_free(&all[0]);
		tensor_free(&all[1]);
	}
	cr_expect_gt(stacked, 100);
}
