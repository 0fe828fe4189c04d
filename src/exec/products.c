/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/products.h"

#include "exec/uses.h"
#include "ops/blas.h"
#include "ops/dense.h"
#include "ops/gemm.h"

struct product {
	struct step *step;           /* Gemm or MatMul, and where the new step goes */
	const struct tensor *weight;
	bool transposed;             /* as the model stores it: [n, k] */
	int bias;                    /* GRAPH_NONE: none */
	int value;                   /* what the last step makes */
	struct dense_attr attr;
	struct step *taken[1 + DENSE_AFTER]; /* the steps after the product */
	int n_taken;
};

size_t products_most_values(const struct graph *g)
{
	return (size_t)g->n_nodes;
}

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "preparing matrix products");
}

static int64_t outputs(const struct product *m)
{
	return m->weight->dims[m->transposed ? 0 : 1];
}

static bool is_bias(const struct product *m, const struct tensor *t)
{
	return t && t->type == DT_FLOAT && t->rank == 1 && t->count == outputs(m);
}

static bool match_gemm(const struct program *p, struct step *s, struct product *m)
{
	const struct gemm_attr *a = s->node->attr;

	if (a->ta || a->alpha != 1)
		return false;
	m->transposed = a->tb;
	m->attr.matrix = true;
	if (s->n_in < 3 || s->in[2] == GRAPH_NONE)
		return true;
	m->bias = s->in[2];
	return a->beta == 1 && is_bias(m, step_constant(p, s, 2));
}

static bool match(const struct program *p, struct step *s, struct product *m)
{
	bool gemm = s->node && step_is(s, "Gemm");

	if (!gemm && !(s->node && step_is(s, "MatMul")))
		return false;
	*m = (struct product){ .step = s, .weight = step_constant(p, s, 1), .bias = GRAPH_NONE, .value = s->out[0] };
	return m->value != GRAPH_NONE && m->weight && m->weight->type == DT_FLOAT && m->weight->rank == 2
		&& m->weight->count && blas_fits(m->weight->dims[0]) && blas_fits(m->weight->dims[1])
		&& (!gemm || match_gemm(p, s, m));
}

static struct step *next(const struct uses *u, struct program *p, int value)
{
	int i = uses_only_reader(u, value);

	return i == GRAPH_NONE || !p->steps[i].node ? NULL : &p->steps[i];
}

static void take(struct product *m, struct step *s)
{
	m->taken[m->n_taken++] = s;
	m->value = s->out[0];
}

static void follow(const struct uses *u, struct program *p, struct product *m)
{
	struct step *s = next(u, p, m->value);
	int at = s && s->n_in == 2 && s->in[0] == m->value;

	if (m->bias == GRAPH_NONE && s && step_is(s, "Add") && s->n_in == 2 && is_bias(m, step_constant(p, s, at))) {
		m->bias = s->in[at];
		take(m, s);
		s = next(u, p, m->value);
	}
	while (s && step_is_activation(s) && s->n_in == 1 && m->attr.n_after < DENSE_AFTER) {
		m->attr.after[m->attr.n_after++] = s->node;
		take(m, s);
		s = next(u, p, m->value);
	}
}

/* [n, k] as [k, n]. */
static enum tamis_status transpose(struct program *p, const struct tensor *w, int *made, struct tamis_error *err)
{
	int64_t n = w->dims[0], k = w->dims[1];
	struct tensor t = { 0 };
	enum tamis_status s = tensor_shape(&t, DT_FLOAT, 2, (int64_t[]){ k, n }, err);
	const float *from = w->data;
	float *to;

	if (s == TAMIS_OK)
		s = tensor_alloc(&t, err);
	if (s != TAMIS_OK)
		return s;
	to = t.data;
	for (int64_t i = 0; i < n; i++)
		for (int64_t j = 0; j < k; j++)
			to[j * n + i] = from[i * k + j];
	*made = p->n_values;
	p->constant[p->n_values] = t;
	p->owned[p->n_values++] = true;
	return TAMIS_OK;
}

/* The new step stands where the product stood: nothing else reads what is between. */
static enum tamis_status fuse(struct program *p, const struct product *m, struct tamis_error *err)
{
	struct node *n = arena_alloc(&p->arena, sizeof *n);
	struct dense_attr *a = arena_alloc(&p->arena, sizeof *a);
	int *ports = arena_array(&p->arena, 4, sizeof *ports), weight = m->step->in[1];
	enum tamis_status s = n && a && ports ? TAMIS_OK : no_memory(err);

	if (s == TAMIS_OK && m->transposed)
		s = transpose(p, m->weight, &weight, err);
	if (s != TAMIS_OK)
		return s;
	*a = m->attr;
	ports[0] = m->step->in[0];
	ports[1] = weight;
	ports[2] = m->bias;
	ports[3] = m->value;
	*n = *m->step->node;
	n->op = &dense;
	n->attr = a;
	n->in = ports;
	n->out = ports + 3;
	n->n_in = 3;
	n->n_out = 1;
	*m->step = (struct step){ .node = n, .graph_node = m->step->graph_node, .in = n->in, .out = n->out, .n_in = 3,
		.n_out = 1 };
	for (int i = 0; i < m->n_taken; i++)
		m->taken[i]->node = NULL;
	return TAMIS_OK;
}

enum tamis_status fuse_products(struct program *p, struct tamis_error *err)
{
	struct uses uses;
	struct product m;
	enum tamis_status s = uses_find(p, NULL, &uses, err);

	for (int i = 0; s == TAMIS_OK && i < p->n_steps; i++)
		if (match(p, &p->steps[i], &m)) {
			follow(&uses, p, &m);
			if (m.n_taken || m.transposed)
				s = fuse(p, &m, err);
		}
	uses_free(&uses);
	program_drop_empty(p);
	return s;
}
