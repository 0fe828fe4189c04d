/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/merge_norms.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The convolution and the norm that reads it, with their constants. */
struct pair {
	struct step *conv, *norm;
	const struct tensor *weight, *bias; /* bias NULL = none */
	const struct tensor *scale, *shift, *mean, *var;
	double epsilon;
};

static bool is(const struct step *s, const char *name)
{
	return s->node && !*s->node->op->domain && !strcmp(s->node->op->name, name);
}

static const struct tensor *constant_in(const struct program *p, const struct step *s, int i)
{
	if (i >= s->n_in || s->in[i] == GRAPH_NONE || !p->constant[s->in[i]].data)
		return NULL;
	return &p->constant[s->in[i]];
}

static const Onnx__AttributeProto *attribute_of(const struct node *n, const char *name)
{
	for (size_t i = 0; i < n->proto->n_attribute; i++)
		if (n->proto->attribute[i]->name && !strcmp(n->proto->attribute[i]->name, name))
			return n->proto->attribute[i];
	return NULL;
}

/* Inference with one parameter a channel: the training form and the old one with spatial = 0 are left to the row. */
static bool plain_norm(const struct step *s)
{
	const Onnx__AttributeProto *training = attribute_of(s->node, "training_mode");
	const Onnx__AttributeProto *spatial = attribute_of(s->node, "spatial");

	return is(s, "BatchNormalization") && s->n_in == 5 && !(training && training->i) && !(spatial && !spatial->i);
}

static double read_epsilon(const struct node *n)
{
	const Onnx__AttributeProto *a = attribute_of(n, "epsilon");

	return a ? (double)a->f : (double)1e-5f;
}

static bool vector_of(const struct tensor *t, int64_t n)
{
	return t && t->type == DT_FLOAT && t->rank == 1 && t->count == n;
}

static bool single_output(const struct step *s)
{
	for (int i = 1; i < s->n_out; i++)
		if (s->out[i] != GRAPH_NONE)
			return false;
	return s->n_out >= 1;
}

static bool match(const struct program *p, struct step *norm, struct step *const *maker, struct pair *m)
{
	const struct graph *g = p->graph;
	int z;

	if (!norm->node || !plain_norm(norm) || !single_output(norm))
		return false;
	z = norm->in[0];
	if (z == GRAPH_NONE || z >= g->n_values || g->values[z].n_uses != 1 || g->values[z].is_output)
		return false;
	*m = (struct pair){ .conv = maker[z], .norm = norm };
	if (!m->conv || !is(m->conv, "Conv"))
		return false;
	m->weight = constant_in(p, m->conv, 1);
	m->bias = constant_in(p, m->conv, 2);
	if (!m->weight || m->weight->type != DT_FLOAT || m->weight->rank < 2
	    || (m->conv->n_in > 2 && m->conv->in[2] != GRAPH_NONE && !m->bias))
		return false;
	m->scale = constant_in(p, norm, 1);
	m->shift = constant_in(p, norm, 2);
	m->mean = constant_in(p, norm, 3);
	m->var = constant_in(p, norm, 4);
	m->epsilon = read_epsilon(norm->node);
	return vector_of(m->scale, m->weight->dims[0]) && vector_of(m->shift, m->weight->dims[0])
		&& vector_of(m->mean, m->weight->dims[0]) && vector_of(m->var, m->weight->dims[0])
		&& (!m->bias || vector_of(m->bias, m->weight->dims[0]));
}

static int new_constant(struct program *p, const struct tensor *like, struct tamis_error *err)
{
	struct tensor t = *like;

	t.data = NULL;
	if (tensor_alloc(&t, err) != TAMIS_OK)
		return GRAPH_NONE;
	p->constant[p->n_values] = t;
	p->owned[p->n_values] = true;
	return p->n_values++;
}

static double norm_scale(const struct pair *m, int64_t o)
{
	return ((float *)m->scale->data)[o] / sqrt((double)((float *)m->var->data)[o] + m->epsilon);
}

static void scale_channel(const struct pair *m, float *w, float *b, int64_t o, int64_t fan_in)
{
	double s = norm_scale(m, o);
	double bias = m->bias ? ((float *)m->bias->data)[o] : 0.0;
	const float *from = (const float *)m->weight->data + o * fan_in;

	for (int64_t d = 0; d < fan_in; d++)
		w[o * fan_in + d] = (float)(from[d] * s);
	b[o] = (float)((bias - ((float *)m->mean->data)[o]) * s + ((float *)m->shift->data)[o]);
}

/* What the convolution alone makes is gone; for a reverse pass. */
static enum tamis_status hide(struct program *p, const struct pair *m, struct tamis_error *err)
{
	int64_t outs = m->weight->dims[0];
	struct hidden *h = arena_alloc(&p->arena, sizeof *h);
	float *scale = arena_array(&p->arena, (size_t)outs + 1, sizeof *scale);

	if (!h || !scale)
		return tm_no_memory(err, "merging batch normalisation");
	for (int64_t o = 0; o < outs; o++)
		scale[o] = (float)norm_scale(m, o);
	*h = (struct hidden){ .value = m->norm->in[0], .scale = scale, .channels = outs };
	m->conv->hidden = h;
	p->hides[h->value] = true;
	return TAMIS_OK;
}

static enum tamis_status merge(struct program *p, const struct pair *m, struct tamis_error *err)
{
	int64_t outs = m->weight->dims[0];
	int w = new_constant(p, m->weight, err);
	int b = w == GRAPH_NONE ? GRAPH_NONE : new_constant(p, m->scale, err);
	int *in = arena_array(&p->arena, 3, sizeof *in);
	int *out = arena_array(&p->arena, 1, sizeof *out);
	struct node *biased = arena_alloc(&p->arena, sizeof *biased);

	if (b == GRAPH_NONE || !in || !out || !biased)
		return tm_no_memory(err, "merging batch normalisation");
	for (int64_t o = 0; o < outs; o++)
		scale_channel(m, p->constant[w].data, p->constant[b].data, o, outs ? m->weight->count / outs : 0);
	in[0] = m->conv->in[0];
	in[1] = w;
	in[2] = b;
	out[0] = m->norm->out[0];
	/* The operator goes by the inputs of its node: one written without a bias must not hide the new one. */
	*biased = *m->conv->node;
	biased->in = in;
	biased->n_in = 3;
	m->conv->node = biased;
	m->conv->in = in;
	m->conv->n_in = 3;
	m->conv->out = out;
	m->norm->node = NULL;
	return p->options.training ? hide(p, m, err) : TAMIS_OK;
}

enum tamis_status merge_norms(struct program *p, struct tamis_error *err)
{
	struct step **maker = tm_array((size_t)p->graph->n_values + 1, sizeof *maker);
	enum tamis_status s = TAMIS_OK;
	struct pair m;

	if (!maker)
		return tm_no_memory(err, "merging batch normalisation");
	for (int i = 0; i < p->n_steps; i++)
		for (int k = 0; k < p->steps[i].n_out; k++)
			if (p->steps[i].out[k] != GRAPH_NONE)
				maker[p->steps[i].out[k]] = &p->steps[i];
	for (int i = 0; s == TAMIS_OK && i < p->n_steps; i++)
		if (match(p, &p->steps[i], maker, &m))
			s = merge(p, &m, err);
	free(maker);
	program_drop_empty(p);
	return s;
}
