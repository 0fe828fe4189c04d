/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/uses.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void add_reader(struct uses *u, int value, int step)
{
	if (u->count[value] < 2)
		u->reader[value][u->count[value]] = step;
	u->count[value]++;
}

enum tamis_status uses_find(const struct program *p, const struct plan *plan, struct uses *out, struct tamis_error *err)
{
	*out = (struct uses){ .program = p, .plan = plan };
	out->count = tm_array((size_t)p->n_values + 1, sizeof *out->count);
	out->reader = tm_array((size_t)p->n_values + 1, sizeof *out->reader);
	if (!out->count || !out->reader)
		return tm_no_memory(err, "preparing the program");
	for (int i = 0; i < p->n_steps; i++)
		for (int k = 0; k < p->steps[i].n_in; k++)
			if (p->steps[i].in[k] != GRAPH_NONE)
				add_reader(out, p->steps[i].in[k], i);
	for (int i = 0; i < p->graph->n_outputs; i++)
		add_reader(out, p->graph->outputs[i], GRAPH_NONE);
	return TAMIS_OK;
}

void uses_free(struct uses *u)
{
	free(u->count);
	free(u->reader);
}

bool step_is(const struct step *s, const char *name)
{
	return s->node && !*s->node->op->domain && !strcmp(s->node->op->name, name);
}

bool step_is_activation(const struct step *s)
{
	static const char *const names[] = { "Relu", "LeakyRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh",
		"Elu", "Gelu", "Mish", "Softplus", NULL };

	for (int i = 0; names[i]; i++)
		if (step_is(s, names[i]))
			return true;
	return false;
}

bool step_is_product(const struct step *s, int a, int b)
{
	return s && step_is(s, "Mul") && ((s->in[0] == a && s->in[1] == b) || (s->in[0] == b && s->in[1] == a));
}

const struct tensor *step_constant(const struct program *p, const struct step *s, int i)
{
	if (i >= s->n_in || s->in[i] == GRAPH_NONE || !p->constant[s->in[i]].data)
		return NULL;
	return &p->constant[s->in[i]];
}

bool step_scalar(const struct program *p, const struct step *s, int i, float *value)
{
	const struct tensor *t = step_constant(p, s, i);

	if (!t || t->type != DT_FLOAT || t->count != 1)
		return false;
	*value = *(const float *)t->data;
	return isfinite(*value);
}

float step_float(const struct step *s, const char *name, float fallback)
{
	const Onnx__NodeProto *n = s->node->proto;

	for (size_t i = 0; i < n->n_attribute; i++)
		if (n->attribute[i]->name && !strcmp(n->attribute[i]->name, name))
			return n->attribute[i]->f;
	return fallback;
}

bool step_clip_bounds(const struct program *p, const struct step *s, float *low, float *high)
{
	*low = step_float(s, "min", -FLT_MAX);
	*high = step_float(s, "max", FLT_MAX);
	if (s->n_in > 1 && s->in[1] != GRAPH_NONE && !step_scalar(p, s, 1, low))
		return false;
	return s->n_in <= 2 || s->in[2] == GRAPH_NONE || step_scalar(p, s, 2, high);
}

int uses_only_reader(const struct uses *u, int value)
{
	return u->count[value] == 1 ? u->reader[value][0] : GRAPH_NONE;
}

const struct tensor *uses_shape(const struct uses *u, int value, int rank)
{
	const struct planned *v = &u->plan->value[value];
	bool known = v->place == PLACE_BLOCK || v->place == PLACE_INPUT || v->place == PLACE_VIEW;

	return known && v->shape.type == DT_FLOAT && v->shape.rank == rank ? &v->shape : NULL;
}
