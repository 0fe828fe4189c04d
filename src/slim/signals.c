/* SPDX-License-Identifier: Apache-2.0 */
/* Signals of one layer, gathered from the values of a run. */
#include <stdlib.h>

#include "slim/score_state.h"

#define GATHER_FLOATS (1 << 20) /* signals gathered at a time */

enum tamis_status score_reserve(float **p, size_t *have, size_t want, struct tamis_error *err)
{
	if (want <= *have)
		return TAMIS_OK;
	free(*p);
	*have = 0;
	*p = tm_array_uninit(want, sizeof **p);
	if (!*p)
		return tm_no_memory(err, "scoring");
	*have = want;
	return TAMIS_OK;
}

/* Gathering takes float and double; half values get a float copy. */
static enum tamis_status widen(const struct tensor *t, struct scratch *scratch, struct tensor *copy,
                               const struct tensor **out, struct tamis_error *err)
{
	*out = t;
	if (t->type != DT_FLOAT16 && t->type != DT_BFLOAT16)
		return TAMIS_OK;
	*copy = *t;
	copy->type = DT_FLOAT;
	copy->data = scratch_alloc(scratch, (size_t)t->count, sizeof(float));
	if (!copy->data)
		return tm_no_memory(err, "scoring");
	*out = copy;
	return tensor_convert(t, copy, err);
}

enum tamis_status signals_bind(const struct graph *g, const struct layer *l, const struct runner *r,
                               struct scratch *scratch, int64_t items, struct layer_call *c, struct tamis_error *err)
{
	const struct tensor *z;
	enum tamis_status s;
	const struct node *n = &g->nodes[l->node];

	*c = (struct layer_call){ .layer = l, .op = n->op->linear, .items = items };
	for (int i = 0; i < n->n_in && i < 4; i++)
		c->in[i] = n->in[i] == GRAPH_NONE ? NULL : runner_value(r, n->in[i]);
	c->out[0] = (struct tensor *)runner_value(r, n->out[0]);
	c->call = (struct op_call){ .node = n, .n_in = n->n_in < 4 ? n->n_in : 4, .n_out = 1, .in = c->in,
		.out = c->out, .scratch = scratch };
	if (!c->in[l->view.data] || !c->out[0])
		return TAMIS_OK;
	c->positions = c->op->positions(&c->call, &l->view, items);
	s = widen(c->in[l->view.data], scratch, &c->wide_in, &c->in[l->view.data], err);
	if (s == TAMIS_OK)
		s = widen(c->out[0], scratch, &c->wide_out, &z, err);
	if (s == TAMIS_OK)
		c->out[0] = (struct tensor *)z;
	return s;
}

int signals_positions(const struct layer *l)
{
	return l->positions < SCORE_POSITIONS ? (int)l->positions : SCORE_POSITIONS;
}

void signals_grid(int n, int64_t extent, int64_t *pos)
{
	for (int k = 0; k < n; k++)
		pos[k] = extent == n ? k : (int64_t)(((double)k + 0.5) * (double)extent / n);
}

int signals_width(const struct pass *p, const struct layer *l)
{
	int positions = signals_positions(l), most = COMOMENT_MAX_WIDTH / positions;

	return !p->job->rich ? positions : positions * (most < SCORE_RICH ? most : SCORE_RICH);
}

enum tamis_status signals_widen(const struct pass *p, struct worker *w, int layer, const float *u, int64_t items,
                                struct tamis_error *err)
{
	const struct layer *l = &p->job->layers->list[layer];
	enum tamis_status s;

	if (!p->signal_map)
		return TAMIS_OK;
	s = score_reserve(&w->phi, &w->phi_floats, (size_t)(items * signals_width(p, l) * l->features), err);
	if (s == TAMIS_OK)
		signal_map_apply(&p->signal_map[layer], u, l->features, items, signals_positions(l), w->phi);
	return s;
}

enum tamis_status signals_gather(struct worker *w, struct layer_call *c, const int64_t *pos, int64_t n_pos,
                                struct tamis_error *err)
{
	enum tamis_status s = score_reserve(&w->u, &w->u_floats, (size_t)(c->items * n_pos * c->layer->features), err);

	c->call.err = err;
	if (s == TAMIS_OK)
		s = c->op->gather(&c->call, &c->layer->view, c->items, pos, n_pos, w->u);
	return s;
}

void signals_add_rows(struct partial *a, const float *u, int64_t rows, int64_t d)
{
	for (int64_t i = 0; i < rows; i++, u += d)
		for (int64_t f = 0; f < d; f++) {
			double v = u[f];

			a->mean[f] += v;
			a->second[f] += v * v;
		}
	a->signals += rows;
}

/* Means are taken over every position, not the grid: what a cut loses is the mean of what is really summed. */
enum tamis_status signals_add_means(struct worker *w, struct layer_call *c, struct partial *a, struct tamis_error *err)
{
	int64_t block = GATHER_FLOATS / (c->items * c->layer->features);
	int64_t pos[256];
	enum tamis_status s = TAMIS_OK;

	block = block < 1 ? 1 : block > 256 ? 256 : block;
	for (int64_t p = 0; s == TAMIS_OK && p < c->positions; p += block) {
		int64_t n = c->positions - p < block ? c->positions - p : block;

		for (int64_t k = 0; k < n; k++)
			pos[k] = p + k;
		s = signals_gather(w, c, pos, n, err);
		if (s == TAMIS_OK)
			signals_add_rows(a, w->u, c->items * n, c->layer->features);
	}
	return s;
}

