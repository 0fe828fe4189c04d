/* SPDX-License-Identifier: Apache-2.0 */
/* Reverse of Loop and Scan. The trips are run once more while their states are kept, and then from the last to the
 * first, each followed by the reverse of the body: three forward runs in all, and one state a trip in memory. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "exec/control_state.h"
#include "exec/stack.h"
#include "onnx/document.h"
#include "ops/broadcast.h"
#include "ops/control.h"

/* Of the body's inputs the first `lead` are a Loop's own (trip and condition), then come states, scanned inputs and what
 * it captures; of its outputs the first is a Loop's condition, then come states and what is stacked. */
struct trips {
	const struct reversal *r;
	const struct scan_attr *scan; /* NULL: a Loop */
	int lead, n_states, n_scans, n_stacked;
	int64_t count;                /* trips */
	struct tensor *tape;          /* [trip][state] as the trip found it; the last row is what came out */
	size_t n_tape, cap_tape;      /* tensors */
	struct tensor *reaching;      /* by state: the gradient after the trip in hand, DT_UNDEFINED = none */
	struct tensor *before;        /* and before it */
	struct tensor *slice, *seed;  /* by scanned input; by output of the body */
	uint64_t bytes;               /* of the tape */
	int64_t at;                   /* the trip in hand */
	struct tamis_error *err;
};

static const struct graph *body_graph(const struct trips *t)
{
	return t->r->body->graph;
}

static enum tamis_status no_memory(const struct trips *t)
{
	return tm_no_memory(t->err, "reversing the trips of a node");
}

/* ---- running the trips again -------------------------------------------------------------------------------- */

static enum tamis_status keep(struct trips *t, struct tensor *to, const struct tensor *from)
{
	uint64_t limit = body_graph(t)->doc->max_memory;
	enum tamis_status s;

	*to = *from;
	to->data = NULL;
	t->bytes += tensor_bytes(from);
	if (t->bytes > limit)
		return tm_fail(t->err, TAMIS_E_MEMORY, "the states of all trips take more than %" PRIu64
		               " bytes, the limit on memory", limit);
	s = tensor_alloc(to, t->err);
	if (s == TAMIS_OK && tensor_bytes(to))
		memcpy(to->data, from->data, tensor_bytes(to));
	return s;
}

static int64_t along(const struct tensor *of, const int64_t *axes, int i)
{
	int64_t axis = axes ? axes[i] : 0;

	return axis < 0 ? axis + of->rank : axis;
}

/* Where the trip in hand finds its part, or puts it. */
static int64_t place(const struct trips *t, const int64_t *back, int i)
{
	return back && back[i] ? t->count - 1 - t->at : t->at;
}

static enum tamis_status run_trip(struct trips *t)
{
	struct inner *b = t->r->inner;
	unsigned char go = 1;

	if (t->lead) {
		b->in[0] = control_scalar(body_graph(t), 0, DT_INT64, &t->at);
		b->in[1] = control_scalar(body_graph(t), 1, DT_BOOL, &go);
	}
	for (int i = 0; i < t->n_states; i++)
		b->in[t->lead + i] = t->tape[t->at * t->n_states + i];
	for (int i = 0; i < t->n_scans; i++) {
		const struct tensor *x = t->r->in[t->n_states + i];

		slice_read(&t->slice[i], x, (int)along(x, t->scan->in_axes, i), place(t, t->scan->in_back, i));
		b->in[t->n_states + i] = t->slice[i];
	}
	return runner_run(b->runner, b->in, NULL, t->err);
}

/* One more row of the tape. */
static enum tamis_status keep_row(struct trips *t, const struct tensor *const *from)
{
	void *grown = t->tape;
	enum tamis_status s = TAMIS_OK;

	if (!tm_grow(&grown, &t->cap_tape, t->n_tape + (size_t)t->n_states + 1, sizeof *t->tape))
		return no_memory(t);
	t->tape = grown;
	for (int i = 0; s == TAMIS_OK && i < t->n_states; i++)
		s = keep(t, &t->tape[t->n_tape++], from[i]);
	return s;
}

static enum tamis_status keep_outputs(struct trips *t, const struct tensor **from)
{
	for (int i = 0; i < t->n_states; i++)
		from[i] = runner_output(t->r->inner->runner, (t->lead ? 1 : 0) + i);
	return keep_row(t, from);
}

/* A Loop ends as it did before, when the body says so or the trips are made. */
static bool ends(const struct trips *t)
{
	const struct tensor *most = t->r->in[0];

	if (!t->lead)
		return t->at == t->count;
	if (most && t->at >= tensor_get_int(most, 0))
		return true;
	if (t->at)
		return !tensor_get_int(runner_output(t->r->inner->runner, 0), 0);
	return t->r->in[1] && !tensor_get_int(t->r->in[1], 0);
}

static enum tamis_status record(struct trips *t)
{
	const struct tensor **from = tm_array((size_t)t->n_states + 1, sizeof *from);
	enum tamis_status s;

	if (!from)
		return no_memory(t);
	for (int i = 0; i < t->n_states; i++)
		from[i] = t->r->in[t->lead + i];
	s = keep_row(t, from);
	for (t->at = 0; s == TAMIS_OK && !ends(t); t->at++) {
		s = run_trip(t);
		if (s == TAMIS_OK)
			s = keep_outputs(t, from);
	}
	t->count = t->at;
	free(from);
	return s;
}

/* ---- and backwards ------------------------------------------------------------------------------------------ */

/* *to += gradient, made as large as that where there is none yet. */
static enum tamis_status add_up(const struct trips *t, struct tensor *to, const struct tensor *gradient)
{
	enum tamis_status s = TAMIS_OK;

	if (!to->data) {
		*to = *gradient;
		to->data = NULL;
		s = tensor_alloc(to, t->err);
		if (s == TAMIS_OK)
			memset(to->data, 0, tensor_bytes(to));
	}
	if (s == TAMIS_OK)
		broadcast_add(gradient, 1, to);
	return s;
}

/* What reaches an input of the body: a state, a part of a scanned input, or something from around. */
static enum tamis_status hand_on(void *ctx, int value, const struct tensor *gradient, struct tamis_error *err)
{
	struct trips *t = ctx;
	const struct graph *g = body_graph(t);
	int own = g->n_inputs - g->n_captured;
	enum tamis_status s = TAMIS_OK;

	(void)err;
	for (int i = 0; s == TAMIS_OK && i < g->n_inputs; i++) {
		int at = i < own ? i : t->r->body->first + i - own;
		int scanned = i - t->lead - t->n_states;

		if (g->inputs[i] != value || i < t->lead)
			continue;
		if (i < own && scanned < 0)
			s = add_up(t, &t->before[i - t->lead], gradient);
		else if (i >= own && t->r->gin[at])
			broadcast_add(gradient, 1, t->r->gin[at]);
		else if (i < own && t->r->gin[at])
			slice_add(t->r->gin[at], (int)along(t->r->in[at], t->scan->in_axes, scanned),
			          place(t, t->scan->in_back, scanned), gradient);
	}
	return s;
}

static void stopped(void *ctx, int node)
{
	const struct trips *t = ctx;

	(void)node;
	t->r->no_reverse(t->r->ctx, t->r->graph_node);
}

/* The gradients of the body's outputs: of states what reaches them, of what is stacked its part. */
static enum tamis_status fill_seeds(struct trips *t)
{
	int first = t->lead ? 1 : 0;
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; i < t->n_states; i++)
		t->seed[first + i] = t->reaching[i];
	for (int i = 0; s == TAMIS_OK && i < t->n_stacked; i++) {
		const struct tensor *whole = t->r->gout[t->n_states + i];
		struct tensor *part = &t->seed[first + t->n_states + i];
		int axis;

		if (!whole)
			continue;
		axis = (int)along(whole, t->scan ? t->scan->out_axes : NULL, i);
		if (!part->data)
			s = slice_shape(part, whole, axis, t->err);
		if (s == TAMIS_OK)
			slice_read(part, whole, axis, place(t, t->scan ? t->scan->out_back : NULL, i));
	}
	return s;
}

static void drop(struct tensor *list, size_t n)
{
	for (size_t i = 0; list && i < n; i++)
		tensor_free(&list[i]);
}

static enum tamis_status reverse_trip(struct trips *t, const struct run_hooks *hooks)
{
	struct tensor *swap;
	enum tamis_status s = run_trip(t);

	if (s == TAMIS_OK)
		s = fill_seeds(t);
	if (s == TAMIS_OK)
		s = runner_reverse(t->r->inner->runner, t->seed, hooks, t->err);
	drop(t->reaching, (size_t)t->n_states);
	swap = t->reaching;
	t->reaching = t->before;
	t->before = swap;
	return s;
}

static enum tamis_status reverse_all(struct trips *t, const struct run_hooks *hooks)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < t->n_states; i++)
		if (t->r->gout[i])
			s = add_up(t, &t->reaching[i], t->r->gout[i]);
	for (t->at = t->count - 1; s == TAMIS_OK && t->at >= 0; t->at--)
		s = reverse_trip(t, hooks);
	for (int i = 0; s == TAMIS_OK && i < t->n_states; i++)
		if (t->reaching[i].data && t->r->gin[t->lead + i])
			broadcast_add(&t->reaching[i], 1, t->r->gin[t->lead + i]);
	return s;
}

/* States are on the way to all that reaches them; the rest is watched where somebody wants it. */
static void watch_inputs(const struct trips *t, bool *watch)
{
	const struct graph *g = body_graph(t);
	int own = g->n_inputs - g->n_captured;

	for (int i = t->lead; i < g->n_inputs; i++)
		watch[g->inputs[i]] |= i < t->lead + t->n_states ||
		                       t->r->gin[i < own ? i : t->r->body->first + i - own] != NULL;
}

static enum tamis_status open_slices(struct trips *t)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < t->n_scans; i++) {
		const struct tensor *x = t->r->in[t->n_states + i];
		int axis = (int)along(x, t->scan->in_axes, i);

		t->count = x->dims[axis];
		s = slice_shape(&t->slice[i], x, axis, t->err);
	}
	return s;
}

static enum tamis_status reverse(struct trips *t)
{
	bool *watch = tm_array((size_t)body_graph(t)->n_values + 1, sizeof *watch);
	const struct run_hooks hooks = { .ctx = t, .watch_grad = watch, .grad = hand_on,
		.no_reverse = t->r->no_reverse ? stopped : NULL };
	enum tamis_status s = watch ? open_slices(t) : no_memory(t);

	if (s == TAMIS_OK)
		s = record(t);
	if (s == TAMIS_OK) {
		watch_inputs(t, watch);
		s = reverse_all(t, &hooks);
	}
	free(watch);
	return s;
}

static struct tensor *list_of(int n)
{
	return tm_array((size_t)n + 1, sizeof(struct tensor));
}

enum tamis_status trips_reverse(const struct reversal *r, const struct step *step, struct tamis_error *err)
{
	bool loop = !strcmp(step->node->op->name, "Loop");
	struct trips t = { .r = r, .scan = loop ? NULL : step->node->attr, .lead = loop ? 2 : 0, .err = err };
	enum tamis_status s;

	t.n_states = loop ? step->node->n_in - step->node->n_captured - 2 : t.scan->n_states;
	t.n_scans = loop ? 0 : t.scan->n_scans;
	t.n_stacked = step->node->n_out - t.n_states;
	t.reaching = list_of(t.n_states);
	t.before = list_of(t.n_states);
	t.slice = list_of(t.n_scans);
	t.seed = list_of(1 + step->node->n_out);
	s = t.reaching && t.before && t.slice && t.seed ? reverse(&t) : no_memory(&t);
	drop(t.tape, t.n_tape);
	drop(t.reaching, (size_t)t.n_states);
	drop(t.before, (size_t)t.n_states);
	drop(t.slice, (size_t)t.n_scans);
	drop(t.seed ? t.seed + (loop ? 1 : 0) + t.n_states : NULL, (size_t)t.n_stacked);
	free(t.tape);
	free(t.reaching);
	free(t.before);
	free(t.slice);
	free(t.seed);
	return s;
}
