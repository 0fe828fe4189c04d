/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/control.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "exec/control_state.h"
#include "exec/stack.h"
#include "onnx/document.h"
#include "ops/control.h"

/* A control-flow step being run. */
struct control {
	const struct graph *graph;
	bool training; /* values of bodies are kept for a reverse pass */
	const struct node *node;
	const struct tensor *const *in;
	struct tensor *const *out;
	struct inner *inner; /* by body of the node */
	int64_t *trips;      /* of this run of the model so far */
	struct tamis_error *err;
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "running the body of a node");
}

/* ---- bodies ------------------------------------------------------------------------------------------------- */

static void free_inner(struct inner *b)
{
	runner_free(b->runner);
	program_free(b->program);
	free(b->in);
}

void control_free(const struct step *s, void *state)
{
	struct inner *list = state;

	for (int i = 0; list && i < s->node->n_bodies; i++)
		free_inner(&list[i]);
	free(list);
}

static enum tamis_status open_inner(struct control *c, const struct body *b, struct inner *inner)
{
	const struct program_options options = { .training = c->training };
	enum tamis_status s;

	if (inner->runner)
		return TAMIS_OK;
	free_inner(inner);
	*inner = (struct inner){ .in = tm_array((size_t)b->graph->n_inputs + 1, sizeof *inner->in) };
	if (!inner->in)
		return no_memory(c->err);
	s = program_create(b->graph, &options, &inner->program, c->err);
	return s == TAMIS_OK ? runner_create(inner->program, &inner->runner, c->err) : s;
}

/* Readies the body of that attribute and fills in what it captures. */
static enum tamis_status enter(struct control *c, const char *attribute, struct inner **out)
{
	const struct body *b = node_body(c->node, attribute);
	struct inner *inner = &c->inner[b - c->node->bodies];
	int own = b->graph->n_inputs - b->graph->n_captured;
	enum tamis_status s = open_inner(c, b, inner);

	for (int i = 0; s == TAMIS_OK && i < b->graph->n_captured; i++)
		inner->in[own + i] = *c->in[b->first + i];
	*out = inner;
	return s;
}

/* Loops in loops multiply, and a Scan may go over billions of slices that hold nothing: what ends, but not in anyone's time,
 * is refused as well. */
static enum tamis_status run_inner(struct control *c, struct inner *b)
{
	enum tamis_status s = runner_run(b->runner, b->in, NULL, c->err);

	*c->trips += 1 + runner_trips(b->runner);
	if (s == TAMIS_OK && *c->trips > CONTROL_MAX_TRIPS)
		return tm_fail(c->err, TAMIS_E_UNSUPPORTED, "the model has not ended after %d trips through bodies of Loop, Scan and If",
		               CONTROL_MAX_TRIPS);
	return s;
}

/* ---- tensors ------------------------------------------------------------------------------------------------ */

static enum tamis_status copy(const struct control *c, struct tensor *to, const struct tensor *from)
{
	uint64_t limit = c->graph->doc->max_memory;
	enum tamis_status s;

	*to = *from;
	to->data = NULL;
	if (tensor_bytes(to) > limit)
		return tm_fail(c->err, TAMIS_E_MEMORY, "a value of %s takes more than %" PRIu64 " bytes, the limit on memory",
		               c->node->op->name, limit);
	s = tensor_alloc(to, c->err);
	if (s == TAMIS_OK && tensor_bytes(to))
		memcpy(to->data, from->data, tensor_bytes(to));
	return s;
}

/* A tensor changes hands. */
static void hand_over(struct tensor *to, struct tensor *from)
{
	if (!to)
		return;
	*to = *from;
	*from = (struct tensor){ .type = DT_UNDEFINED };
}

static enum tamis_status one_value(const struct control *c, const struct tensor *t, enum dtype type, const char *what)
{
	char got[128];

	if (t->type == type && t->count == 1)
		return TAMIS_OK;
	return tm_fail(c->err, TAMIS_E_INVALID, "%s of %s should be one %s, not %s", what, c->node->op->name,
	               dtype_name((int)type), tensor_describe(t, got, sizeof got));
}

/* Values that pass from one trip to the next: every trip reads the old ones while it makes the new. */
static enum tamis_status carry(const struct control *c, const struct inner *b, int first, struct tensor *state, int n)
{
	struct tensor *made = tm_array((size_t)n + 1, sizeof *made);
	enum tamis_status s = made ? TAMIS_OK : no_memory(c->err);

	for (int i = 0; s == TAMIS_OK && i < n; i++)
		s = copy(c, &made[i], runner_output(b->runner, first + i));
	for (int i = 0; made && i < n; i++) {
		if (s == TAMIS_OK) {
			tensor_free(&state[i]);
			state[i] = made[i];
		} else {
			tensor_free(&made[i]);
		}
	}
	free(made);
	return s;
}

static enum tamis_status copy_states(const struct control *c, int first, struct tensor *state, int n)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < n; i++)
		s = copy(c, &state[i], c->in[first + i]);
	return s;
}

static void free_list(struct tensor *list, int n)
{
	for (int i = 0; list && i < n; i++)
		tensor_free(&list[i]);
	free(list);
}

/* ---- values stacked trip by trip ---------------------------------------------------------------------------- */

static enum tamis_status push_all(const struct control *c, const struct inner *b, int first, struct stacked *list,
                                  int n)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < n; i++)
		s = stack_push(&list[i], runner_output(b->runner, first + i), c->graph->doc->max_memory, c->err);
	return s;
}

static void free_stacks(struct stacked *list, int n)
{
	for (int i = 0; list && i < n; i++)
		stack_free(&list[i]);
	free(list);
}

/* The outputs made of stacks; without a trip, their shape is what the body declares. */
static enum tamis_status finish_stacks(const struct control *c, const struct inner *b, int first, struct stacked *list,
                                       int n, int out, const struct scan_attr *a)
{
	const struct graph *g = b->program->graph;
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < n; i++) {
		int64_t axis = a && a->out_axes ? a->out_axes[i] : 0;
		bool back = a && a->out_back && a->out_back[i];

		if (!list[i].count)
			s = stack_declare(&list[i], &g->values[g->outputs[first + i]].declared, c->err);
		if (s == TAMIS_OK && c->out[out + i])
			s = stack_finish(&list[i], axis, back, c->out[out + i], c->err);
	}
	return s;
}

/* ---- If ----------------------------------------------------------------------------------------------------- */

static enum tamis_status run_if(struct control *c)
{
	struct inner *b;
	enum tamis_status s = one_value(c, c->in[0], DT_BOOL, "the condition");

	if (s == TAMIS_OK)
		s = enter(c, control_branch(c->in[0]), &b);
	if (s == TAMIS_OK)
		s = run_inner(c, b);
	for (int i = 0; s == TAMIS_OK && i < c->node->n_out; i++)
		if (c->out[i])
			s = copy(c, c->out[i], runner_output(b->runner, i));
	return s;
}

/* ---- Loop --------------------------------------------------------------------------------------------------- */

struct loop {
	struct inner *body;
	int64_t trips;          /* at most */
	bool go;                /* the condition */
	struct tensor *carried;
	struct stacked *stacked;
	int n_carried, n_stacked;
};

static enum tamis_status run_trip(struct control *c, struct loop *l, int64_t trip)
{
	struct inner *b = l->body;
	const struct graph *g = b->program->graph;
	unsigned char go = 1;
	enum tamis_status s;

	b->in[0] = control_scalar(g, 0, DT_INT64, &trip);
	b->in[1] = control_scalar(g, 1, DT_BOOL, &go);
	for (int i = 0; i < l->n_carried; i++)
		b->in[2 + i] = l->carried[i];
	s = run_inner(c, b);
	if (s == TAMIS_OK)
		s = one_value(c, runner_output(b->runner, 0), DT_BOOL, "the condition that the body gives");
	if (s == TAMIS_OK)
		s = push_all(c, b, 1 + l->n_carried, l->stacked, l->n_stacked);
	if (s != TAMIS_OK)
		return s;
	l->go = tensor_get_int(runner_output(b->runner, 0), 0) != 0;
	return carry(c, b, 1, l->carried, l->n_carried);
}

static enum tamis_status run_trips(struct control *c, struct loop *l)
{
	enum tamis_status s = TAMIS_OK;

	for (int64_t trip = 0; s == TAMIS_OK && l->go && trip < l->trips; trip++)
		s = run_trip(c, l, trip);
	return s;
}

static enum tamis_status loop_limits(const struct control *c, struct loop *l)
{
	enum tamis_status s = TAMIS_OK;

	l->trips = INT64_MAX;
	l->go = true;
	if (c->in[0])
		s = one_value(c, c->in[0], DT_INT64, "the trip count");
	if (s == TAMIS_OK && c->in[1])
		s = one_value(c, c->in[1], DT_BOOL, "the condition");
	if (s == TAMIS_OK && c->in[0])
		l->trips = tensor_get_int(c->in[0], 0);
	if (s == TAMIS_OK && c->in[1])
		l->go = tensor_get_int(c->in[1], 0) != 0;
	return s;
}

static enum tamis_status run_loop(struct control *c)
{
	struct loop l = { .n_carried = c->node->n_in - c->node->n_captured - 2 };
	enum tamis_status s = loop_limits(c, &l);

	l.n_stacked = c->node->n_out - l.n_carried;
	if (s == TAMIS_OK)
		s = enter(c, "body", &l.body);
	if (s != TAMIS_OK)
		return s;
	l.carried = tm_array((size_t)l.n_carried + 1, sizeof *l.carried);
	l.stacked = tm_array((size_t)l.n_stacked + 1, sizeof *l.stacked);
	s = l.carried && l.stacked ? copy_states(c, 2, l.carried, l.n_carried) : no_memory(c->err);
	if (s == TAMIS_OK)
		s = run_trips(c, &l);
	if (s == TAMIS_OK)
		s = finish_stacks(c, l.body, 1 + l.n_carried, l.stacked, l.n_stacked, l.n_carried, NULL);
	for (int i = 0; s == TAMIS_OK && i < l.n_carried; i++)
		hand_over(c->out[i], &l.carried[i]);
	free_list(l.carried, l.n_carried);
	free_stacks(l.stacked, l.n_stacked);
	return s;
}

/* ---- Scan --------------------------------------------------------------------------------------------------- */

struct scan {
	const struct scan_attr *attr;
	struct inner *body;
	int64_t trips;
	struct tensor *state;
	struct tensor *slice;   /* the part of each scanned input that this trip reads */
	struct stacked *stacked;
};

static enum tamis_status axis_of(const struct control *c, const struct scan_attr *a, int i, int *axis)
{
	const struct tensor *t = c->in[a->n_states + i];
	int64_t x = a->in_axes ? a->in_axes[i] : 0;

	*axis = (int)(x < 0 ? x + t->rank : x);
	if (x >= -t->rank && x < t->rank)
		return TAMIS_OK;
	return tm_fail(c->err, TAMIS_E_INVALID, "Scan cannot read along axis %" PRId64 " of an input of rank %d", x,
	               t->rank);
}

/* How often the body runs: as long as all scanned inputs are; and memory for one slice of each. */
static enum tamis_status open_slices(const struct control *c, struct scan *x)
{
	const struct scan_attr *a = x->attr;
	enum tamis_status s = TAMIS_OK;
	int axis;

	for (int i = 0; s == TAMIS_OK && i < a->n_scans; i++) {
		const struct tensor *t = c->in[a->n_states + i];

		s = axis_of(c, a, i, &axis);
		if (s == TAMIS_OK && i && t->dims[axis] != x->trips)
			s = tm_fail(c->err, TAMIS_E_INVALID, "the inputs of Scan are %" PRId64 " and %" PRId64 " long", x->trips,
			            t->dims[axis]);
		if (s != TAMIS_OK)
			return s;
		x->trips = t->dims[axis];
		s = slice_shape(&x->slice[i], t, axis, c->err);
	}
	return s;
}

static enum tamis_status scan_trip(struct control *c, struct scan *x, int64_t trip)
{
	const struct scan_attr *a = x->attr;
	enum tamis_status s = TAMIS_OK;
	int axis;

	for (int i = 0; i < a->n_states; i++)
		x->body->in[i] = x->state[i];
	for (int i = 0; s == TAMIS_OK && i < a->n_scans; i++) {
		bool back = a->in_back && a->in_back[i];

		s = axis_of(c, a, i, &axis);
		if (s == TAMIS_OK)
			slice_read(&x->slice[i], c->in[a->n_states + i], axis, back ? x->trips - 1 - trip : trip);
		x->body->in[a->n_states + i] = x->slice[i];
	}
	if (s == TAMIS_OK)
		s = run_inner(c, x->body);
	if (s == TAMIS_OK)
		s = push_all(c, x->body, a->n_states, x->stacked, a->n_stacked);
	return s == TAMIS_OK ? carry(c, x->body, 0, x->state, a->n_states) : s;
}

static enum tamis_status scan(struct control *c, struct scan *x)
{
	const struct scan_attr *a = x->attr;
	enum tamis_status s = copy_states(c, 0, x->state, a->n_states);

	if (s == TAMIS_OK)
		s = open_slices(c, x);
	for (int64_t trip = 0; s == TAMIS_OK && trip < x->trips; trip++)
		s = scan_trip(c, x, trip);
	if (s == TAMIS_OK)
		s = finish_stacks(c, x->body, a->n_states, x->stacked, a->n_stacked, a->n_states, a);
	for (int i = 0; s == TAMIS_OK && i < a->n_states; i++)
		hand_over(c->out[i], &x->state[i]);
	return s;
}

static enum tamis_status run_scan(struct control *c)
{
	struct scan x = { .attr = c->node->attr };
	const struct scan_attr *a = x.attr;
	enum tamis_status s = enter(c, "body", &x.body);

	if (s != TAMIS_OK)
		return s;
	x.state = tm_array((size_t)a->n_states + 1, sizeof *x.state);
	x.slice = tm_array((size_t)a->n_scans + 1, sizeof *x.slice);
	x.stacked = tm_array((size_t)a->n_stacked + 1, sizeof *x.stacked);
	s = x.state && x.slice && x.stacked ? scan(c, &x) : no_memory(c->err);
	free_list(x.state, a->n_states);
	free_list(x.slice, a->n_scans);
	free_stacks(x.stacked, a->n_stacked);
	return s;
}

/* ---- Scan of opset 8: a batch of scans ---------------------------------------------------------------------- */

/* One item's run: inputs are that item's slices of the batch, cut to its length; outputs are kept, to be joined. */
struct batch_scan {
	struct control item;         /* what the scan of one item sees */
	const struct tensor **in;
	struct tensor *part;         /* the item's inputs */
	struct tensor **out;
	struct tensor *made;         /* its outputs */
	struct stacked *joined;      /* by output: items so far */
	int64_t longest;
};

static enum tamis_status item_length(const struct control *c, int64_t item, int64_t longest, int64_t *length)
{
	const struct tensor *t = c->in[0];

	*length = longest;
	if (!t)
		return TAMIS_OK;
	if (t->type != DT_INT64 || item >= t->count || tensor_get_int(t, item) < 0 || tensor_get_int(t, item) > longest)
		return tm_fail(c->err, TAMIS_E_INVALID, "the lengths that Scan is given should be int64 from 0 to %" PRId64
		               ", one an item", longest);
	*length = tensor_get_int(t, item);
	return TAMIS_OK;
}

static enum tamis_status open_item(const struct control *c, struct batch_scan *b, int64_t item)
{
	const struct scan_attr *a = c->node->attr;
	int64_t length;
	enum tamis_status s = item_length(c, item, b->longest, &length);

	for (int i = 0; s == TAMIS_OK && i < a->n_states + a->n_scans; i++) {
		tensor_free(&b->part[i]);
		s = slice_shape(&b->part[i], c->in[1 + i], 0, c->err);
		if (s != TAMIS_OK)
			break;
		slice_read(&b->part[i], c->in[1 + i], 0, item);
		if (i >= a->n_states)
			stack_cut(&b->part[i], length);
		b->in[i] = &b->part[i];
	}
	return s;
}

/* Outputs along time are as long as the longest item could be; what an item does not reach is 0. */
static enum tamis_status join_item(const struct control *c, struct batch_scan *b)
{
	const struct scan_attr *a = c->node->attr;
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < c->node->n_out; i++) {
		if (i >= a->n_states)
			s = stack_lengthen(&b->made[i], b->longest, c->graph->doc->max_memory, c->err);
		if (s == TAMIS_OK)
			s = stack_push(&b->joined[i], &b->made[i], c->graph->doc->max_memory, c->err);
		tensor_free(&b->made[i]);
	}
	return s;
}

static enum tamis_status check_batch(const struct control *c, int64_t *items, int64_t *longest)
{
	const struct scan_attr *a = c->node->attr;

	*items = c->in[1]->rank ? c->in[1]->dims[0] : 0;
	for (int i = 0; i < a->n_states + a->n_scans; i++) {
		const struct tensor *t = c->in[1 + i];

		if (t->rank < (i < a->n_states ? 1 : 2) || t->dims[0] != *items)
			return tm_fail(c->err, TAMIS_E_INVALID, "input %d of Scan has no axis of %" PRId64 " items", 1 + i,
			               *items);
		if (i >= a->n_states)
			*longest = t->dims[1];
	}
	if (!*items)
		return tm_fail(c->err, TAMIS_E_INVALID, "Scan is given a batch of no items");
	return TAMIS_OK;
}

static enum tamis_status scan_items(struct control *c, struct batch_scan *b)
{
	int64_t items;
	enum tamis_status s = check_batch(c, &items, &b->longest);

	for (int64_t item = 0; s == TAMIS_OK && item < items; item++) {
		s = open_item(c, b, item);
		if (s == TAMIS_OK)
			s = run_scan(&b->item);
		if (s == TAMIS_OK)
			s = join_item(c, b);
	}
	for (int i = 0; s == TAMIS_OK && i < c->node->n_out; i++)
		if (c->out[i])
			s = stack_finish(&b->joined[i], 0, false, c->out[i], c->err);
	return s;
}

static enum tamis_status run_batch_scan(struct control *c)
{
	int n_in = c->node->n_in, n_out = c->node->n_out;
	struct batch_scan b = { .item = *c };
	enum tamis_status s;

	b.in = tm_array((size_t)n_in + 1, sizeof *b.in);
	b.part = tm_array((size_t)n_in + 1, sizeof *b.part);
	b.out = tm_array((size_t)n_out + 1, sizeof *b.out);
	b.made = tm_array((size_t)n_out + 1, sizeof *b.made);
	b.joined = tm_array((size_t)n_out + 1, sizeof *b.joined);
	s = b.in && b.part && b.out && b.made && b.joined ? TAMIS_OK : no_memory(c->err);
	for (int i = 0; s == TAMIS_OK && i < n_out; i++)
		b.out[i] = &b.made[i];
	for (int i = n_in - c->node->n_captured; s == TAMIS_OK && i < n_in; i++)
		b.in[i] = c->in[i];
	b.item.in = b.in;
	b.item.out = b.out;
	if (s == TAMIS_OK)
		s = scan_items(c, &b);
	free(b.in);
	free(b.out);
	free_list(b.part, n_in);
	free_list(b.made, n_out);
	free_stacks(b.joined, n_out);
	return s;
}

/* ---- the whole ---------------------------------------------------------------------------------------------- */

static enum tamis_status run(struct control *c)
{
	const struct scan_attr *a = c->node->attr;

	if (!strcmp(c->node->op->name, "If"))
		return run_if(c);
	if (!strcmp(c->node->op->name, "Loop"))
		return run_loop(c);
	return a->batched ? run_batch_scan(c) : run_scan(c);
}

enum tamis_status control_run(const struct program *p, const struct step *step, const struct tensor *const *in,
                              struct tensor *const *out, void **state, int64_t *trips, struct tamis_error *err)
{
	struct control c = { .graph = p->graph, .training = p->options.training, .node = step->node, .in = in, .out = out,
		.trips = trips, .err = err };
	enum tamis_status s;

	if (!*state)
		*state = tm_array((size_t)step->node->n_bodies + 1, sizeof(struct inner));
	if (!*state)
		return no_memory(err);
	c.inner = *state;
	s = run(&c);
	if (s != TAMIS_OK)
		tm_in_node(err, step->node->name);
	return s;
}
