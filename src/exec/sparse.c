/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/sparse.h"

#include "exec/uses.h"
#include "ops/sparse.h"

/* A constant of the graph itself, whose values the caller may change. */
static const struct tensor *graph_constant(const struct program *p, const struct step *s, int i)
{
	return i < s->n_in && s->in[i] != GRAPH_NONE && !p->owned[s->in[i]] ? step_constant(p, s, i) : NULL;
}

static enum tamis_status replace(struct program *p, struct step *s, struct sparse_attr *attr, struct tamis_error *err)
{
	struct node *n = arena_alloc(&p->arena, sizeof *n);

	if (!n)
		return tm_no_memory(err, "preparing sparse products");
	*n = *s->node;
	n->op = &sparse_product;
	n->attr = attr;
	s->node = n;
	return TAMIS_OK;
}

enum tamis_status use_held_zeros(struct program *p, struct tamis_error *err)
{
	enum tamis_status status = TAMIS_OK;

	for (int i = 0; status == TAMIS_OK && i < p->n_steps; i++) {
		struct step *s = &p->steps[i];
		const struct tensor *weight = graph_constant(p, s, 1), *bias = graph_constant(p, s, 2);
		struct sparse_attr *attr = NULL;

		if (weight && s->n_in <= 3 && (bias || s->n_in < 3 || s->in[2] == GRAPH_NONE))
			status = sparse_find(s->node, weight, bias, &p->arena, &attr, err);
		if (status == TAMIS_OK && attr)
			status = replace(p, s, attr, err);
	}
	return status;
}
