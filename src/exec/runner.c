/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "exec/control.h"
#include "exec/gradients.h"
#include "exec/runner_state.h"
#include "onnx/document.h"
#include "ops/blas.h"
#include "ops/blocked_back.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "running the model");
}

enum tamis_status runner_create(const struct program *p, struct runner **out, struct tamis_error *err)
{
	struct runner *r = tm_array(1, sizeof *r);
	size_t ports = program_ports(p);

	*out = NULL;
	if (!r)
		return no_memory(err);
	blas_prepare();
	r->program = p;
	r->scratch.limit = p->graph->doc->max_memory;
	r->value = tm_array((size_t)p->n_values + 1, sizeof *r->value);
	r->in = tm_array(ports, sizeof *r->in);
	r->out = tm_array(ports, sizeof *r->out);
	r->gout = tm_array(ports, sizeof *r->gout);
	r->gin = tm_array(ports, sizeof *r->gin);
	r->gradient = tm_array((size_t)p->n_values + 1, sizeof *r->gradient);
	r->gradient_bytes = tm_array((size_t)p->n_values + 1, sizeof *r->gradient_bytes);
	r->wants = tm_array((size_t)p->n_values + 1, sizeof *r->wants);
	r->state = tm_array((size_t)p->n_steps + 1, sizeof *r->state);
	r->back = tm_array((size_t)p->n_steps + 1, sizeof *r->back);
	r->mask = tm_array((size_t)p->n_steps + 1, sizeof *r->mask);
	if (!r->state || !r->back || !r->mask || !r->value || !r->in || !r->out || !r->gout || !r->gin || !r->gradient
	    || !r->gradient_bytes || !r->wants) {
		runner_free(r);
		return no_memory(err);
	}
	*out = r;
	return TAMIS_OK;
}

/* Dynamic values hold memory of their own from one run to the next. */
static void drop_dynamic(struct runner *r)
{
	for (int v = 0; r->plan && r->plan->dynamic && v < r->program->n_values; v++)
		if (r->plan->value[v].place == PLACE_DYNAMIC)
			tensor_free(&r->value[v]);
}

static void free_state(const struct step *s, void *state)
{
	if (s->node->op->flags & OP_CONTROL)
		control_free(s, state);
	else
		node_free_state(s->node, state);
}

void runner_free(struct runner *r)
{
	if (!r)
		return;
	if (r->value)
		drop_dynamic(r);
	for (int i = 0; i < PLAN_CACHE; i++)
		plan_free(r->plans[i]);
	gradients_free(r);
	for (int i = 0; r->back && i < r->program->n_steps; i++)
		blocked_back_free(r->back[i]);
	for (int i = 0; r->mask && i < r->program->n_steps; i++)
		free(r->mask[i].bits);
	for (int i = 0; r->state && i < r->program->n_steps; i++)
		free_state(&r->program->steps[i], r->state[i]);
	scratch_free(&r->scratch);
	free(r->state);
	free(r->back);
	free(r->mask);
	free(r->energy);
	free(r->block);
	free(r->value);
	free(r->in);
	free(r->out);
	free(r->gout);
	free(r->gin);
	free(r->wants);
	free(r);
}

/* ---- choosing a plan ---------------------------------------------------------------------------------------- */

static bool fits(const struct plan *p, const struct tensor *in)
{
	const struct graph *g = p->program->graph;

	for (int i = 0; i < g->n_inputs; i++) {
		const struct tensor *want = &p->value[g->inputs[i]].shape;

		if (want->type != in[i].type || !tensor_same_shape(want, &in[i]))
			return false;
	}
	return true;
}

static enum tamis_status check_input(const struct value *v, const struct tensor *t, struct tamis_error *err)
{
	char got[128];
	bool ok = (v->declared.type == DT_UNDEFINED || v->declared.type == t->type)
		&& (v->declared.rank < 0 || v->declared.rank == t->rank);

	if (ok)
		return TAMIS_OK;
	tm_fail(err, TAMIS_E_INVALID, "the graph input is declared as %s of rank %d, not %s",
	        dtype_name((int)v->declared.type), v->declared.rank, tensor_describe(t, got, sizeof got));
	return tm_in_tensor(err, v->name);
}

static enum tamis_status check_inputs(const struct graph *g, const struct tensor *in, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < g->n_inputs; i++)
		s = check_input(&g->values[g->inputs[i]], &in[i], err);
	return s;
}

static void to_front(struct runner *r, int at, struct plan *p)
{
	for (int i = at; i > 0; i--)
		r->plans[i] = r->plans[i - 1];
	r->plans[0] = p;
}

static enum tamis_status find_plan(struct runner *r, const struct tensor *in, struct plan **out,
                                   struct tamis_error *err)
{
	enum tamis_status s;
	int at;

	for (at = 0; at < PLAN_CACHE && r->plans[at]; at++)
		if (fits(r->plans[at], in)) {
			*out = r->plans[at];
			to_front(r, at, *out);
			return TAMIS_OK;
		}
	s = check_inputs(r->program->graph, in, err);
	if (s == TAMIS_OK)
		s = plan_create(r->program, in, out, err);
	if (s != TAMIS_OK)
		return s;
	if (at == PLAN_CACHE)
		plan_free(r->plans[--at]);
	to_front(r, at, *out);
	return TAMIS_OK;
}

static uint64_t memory_limit(const struct runner *r)
{
	return r->program->graph->doc->max_memory;
}

static enum tamis_status over_limit(const struct runner *r, size_t bytes, struct tamis_error *err)
{
	return tm_fail(err, TAMIS_E_MEMORY, "running the model takes %zu bytes at once; the limit is %" PRIu64, bytes,
	               memory_limit(r));
}

static enum tamis_status grow_block(struct runner *r, size_t bytes, struct tamis_error *err)
{
	void *block;

	if (bytes <= r->block_bytes)
		return TAMIS_OK;
	if (bytes > memory_limit(r))
		return over_limit(r, bytes, err);
	block = r->program->options.training ? tm_pages_uninit(bytes) : tm_array_uninit(bytes, 1);
	if (!block)
		return no_memory(err);
	free(r->block);
	r->block = block;
	r->block_bytes = bytes;
	return TAMIS_OK;
}

static void set_value(struct runner *r, int v)
{
	const struct planned *p = &r->plan->value[v];

	switch (p->place) {
	case PLACE_BLOCK:
		r->value[v] = p->shape;
		r->value[v].data = (char *)r->block + p->offset;
		break;
	case PLACE_CONSTANT:
	case PLACE_FOLDED:
		r->value[v] = p->shape;
		break;
	default:
		r->value[v] = (struct tensor){ .type = DT_UNDEFINED };
	}
}

static void set_views(struct runner *r)
{
	for (int v = 0; v < r->program->n_values; v++)
		if (r->plan->value[v].place == PLACE_VIEW) {
			r->value[v] = r->plan->value[v].shape;
			r->value[v].data = r->value[r->plan->value[v].of].data;
		}
}

static enum tamis_status prepare(struct runner *r, const struct tensor *in, struct tamis_error *err)
{
	const struct graph *g = r->program->graph;
	struct plan *plan = NULL;
	enum tamis_status s;

	drop_dynamic(r);
	r->plan = NULL;
	s = find_plan(r, in, &plan, err);
	if (s == TAMIS_OK)
		s = grow_block(r, plan->block_bytes, err);
	if (s != TAMIS_OK)
		return s;
	r->plan = plan;
	for (int v = 0; v < r->program->n_values; v++)
		set_value(r, v);
	for (int i = 0; i < g->n_inputs; i++)
		r->value[g->inputs[i]] = in[i];
	set_views(r);
	return TAMIS_OK;
}

/* ---- running ------------------------------------------------------------------------------------------------ */

static void set_ports(struct runner *r, const struct step *s)
{
	for (int i = 0; i < s->n_in; i++)
		r->in[i] = s->in[i] == GRAPH_NONE ? NULL : &r->value[s->in[i]];
	for (int i = 0; i < s->n_out; i++)
		r->out[i] = s->out[i] == GRAPH_NONE ? NULL : &r->value[s->out[i]];
}

/* A step with an output of unknown shape: ask again with data, then allocate. */
static enum tamis_status prepare_dynamic(struct runner *r, const struct step *s, struct tamis_error *err)
{
	bool unknown = false;
	enum tamis_status status = node_shape(s->node, r->in, r->out, &r->scratch, &unknown, err);

	if (status == TAMIS_OK && unknown)
		status = tm_fail(err, TAMIS_E_INTERNAL, "%s does not know its shape from full inputs", s->node->op->name);
	for (int i = 0; status == TAMIS_OK && i < s->n_out; i++)
		if (r->out[i] && tensor_bytes(r->out[i]) > memory_limit(r))
			status = over_limit(r, tensor_bytes(r->out[i]), err);
		else if (r->out[i])
			status = tensor_alloc(r->out[i], err);
	return status;
}

static bool is_dynamic(const struct runner *r, const struct step *s)
{
	for (int i = 0; i < s->n_out; i++)
		if (s->out[i] != GRAPH_NONE && r->plan->value[s->out[i]].place == PLACE_DYNAMIC)
			return true;
	return false;
}

static void free_last_used(struct runner *r, const int *list, int n, int index)
{
	for (int i = 0; i < n; i++) {
		int v = list[i];

		if (v != GRAPH_NONE && r->plan->value[v].place == PLACE_DYNAMIC && r->plan->value[v].last_use == index)
			tensor_free(&r->value[v]);
	}
}

static void free_dynamic(struct runner *r, const struct step *s, int index)
{
	free_last_used(r, s->in, s->n_in, index);
	free_last_used(r, s->out, s->n_out, index);
}

static bool is_plain_view(const struct runner *r, const struct step *s)
{
	return (s->node->op->flags & OP_VIEW) && s->out[0] != GRAPH_NONE
		&& r->plan->value[s->out[0]].place == PLACE_VIEW && (s->n_out == 1 || s->out[1] == GRAPH_NONE);
}

static enum tamis_status watch(struct runner *r, const struct step *s, const struct run_hooks *h,
                               struct tamis_error *err)
{
	struct op_call c = { .node = s->node, .n_in = s->n_in, .n_out = s->n_out, .in = r->in, .out = r->out,
		.scratch = &r->scratch, .err = err };

	if (!h || !h->watch_node || s->graph_node == GRAPH_NONE || !h->watch_node[s->graph_node])
		return TAMIS_OK;
	return h->node(h->ctx, s->graph_node, &c, err);
}

/* Operators that run graphs of their own make their outputs themselves. */
static enum tamis_status run_node(struct runner *r, int index, struct tamis_error *err)
{
	const struct step *s = &r->program->steps[index];
	enum tamis_status status = TAMIS_OK;

	if (s->node->op->flags & OP_CONTROL)
		return control_run(r->program, s, r->in, r->out, &r->state[index], &r->trips, err);
	if (r->plan->dynamic && is_dynamic(r, s))
		status = prepare_dynamic(r, s, err);
	if (status == TAMIS_OK)
		status = node_run(s->node, r->in, r->out, &r->scratch, &r->state[index], err);
	return status;
}

static enum tamis_status run_step(struct runner *r, int index, const struct run_hooks *hooks, struct tamis_error *err)
{
	const struct step *s = &r->program->steps[index];
	enum tamis_status status = TAMIS_OK;

	if (r->plan->folded[index] || is_plain_view(r, s))
		return TAMIS_OK;
	set_ports(r, s);
	status = run_node(r, index, err);
	if (status == TAMIS_OK && s->fused && !r->program->partial)
		status = fused_remember(r, index, err);
	if (status == TAMIS_OK)
		status = watch(r, s, hooks, err);
	scratch_reset(&r->scratch);
	if (r->plan->dynamic)
		free_dynamic(r, s, index);
	return status;
}

enum tamis_status runner_run(struct runner *r, const struct tensor *in, const struct run_hooks *hooks,
                             struct tamis_error *err)
{
	enum tamis_status s = prepare(r, in, err);

	r->trips = 0;
	for (int i = 0; s == TAMIS_OK && i < r->program->n_steps; i++)
		s = run_step(r, i, hooks, err);
	return s;
}

int64_t runner_trips(const struct runner *r)
{
	return r->trips;
}

const struct tensor *runner_output(const struct runner *r, int i)
{
	return &r->value[r->program->graph->outputs[i]];
}

const struct tensor *runner_value(const struct runner *r, int value)
{
	return r->value[value].data ? &r->value[value] : NULL;
}

const struct tensor *runner_blocks(const struct runner *r, int value)
{
	int at = r->program->blocks && !r->value[value].data ? r->program->blocks[value] : GRAPH_NONE;

	return at != GRAPH_NONE && r->value[at].data ? &r->value[at] : NULL;
}

size_t runner_bytes(const struct runner *r)
{
	size_t bytes = r->block_bytes + scratch_bytes(&r->scratch);

	for (int v = 0; r->plan && r->plan->dynamic && v < r->program->n_values; v++)
		if (r->plan->value[v].place == PLACE_DYNAMIC && r->value[v].data)
			bytes += tensor_bytes(&r->value[v]);
	return bytes;
}
