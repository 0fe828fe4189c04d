/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/channel_values.h"

#include <math.h>
#include <stdlib.h>

struct values {
	const struct channel_model *m;
	const struct channel_trace *t;
	int64_t channels;
	bool *wanted;
	struct tensor *at; /* by place */
};

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "following constant channels");
}

/* Runs fn over the elements of one channel at a place: `outer` stretches of `run` elements, `pitch` apart. */
struct stretch { int64_t outer, run, pitch, first; };

static struct stretch stretch_of(const struct values *s, int place, int64_t channel)
{
	const struct channel_place *p = &s->t->places[place];
	const struct tensor *x = &s->m->plan->value[p->value].shape;
	int64_t inner = tensor_extent(x, p->axis + 1, x->rank);

	return (struct stretch){ .outer = tensor_extent(x, 0, p->axis), .run = p->block * inner,
		.pitch = x->dims[p->axis] * inner, .first = channel * p->block * inner };
}

static void fill(struct values *s, int64_t channel, double z)
{
	struct stretch r = stretch_of(s, 0, channel);

	for (int64_t o = 0; o < r.outer; o++)
		for (int64_t i = 0; i < r.run; i++)
			tensor_set(&s->at[0], o * r.pitch + r.first + i, z);
}

/* The one value of a channel; NAN where it has several, or none that is finite. */
static double read(const struct values *s, int place, int64_t channel)
{
	struct stretch r = stretch_of(s, place, channel);
	double v = tensor_get(&s->at[place], r.first);

	for (int64_t o = 0; o < r.outer; o++)
		for (int64_t i = 0; i < r.run; i++)
			if (tensor_get(&s->at[place], o * r.pitch + r.first + i) != v)
				return NAN;
	return isfinite(v) ? v : NAN;
}

static enum tamis_status start(struct values *s, const double *z, struct tamis_error *err)
{
	enum tamis_status status;

	s->at[0] = s->m->plan->value[s->t->places[0].value].shape;
	s->at[0].data = NULL;
	status = tensor_alloc(&s->at[0], err);
	for (int64_t c = 0; status == TAMIS_OK && c < s->channels; c++)
		if (s->wanted[c])
			fill(s, c, z[c]);
	return status;
}

/* Past an operator that does not keep constants only zeros are sure. */
static void keep_zeros(struct values *s, int place)
{
	for (int64_t c = 0; c < s->channels; c++)
		if (s->wanted[c] && read(s, place, c) != 0)
			s->wanted[c] = false;
}

static const struct tensor *input_of(const struct values *s, const struct channel_link *l, int input)
{
	int id = s->m->graph->nodes[l->node].in[input];
	const struct value *c = channel_constant(s->m->graph, id);

	if (input == l->input)
		return &s->at[l->from];
	return id == GRAPH_NONE ? NULL : c ? &c->constant : &s->m->plan->value[id].shape;
}

static enum tamis_status pass(struct values *s, const struct channel_link *l, struct tamis_error *err)
{
	const struct node *n = &s->m->graph->nodes[l->node];
	const struct tensor **in = tm_array((size_t)n->n_in + 1, sizeof *in);
	struct tensor *out = tm_array((size_t)n->n_out + 1, sizeof *out);
	enum tamis_status status = in && out ? TAMIS_OK : no_memory(err);

	if (status == TAMIS_OK) {
		for (int i = 0; i < n->n_in; i++)
			in[i] = input_of(s, l, i);
		status = node_eval(n, in, out, err);
	}
	if (status == TAMIS_OK) {
		s->at[l->to] = out[0];
		for (int i = 1; i < n->n_out; i++)
			tensor_free(&out[i]);
	}
	free(in);
	free(out);
	return status;
}

static void collect(struct values *s, double *value)
{
	for (size_t r = 0; r < s->t->n_readers; r++)
		for (int64_t c = 0; c < s->channels; c++) {
			double v = s->wanted[c] ? read(s, s->t->readers[r].place, c) : 0;

			value[(int64_t)r * s->channels + c] = v;
			s->wanted[c] &= !isnan(v);
		}
}

enum tamis_status channel_values(const struct channel_model *m, int layer, const struct channel_trace *t,
                                 const double *z, bool *wanted, double *value, struct tamis_error *err)
{
	struct values s = { .m = m, .t = t, .channels = m->layers->list[layer].view.outs, .wanted = wanted };
	enum tamis_status status;

	s.at = tm_array(t->n_places, sizeof *s.at);
	status = s.at ? start(&s, z, err) : no_memory(err);
	for (size_t i = 0; status == TAMIS_OK && i < t->n_links; i++) {
		if (!t->links[i].keeps_constants)
			keep_zeros(&s, t->links[i].from);
		status = pass(&s, &t->links[i], err);
	}
	if (status == TAMIS_OK)
		collect(&s, value);
	for (size_t i = 0; s.at && i < t->n_places; i++)
		tensor_free(&s.at[i]);
	free(s.at);
	return status;
}
