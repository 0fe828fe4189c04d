/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "onnx/document.h"
#include "ops/blocked_back.h"

#define ALIGN 64u
#define FOLD_LIMIT 65536 /* elements: larger values that happen to follow from shapes are computed while running */

struct builder {
	struct plan *plan;
	struct scratch scratch;
	const struct tensor **in; /* of the step in hand */
	struct tensor **out;
	struct tensor *shapes;
	struct tamis_error *err;
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "planning memory");
}

/* ---- shapes ------------------------------------------------------------------------------------------------- */

/* What the step's operator may see of an input now: shape, and data where they are known. False: not even the shape. */
static bool look_up(struct builder *b, const struct step *s)
{
	struct plan *p = b->plan;

	for (int i = 0; i < s->n_in; i++) {
		int v = s->in[i];

		b->in[i] = v == GRAPH_NONE ? NULL : &p->value[v].shape;
		if (v != GRAPH_NONE && p->value[v].place == PLACE_DYNAMIC)
			return false;
	}
	return true;
}

static bool computable(const struct builder *b, const struct step *s)
{
	if (s->node->op->flags & OP_RANDOM)
		return false;
	for (int i = 0; i < s->n_in; i++)
		if (b->in[i] && !b->in[i]->data && b->in[i]->count && !(i == 0 && (s->node->op->flags & OP_SHAPE_ONLY)))
			return false;
	for (int i = 0; i < s->n_out; i++)
		if (b->out[i] && b->out[i]->count > FOLD_LIMIT)
			return false;
	return true;
}

static enum tamis_status compute(struct builder *b, const struct step *s)
{
	enum tamis_status status = TAMIS_OK;

	for (int i = 0; status == TAMIS_OK && i < s->n_out; i++)
		if (b->out[i])
			status = tensor_alloc(b->out[i], b->err);
	if (status == TAMIS_OK)
		status = node_run(s->node, b->in, b->out, &b->scratch, NULL, b->err);
	for (int i = 0; i < s->n_out; i++)
		if (b->out[i]) {
			struct planned *v = &b->plan->value[s->out[i]];

			v->shape = *b->out[i];
			v->place = PLACE_FOLDED;
		}
	return status;
}

static void set_outputs(struct builder *b, const struct step *s, enum place place)
{
	for (int i = 0; i < s->n_out; i++)
		if (b->out[i]) {
			struct planned *v = &b->plan->value[s->out[i]];

			v->shape = *b->out[i];
			v->place = place;
		}
	b->plan->dynamic |= place == PLACE_DYNAMIC;
}

static enum tamis_status shape_step(struct builder *b, int index)
{
	const struct step *s = &b->plan->program->steps[index];
	bool unknown = !look_up(b, s);
	enum tamis_status status = TAMIS_OK;

	for (int i = 0; i < s->n_out; i++) {
		b->shapes[i] = (struct tensor){ .type = DT_UNDEFINED };
		b->out[i] = s->out[i] == GRAPH_NONE ? NULL : &b->shapes[i];
	}
	if (!unknown)
		status = node_shape(s->node, b->in, b->out, &b->scratch, &unknown, b->err);
	if (status == TAMIS_OK && !unknown && computable(b, s)) {
		b->plan->folded[index] = true;
		status = compute(b, s);
	} else if (status == TAMIS_OK) {
		set_outputs(b, s, unknown ? PLACE_DYNAMIC : PLACE_BLOCK);
	}
	scratch_reset(&b->scratch);
	return status;
}

static enum tamis_status shape_all(struct builder *b)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < b->plan->program->n_steps; i++)
		s = shape_step(b, i);
	return s;
}

/* ---- lifetimes ---------------------------------------------------------------------------------------------- */

static bool is_view(const struct plan *p, const struct step *s)
{
	int v = s->in[0];

	return (s->node->op->flags & OP_VIEW) && s->out[0] != GRAPH_NONE && v != GRAPH_NONE
		&& p->value[s->out[0]].place == PLACE_BLOCK && p->value[v].place != PLACE_FOLDED;
}

static int root(const struct plan *p, int v)
{
	while (p->value[v].place == PLACE_VIEW)
		v = p->value[v].of;
	return v;
}

/* A view of a view points at the first one's memory directly, so chains stay short. */
static void mark_views(struct plan *p)
{
	for (int i = 0; i < p->program->n_steps; i++) {
		const struct step *s = &p->program->steps[i];

		if (!p->folded[i] && is_view(p, s)) {
			p->value[s->out[0]].place = PLACE_VIEW;
			p->value[s->out[0]].of = root(p, s->in[0]);
		}
	}
}

static void extend(struct plan *p, int v, int step)
{
	struct planned *r = &p->value[root(p, v)];

	if (r->last_use < step)
		r->last_use = step;
}

/* What the reverse pass of a training program looks at of a step. */
struct look { bool in, out; };

static struct look looks_back(const struct program *p, const struct step *s)
{
	unsigned blind = s->node->op->flags & OP_VIEW ? OP_BLIND_REVERSE : s->node->op->flags & OP_BLIND_REVERSE;

	if (p->partial && p->options.energies)
		return (struct look){ false, false };
	if (!p->options.training || !p->options.energies)
		return (struct look){ p->options.training, p->options.training };
	if (s->fused)
		return (struct look){ false, s->fused->has_after && !blocked_has_mask(&s->fused->after) };
	return (struct look){ blind != OP_BLIND_REVERSE, !(blind & OP_BLIND_OUTPUT) };
}

static void mark_lifetimes(struct plan *p)
{
	const struct program *g = p->program;

	for (int v = 0; v < g->n_values; v++)
		p->value[v].last_use = -1;
	for (int i = 0; i < g->n_steps; i++) {
		struct look look = looks_back(g, &g->steps[i]);

		for (int k = 0; k < g->steps[i].n_in; k++)
			if (g->steps[i].in[k] != GRAPH_NONE)
				extend(p, g->steps[i].in[k], look.in ? g->n_steps : i);
		for (int k = 0; k < g->steps[i].n_out; k++)
			if (g->steps[i].out[k] != GRAPH_NONE)
				extend(p, g->steps[i].out[k], look.out ? g->n_steps : i);
	}
	for (int v = 0; v < g->graph->n_values; v++)
		if (g->graph->values[v].is_output)
			extend(p, v, g->n_steps);
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

struct gap { size_t offset, size; };
struct space {
	struct gap *gaps; /* free ranges in order of offset, neighbours joined */
	size_t n, cap, top;
};

static size_t rounded(size_t bytes)
{
	return (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* The smallest gap that is large enough, else the end of the block. */
static bool take(struct space *s, size_t bytes, size_t *offset)
{
	size_t best = s->n;

	for (size_t i = 0; i < s->n; i++)
		if (s->gaps[i].size >= bytes && (best == s->n || s->gaps[i].size < s->gaps[best].size))
			best = i;
	if (best == s->n) {
		*offset = s->top;
		return tm_add(s->top, bytes, &s->top);
	}
	*offset = s->gaps[best].offset;
	s->gaps[best].offset += bytes;
	s->gaps[best].size -= bytes;
	if (!s->gaps[best].size) {
		memmove(&s->gaps[best], &s->gaps[best + 1], (s->n - best - 1) * sizeof *s->gaps);
		s->n--;
	}
	return true;
}

static bool give_back(struct space *s, size_t offset, size_t bytes)
{
	size_t i = 0;

	if (!bytes)
		return true;
	while (i < s->n && s->gaps[i].offset < offset)
		i++;
	if (i && s->gaps[i - 1].offset + s->gaps[i - 1].size == offset) {
		s->gaps[--i].size += bytes;
	} else {
		if (!tm_grow((void **)&s->gaps, &s->cap, s->n + 1, sizeof *s->gaps))
			return false;
		memmove(&s->gaps[i + 1], &s->gaps[i], (s->n - i) * sizeof *s->gaps);
		s->n++;
		s->gaps[i] = (struct gap){ offset, bytes };
	}
	if (i + 1 < s->n && s->gaps[i].offset + s->gaps[i].size == s->gaps[i + 1].offset) {
		s->gaps[i].size += s->gaps[i + 1].size;
		memmove(&s->gaps[i + 1], &s->gaps[i + 2], (s->n - i - 2) * sizeof *s->gaps);
		s->n--;
	}
	return true;
}

static bool reads_again(const struct plan *p, const struct step *s, int from)
{
	for (int k = 1; k < s->n_in; k++)
		if (s->in[k] != GRAPH_NONE && root(p, s->in[k]) == from)
			return true;
	return false;
}

/* An elementwise step may write over what it alone still needs: output 0 takes the place of input 0. */
static bool take_over(struct plan *p, const struct step *s, int step)
{
	struct planned *to, *from;
	int r;

	if (!(s->node->op->flags & OP_INPLACE) || s->n_in < 1 || s->in[0] == GRAPH_NONE || s->out[0] == GRAPH_NONE)
		return false;
	r = root(p, s->in[0]);
	from = &p->value[r];
	to = &p->value[s->out[0]];
	if (to->place != PLACE_BLOCK || from->place != PLACE_BLOCK || from->last_use != step || reads_again(p, s, r)
	    || from->shape.type != to->shape.type || from->shape.count != to->shape.count
	    || p->value[s->in[0]].shape.count != to->shape.count)
		return false;
	to->offset = from->offset;
	from->last_use = -2 - step; /* as if freed: its place lives on */
	return true;
}

static bool place_outputs(struct plan *p, struct space *space, const struct step *s, int step)
{
	for (int k = take_over(p, s, step); k < s->n_out; k++) {
		struct planned *v = s->out[k] == GRAPH_NONE ? NULL : &p->value[s->out[k]];

		if (v && v->place == PLACE_BLOCK && !take(space, rounded(tensor_bytes(&v->shape)), &v->offset))
			return false;
	}
	return true;
}

static bool free_value(struct plan *p, struct space *space, int id, int step)
{
	struct planned *v = &p->value[root(p, id)];

	if (v->place != PLACE_BLOCK || v->last_use != step)
		return true;
	v->last_use = -2 - step; /* freed: the same value may be read twice by one step */
	return give_back(space, v->offset, rounded(tensor_bytes(&v->shape)));
}

static bool free_values(struct plan *p, struct space *space, int i)
{
	const struct step *s = &p->program->steps[i];

	for (int k = 0; k < s->n_in; k++)
		if (s->in[k] != GRAPH_NONE && !free_value(p, space, s->in[k], i))
			return false;
	for (int k = 0; k < s->n_out; k++)
		if (s->out[k] != GRAPH_NONE && !free_value(p, space, s->out[k], i))
			return false;
	return true;
}

static enum tamis_status place_all(struct plan *p, struct tamis_error *err)
{
	struct space space = { 0 };
	bool ok = true;

	for (int i = 0; ok && i < p->program->n_steps; i++)
		ok = place_outputs(p, &space, &p->program->steps[i], i) && free_values(p, &space, i);
	for (int v = 0; v < p->program->n_values; v++)
		if (p->value[v].last_use <= -2)
			p->value[v].last_use = -2 - p->value[v].last_use;
	p->block_bytes = space.top;
	free(space.gaps);
	return ok ? TAMIS_OK : no_memory(err);
}

/* ---- the whole ---------------------------------------------------------------------------------------------- */

static void start_values(struct plan *p, const struct tensor *in)
{
	const struct program *g = p->program;

	for (int v = 0; v < g->n_values; v++)
		if (g->constant[v].type != DT_UNDEFINED) {
			p->value[v].shape = g->constant[v];
			p->value[v].place = PLACE_CONSTANT;
		}
	for (int i = 0; i < g->graph->n_inputs; i++) {
		struct planned *v = &p->value[g->graph->inputs[i]];

		v->shape = in[i];
		v->shape.data = NULL;
		v->place = PLACE_INPUT;
	}
}

static enum tamis_status build(struct plan *p, const struct tensor *in, struct tamis_error *err)
{
	size_t ports = program_ports(p->program);
	struct builder b = { .plan = p, .err = err, .scratch.limit = p->program->graph->doc->max_memory };
	enum tamis_status s;

	b.in = tm_array(ports, sizeof *b.in);
	b.out = tm_array(ports, sizeof *b.out);
	b.shapes = tm_array(ports, sizeof *b.shapes);
	p->value = tm_array((size_t)p->program->n_values + 1, sizeof *p->value);
	p->folded = tm_array((size_t)p->program->n_steps + 1, sizeof *p->folded);
	s = b.in && b.out && b.shapes && p->value && p->folded ? TAMIS_OK : no_memory(err);
	if (s == TAMIS_OK) {
		start_values(p, in);
		s = shape_all(&b);
	}
	if (s == TAMIS_OK) {
		mark_views(p);
		mark_lifetimes(p);
		s = place_all(p, err);
	}
	scratch_free(&b.scratch);
	free(b.in);
	free(b.out);
	free(b.shapes);
	return s;
}

enum tamis_status plan_create(const struct program *program, const struct tensor *in, struct plan **out,
                              struct tamis_error *err)
{
	struct plan *p = tm_array(1, sizeof *p);
	enum tamis_status s;

	*out = NULL;
	if (!p)
		return no_memory(err);
	p->program = program;
	p->n_values = program->n_values;
	s = build(p, in, err);
	if (s != TAMIS_OK) {
		plan_free(p);
		return s;
	}
	*out = p;
	return TAMIS_OK;
}

void plan_free(struct plan *p)
{
	if (!p)
		return;
	for (int v = 0; p->value && v < p->n_values; v++)
		if (p->value[v].place == PLACE_FOLDED)
			tensor_free(&p->value[v].shape);
	free(p->value);
	free(p->folded);
	free(p);
}
