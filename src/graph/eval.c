/* SPDX-License-Identifier: Apache-2.0 */
/* Calling an operator's functions: half types in and out, views, and the bookkeeping of op_call. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "graph/graph.h"

#define MAX_PORTS 256 /* inputs or outputs handled without allocating */

static bool is_half(enum dtype t)
{
	return t == DT_FLOAT16 || t == DT_BFLOAT16;
}

/* The half type that a node computes in, DT_UNDEFINED where it works on its values as they are. */
static enum dtype half_of(const struct node *n, const struct tensor *const *in)
{
	if (n->op->flags & (OP_ANY_BITS | OP_VIEW))
		return DT_UNDEFINED;
	for (int i = 0; i < n->n_in; i++)
		if (in[i] && is_half(in[i]->type))
			return in[i]->type;
	return DT_UNDEFINED;
}

/* Copies of tensor structs with half types renamed FLOAT; `data` of renamed ones comes from scratch. */
struct ports {
	struct tensor copies[MAX_PORTS];
	const struct tensor *list[MAX_PORTS];
};

/* Port i becomes FLOAT, with room for its elements if it has any. */
static enum tamis_status rename_half(struct ports *p, int i, const struct tensor *t, struct scratch *scratch,
                                     struct tamis_error *err)
{
	p->list[i] = t;
	if (!t || !is_half(t->type))
		return TAMIS_OK;
	p->copies[i] = *t;
	p->copies[i].type = DT_FLOAT;
	p->list[i] = &p->copies[i];
	if (!t->data)
		return TAMIS_OK;
	p->copies[i].data = scratch_alloc(scratch, (size_t)t->count, sizeof(float));
	return p->copies[i].data ? TAMIS_OK : tm_no_memory(err, "widening half-precision values");
}

static enum tamis_status widen_inputs(struct ports *p, const struct tensor *const *in, int n, struct scratch *scratch,
                                      struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < n; i++) {
		s = rename_half(p, i, in[i], scratch, err);
		if (s == TAMIS_OK && p->list[i] != in[i] && in[i]->data)
			s = tensor_convert(in[i], &p->copies[i], err);
	}
	return s;
}

static enum tamis_status widen_outputs(struct ports *p, struct tensor *const *out, int n, struct scratch *scratch,
                                       struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < n; i++)
		s = rename_half(p, i, out[i], scratch, err);
	return s;
}

static enum tamis_status too_many(const struct node *n, struct tamis_error *err)
{
	return tm_fail(err, TAMIS_E_UNSUPPORTED, "half-precision %s with %d inputs and %d outputs; %d are supported",
	               n->op->name, n->n_in, n->n_out, MAX_PORTS);
}

static enum tamis_status call_shape(const struct node *n, const struct tensor *const *in, struct tensor *const *out,
                                    struct scratch *scratch, bool *unknown, struct tamis_error *err)
{
	struct op_call c = { .node = n, .n_in = n->n_in, .n_out = n->n_out, .in = in, .out = out, .scratch = scratch,
		.err = err };
	enum tamis_status s = n->op->shape(&c);

	*unknown = c.unknown;
	if (s != TAMIS_OK)
		tm_in_node(err, n->name);
	return s;
}

static enum tamis_status shape_of_half(const struct node *n, enum dtype half, const struct tensor *const *in,
                                       struct tensor *const *out, struct scratch *scratch, bool *unknown,
                                       struct tamis_error *err)
{
	struct ports p;
	enum tamis_status s;

	if (n->n_in > MAX_PORTS || n->n_out > MAX_PORTS)
		return too_many(n, err);
	s = widen_inputs(&p, in, n->n_in, scratch, err);
	if (s == TAMIS_OK)
		s = call_shape(n, p.list, out, scratch, unknown, err);
	for (int i = 0; s == TAMIS_OK && !*unknown && i < n->n_out; i++)
		if (out[i] && out[i]->type == DT_FLOAT)
			out[i]->type = half;
	return s;
}

enum tamis_status node_shape(const struct node *n, const struct tensor *const *in, struct tensor *const *out,
                             struct scratch *scratch, bool *unknown, struct tamis_error *err)
{
	enum dtype half = half_of(n, in);

	*unknown = false;
	if (half != DT_UNDEFINED)
		return shape_of_half(n, half, in, out, scratch, unknown, err);
	return call_shape(n, in, out, scratch, unknown, err);
}

static void run_view(const struct tensor *from, struct tensor *to)
{
	if (to->data != from->data && to->count)
		memcpy(to->data, from->data, tensor_bytes(to));
}

/* None of the tensors has elements. */
static bool all_empty(struct tensor *const *list, int n)
{
	for (int i = 0; i < n; i++)
		if (list[i] && list[i]->count)
			return false;
	return true;
}

static enum tamis_status call_run(const struct node *n, const struct tensor *const *in, struct tensor *const *out,
                                  struct scratch *scratch, void **state, struct tamis_error *err)
{
	struct op_call c = { .node = n, .n_in = n->n_in, .n_out = n->n_out, .in = in, .out = out, .scratch = scratch,
		.state = state, .err = err };
	enum tamis_status s;

	if (all_empty(out, n->n_out)) /* what an operator prepares could be any size: extents beside a 0 are not bounded */
		return TAMIS_OK;
	if ((n->op->flags & OP_VIEW) && out[0])
		run_view(in[0], out[0]);
	s = n->op->run ? n->op->run(&c) : TAMIS_OK;
	if (s != TAMIS_OK)
		tm_in_node(err, n->name);
	return s;
}

static enum tamis_status run_half(const struct node *n, const struct tensor *const *in, struct tensor *const *out,
                                  struct scratch *scratch, void **state, struct tamis_error *err)
{
	struct ports p, q;
	enum tamis_status s;

	if (n->n_in > MAX_PORTS || n->n_out > MAX_PORTS)
		return too_many(n, err);
	s = widen_inputs(&p, in, n->n_in, scratch, err);
	if (s == TAMIS_OK)
		s = widen_outputs(&q, out, n->n_out, scratch, err);
	if (s == TAMIS_OK)
		s = call_run(n, p.list, (struct tensor *const *)q.list, scratch, state, err);
	for (int i = 0; s == TAMIS_OK && i < n->n_out; i++)
		if (out[i] && is_half(out[i]->type))
			s = tensor_convert(q.list[i], out[i], err);
	return s;
}

enum tamis_status node_run(const struct node *n, const struct tensor *const *in, struct tensor *const *out,
                           struct scratch *scratch, void **state, struct tamis_error *err)
{
	if (half_of(n, in) != DT_UNDEFINED)
		return run_half(n, in, out, scratch, state, err);
	return call_run(n, in, out, scratch, state, err);
}

void node_free_state(const struct node *n, void *state)
{
	if (state && n->op->free_state)
		n->op->free_state(state);
}

static void reverse_view(const struct tensor *gout, struct tensor *gin)
{
	if (!gout || !gin)
		return;
	if (gin->type == DT_DOUBLE)
		for (int64_t i = 0; i < gin->count; i++)
			((double *)gin->data)[i] += ((const double *)gout->data)[i];
	else
		for (int64_t i = 0; i < gin->count; i++)
			((float *)gin->data)[i] += ((const float *)gout->data)[i];
}

enum tamis_status node_reverse(const struct node *n, const struct tensor *const *in, struct tensor *const *out,
                               const struct tensor *const *gout, struct tensor *const *gin, struct scratch *scratch,
                               void **state, struct tamis_error *err)
{
	struct op_call c = { .node = n, .n_in = n->n_in, .n_out = n->n_out, .in = in, .out = out, .scratch = scratch,
		.state = state, .err = err };
	struct op_grad g = { .call = &c, .gout = gout, .gin = gin };
	enum tamis_status s;

	if (n->op->flags & OP_VIEW) {
		reverse_view(gout[0], gin[0]);
		return TAMIS_OK;
	}
	if (all_empty((struct tensor *const *)gout, n->n_out) || all_empty(gin, n->n_in))
		return TAMIS_OK; /* nothing passes, however large the extents beside a 0 */
	s = n->op->reverse ? n->op->reverse(&g)
	                   : tm_fail(err, TAMIS_E_UNSUPPORTED, "%s has no reverse", n->op->name);
	if (s != TAMIS_OK)
		tm_in_node(err, n->name);
	return s;
}

static void drop_outputs(struct tensor *out, int n)
{
	for (int i = 0; i < n; i++)
		tensor_free(&out[i]);
}

static enum tamis_status alloc_outputs(const struct node *n, struct tensor *const *out, uint64_t max_bytes,
                                       struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;
	uint64_t bytes = 0;
	bool fits = true;

	for (int i = 0; i < n->n_out; i++)
		if (out[i])
			fits = fits && tm_add(bytes, (uint64_t)tensor_bytes(out[i]), &bytes) && bytes <= max_bytes;
	if (!fits) {
		tm_fail(err, TAMIS_E_MEMORY, "the outputs take more than %" PRIu64 " bytes, the limit on memory", max_bytes);
		return tm_in_node(err, n->name);
	}
	for (int i = 0; s == TAMIS_OK && i < n->n_out; i++)
		if (out[i])
			s = tensor_alloc(out[i], err);
	return s;
}

static enum tamis_status eval(const struct node *n, const struct tensor *const *in, struct tensor *out,
                              struct tensor **list, struct scratch *scratch, uint64_t max_bytes,
                              struct tamis_error *err)
{
	bool unknown;
	enum tamis_status s;

	for (int i = 0; i < n->n_out; i++) {
		out[i] = (struct tensor){ .type = DT_UNDEFINED };
		list[i] = n->out[i] == GRAPH_NONE ? NULL : &out[i];
	}
	s = node_shape(n, in, list, scratch, &unknown, err);
	if (s == TAMIS_OK && unknown)
		s = tm_fail(err, TAMIS_E_INTERNAL, "%s does not know its shape from full inputs", n->op->name);
	if (s == TAMIS_OK)
		s = alloc_outputs(n, list, max_bytes, err);
	if (s == TAMIS_OK)
		s = node_run(n, in, list, scratch, NULL, err);
	if (s != TAMIS_OK)
		drop_outputs(out, n->n_out);
	return s;
}

enum tamis_status node_eval_within(const struct node *n, const struct tensor *const *in, struct tensor *out,
                                   uint64_t max_bytes, struct tamis_error *err)
{
	struct tensor **list = tm_array((size_t)n->n_out + 1, sizeof *list);
	struct scratch scratch = { .limit = max_bytes };
	enum tamis_status s;

	if (!list)
		return tm_no_memory(err, "evaluating a constant");
	s = eval(n, in, out, list, &scratch, max_bytes, err);
	scratch_free(&scratch);
	free(list);
	return s;
}

enum tamis_status node_eval(const struct node *n, const struct tensor *const *in, struct tensor *out,
                            struct tamis_error *err)
{
	return node_eval_within(n, in, out, UINT64_MAX, err);
}
