/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/memory.h"
#include "data/npz.h"

void tamis_run_options_default(struct tamis_run_options *o)
{
	if (o)
		*o = (struct tamis_run_options){ .items = 0 };
}

/* Outputs of the chunk in each slot, kept until merge has written them. */
struct running {
	const struct graph *graph;
	struct npz_writer *npz;
	struct tensor *kept;   /* slots x outputs */
	size_t *cap;           /* bytes behind each */
	struct api_watch watch;
	bool whole, single;    /* feeds of the ONNX layout; just one of them */
	int64_t done;
};

static enum tamis_status keep(struct tensor *to, size_t *cap, const struct tensor *from,
                              struct tamis_error *err)
{
	size_t bytes = tensor_bytes(from);
	void *data = to->data;

	if (!tm_grow(&data, cap, bytes ? bytes : 1, 1))
		return tm_no_memory(err, "keeping the outputs");
	if (bytes)
		memcpy(data, from->data, bytes);
	*to = *from;
	to->data = data;
	return TAMIS_OK;
}

static enum tamis_status work(void *ctx, struct runner *r, const struct chunk *c, int slot,
                              struct tamis_error *err)
{
	struct running *k = ctx;
	int n = k->graph->n_outputs;
	enum tamis_status s = runner_run(r, c->in, NULL, err);

	for (int i = 0; s == TAMIS_OK && i < n; i++)
		s = keep(&k->kept[slot * n + i], &k->cap[slot * n + i], runner_output(r, i), err);
	return s;
}

/* An output without an axis for the items of the chunk gets one in front. */
static enum tamis_status append(struct running *k, const char *name, const struct tensor *t, int64_t items,
                                struct tamis_error *err)
{
	struct tensor row = *t;

	if (t->rank > 0 && t->dims[0] == items)
		return npz_append(k->npz, name, t, err);
	if (items != 1 || t->rank == TENSOR_MAX_RANK) {
		tm_fail(err, TAMIS_E_UNSUPPORTED, "the output has no axis for the items");
		return tm_in_tensor(err, name);
	}
	memmove(row.dims + 1, t->dims, (size_t)t->rank * sizeof *t->dims);
	row.dims[0] = 1;
	row.rank++;
	return npz_append(k->npz, name, &row, err);
}

static enum tamis_status put(struct running *k, const char *name, const struct tensor *t, int64_t item,
                             struct tamis_error *err)
{
	struct arena a = { 0 };
	const char *member = k->single ? name : arena_printf(&a, "%s/%lld", name, (long long)item);
	enum tamis_status s = member ? npz_put(k->npz, member, t, err) : tm_no_memory(err, "writing the outputs");

	arena_free(&a);
	return s;
}

static enum tamis_status merge(void *ctx, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct running *k = ctx;
	int n = k->graph->n_outputs;
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < n; i++) {
		const char *name = k->graph->values[k->graph->outputs[i]].name;
		const struct tensor *t = &k->kept[slot * n + i];

		s = k->whole ? put(k, name, t, c->item[0], err) : append(k, name, t, c->items, err);
	}
	k->done += c->items;
	return s == TAMIS_OK ? api_watch_tell(&k->watch, k->done, err) : s;
}

static enum tamis_status run_items(struct running *k, const struct program *p, struct feed_reader *reader,
                                   struct pool *pool, struct tamis_error *err)
{
	const struct items_job job = { .ctx = k, .work = work, .merge = merge, .slots = items_slots(pool) };
	size_t ports = (size_t)job.slots * (size_t)p->graph->n_outputs;
	enum batching batching = BATCH_ONE;
	int64_t chunk = 1;
	enum tamis_status s;

	k->kept = tm_array(ports + 1, sizeof *k->kept);
	k->cap = tm_array(ports + 1, sizeof *k->cap);
	s = k->kept && k->cap ? api_chunk(p, reader, &chunk, &k->whole, err)
	                      : tm_no_memory(err, "running the model");
	k->single = reader->count(reader->self) == 1;
	if (s == TAMIS_OK)
		s = items_batching(p, reader, &batching, err);
	if (s == TAMIS_OK)
		s = items_run(p, reader, batching, chunk, pool, &job, err);
	for (size_t i = 0; k->kept && i < ports; i++)
		free(k->kept[i].data);
	free(k->kept);
	free(k->cap);
	return s;
}

static enum tamis_status run_program(struct running *k, const struct program *p,
                                     struct tamis_calibration *data,
                                     const char *path, const struct tamis_run_options *o,
                                     struct tamis_error *err)
{
	struct api_limited limited;
	struct feed_reader reader = api_limit(&limited, &data->reader, o->items);
	struct pool *pool = NULL;
	enum tamis_status s = pool_create(o->threads, &pool, err);

	if (s == TAMIS_OK)
		s = npz_open(path, false, &k->npz, err);
	if (s == TAMIS_OK) {
		api_watch_start(&k->watch, &o->observer, "run", reader.count(reader.self));
		s = run_items(k, p, &reader, pool, err);
		if (s == TAMIS_OK)
			s = npz_close(k->npz, err);
		else
			npz_abort(k->npz);
	}
	pool_destroy(pool);
	return s;
}

enum tamis_status tamis_run(struct tamis_model *model, struct tamis_calibration *data, const char *npz_path,
                            const struct tamis_run_options *options, struct tamis_error *err)
{
	struct tamis_error unheard;
	struct tamis_run_options o;
	struct running k = { 0 };
	struct program *p = NULL;
	struct graph *g = NULL;
	enum tamis_status s;

	err = api_error(err, &unheard);
	if (!model || !data || !npz_path || !*npz_path)
		return tm_fail(err, TAMIS_E_USAGE, "a model, items and a path were expected, and NULL came");
	tamis_run_options_default(&o);
	if (options)
		o = *options;
	if (o.threads < 0 || o.items < 0)
		return tm_fail(err, TAMIS_E_USAGE, "expected 0 or more threads and items, and %d and %lld came",
		               o.threads, (long long)o.items);
	s = api_same_inputs(data, model, err);
	if (s == TAMIS_OK)
		s = api_program(model, &g, &p, err);
	k.graph = g;
	if (s == TAMIS_OK)
		s = run_program(&k, p, data, npz_path, &o, err);
	program_free(p);
	graph_free(g);
	return s;
}
