/* SPDX-License-Identifier: Apache-2.0 */
/* Signals of one layer, gathered from the values of a run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "ops/blocked_linear.h"
#include "slim/score/score_state.h"

enum tamis_status score_reserve(float **p, size_t *have, size_t want, struct tamis_error *err)
{
	float *more;
	size_t bytes;

	if (want <= *have)
		return TAMIS_OK;
	more = tm_mul(want, sizeof *more, &bytes) ? tm_pages_uninit(bytes) : NULL;
	if (!more)
		return tm_no_memory(err, "scoring");
	if (*have)
		memcpy(more, *p, *have * sizeof *more);
	free(*p);
	*p = more;
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
	if (!c->in[l->view.data] && runner_blocks(r, n->in[l->view.data])) {
		c->in[l->view.data] = runner_blocks(r, n->in[l->view.data]);
		c->op = &blocked_conv_linear;
	}
	if (!c->in[l->view.data])
		return TAMIS_OK;
	c->positions = c->op->positions(&c->call, &l->view, items);
	s = widen(c->in[l->view.data], scratch, &c->wide_in, &c->in[l->view.data], err);
	if (s == TAMIS_OK && c->out[0])
		s = widen(c->out[0], scratch, &c->wide_out, &z, err);
	if (s == TAMIS_OK && c->out[0])
		c->out[0] = (struct tensor *)z;
	return s;
}

int signals_positions(const struct layer *l)
{
	int64_t n = SCORE_SIGNALS / l->features;

	n = n < SCORE_LEAST_POSITIONS ? SCORE_LEAST_POSITIONS : n > SCORE_POSITIONS ? SCORE_POSITIONS : n;
	return (int)(l->positions < n ? l->positions : n);
}

/* One position in each n-th, at the fractions of multiples of the golden ratio, so that a grid of few positions does not
 * run down one column of the image. */
void signals_grid(int n, int64_t extent, int64_t *pos)
{
	for (int k = 0; k < n; k++) {
		double within = fmod(0.6180339887498949 * (k + 1), 1);

		pos[k] = extent == n ? k : (int64_t)(((double)k + within) * (double)extent / n);
	}
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

enum tamis_status signals_gather(struct layer_call *c, const int64_t *pos, int64_t n_pos, float *u,
                                 struct tamis_error *err)
{
	c->call.err = err;
	return c->op->gather(&c->call, &c->layer->view, c->items, pos, n_pos, u);
}

/* Means are taken over every position, not the grid: what a cut loses is the mean of what is really summed. */
static enum tamis_status keep(const struct pass *p, struct worker *w, int layer, const struct runner *r, int64_t items,
                               bool moments, struct tamis_error *err)
{
	const struct layer *l = &p->job->layers->list[layer];
	struct partial *a = &w->layer[layer];
	int64_t pos[SCORE_POSITIONS];
	int n = signals_positions(l);
	size_t row = (size_t)n * (size_t)l->features;
	struct layer_call c;
	enum tamis_status s;

	scratch_reset(&w->scratch);
	s = signals_bind(p->job->graph, l, r, &w->scratch, items, &c, err);
	if (s != TAMIS_OK || !c.positions)
		return s;
	if (!a->u)
		s = score_reserve(&a->u, &a->u_floats, (size_t)score_group(p->job, SCORE_GROUP) * row, err);
	if (s == TAMIS_OK)
		s = score_reserve(&a->u, &a->u_floats, (size_t)(a->items + items) * row, err);
	signals_grid(n, c.positions, pos);
	if (s == TAMIS_OK)
		s = signals_gather(&c, pos, n, a->u + (size_t)a->items * row, err);
	if (s == TAMIS_OK && moments)
		s = c.op->sums(&c.call, &l->view, items, a->mean, a->second);
	a->items += items;
	a->signals += items * c.positions;
	return s;
}

struct run_ctx { const struct pass *pass; struct worker *worker; struct runner *runner; int64_t items; bool moments; };

static enum tamis_status on_node(void *ctx, int node, struct op_call *call, struct tamis_error *err)
{
	struct run_ctx *c = ctx;

	(void)call;
	return keep(c->pass, c->worker, c->pass->layer_of[c->pass->job->graph->nodes[node].out[0]], c->runner, c->items,
	            c->moments, err);
}

enum tamis_status signals_run(const struct pass *p, struct worker *w, struct runner *r, const struct chunk *c, bool moments,
                              struct tamis_error *err)
{
	struct run_ctx ctx = { p, w, r, c->items, moments };
	const struct run_hooks hooks = { .ctx = &ctx, .watch_node = p->watch_node, .node = on_node };

	return runner_run(r, c->in, &hooks, err);
}
