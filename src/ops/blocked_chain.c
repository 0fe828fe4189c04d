/* SPDX-License-Identifier: Apache-2.0 */
/* Tile by tile, so that what one part makes is in the nearest cache for the next. */
#include "ops/blocked_chain.h"

#include <string.h>

#include "base/loop.h"
#include "ops/vector_math.h"

enum { TILE = 512 };

#define EACH(value) \
	for (int64_t i = 0; i < n; i++) { \
		const float v = x[i]; \
\
		(void)v; \
		y[i] = value; \
	} \
	break

LOOP_VERSIONS_WIDE
static void apply(const struct blocked_after *f, const float *restrict x, int64_t n, float *restrict y)
{
	const float a = f->a, b = f->b;

	switch (f->kind) {
	case BLOCKED_LINEAR: EACH(a * v + b);
	case BLOCKED_CLIP: EACH(v < a ? a : v > b ? b : v);
	case BLOCKED_RELU: EACH(v > 0 ? v : a * v);
	case BLOCKED_SIGMOID: EACH(1 / (1 + vector_expf(-v)));
	case BLOCKED_TANH: EACH(vector_tanhf(v));
	case BLOCKED_SWISH: EACH(v / (1 + vector_expf(-a * v)));
	case BLOCKED_HARDSWISH: EACH(v <= -3 ? 0 : v >= 3 ? v : v * (v / 6 + 0.5f));
	case BLOCKED_RESIDUAL: break; /* never in a chain of its own */
	}
}

/* y times the slope at x. */
LOOP_VERSIONS_WIDE
static void undo(const struct blocked_after *f, const float *restrict x, int64_t n, float *restrict y)
{
	const float a = f->a, b = f->b;

	switch (f->kind) {
	case BLOCKED_LINEAR: EACH(y[i] * a);
	case BLOCKED_CLIP: EACH(v > a && v < b ? y[i] : 0);
	case BLOCKED_RELU: EACH(v > 0 ? y[i] : a * y[i]);
	case BLOCKED_SIGMOID: EACH(y[i] * (1 / (1 + vector_expf(-v))) * (1 - 1 / (1 + vector_expf(-v))));
	case BLOCKED_TANH: EACH(y[i] * (1 - vector_tanhf(v) * vector_tanhf(v)));
	case BLOCKED_SWISH: EACH(y[i] * (1 / (1 + vector_expf(-a * v))) * (1 + a * v * (1 - 1 / (1 + vector_expf(-a * v)))));
	case BLOCKED_HARDSWISH: EACH(v <= -3 ? 0 : v >= 3 ? y[i] : y[i] * (v / 3 + 0.5f));
	case BLOCKED_RESIDUAL: break;
	}
}

static enum tamis_status shape(struct op_call *c)
{
	return op_set_out(c, 0, DT_FLOAT, c->in[0]->rank, c->in[0]->dims);
}

static int64_t tile(int64_t at, int64_t count)
{
	return count - at < TILE ? count - at : TILE;
}

static enum tamis_status run(struct op_call *c)
{
	const struct blocked_chain *chain = c->node->attr;
	const float *x = c->in[0]->data;
	float *y = c->out[0]->data, part[2][TILE];

	for (int64_t at = 0; at < c->in[0]->count; at += TILE) {
		const float *from = x + at;
		int64_t n = tile(at, c->in[0]->count);

		for (int k = 0; k < chain->n; k++) {
			float *to = k == chain->n - 1 ? y + at : part[k % 2];

			apply(&chain->part[k], from, n, to);
			from = to;
		}
	}
	return TAMIS_OK;
}

LOOP_VERSIONS
static void add(const float *restrict g, int64_t n, float *restrict to)
{
	for (int64_t i = 0; i < n; i++)
		to[i] += g[i];
}

/* The last part whose slope depends on where it is taken; 0 also where there is none. */
static int last_bent(const struct blocked_chain *c)
{
	int k = c->n - 1;

	while (k > 0 && c->part[k].kind == BLOCKED_LINEAR)
		k--;
	return k;
}

static enum tamis_status reverse(struct op_grad *g)
{
	const struct blocked_chain *chain = g->call->node->attr;
	int last = last_bent(chain);
	const struct tensor *x = g->call->in[0];
	float part[BLOCKED_AFTER][TILE], gradient[TILE];

	if (!g->gout[0] || !g->gin[0])
		return TAMIS_OK;
	for (int64_t at = 0; at < x->count; at += TILE) {
		const float *in[BLOCKED_AFTER] = {(const float *)x->data + at};
		int64_t n = tile(at, x->count);

		for (int k = 0; k < last; k++) {
			apply(&chain->part[k], in[k], n, part[k]);
			in[k + 1] = part[k];
		}
		memcpy(gradient, (const float *)g->gout[0]->data + at, (size_t)n * sizeof *gradient);
		for (int k = chain->n - 1; k >= 0; k--)
			undo(&chain->part[k], in[k <= last ? k : last], n, gradient);
		add(gradient, n, (float *)g->gin[0]->data + at);
	}
	return TAMIS_OK;
}

const struct op blocked_chain = {.name = "Chain", .domain = "tamis.blocked", .since = 1, .until = OP_LATEST, .min_in = 1,
                                 .max_in = 1, .min_out = 1, .max_out = 1, .flags = OP_BLIND_OUTPUT, .shape = shape,
                                 .run = run, .reverse = reverse};
