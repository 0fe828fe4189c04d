/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "exec/control.h"
#include "exec/control_state.h"
#include "ops/broadcast.h"

/* Captured input i of a body, as a value of its graph. */
static int captured(const struct graph *g, int i)
{
	return g->inputs[g->n_inputs - g->n_captured + i];
}

static enum tamis_status hand_on(void *ctx, int value, const struct tensor *gradient, struct tamis_error *err)
{
	const struct reversal *p = ctx;
	const struct graph *g = p->body->graph;

	(void)err;
	for (int i = 0; i < g->n_captured; i++)
		if (captured(g, i) == value && p->gin[p->body->first + i])
			broadcast_add(gradient, 1, p->gin[p->body->first + i]);
	return TAMIS_OK;
}

static void stopped(void *ctx, int node)
{
	const struct reversal *p = ctx;

	(void)node;
	p->no_reverse(p->ctx, p->graph_node);
}

static enum tamis_status reverse_body(struct reversal *p, const struct tensor *seed, struct tamis_error *err)
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
	s = runner_reverse(p->inner->runner, seed, &hooks, err);
	free(watch);
	return s;
}

static enum tamis_status reverse_branch(struct reversal *p, const struct step *s, struct tamis_error *err)
{
	struct tensor *seed = tm_array((size_t)s->n_out + 1, sizeof *seed);
	enum tamis_status status;

	if (!seed)
		return tm_no_memory(err, "reversing the body of a node");
	for (int i = 0; i < s->n_out; i++)
		if (p->gout[i])
			seed[i] = *p->gout[i];
	status = reverse_body(p, seed, err);
	free(seed);
	return status;
}

enum tamis_status control_reverse(const struct step *s, const struct tensor *const *in,
                                  const struct tensor *const *gout, struct tensor *const *gin, void *state,
                                  void (*no_reverse)(void *ctx, int graph_node), void *ctx, struct tamis_error *err)
{
	bool branches = !strcmp(s->node->op->name, "If");
	const struct body *body = node_body(s->node, branches ? control_branch(in[0]) : "body");
	struct reversal r = { body, (struct inner *)state + (body - s->node->bodies), in, gout, gin, no_reverse, ctx,
		s->graph_node };
	enum tamis_status status = branches ? reverse_branch(&r, s, err) : trips_reverse(&r, s, err);

	return status == TAMIS_OK ? TAMIS_OK : tm_in_node(err, s->node->name);
}
