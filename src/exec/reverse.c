/* SPDX-License-Identifier: Apache-2.0 */
/* Reverse-mode differentiation over the last run of a training program. A gradient lives from the first contribution
 * until the value's producer has been reversed. */
#include <string.h>

#include "exec/control.h"
#include "exec/gradients.h"

static bool differentiable(const struct tensor *t)
{
	return dtype_is_float((int)t->type);
}

/* Values on a path from something watched: only their gradients are computed. Steps are in topological order. */
static void mark_wanted(struct runner *r, const struct run_hooks *h)
{
	const struct program *p = r->program;

	memset(r->wants, 0, (size_t)p->n_values * sizeof *r->wants);
	for (int v = 0; v < p->graph->n_values; v++)
		r->wants[v] = h->watch_grad[v];
	for (int i = 0; i < p->n_steps; i++) {
		const struct step *s = &p->steps[i];
		bool any = hidden_watched(s, h);

		for (int k = 0; k < s->n_in; k++)
			any |= s->in[k] != GRAPH_NONE && r->wants[s->in[k]];
		for (int k = 0; any && k < s->n_out; k++)
			if (s->out[k] != GRAPH_NONE)
				r->wants[s->out[k]] = true;
	}
}

static void add_floats(const float *from, int64_t n, float *to)
{
	for (int64_t i = 0; i < n; i++)
		to[i] += from[i];
}

static enum tamis_status add_seed(struct runner *r, int v, const struct tensor *seed, struct tamis_error *err)
{
	enum tamis_status s;

	if (!seed->data || !r->wants[v] || !differentiable(&r->value[v]))
		return TAMIS_OK;
	if (seed->count != r->value[v].count)
		return tm_fail(err, TAMIS_E_INTERNAL, "a seed has %lld elements, its output %lld",
		               (long long)seed->count, (long long)r->value[v].count);
	s = gradient_make(r, v, true, err);
	if (s == TAMIS_OK && seed->type == DT_FLOAT && r->gradient[v].type == DT_FLOAT)
		add_floats(seed->data, seed->count, r->gradient[v].data);
	else
		for (int64_t i = 0; s == TAMIS_OK && i < seed->count; i++)
			tensor_set(&r->gradient[v], i, tensor_get(&r->gradient[v], i) + tensor_get(seed, i));
	return s;
}

static enum tamis_status report(struct runner *r, int v, const struct run_hooks *h, struct tamis_error *err)
{
	if (v >= r->program->graph->n_values || !h->watch_grad[v] || r->program->hides[v] || !r->gradient[v].data)
		return TAMIS_OK;
	return h->grad(h->ctx, v, &r->gradient[v], err);
}

/* Half values reach a reverse as FLOAT copies, as they reach a run. */
static enum tamis_status widen(struct runner *r, const struct tensor **port, struct tamis_error *err)
{
	const struct tensor *half = *port;
	struct tensor *copy;

	if (!half || (half->type != DT_FLOAT16 && half->type != DT_BFLOAT16))
		return TAMIS_OK;
	copy = scratch_alloc(&r->scratch, 1, sizeof *copy);
	if (!copy)
		return tm_no_memory(err, "widening half-precision values");
	*copy = *half;
	copy->type = DT_FLOAT;
	copy->data = scratch_alloc(&r->scratch, (size_t)copy->count, sizeof(float));
	if (!copy->data)
		return tm_no_memory(err, "widening half-precision values");
	*port = copy;
	return tensor_convert(half, copy, err);
}

static enum tamis_status set_ports(struct runner *r, const struct step *s, struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	for (int i = 0; status == TAMIS_OK && i < s->n_in; i++) {
		r->in[i] = s->in[i] == GRAPH_NONE ? NULL : &r->value[s->in[i]];
		if (!(s->node->op->flags & OP_CONTROL)) /* bodies take them as they are */
			status = widen(r, &r->in[i], err);
	}
	for (int i = 0; status == TAMIS_OK && i < s->n_out; i++) {
		const struct tensor *t = s->out[i] == GRAPH_NONE ? NULL : &r->value[s->out[i]];

		status = widen(r, &t, err);
		r->out[i] = (struct tensor *)t;
	}
	return status;
}

static enum tamis_status set_gradients(struct runner *r, const struct step *s, struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	for (int i = 0; i < s->n_out; i++)
		r->gout[i] = s->out[i] == GRAPH_NONE || !r->gradient[s->out[i]].data ? NULL : &r->gradient[s->out[i]];
	for (int i = 0; status == TAMIS_OK && i < s->n_in; i++) {
		int v = s->in[i];

		r->gin[i] = NULL;
		if (v == GRAPH_NONE || !r->wants[v] || !differentiable(&r->value[v]))
			continue;
		status = gradient_make(r, v, true, err);
		r->gin[i] = &r->gradient[v];
	}
	return status;
}

static bool has_reverse(const struct step *s)
{
	return s->node->op->reverse || (s->node->op->flags & (OP_VIEW | OP_CONTROL_REVERSE));
}

static bool reached(const struct runner *r, const struct step *s)
{
	for (int i = 0; i < s->n_out; i++)
		if (s->out[i] != GRAPH_NONE && r->gradient[s->out[i]].data)
			return true;
	return false;
}

static bool wanted(const struct runner *r, const struct step *s)
{
	for (int i = 0; i < s->n_in; i++)
		if (s->in[i] != GRAPH_NONE && r->wants[s->in[i]] && differentiable(&r->value[s->in[i]]))
			return true;
	return false;
}

static enum tamis_status pass_through(struct runner *r, const struct step *s, const struct run_hooks *h,
                                      struct tamis_error *err)
{
	enum tamis_status status;

	if (!has_reverse(s)) {
		if (h->no_reverse) {
			h->no_reverse(h->ctx, s->graph_node);
			return TAMIS_OK;
		}
		tm_fail(err, TAMIS_E_UNSUPPORTED, "%s has no reverse", s->node->op->name);
		return tm_in_node(err, s->node->name);
	}
	status = set_ports(r, s, err);
	if (status == TAMIS_OK)
		status = set_gradients(r, s, err);
	if (status == TAMIS_OK && (s->node->op->flags & OP_CONTROL))
		status = control_reverse(s, r->in, r->gout, r->gin, r->state[s - r->program->steps], h->no_reverse, h->ctx, err);
	else if (status == TAMIS_OK)
		status = node_reverse(s->node, r->in, r->out, r->gout, r->gin, &r->scratch,
		                      &r->state[s - r->program->steps], err);
	scratch_reset(&r->scratch);
	return status;
}

/* Everything that reads a value comes after its producer, so here the gradients of the outputs are complete. */
static enum tamis_status reverse_step(struct runner *r, int index, const struct run_hooks *h, struct tamis_error *err)
{
	const struct step *s = &r->program->steps[index];
	enum tamis_status status = TAMIS_OK;

	if (r->plan->folded[index] || !reached(r, s))
		return TAMIS_OK;
	for (int i = 0; status == TAMIS_OK && i < s->n_out; i++)
		if (s->out[i] != GRAPH_NONE)
			status = report(r, s->out[i], h, err);
	if (status == TAMIS_OK)
		status = hidden_energy(r, s, h, err);
	if (status == TAMIS_OK && s->fused)
		status = fused_reverse(r, index, h, err);
	else if (status == TAMIS_OK && wanted(r, s))
		status = pass_through(r, s, h, err);
	for (int i = 0; i < s->n_out; i++)
		if (s->out[i] != GRAPH_NONE)
			gradient_drop(r, s->out[i]);
	return status;
}

/* What is left belongs to constants and graph inputs. */
static enum tamis_status report_rest(struct runner *r, const struct run_hooks *h, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int v = 0; v < r->program->n_values; v++) {
		if (s == TAMIS_OK)
			s = report(r, v, h, err);
		gradient_drop(r, v);
	}
	return s;
}

enum tamis_status runner_reverse(struct runner *r, const struct tensor *seed, const struct run_hooks *hooks,
                                 struct tamis_error *err)
{
	const struct graph *g = r->program->graph;
	enum tamis_status s = TAMIS_OK;

	if (!r->plan || !r->program->options.training || r->program->partial)
		return tm_fail(err, TAMIS_E_INTERNAL, "a reverse pass needs a forward run of a training program");
	if (!hooks || !hooks->watch_grad)
		return TAMIS_OK;
	mark_wanted(r, hooks);
	for (int i = 0; s == TAMIS_OK && i < g->n_outputs; i++)
		s = add_seed(r, g->outputs[i], &seed[i], err);
	for (int i = r->program->n_steps - 1; s == TAMIS_OK && i >= 0; i--)
		s = reverse_step(r, i, hooks, err);
	if (s == TAMIS_OK)
		return report_rest(r, hooks, err);
	for (int v = 0; v < r->program->n_values; v++)
		gradient_drop(r, v);
	return s;
}
