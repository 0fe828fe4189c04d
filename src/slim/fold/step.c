/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/fold/step.h"

#include <math.h>
#include <string.h>

static bool is(const struct node *n, const char *name)
{
	return !*n->op->domain && !strcmp(n->op->name, name);
}

bool step_read_once(const struct graph *g, int value)
{
	return g->values[value].n_uses == 1 && !g->values[value].is_output;
}

/* Finite, and no caller can replace it. */
static bool is_number(const struct graph *g, const struct plan *plan, int value, int beside, double *out)
{
	const struct value *v = &g->values[value];
	const struct tensor *x = &plan->value[beside].shape;

	if (v->kind != VALUE_CONSTANT || v->overridable || v->constant.type != DT_FLOAT || v->constant.count != 1
	    || x->type != DT_FLOAT || v->constant.rank > x->rank)
		return false;
	*out = tensor_get(&v->constant, 0);
	return isfinite(*out);
}

int step_data(const struct graph *g, const struct plan *plan, int node, double *a, double *b)
{
	const struct node *n = &g->nodes[node];
	bool sum = is(n, "Add") || is(n, "Sub"), less = is(n, "Sub"), turned;
	double c = 0;

	if (!(sum || is(n, "Mul") || is(n, "Div")) || n->inlined || n->opset < STEP_BROADCAST_OPSET)
		return GRAPH_NONE;
	turned = is_number(g, plan, n->in[0], n->in[1], &c);
	if (!turned && !is_number(g, plan, n->in[1], n->in[0], &c))
		return GRAPH_NONE;
	if (g->values[n->in[turned]].kind == VALUE_CONSTANT || (is(n, "Div") && (turned || c == 0)))
		return GRAPH_NONE;
	*a = less && turned ? -1 : sum ? 1 : is(n, "Div") ? 1 / c : c;
	*b = !sum ? 0 : less && !turned ? -c : c;
	return *a != 0 ? turned : GRAPH_NONE;
}
