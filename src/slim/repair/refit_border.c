/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/refit_border.h"

#include <stdlib.h>
#include <string.h>


static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "refitting");
}

/* ---- where it is ------------------------------------------------------------------------------------------------ */

struct search {
	const struct refit_job *job;
	int node;
	bool *runs;   /* by node: it is needed behind the border */
	bool *read;   /* by value: by one of those */
};

/* Follows from shapes and constants: making it again costs nothing. */
static bool is_known(const struct plan *p, int value)
{
	return p->value[value].place == PLACE_CONSTANT || p->value[value].place == PLACE_FOLDED;
}

static bool makes(const struct search *s, const struct node *n, bool known)
{
	for (int k = 0; k < n->n_out; k++)
		if (n->out[k] != GRAPH_NONE && s->read[n->out[k]] && (!known || is_known(s->job->plan, n->out[k])))
			return true;
	return false;
}

/* From what is wanted backwards. */
static void mark_runs(struct search *s, const bool *wanted)
{
	const struct graph *g = s->job->graph;

	for (int i = g->n_nodes - 1; i >= 0; i--) {
		const struct node *n = &g->nodes[i];

		s->runs[i] = !n->constant && (wanted[i] || makes(s, n, i < s->node));
		for (int k = 0; s->runs[i] && k < n->n_in; k++)
			if (n->in[k] != GRAPH_NONE)
				s->read[n->in[k]] = true;
	}
}

/* Made before the border by a node that does not run again. */
static bool crosses(const struct search *s, int value)
{
	const struct value *v = &s->job->graph->values[value];

	return s->read[value] && v->kind == VALUE_NODE && !s->runs[v->producer];
}

static bool can_be_held(const struct plan *p, int value)
{
	const struct planned *v = &p->value[value];

	return v->shape.type == DT_FLOAT && (v->place == PLACE_BLOCK || v->place == PLACE_VIEW);
}

/* False: something crosses that cannot be held. */
static bool collect(const struct search *s, struct refit_border *b)
{
	const struct graph *g = s->job->graph;

	for (int v = 0; v < g->n_values; v++) {
		if (!crosses(s, v))
			continue;
		if (!can_be_held(s->job->plan, v))
			return false;
		b->value[b->n++] = v;
		b->bytes += (double)tensor_bytes(&s->job->plan->value[v].shape);
	}
	for (int i = 0; i < g->n_nodes; i++)
		b->gone[i] = i < s->node && !s->runs[i];
	for (int i = 0; i < g->n_inputs; i++)
		b->inputs |= s->read[g->inputs[i]];
	return true;
}

enum tamis_status refit_border_before(const struct refit_job *job, int node, const bool *wanted, struct arena *arena,
                                      struct refit_border **out, struct tamis_error *err)
{
	const struct graph *g = job->graph;
	struct search s = { .job = job, .node = node };
	struct refit_border *b = arena_alloc(arena, sizeof *b);

	*out = NULL;
	s.runs = tm_array((size_t)g->n_nodes + 1, sizeof *s.runs);
	s.read = tm_array((size_t)g->n_values + 1, sizeof *s.read);
	if (b)
		*b = (struct refit_border){ .node = node, .gone = arena_array(arena, (size_t)g->n_nodes + 1, sizeof *b->gone),
			.value = arena_array(arena, (size_t)g->n_values + 1, sizeof *b->value) };
	if (b && b->gone && b->value && s.runs && s.read) {
		mark_runs(&s, wanted);
		*out = collect(&s, b) ? b : NULL;
	}
	free(s.read);
	if (!b || !b->gone || !b->value || !s.runs || !s.read) {
		free(s.runs);
		return no_memory(err);
	}
	free(s.runs);
	return TAMIS_OK;
}

/* ---- what crossed it --------------------------------------------------------------------------------------------- */

enum tamis_status refit_held_add(struct refit_held *h, struct refit_crossing *c, struct tamis_error *err)
{
	if (!tm_grow((void **)&h->of, &h->cap, (size_t)h->chunks + 1, sizeof *h->of))
		return no_memory(err);
	h->of[h->chunks++] = *c;
	*c = (struct refit_crossing){ 0 };
	return TAMIS_OK;
}

const struct refit_crossing *refit_held_of(const struct refit_held *h, int64_t chunk)
{
	return &h->of[chunk / h->every];
}

void refit_held_drop(struct refit_held *h, int64_t chunk)
{
	refit_crossing_free(&h->of[chunk / h->every]);
}

void refit_held_free(struct refit_held *h)
{
	for (int64_t i = 0; i < h->chunks; i++)
		refit_crossing_free(&h->of[i]);
	free(h->of);
	*h = (struct refit_held){ 0 };
}

static bool copy(const struct tensor *from, struct tensor *to)
{
	*to = *from;
	to->data = tm_array_uninit(tensor_bytes(from) + 1, 1);
	if (to->data)
		memcpy(to->data, from->data, tensor_bytes(from));
	return to->data != NULL;
}

bool refit_crossing_copy(const struct refit_border *at, const struct chunk *chunk, int n_inputs, const struct runner *r,
                         struct refit_crossing *out)
{
	bool done;

	*out = (struct refit_crossing){ .items = chunk->items, .n_inputs = n_inputs, .n = at->n,
		.in = tm_array((size_t)(n_inputs + at->n) + 1, sizeof *out->in) };
	done = out->in != NULL;
	for (int i = 0; done && i < n_inputs; i++) {
		out->in[i] = chunk->in[i];
		out->in[i].data = NULL;
	}
	for (int i = 0; done && i < at->n; i++)
		done = copy(runner_output(r, i), &out->in[n_inputs + i]);
	if (!done)
		refit_crossing_free(out);
	return done;
}

void refit_crossing_free(struct refit_crossing *c)
{
	for (int i = 0; c->in && i < c->n; i++)
		free(c->in[c->n_inputs + i].data);
	free(c->in);
	*c = (struct refit_crossing){ 0 };
}
