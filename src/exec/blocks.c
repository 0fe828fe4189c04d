/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/blocks.h"

#include <string.h>

#include "exec/chains.h"
#include "exec/nominal.h"
#include "graph/attr.h"
#include "ops/blocked_chain.h"
#include "ops/conv.h"

enum {
	FEW_CHANNELS = 4,    /* an image of so many comes as it is */
	LEAST_CHANNELS = 8   /* fewer on either side do not fill a block */
};

/* A convolution and its chain, made where the chain ends. */
struct fused {
	int conv;
	struct chain chain;
	bool plain;
	const struct op *op;
	void *attr; /* NULL: no fast way */
	int weight, bias; /* the weight packed; GRAPH_NONE: no bias */
	int unpacked;     /* the weight in the model's layout */
};

/* A chain of scalars and activations after a convolution of a training program, made where it ends. */
struct maps { int from; struct chain chain; };

struct layout {
	struct program *p;
	struct uses uses;
	bool *gone;          /* by step: part of a fused convolution */
	struct fused **at;   /* by step: what is made there */
	struct maps **maps;  /* by step: the same */
	int *blocks;         /* by value: its blocked form, GRAPH_NONE = none yet */
	bool *missing;       /* by value: it exists as blocks alone */
	struct step *out;
	int n_out, n_fused;
	struct tamis_error *err;
};

static enum tamis_status no_memory(struct layout *l)
{
	return tm_no_memory(l->err, "laying out convolutions");
}

size_t blocks_most_values(const struct graph *g)
{
	return (size_t)g->n_values + 4 * (size_t)g->n_nodes;
}

/* ---- which convolutions ------------------------------------------------------------------------------------------ */

/* A bias of every output, or none. */
static bool bias_fits(const struct program *p, const struct step *s, int64_t maps)
{
	const struct tensor *b = step_constant(p, s, 2);

	return s->n_in < 3 || s->in[2] == GRAPH_NONE || (b && b->type == DT_FLOAT && b->count == maps);
}

static bool eligible(const struct layout *l, const struct step *s, bool *plain)
{
	const struct tensor *w = step_constant(l->p, s, 1), *x;
	int64_t group;

	if (!step_is(s, "Conv") || !w || w->type != DT_FLOAT || w->rank != 4 || !bias_fits(l->p, s, w->dims[0]))
		return false;
	x = uses_shape(&l->uses, s->in[0], 4);
	group = ((const struct conv_attr *)s->node->attr)->group;
	if (!x || !uses_shape(&l->uses, s->out[0], 4) || w->dims[0] < LEAST_CHANNELS)
		return false;
	*plain = group == 1 && x->dims[1] <= FEW_CHANNELS && w->dims[2] * w->dims[3] > 1;
	if (group > 1)
		return group == x->dims[1] && w->dims[0] == group;
	return *plain || x->dims[1] >= LEAST_CHANNELS;
}

static int add_constant(struct layout *l, const struct tensor *t)
{
	l->p->constant[l->p->n_values] = *t;
	l->p->owned[l->p->n_values] = true;
	return l->p->n_values++;
}

/* a (w x + bias) + b as a convolution: a w, and a bias of a bias + b. *weight is malloc'ed. */
static enum tamis_status absorb(struct layout *l, const struct step *s, struct blocked_after linear, int *bias,
                                struct tensor *weight)
{
	const struct tensor *old = step_constant(l->p, s, 2), *w = step_constant(l->p, s, 1);
	struct tensor made = { 0 };
	enum tamis_status status;

	*weight = *w;
	weight->data = NULL;
	status = tensor_alloc(weight, l->err);
	if (status == TAMIS_OK)
		status = tensor_shape(&made, DT_FLOAT, 1, w->dims, l->err);
	if (status == TAMIS_OK)
		status = tensor_alloc(&made, l->err);
	if (status != TAMIS_OK)
		return status;
	for (int64_t i = 0; i < w->count; i++)
		((float *)weight->data)[i] = linear.a * ((const float *)w->data)[i];
	for (int64_t i = 0; i < made.count; i++)
		((float *)made.data)[i] = linear.b + (old ? linear.a * ((const float *)old->data)[i] : 0);
	*bias = add_constant(l, &made);
	return TAMIS_OK;
}

static enum tamis_status choose_way(struct layout *l, const struct blocked_conv_spec *spec, struct fused *f,
                                    struct tensor *packed)
{
	enum tamis_status s = blocked_winograd_prepare(spec, &l->p->arena, &f->attr, packed, l->err);

	f->op = &blocked_winograd;
	if (s != TAMIS_OK || f->attr)
		return s;
	f->op = &blocked_conv;
	return blocked_conv_prepare(spec, &l->p->arena, &f->attr, packed, l->err);
}

static enum tamis_status prepare(struct layout *l, struct fused *f)
{
	const struct step *s = &l->p->steps[f->conv];
	bool linear = f->chain.n_after && f->chain.after[0].kind == BLOCKED_LINEAR;
	struct tensor weight = *step_constant(l->p, s, 1), scaled = { 0 }, packed = { 0 };
	struct blocked_conv_spec spec = { .conv = s->node, .x = uses_shape(&l->uses, s->in[0], 4), .weight = &weight,
		.plain = f->plain, .n_after = f->chain.n_after - linear };
	enum tamis_status status = TAMIS_OK;

	f->bias = s->n_in > 2 ? s->in[2] : GRAPH_NONE;
	memcpy(spec.after, f->chain.after + linear, (size_t)spec.n_after * sizeof *spec.after);
	if (linear)
		status = absorb(l, s, f->chain.after[0], &f->bias, &scaled);
	if (linear)
		weight = scaled;
	spec.has_bias = f->bias != GRAPH_NONE;
	if (status == TAMIS_OK)
		status = choose_way(l, &spec, f, &packed);
	if (status == TAMIS_OK && f->attr)
		f->weight = add_constant(l, &packed);
	f->unpacked = s->in[1];
	if (status == TAMIS_OK && f->attr && linear && l->p->options.training)
		f->unpacked = add_constant(l, &scaled);
	else
		tensor_free(&scaled);
	return status;
}

/* What follows a convolution and its chain but cannot be undone from its result. */
static enum tamis_status fuse_maps(struct layout *l, const struct chain *before)
{
	struct maps *m = arena_alloc(&l->p->arena, sizeof *m);

	if (!m)
		return no_memory(l);
	m->from = before->value;
	chain_find_maps(&l->uses, l->gone, before->last, before->value, &m->chain);
	if (!m->chain.n_steps)
		return TAMIS_OK;
	for (int i = 0; i < m->chain.n_steps; i++)
		l->gone[m->chain.steps[i]] = true;
	l->maps[m->chain.last] = m;
	return TAMIS_OK;
}

/* With its chain, or alone where oneDNN has no kernel for both. */
static enum tamis_status fuse(struct layout *l, int conv, bool plain)
{
	const struct step *s = &l->p->steps[conv];
	struct fused *f = arena_alloc(&l->p->arena, sizeof *f);
	enum tamis_status status;

	if (!f)
		return no_memory(l);
	*f = (struct fused){ .conv = conv, .plain = plain };
	chain_find(&l->uses, l->gone, conv, s->out[0], &f->chain);
	status = prepare(l, f);
	if (status == TAMIS_OK && !f->attr && f->chain.n_after) {
		f->chain = (struct chain){ .value = s->out[0], .last = conv, .residual = GRAPH_NONE };
		status = prepare(l, f);
	}
	if (status != TAMIS_OK || !f->attr)
		return status;
	l->gone[conv] = true;
	for (int i = 0; i < f->chain.n_steps; i++)
		l->gone[f->chain.steps[i]] = true;
	l->at[f->chain.last] = f;
	l->n_fused++;
	return l->p->options.training ? fuse_maps(l, &f->chain) : TAMIS_OK;
}

static enum tamis_status fuse_all(struct layout *l)
{
	enum tamis_status s = TAMIS_OK;
	bool plain;

	for (int i = 0; s == TAMIS_OK && i < l->p->n_steps; i++)
		if (!l->gone[i] && eligible(l, &l->p->steps[i], &plain))
			s = fuse(l, i, plain);
	return s;
}

/* ---- new steps --------------------------------------------------------------------------------------------------- */

/* A step of an operator of ours in the place of one of the model's. n_in inputs; one output. */
static struct step *add_step(struct layout *l, const struct op *op, void *attr, int of, int n_in)
{
	const struct step *model = &l->p->steps[of];
	struct node *n = arena_alloc(&l->p->arena, sizeof *n);
	int *in = arena_array(&l->p->arena, (size_t)n_in + 1, sizeof *in);
	struct step *s = &l->out[l->n_out];

	if (!n || !in)
		return NULL;
	*n = *model->node;
	n->op = op;
	n->attr = attr;
	n->in = in;
	n->out = in + n_in;
	n->n_in = n_in;
	n->n_out = 1;
	*s = (struct step){ .node = n, .graph_node = model->graph_node, .in = n->in, .out = n->out, .n_in = n_in, .n_out = 1 };
	l->n_out++;
	return s;
}

/* A new value, the blocked form of `of`. */
static int new_blocks(struct layout *l, int of)
{
	return l->blocks[of] = l->p->n_values++;
}

static enum tamis_status want_blocks(struct layout *l, int value, int step)
{
	struct step *s;

	if (l->blocks[value] != GRAPH_NONE)
		return TAMIS_OK;
	s = add_step(l, &blocked_pack, NULL, step, 1);
	if (!s)
		return no_memory(l);
	s->graph_node = GRAPH_NONE;
	s->in[0] = value;
	s->out[0] = new_blocks(l, value);
	return TAMIS_OK;
}

static int64_t *channels_of(struct layout *l, int value)
{
	int64_t *c = arena_alloc(&l->p->arena, sizeof *c);

	if (c)
		*c = uses_shape(&l->uses, value, 4)->dims[1];
	return c;
}

static enum tamis_status want_plain(struct layout *l, int value, int step)
{
	struct step *s;
	int64_t *channels;

	if (!l->missing[value])
		return TAMIS_OK;
	channels = channels_of(l, value);
	s = channels ? add_step(l, &blocked_unpack, channels, step, 1) : NULL;
	if (!s)
		return no_memory(l);
	s->graph_node = GRAPH_NONE;
	s->in[0] = l->blocks[value];
	s->out[0] = value;
	l->missing[value] = false;
	return TAMIS_OK;
}

static void makes_blocks(struct layout *l, struct step *s, int value)
{
	s->out[0] = new_blocks(l, value);
	l->missing[value] = true;
}

/* What the convolution itself makes: inside of a norm, of scalars, or of what follows. NULL: no memory. */
static const struct hidden *hidden_in(struct layout *l, const struct fused *f)
{
	const struct step *conv = &l->p->steps[f->conv];
	const struct chain *c = &f->chain;
	struct hidden *h = arena_alloc(&l->p->arena, sizeof *h);
	float *scale;

	if (!h)
		return NULL;
	*h = (struct hidden){ .value = conv->out[0], .channels = step_constant(l->p, conv, 1)->dims[0] };
	if (conv->hidden)
		*h = *conv->hidden;
	if (!c->n_after || c->after[0].kind != BLOCKED_LINEAR)
		return h;
	scale = arena_array(&l->p->arena, (size_t)h->channels, sizeof *scale);
	for (int64_t o = 0; scale && o < h->channels; o++)
		scale[o] = c->after[0].a * (h->scale ? h->scale[o] : 1);
	h->scale = scale;
	return scale ? h : NULL;
}

/* What a reverse pass has to know. */
static enum tamis_status reversible(struct layout *l, const struct fused *f, struct step *s)
{
	const struct step *conv = &l->p->steps[f->conv];
	const struct chain *c = &f->chain;
	const struct blocked_after *last = c->n_after ? &c->after[c->n_after - 1] : NULL;
	struct fused_conv *back = arena_alloc(&l->p->arena, sizeof *back);

	s->hidden = hidden_in(l, f);
	if (!back || !s->hidden)
		return no_memory(l);
	*back = (struct fused_conv){ .weight = f->unpacked, .conv = conv->node, .residual = s->in[3] };
	back->has_after = last && last->kind != BLOCKED_RESIDUAL && last->kind != BLOCKED_LINEAR;
	if (back->has_after)
		back->after = *last;
	s->fused = back;
	l->p->hides[s->hidden->value] = true;
	return TAMIS_OK;
}

static enum tamis_status put_conv(struct layout *l, const struct fused *f, int step)
{
	const struct step *conv = &l->p->steps[f->conv];
	const struct chain *c = &f->chain;
	enum tamis_status status = f->plain ? want_plain(l, conv->in[0], step) : want_blocks(l, conv->in[0], step);
	struct step *s;

	if (status == TAMIS_OK && c->residual != GRAPH_NONE)
		status = want_blocks(l, c->residual, step);
	if (status != TAMIS_OK)
		return status;
	s = add_step(l, f->op, f->attr, f->conv, 4);
	if (!s)
		return no_memory(l);
	s->in[0] = f->plain ? conv->in[0] : l->blocks[conv->in[0]];
	s->in[1] = f->weight;
	s->in[2] = f->bias;
	s->in[3] = c->residual == GRAPH_NONE ? GRAPH_NONE : l->blocks[c->residual];
	makes_blocks(l, s, c->value);
	return l->p->options.training ? reversible(l, f, s) : TAMIS_OK;
}

static enum tamis_status put_maps(struct layout *l, const struct maps *m, int step)
{
	struct blocked_chain *attr = arena_alloc(&l->p->arena, sizeof *attr);
	struct step *s = attr ? add_step(l, &blocked_chain, attr, step, 1) : NULL;

	if (!s)
		return no_memory(l);
	attr->n = m->chain.n_after;
	memcpy(attr->part, m->chain.after, sizeof attr->part);
	s->in[0] = l->blocks[m->from];
	makes_blocks(l, s, m->chain.value);
	return TAMIS_OK;
}

/* ---- between convolutions ---------------------------------------------------------------------------------------- */

/* Every input but the first is one number that never changes. */
static bool scalars_follow(const struct layout *l, const struct step *s)
{
	const struct tensor *t;

	for (int i = 1; i < s->n_in; i++)
		if (s->in[i] != GRAPH_NONE && (!(t = step_constant(l->p, s, i)) || t->count != 1))
			return false;
	return true;
}

/* Can input i of a sum or product stand beside blocks of this shape: the same shape, or one number a channel. */
static bool stands_beside(const struct layout *l, int value, const struct tensor *shape)
{
	const struct tensor *t = uses_shape(&l->uses, value, 4);

	if (!t || t->dims[1] != shape->dims[1])
		return false;
	return tensor_same_shape(t, shape) || (t->dims[0] == shape->dims[0] && t->dims[2] == 1 && t->dims[3] == 1);
}

static bool binary(const struct layout *l, const struct step *s)
{
	const struct tensor *y = uses_shape(&l->uses, s->out[0], 4);
	bool fits = s->n_in == 2 && y && (step_is(s, "Add") || step_is(s, "Mul") || step_is(s, "Sub"));
	float ignored;

	for (int i = 0; fits && i < 2; i++)
		fits = stands_beside(l, s->in[i], y)
			|| (step_scalar(l->p, s, i, &ignored) && step_constant(l->p, s, i)->rank <= 4);
	return fits;
}

static bool is_blocked(const struct layout *l, int value)
{
	return value != GRAPH_NONE && l->blocks[value] != GRAPH_NONE && l->missing[value];
}

/* Blocks that are all full can be put one after the other. */
static bool concat(const struct layout *l, const struct step *s)
{
	const Onnx__NodeProto *n = s->node->proto;
	bool fits = step_is(s, "Concat") && n->n_attribute == 1 && n->attribute[0]->i == 1;

	for (int i = 0; fits && i < s->n_in; i++) {
		const struct tensor *t = s->in[i] == GRAPH_NONE ? NULL : uses_shape(&l->uses, s->in[i], 4);

		fits = t && is_blocked(l, s->in[i]) && t->dims[1] % blocked_width() == 0;
	}
	return fits;
}

/* The model's own operator on blocks: inputs that are images are taken as blocks, numbers as they are. */
static enum tamis_status put_same(struct layout *l, int step)
{
	const struct step *model = &l->p->steps[step];
	enum tamis_status status = TAMIS_OK;
	struct step *s;

	for (int i = 0; status == TAMIS_OK && i < model->n_in; i++)
		if (model->in[i] != GRAPH_NONE && uses_shape(&l->uses, model->in[i], 4))
			status = want_blocks(l, model->in[i], step);
	s = status == TAMIS_OK ? add_step(l, model->node->op, model->node->attr, step, model->n_in) : NULL;
	if (!s)
		return status == TAMIS_OK ? no_memory(l) : status;
	for (int i = 0; i < model->n_in; i++)
		s->in[i] = model->in[i] != GRAPH_NONE && uses_shape(&l->uses, model->in[i], 4) ? l->blocks[model->in[i]]
		                                                                               : model->in[i];
	makes_blocks(l, s, model->out[0]);
	return TAMIS_OK;
}

static const struct op *pool_of(const struct step *s)
{
	return step_is(s, "MaxPool") ? &blocked_max_pool : step_is(s, "AveragePool") ? &blocked_average_pool : NULL;
}

static enum tamis_status put_pool(struct layout *l, int step)
{
	const struct step *model = &l->p->steps[step];
	bool global = step_is(model, "GlobalAveragePool");
	void *attr = global ? channels_of(l, model->in[0]) : model->node->attr;
	struct step *s = attr ? add_step(l, global ? &blocked_global_average : pool_of(model), attr, step, 1) : NULL;

	if (!s)
		return no_memory(l);
	s->in[0] = l->blocks[model->in[0]];
	if (global)
		s->out[0] = model->out[0];
	else
		makes_blocks(l, s, model->out[0]);
	return TAMIS_OK;
}

static enum tamis_status put_plain(struct layout *l, int step)
{
	const struct step *model = &l->p->steps[step];
	enum tamis_status status = TAMIS_OK;

	for (int i = 0; status == TAMIS_OK && i < model->n_in; i++)
		if (model->in[i] != GRAPH_NONE)
			status = want_plain(l, model->in[i], step);
	if (status == TAMIS_OK)
		l->out[l->n_out++] = *model;
	return status;
}

static enum tamis_status put(struct layout *l, int step)
{
	const struct step *s = &l->p->steps[step];
	bool one = s->n_out == 1 && s->n_in >= 1 && uses_shape(&l->uses, s->out[0], 4);

	if (l->at[step])
		return put_conv(l, l->at[step], step);
	if (l->maps[step])
		return put_maps(l, l->maps[step], step);
	if (l->gone[step])
		return TAMIS_OK;
	if (one && is_blocked(l, s->in[0]) && (step_is(s, "GlobalAveragePool") || pool_of(s)))
		return put_pool(l, step);
	if (one && is_blocked(l, s->in[0]) && step_is_activation(s) && scalars_follow(l, s))
		return put_same(l, step);
	if (one && (is_blocked(l, s->in[0]) || (s->n_in == 2 && is_blocked(l, s->in[1]))) && binary(l, s))
		return put_same(l, step);
	if (one && concat(l, s))
		return put_same(l, step);
	return put_plain(l, step);
}

/* Graph outputs are there in the model's layout as soon as they are made: whoever looks at a reader's inputs takes them so. */
static enum tamis_status put_outputs(struct layout *l, int step)
{
	const struct graph *g = l->p->graph;
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < g->n_outputs; i++)
		s = want_plain(l, g->outputs[i], step);
	return s;
}

static enum tamis_status put_all(struct layout *l)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < l->p->n_steps; i++) {
		s = put(l, i);
		if (s == TAMIS_OK)
			s = put_outputs(l, i);
	}
	if (s == TAMIS_OK) {
		l->p->steps = l->out;
		l->p->n_steps = l->n_out;
		l->p->blocks = l->blocks;
	}
	return s;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static enum tamis_status allocate(struct layout *l)
{
	size_t values = (size_t)l->p->n_values + blocks_most_values(l->p->graph), steps = (size_t)l->p->n_steps;
	struct arena *a = &l->p->arena;

	l->gone = arena_array(a, steps + 1, sizeof *l->gone);
	l->at = arena_array(a, steps + 1, sizeof *l->at);
	l->maps = arena_array(a, steps + 1, sizeof *l->maps);
	l->blocks = arena_array(a, values + 1, sizeof *l->blocks);
	l->missing = arena_array(a, values + 1, sizeof *l->missing);
	/* Every value is packed and unpacked once at most. */
	l->out = arena_array(a, steps + 2 * (size_t)l->p->n_values + 1, sizeof *l->out);
	if (!l->gone || !l->at || !l->maps || !l->blocks || !l->missing || !l->out)
		return no_memory(l);
	for (size_t v = 0; v < values; v++)
		l->blocks[v] = GRAPH_NONE;
	return TAMIS_OK;
}

static bool has_conv(const struct program *p)
{
	for (int i = 0; i < p->n_steps; i++)
		if (step_is(&p->steps[i], "Conv"))
			return true;
	return false;
}

enum tamis_status lay_out_blocks(struct program *p, struct tamis_error *err)
{
	struct layout l = { .p = p, .err = err };
	struct plan *plan = NULL;
	enum tamis_status s;

	if (!has_conv(p) || !blocked_width())
		return TAMIS_OK;
	s = nominal_plan(p, &plan, err);
	if (s != TAMIS_OK || !plan)
		return s;
	s = uses_find(p, plan, &l.uses, err);
	if (s == TAMIS_OK)
		s = allocate(&l);
	if (s == TAMIS_OK)
		s = fuse_all(&l);
	if (s == TAMIS_OK && l.n_fused)
		s = put_all(&l);
	uses_free(&l.uses);
	plan_free(plan);
	return s;
}
