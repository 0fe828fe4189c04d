/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "exec/control.h"
#include "exec/control_state.h"
#include "ops/broadcast.h"

/* A branch on its way back: what reaches a captured input goes to the node's input it stands for. */
struct passing {
	const struct body *body;
	struct tensor *const *gin;
	void (*no_reverse)(void *ctx, int graph_node);
	void *ctx;
	int graph_node;
};

/* Captured input i of a body, as a value of its graph. */
static int captured(const struct graph *g, int i)
{
	return g->inputs[g->n_inputs - g->n_captured + i];
}

static enum tamis_status hand_on(void *ctx, int value, const struct tensor *gradient, struct tamis_error *err)
{
	const struct passing *p = ctx;
	const struct graph *g = p->body->graph;

	(void)err;
	for (int i = 0; i < g->n_captured; i++)
		if (captured(g, i) == value && p->gin[p->body->first + i])
			broadcast_add(gradient, 1, p->gin[p->body->first + i]);
	return TAMIS_OK;
}

static void stopped(void *ctx, int node)
{
	const struct passing *p = ctx;

	(void)node;
	p->no_reverse(p->ctx, p->graph_node);
}

static enum tamis_status reverse_body(struct passing *p, const struct inner *inner, const struct tensor *seed,
                                      struct tamis_error *err)
{
	const struct graph *g = p->body->graph;
	bool *watch = tm_array((size_t)g->n_values + 1, sizeof *watch);
	const struct run_hooks hooks = { .ctx = p, .watch_grad = watch, .grad = hand_on,
		.no_reverse = p->no_reverse ? stopped : NULL };
	enum tamis_status s;

	if (!watch)
		return tm_no_memory(err, "reversing the body of a node");
	for (int i = 0; i < g->n_captured; i++)
		watch[captured(g, i)] = p->gin[p->body->first + i] != NULL;
	s = runner_reverse(inner->runner, seed, &hooks, err);
	free(watch);
	return s;
}

enum tamis_status control_reverse(const struct step *s, const struct tensor *const *in,
                                  const struct tensor *const *gout, struct tensor *const *gin, void *state,
                                  void (*no_reverse)(void *ctx, int graph_node), void *ctx, struct tamis_error *err)
{
	const struct body *body = node_body(s->node, control_branch(in[0]));
	struct passing p = { body, gin, no_reverse, ctx, s->graph_node };
	struct tensor *seed = tm_array((size_t)s->n_out + 1, sizeof *seed);
	enum tamis_status status;

	if (!seed)
		return tm_no_memory(err, "reversing the body of a node");
	for (int i = 0; i < s->n_out; i++)
		if (gout[i])
			seed[i] = *gout[i];
	status = reverse_body(&p, (const struct inner *)state + (body - s->node->bodies), seed, err);
	free(seed);
	return status == TAMIS_OK ? TAMIS_OK : tm_in_node(err, s->node->name);
}
