/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of building, planning, running forward and backward, and feeding items fails in turn: each call
 * must report it and release what it took (a leak shows under AddressSanitizer), and what outlives the failure must
 * work afterwards. The linker routes the library's allocators through here. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "exec/items.h"
#include "onnx/edit.h"
#include "onnx/payload.h"
#include "ops/table.h"
#include "random.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);

static long allowed = -1; /* successes left; negative: no limit */
static long asked;

static bool refuse(void)
{
	asked++;
	return allowed >= 0 && allowed-- <= 0 && (allowed = 0, true);
}

void *__wrap_malloc(size_t size)
{
	return refuse() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return refuse() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return refuse() ? NULL : __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return refuse() ? NULL : __real_aligned_alloc(align, size);
}

struct world {
	struct document *d;
	struct graph *g;
	struct program *p;
	struct runner *r;     /* keeps what earlier, failed calls left in it */
	struct tensor in[2];
	struct tensor *seed;  /* by output */
	bool *watch;
	bool training;
	int64_t items;        /* of the reader */
	int64_t at;
};

static enum tamis_status ignore(void *ctx, int value, const struct tensor *gradient, struct tamis_error *err)
{
	(void)ctx;
	(void)value;
	(void)gradient;
	(void)err;
	return TAMIS_OK;
}

static enum tamis_status build(struct world *w, struct tamis_error *err)
{
	struct graph *g = NULL;
	enum tamis_status s = graph_build(w->d, &op_table, &g, err);

	graph_free(g);
	return s;
}

static enum tamis_status prepare(struct world *w, struct tamis_error *err)
{
	struct program_options options = { .training = w->training, .merge_norms = !w->training };
	struct program *p = NULL;
	enum tamis_status s = program_create(w->g, &options, &p, err);

	program_free(p);
	return s;
}

static enum tamis_status plan(struct world *w, struct tamis_error *err)
{
	struct plan *p = NULL;
	enum tamis_status s = plan_create(w->p, w->in, &p, err);

	plan_free(p);
	return s;
}

static enum tamis_status both(struct runner *r, const struct world *w, struct tamis_error *err)
{
	struct run_hooks h = { .watch_grad = w->watch, .grad = ignore };
	enum tamis_status s = runner_run(r, w->in, NULL, err);

	return s == TAMIS_OK && w->training ? runner_reverse(r, w->seed, &h, err) : s;
}

static enum tamis_status run_fresh(struct world *w, struct tamis_error *err)
{
	struct runner *r = NULL;
	enum tamis_status s = runner_create(w->p, &r, err);

	if (s == TAMIS_OK)
		s = both(r, w, err);
	runner_free(r);
	return s;
}

/* A runner that has failed before. */
static enum tamis_status run_again(struct world *w, struct tamis_error *err)
{
	return both(w->r, w, err);
}

/* ---- items ----------------------------------------------------------------------------------------------------- */

static enum tamis_status next(void *self, int64_t max_items, struct batch *b, struct tamis_error *err)
{
	struct world *w = self;
	int64_t left = w->items - w->at, n = left < max_items ? left : max_items;

	(void)err;
	n = n > w->in[0].dims[0] ? w->in[0].dims[0] : n;
	*b = (struct batch){ .first = w->at, .items = n, .n = 2, .in = w->in };
	for (int i = 0; i < 2 && n; i++) {
		w->in[i].count = w->in[i].count / w->in[i].dims[0] * n;
		w->in[i].dims[0] = n;
	}
	w->at += n;
	return TAMIS_OK;
}

static enum tamis_status start_over(void *self, struct tamis_error *err)
{
	struct world *w = self;

	(void)err;
	w->at = 0;
	for (int i = 0; i < 2; i++) {
		w->in[i].count = w->in[i].count / w->in[i].dims[0] * 3;
		w->in[i].dims[0] = 3;
	}
	return TAMIS_OK;
}

static enum tamis_status work(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	(void)ctx;
	(void)slot;
	return runner_run(r, c->in, NULL, err);
}

static enum tamis_status feed(struct world *w, struct tamis_error *err)
{
	struct feed_reader r = { .self = w, .next = next, .rewind = start_over };
	struct items_job job = { .ctx = w, .work = work };
	enum batching b;
	enum tamis_status s = items_batching(w->p, &r, &b, err);

	if (s == TAMIS_OK)
		s = items_run(w->p, &r, b, 2, NULL, &job, err);
	start_over(w, err);
	return s;
}

/* ---- the sweep ------------------------------------------------------------------------------------------------- */

/* With 0, 1, 2, ... allocations until the call succeeds; at least `least` of them. */
static void sweep(struct world *w, enum tamis_status (*call)(struct world *, struct tamis_error *), const char *what,
                  long least)
{
	struct tamis_error e;
	long all;

	memset(&e, 0, sizeof e);
	asked = 0;
	if (call != run_again) /* that one must start from nothing */
		cr_assert_eq(call(w, &e), TAMIS_OK, "%s: %s: %s", what, e.node, e.message);
	all = call == run_again ? 100000 : asked;
	cr_assert_geq(all, least, "%s: only %ld allocations", what, all);
	for (long k = 0; k <= all; k++) {
		enum tamis_status status;

		memset(&e, 0, sizeof e);
		allowed = k;
		status = call(w, &e);
		allowed = -1;
		if (status == TAMIS_OK)
			return;
		cr_assert_eq(status, TAMIS_E_MEMORY, "%s after %ld: %d %s", what, k, status, e.message);
		cr_assert_eq(e.status, status);
	}
	cr_assert_fail("%s never succeeds", what);
}

static void open_world(struct world *w, uint64_t seed, bool training)
{
	struct program_options options = { .training = training, .merge_norms = !training };
	struct tamis_error err = { 0 };
	struct rng r = rng_make(seed, 5);

	*w = (struct world){ .d = random_model(seed, 14, DT_FLOAT, training), .training = training, .items = 7 };
	random_inputs(seed, DT_FLOAT, 3, w->in);
	w->g = model_graph(w->d);
	cr_assert_eq(program_create(w->g, &options, &w->p, &err), TAMIS_OK, "%s", err.message);
	cr_assert_eq(runner_create(w->p, &w->r, &err), TAMIS_OK);
	cr_assert_eq(runner_run(w->r, w->in, NULL, &err), TAMIS_OK, "%s", err.message);
	w->watch = malloc((size_t)w->g->n_values);
	memset(w->watch, true, (size_t)w->g->n_values);
	w->seed = calloc((size_t)w->g->n_outputs, sizeof *w->seed);
	for (int i = 0; training && i < w->g->n_outputs; i++) {
		const struct tensor *y = runner_output(w->r, i);

		w->seed[i] = tensor_make(y->type, y->rank, y->dims, NULL, &r);
	}
	runner_free(w->r);
	cr_assert_eq(runner_create(w->p, &w->r, &err), TAMIS_OK);
}

static void close_world(struct world *w)
{
	for (int i = 0; i < w->g->n_outputs; i++)
		tensor_free(&w->seed[i]);
	free(w->seed);
	free(w->watch);
	runner_free(w->r);
	program_free(w->p);
	graph_free(w->g);
	doc_free(w->d);
	tensor_free(&w->in[0]);
	tensor_free(&w->in[1]);
}

static void sweep_all(uint64_t seed, bool training)
{
	struct world w;

	open_world(&w, seed, training);
	sweep(&w, build, "build", 8);
	sweep(&w, prepare, "prepare", 3);
	sweep(&w, plan, "plan", 6);
	sweep(&w, run_fresh, "run", 15);
	sweep(&w, run_again, "run again", 0);
	if (!training)
		sweep(&w, feed, "feed", 30);
	close_world(&w);
}

Test(exhaustion, inference)
{
	for (uint64_t seed = 1; seed <= 12; seed++)
		sweep_all(seed, false);
}

Test(exhaustion, training)
{
	for (uint64_t seed = 20; seed <= 32; seed++)
		sweep_all(seed, true);
}

/* The message that lists what is missing is made of memory too. */
Test(exhaustion, unsupported_operators)
{
	struct document *d = model_new(13);
	enum tamis_status s = TAMIS_E_MEMORY;

	model_input(d, "x", DT_FLOAT, DIMS(1));
	for (int i = 0; i < 3; i++)
		model_node(d, i ? "Wizard" : "Witch", "x", "");
	for (long k = 0; s == TAMIS_E_MEMORY; k++) {
		struct tamis_error err = { 0 };
		struct graph *g = NULL;

		allowed = k;
		s = graph_build(d, &op_table, &g, &err);
		allowed = -1;
		cr_assert_null(g);
		cr_assert(s == TAMIS_E_MEMORY || s == TAMIS_E_UNSUPPORTED, "%d", s);
		cr_assert_lt(k, 1000);
	}
	doc_free(d);
}
