/* SPDX-License-Identifier: Apache-2.0 */
#include "slim/repair/adam.h"

#include <math.h>
#include <string.h>

#include "base/loop.h"

#define BLOCK 65536 /* entries that one worker steps at a time */

static int64_t survivors(const struct parameter *p, const struct tensor *t, bool all)
{
	int64_t n = 0;

	if (p->layer < 0 || all)
		return t->count;
	for (int64_t i = 0; i < t->count; i++)
		n += tensor_get(t, i) != 0;
	return n;
}

static int64_t count_all(const struct graph *g, const struct parameters *p, bool all)
{
	int64_t n = 0;

	for (int i = 0; i < p->n; i++)
		n += p->list[i].trained ? survivors(&p->list[i], &g->values[p->list[i].value].constant, all) : 0;
	return n;
}

static void take(struct adam *a, const struct parameter *p, bool all)
{
	const struct tensor *t = &a->graph->values[p->value].constant;
	struct adam_tensor *x = &a->list[a->n];

	*x = (struct adam_tensor){ .value = p->value, .first = a->total };
	for (int64_t i = 0; i < t->count; i++) {
		double v = tensor_get(t, i);

		if (p->layer >= 0 && v == 0 && !all)
			continue;
		a->at[a->total] = i;
		a->value[a->total++] = (float)v;
	}
	x->count = a->total - x->first;
	x->whole = x->count == t->count;
	a->index_of[p->value] = a->n++;
}

enum tamis_status adam_open(struct graph *g, const struct parameters *p, bool all, struct adam *out,
                            struct tamis_error *err)
{
	size_t n = (size_t)count_all(g, p, all) + 1;

	*out = (struct adam){ .graph = g };
	out->list = arena_array(&out->arena, (size_t)p->n + 1, sizeof *out->list);
	out->index_of = arena_array(&out->arena, (size_t)g->n_values + 1, sizeof *out->index_of);
	out->at = arena_array(&out->arena, n, sizeof *out->at);
	out->value = arena_array(&out->arena, n, sizeof *out->value);
	out->first = arena_array(&out->arena, n, sizeof *out->first);
	out->second = arena_array(&out->arena, n, sizeof *out->second);
	if (!out->list || !out->index_of || !out->at || !out->value || !out->first || !out->second) {
		adam_close(out);
		return tm_no_memory(err, "distilling");
	}
	for (int v = 0; v < g->n_values; v++)
		out->index_of[v] = -1;
	for (int i = 0; i < p->n; i++)
		if (p->list[i].trained)
			take(out, &p->list[i], all);
	return TAMIS_OK;
}

void adam_close(struct adam *a)
{
	arena_free(&a->arena);
	*a = (struct adam){ 0 };
}

LOOP_VERSIONS static void add_floats(const float *restrict from, int64_t n, float *restrict to)
{
	for (int64_t i = 0; i < n; i++)
		to[i] += from[i];
}

void adam_gather(const struct adam *a, int value, const struct tensor *gradient, float *flat)
{
	const struct adam_tensor *x = &a->list[a->index_of[value]];
	const int64_t *at = a->at + x->first;
	const float *from = gradient->data;

	flat += x->first;
	if (gradient->type == DT_FLOAT && x->whole)
		add_floats(from, x->count, flat);
	else if (gradient->type == DT_FLOAT)
		for (int64_t i = 0; i < x->count; i++)
			flat[i] += from[at[i]];
	else
		for (int64_t i = 0; i < x->count; i++)
			flat[i] += (float)tensor_get(gradient, at[i]);
}

/* ---- stepping ------------------------------------------------------------------------------------------------- */

LOOP_VERSIONS static void store_floats(const float *restrict value, int64_t n, float *restrict w)
{
	for (int64_t i = 0; i < n; i++)
		w[i] = value[i] != 0 || w[i] == 0 ? value[i] : w[i];
}

/* Entries [from, to) into the tensor. A weight that becomes zero would be taken for a cut one. */
static void store(struct adam *a, const struct adam_tensor *x, int64_t from, int64_t to)
{
	struct tensor *t = &a->graph->values[x->value].constant;
	float *w = t->data;

	if (t->type == DT_FLOAT && x->whole) {
		store_floats(a->value + from, to - from, w + a->at[from]);
		return;
	}
	for (int64_t i = from; t->type == DT_FLOAT && i < to; i++)
		if (a->value[i] != 0 || w[a->at[i]] == 0)
			w[a->at[i]] = a->value[i];
	for (int64_t i = from; t->type != DT_FLOAT && i < to; i++) {
		double before = tensor_get(t, a->at[i]);

		tensor_set(t, a->at[i], a->value[i]);
		if (before != 0 && tensor_get(t, a->at[i]) == 0)
			tensor_set(t, a->at[i], before);
	}
}

struct stride {
	struct adam *adam;
	const float *gradient;
	float scale, rate, first_by, second_by; /* 1 / (1 - b^step) */
};

LOOP_VERSIONS static void advance(const struct stride *s, int64_t from, int64_t to)
{
	float *restrict w = s->adam->value, *restrict m = s->adam->first, *restrict v = s->adam->second;
	const float *restrict gradient = s->gradient;
	const float b1 = (float)ADAM_FIRST, b2 = (float)ADAM_SECOND;

	for (int64_t i = from; i < to; i++) {
		float g = gradient[i] * s->scale;

		m[i] = b1 * m[i] + (1 - b1) * g;
		v[i] = b2 * v[i] + (1 - b2) * g * g;
		w[i] -= s->rate * (m[i] * s->first_by) / (sqrtf(v[i] * s->second_by) + (float)ADAM_EPSILON);
	}
}

static enum tamis_status step_block(void *ctx, int64_t index, int worker, struct tamis_error *err)
{
	const struct stride *s = ctx;
	struct adam *a = s->adam;
	int64_t from = index * BLOCK, to = from + BLOCK < a->total ? from + BLOCK : a->total;

	(void)worker;
	(void)err;
	advance(s, from, to);
	for (int i = 0; i < a->n; i++) {
		const struct adam_tensor *x = &a->list[i];
		int64_t low = from > x->first ? from : x->first;
		int64_t high = to < x->first + x->count ? to : x->first + x->count;

		if (low < high)
			store(a, x, low, high);
	}
	return TAMIS_OK;
}

enum tamis_status adam_step(struct adam *a, const float *gradient, double scale, double rate, struct pool *pool,
                            struct tamis_error *err)
{
	double t = (double)++a->step;
	struct stride s = { .adam = a, .gradient = gradient, .scale = (float)scale, .rate = (float)rate,
		.first_by = (float)(1 / (1 - pow(ADAM_FIRST, t))), .second_by = (float)(1 / (1 - pow(ADAM_SECOND, t))) };

	return pool_for(pool, (a->total + BLOCK - 1) / BLOCK, step_block, &s, err);
}

/* ---- keeping -------------------------------------------------------------------------------------------------- */

void adam_save(const struct adam *a, float *to)
{
	memcpy(to, a->value, (size_t)a->total * sizeof *to);
}

void adam_restore(struct adam *a, const float *from)
{
	memcpy(a->value, from, (size_t)a->total * sizeof *from);
	for (int i = 0; i < a->n; i++)
		store(a, &a->list[i], a->list[i].first, a->list[i].first + a->list[i].count);
}

void adam_forget(struct adam *a)
{
	memset(a->first, 0, (size_t)a->total * sizeof *a->first);
	memset(a->second, 0, (size_t)a->total * sizeof *a->second);
	a->step = 0;
}
