/* SPDX-License-Identifier: Apache-2.0 */
/* The executor alone, for tools/bench: no file is read and nothing is written while the clock runs.
 *
 *     bench_exec MODEL ITEMS THREADS COUNT [CHUNK]
 *
 * reads the first COUNT items into memory, says `ready CHUNK BATCHING`, and then takes one word a line:
 *     forward   every item forward; answers `SECONDS CPU-SECONDS`
 *     score     every item forward, in reverse and into the scores, in chunks as slimming does; the same answer
 *     reverse   the same without statistics: forward, and in reverse to what every layer makes, from ones
 *     train     forward, and in reverse to every weight, from ones, as many items at a time as distilling takes
 *     distil    an epoch of distilling on all items, kept in memory since the first one
 *     outputs P writes the outputs of all items to the file P, float by float, output by output a chunk
 *     peak      the most memory this process held so far, in KiB
 * until the end of its input. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/api.h"
#include "base/memory.h"
#include "ops/table.h"
#include "slim/score/head.h"
#include "slim/layers.h"
#include "slim/repair/distil.h"
#include "slim/score/score.h"

/* All items in memory, stacked, handed out as views. */
struct held {
	struct tensor *in, *part;
	int n;
	int64_t items, at;
};

struct bench {
	struct tamis_model *model;
	struct tamis_calibration *data;
	struct graph *graph;
	struct program *forward, *training, *energies;
	struct plan *plan;
	struct layers layers;
	struct pool *pool;
	struct held held;
	struct feed_reader reader;
	enum batching batching;
	int64_t chunk, training_chunk;
	bool *watch; /* by value: a layer's output */
	bool *watch_weights;
	struct parameters parameters;
	struct head head;
	struct distil distil;
	FILE *outputs;
	struct tamis_error err;
};

static size_t item_bytes(const struct tensor *t)
{
	return t->dims[0] ? tensor_bytes(t) / (size_t)t->dims[0] : 0;
}

static enum tamis_status held_next(void *self, int64_t most, struct batch *b, struct tamis_error *err)
{
	struct held *h = self;
	int64_t n = h->items - h->at < most ? h->items - h->at : most;

	(void)err;
	for (int i = 0; i < h->n; i++) {
		h->part[i] = h->in[i];
		h->part[i].dims[0] = n;
		h->part[i].count = h->in[i].count / h->items * n;
		h->part[i].data = (char *)h->in[i].data + (size_t)h->at * item_bytes(&h->in[i]);
	}
	*b = (struct batch){ .first = h->at, .items = n, .n = h->n, .in = h->part };
	h->at += n;
	return TAMIS_OK;
}

static enum tamis_status held_rewind(void *self, struct tamis_error *err)
{
	struct held *h = self;

	(void)err;
	h->at = 0;
	return TAMIS_OK;
}

static int64_t held_count(void *self)
{
	return ((struct held *)self)->items;
}

static enum tamis_status append(struct held *h, const struct batch *b, int64_t want, struct tamis_error *err)
{
	for (int i = 0; i < b->n; i++) {
		size_t each = item_bytes(&b->in[i]);

		if (!h->in[i].data) {
			h->in[i] = b->in[i];
			h->in[i].dims[0] = want;
			h->in[i].count = b->in[i].count / b->items * want;
			h->in[i].data = malloc(each * (size_t)want);
			if (!h->in[i].data)
				return tm_no_memory(err, "holding the items");
		}
		memcpy((char *)h->in[i].data + (size_t)h->items * each, b->in[i].data, each * (size_t)b->items);
	}
	h->items += b->items;
	return TAMIS_OK;
}

enum { AT_ONCE = 4 }; /* items read at a time: reading all of them would hold them twice, and memory is measured */

static enum tamis_status hold(struct bench *b, int64_t want)
{
	struct feed_reader *from = &b->data->reader;
	struct held *h = &b->held;
	enum tamis_status s = from->rewind(from->self, &b->err);

	h->n = b->graph->n_inputs;
	h->in = calloc((size_t)h->n + 1, sizeof *h->in);
	h->part = calloc((size_t)h->n + 1, sizeof *h->part);
	if (!h->in || !h->part)
		return tm_no_memory(&b->err, "holding the items");
	while (s == TAMIS_OK && h->items < want) {
		struct batch part = { 0 };

		s = from->next(from->self, want - h->items < AT_ONCE ? want - h->items : AT_ONCE, &part, &b->err);
		if (s == TAMIS_OK && (part.whole || part.items == 0))
			s = tm_fail(&b->err, TAMIS_E_INVALID, "expected %lld stacked items", (long long)want);
		if (s == TAMIS_OK)
			s = append(h, &part, want, &b->err);
	}
	b->reader = (struct feed_reader){ .self = h, .next = held_next, .rewind = held_rewind, .count = held_count };
	return s;
}

/* ---- what is timed ------------------------------------------------------------------------------------------- */

static enum tamis_status run_chunk(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	(void)ctx, (void)slot;
	return runner_run(r, c->in, NULL, err);
}

/* One worker only: chunks come in order. */
static enum tamis_status write_chunk(void *ctx, struct runner *r, const struct chunk *c, int slot,
                                     struct tamis_error *err)
{
	struct bench *b = ctx;
	enum tamis_status s = runner_run(r, c->in, NULL, err);

	(void)slot;
	for (int i = 0; s == TAMIS_OK && i < b->graph->n_outputs; i++)
		fwrite(runner_output(r, i)->data, tensor_bytes(runner_output(r, i)), 1, b->outputs);
	return s;
}

static enum tamis_status forward(struct bench *b)
{
	const struct items_job job = { .ctx = b, .work = run_chunk, .slots = items_slots(b->pool) };

	return items_run(b->forward, &b->reader, b->batching, b->chunk, b->pool, &job, &b->err);
}

static enum tamis_status write_outputs(struct bench *b, const char *path)
{
	const struct items_job job = { .ctx = b, .work = write_chunk };
	enum tamis_status s;

	b->outputs = fopen(path, "wb");
	if (!b->outputs)
		return tm_fail(&b->err, TAMIS_E_OUTPUT, "cannot write %.200s", path);
	s = items_run(b->forward, &b->reader, b->batching, b->chunk, NULL, &job, &b->err);
	fclose(b->outputs);
	return s;
}

static enum tamis_status watch_layers(struct bench *b)
{
	b->watch = calloc((size_t)b->graph->n_values + 1, sizeof *b->watch);
	if (!b->watch)
		return tm_no_memory(&b->err, "watching the layers");
	for (int i = 0; i < b->layers.n; i++)
		if (!b->layers.list[i].note)
			b->watch[b->graph->nodes[b->layers.list[i].node].out[0]] = true;
	return TAMIS_OK;
}

static enum tamis_status index_layers(struct bench *b)
{
	const struct program_options training = { .training = true, .joined = true }, energies = { .training = true, .energies = true };
	const struct layer_filter filter = { 0 };
	struct batch one = { 0 };
	enum tamis_status s = program_create(b->graph, &training, &b->training, &b->err);

	held_rewind(&b->held, NULL);
	held_next(&b->held, 1, &one, NULL);
	if (s == TAMIS_OK)
		s = plan_create(b->training, one.in, &b->plan, &b->err);
	if (s == TAMIS_OK && !b->training_chunk)
		b->training_chunk = items_chunk(b->plan, 0);
	if (s == TAMIS_OK)
		s = layers_find(b->graph, b->plan, &filter, &b->layers, &b->err);
	if (s == TAMIS_OK)
		s = program_create(b->graph, &energies, &b->energies, &b->err);
	return s == TAMIS_OK ? watch_layers(b) : s;
}

static enum tamis_status drop_gradient(void *ctx, int value, const struct tensor *g, struct tamis_error *err)
{
	(void)ctx, (void)value, (void)g, (void)err;
	return TAMIS_OK;
}

static enum tamis_status drop_energy(void *ctx, int value, const double *energy, struct tamis_error *err)
{
	(void)ctx, (void)value, (void)energy, (void)err;
	return TAMIS_OK;
}

static void pass_over(void *ctx, int node)
{
	(void)ctx, (void)node;
}

/* Ones at every output of floats. */
static enum tamis_status seed_ones(const struct runner *r, int outputs, struct tensor *seed, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < outputs; i++) {
		if (runner_output(r, i)->type != DT_FLOAT)
			continue;
		seed[i] = *runner_output(r, i);
		seed[i].data = NULL;
		s = tensor_alloc(&seed[i], err);
		for (int64_t k = 0; s == TAMIS_OK && k < seed[i].count; k++)
			((float *)seed[i].data)[k] = 1;
	}
	return s;
}

static enum tamis_status reverse_to(struct bench *b, struct runner *r, const struct chunk *c, const bool *watch,
                                    struct tamis_error *err)
{
	const struct run_hooks hooks = { .watch_grad = watch, .grad = drop_gradient, .energy = drop_energy,
		.no_reverse = pass_over };
	struct tensor *seed = calloc((size_t)b->graph->n_outputs + 1, sizeof *seed);
	enum tamis_status s = seed ? runner_run(r, c->in, NULL, err) : tm_no_memory(err, "seeding");

	if (s == TAMIS_OK)
		s = seed_ones(r, b->graph->n_outputs, seed, err);
	if (s == TAMIS_OK)
		s = runner_reverse(r, seed, &hooks, err);
	for (int i = 0; seed && i < b->graph->n_outputs; i++)
		tensor_free(&seed[i]);
	free(seed);
	return s;
}

static enum tamis_status reverse_chunk(void *ctx, struct runner *r, const struct chunk *c, int slot,
                                       struct tamis_error *err)
{
	struct bench *b = ctx;

	(void)slot;
	return reverse_to(b, r, c, b->watch, err);
}

static enum tamis_status train_chunk(void *ctx, struct runner *r, const struct chunk *c, int slot,
                                     struct tamis_error *err)
{
	struct bench *b = ctx;

	(void)slot;
	return reverse_to(b, r, c, b->watch_weights, err);
}

static enum tamis_status reverse(struct bench *b)
{
	const struct items_job job = { .ctx = b, .work = reverse_chunk };
	enum tamis_status s = b->training ? TAMIS_OK : index_layers(b);

	return s == TAMIS_OK ? items_run(b->energies, &b->reader, b->batching, b->training_chunk, b->pool, &job, &b->err)
	                     : s;
}

static enum tamis_status score(struct bench *b)
{
	enum tamis_status s = b->training ? TAMIS_OK : index_layers(b);
	struct score_job job = { .graph = b->graph, .layers = &b->layers, .reader = &b->reader, .batching = b->batching,
		.chunk = b->training_chunk, .pool = b->pool, .head = "auto" };
	struct scores scores = { 0 };
	struct head head = { 0 };

	if (s == TAMIS_OK)
		s = score_run(&job, &head, &scores, &b->err);
	scores_free(&scores);
	return s;
}

static enum tamis_status first_chunk(void *ctx, struct runner *r, const struct chunk *c, int slot, struct tamis_error *err)
{
	struct bench *b = ctx;
	enum tamis_status s = runner_run(r, c->in, NULL, err);

	(void)slot;
	if (s == TAMIS_OK && !b->head.graph)
		s = head_detect(b->graph, r, c->items, "auto", &b->head, err);
	return s;
}

static enum tamis_status open_distil(struct bench *b)
{
	const struct items_job look = { .ctx = b, .work = first_chunk };
	const struct layer_filter filter = { 0 };
	struct distil_job job = { .graph = b->graph, .parameters = &b->parameters, .seed = 1 };
	enum tamis_status s = b->training ? TAMIS_OK : index_layers(b);

	if (s == TAMIS_OK)
		s = parameters_find(b->graph, &b->layers, &filter, (struct parameters_kinds){ .norms = true },
		                    &b->parameters, &b->err);
	if (s == TAMIS_OK)
		s = items_run(b->training, &b->reader, b->batching, b->training_chunk, NULL, &look, &b->err);
	b->watch_weights = calloc((size_t)b->graph->n_values + 1, sizeof *b->watch_weights);
	if (s == TAMIS_OK && !b->watch_weights)
		return tm_no_memory(&b->err, "watching the weights");
	for (int i = 0; s == TAMIS_OK && i < b->parameters.n; i++)
		b->watch_weights[b->parameters.list[i].value] = b->parameters.list[i].trained;
	job.fit = (struct store_job){ .original = b->graph, .head = &b->head, .reader = &b->reader, .batching = b->batching,
		.chunk = b->chunk, .pool = b->pool };
	job.check = job.fit;
	return s == TAMIS_OK ? distil_open(&job, &b->distil, &b->err) : s;
}

static enum tamis_status train(struct bench *b)
{
	const struct items_job job = { .ctx = b, .work = train_chunk };
	enum tamis_status s = b->watch_weights ? TAMIS_OK : open_distil(b);

	return s == TAMIS_OK ? items_run(b->training, &b->reader, b->batching, b->chunk, b->pool, &job, &b->err) : s;
}

static enum tamis_status distil(struct bench *b)
{
	const struct distil_leg leg = { .epochs = 1, .rate = 1e-4 };
	struct distil_result result;
	enum tamis_status s = b->watch_weights ? TAMIS_OK : open_distil(b);

	return s == TAMIS_OK ? distil_run(&b->distil, &leg, &result, &b->err) : s;
}

/* ---- conversation -------------------------------------------------------------------------------------------- */

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static enum tamis_status timed(struct bench *b, enum tamis_status (*what)(struct bench *))
{
	double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	enum tamis_status s = what(b);

	if (s == TAMIS_OK)
		printf("%.6f %.6f\n", seconds(CLOCK_MONOTONIC) - wall, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	return s;
}

/* KiB. Not ru_maxrss, which starts at what the parent held when it forked. */
static long peak(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];
	long kib = 0;

	while (f && fgets(line, sizeof line, f))
		sscanf(line, "VmHWM: %ld", &kib);
	if (f)
		fclose(f);
	return kib;
}

static enum tamis_status answer(struct bench *b, const char *line)
{
	enum tamis_status s = TAMIS_OK;

	if (!strcmp(line, "forward")) {
		s = timed(b, forward);
	} else if (!strcmp(line, "score")) {
		s = timed(b, score);
	} else if (!strcmp(line, "reverse")) {
		s = timed(b, reverse);
	} else if (!strcmp(line, "train")) {
		s = timed(b, train);
	} else if (!strcmp(line, "distil")) {
		s = timed(b, distil);
	} else if (!strncmp(line, "outputs ", 8)) {
		s = write_outputs(b, line + 8);
		printf("written\n");
	} else {
		printf("%ld\n", peak());
	}
	fflush(stdout);
	return s;
}

static enum tamis_status prepare(struct bench *b, int argc, char **argv)
{
	const char *spec = argv[2];
	enum tamis_status s = tamis_model_open(argv[1], NULL, &b->model, &b->err);
	bool whole = false;

	if (s == TAMIS_OK)
		s = tamis_calibration_open(b->model, &spec, 1, NULL, &b->data, &b->err);
	if (s == TAMIS_OK)
		s = api_program(b->model, &b->graph, &b->forward, &b->err);
	if (s == TAMIS_OK)
		s = hold(b, atoll(argv[4]));
	if (s == TAMIS_OK)
		s = api_chunk(b->forward, &b->reader, &b->chunk, &whole, &b->err);
	if (s == TAMIS_OK)
		s = items_batching(b->forward, &b->reader, &b->batching, &b->err);
	if (argc > 5)
		b->chunk = b->training_chunk = atoll(argv[5]);
	return s == TAMIS_OK ? pool_create(atoi(argv[3]), &b->pool, &b->err) : s;
}

static void finish(struct bench *b)
{
	distil_close(&b->distil);
	parameters_free(&b->parameters);
	free(b->watch_weights);
	pool_destroy(b->pool);
	layers_free(&b->layers);
	plan_free(b->plan);
	program_free(b->energies);
	program_free(b->training);
	program_free(b->forward);
	graph_free(b->graph);
	for (int i = 0; b->held.in && i < b->held.n; i++)
		free(b->held.in[i].data);
	free(b->held.in);
	free(b->held.part);
	free(b->watch);
	tamis_calibration_close(b->data);
	tamis_model_close(b->model);
}

int main(int argc, char **argv)
{
	struct bench b = { 0 };
	char line[4096];
	enum tamis_status s;

	if (argc < 5 || argc > 6) {
		fprintf(stderr, "usage: bench_exec MODEL ITEMS THREADS COUNT [CHUNK]\n");
		return 2;
	}
	s = prepare(&b, argc, argv);
	if (s == TAMIS_OK) {
		printf("ready %lld %s\n", (long long)b.chunk, b.batching == BATCH_STACKED ? "stacked" : "one");
		fflush(stdout);
	}
	while (s == TAMIS_OK && fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = '\0';
		s = answer(&b, line);
	}
	if (s != TAMIS_OK)
		fprintf(stderr, "bench_exec: %s\n", b.err.message);
	finish(&b);
	return s == TAMIS_OK ? 0 : 1;
}
