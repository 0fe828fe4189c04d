/* SPDX-License-Identifier: Apache-2.0 */
#include "coupled.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "onnx/check.h"
#include "ops/table.h"
#include "slim/channels/remove.h"
#include "slim/channels/silent.h"

static void must(enum tamis_status s, const struct tamis_error *err, const char *what)
{
	cr_assert_eq(s, TAMIS_OK, "%s: %s: %s: %s (%d)", what, err->node, err->tensor, err->message, s);
}

void couple(struct document *d, struct coupled *c)
{
	const struct program_options options = { .training = true };
	const struct layer_filter filter = { .only = NULL };
	struct tamis_error err = { 0 };
	const struct value_type *t;
	struct tensor in = { 0 };
	int64_t dims[TENSOR_MAX_RANK];

	*c = (struct coupled){ 0 };
	must(graph_build(d, &op_table, &c->graph, &err), &err, "graph");
	must(program_create(c->graph, &options, &c->program, &err), &err, "program");
	t = &c->graph->values[c->graph->inputs[0]].declared;
	for (int i = 0; i < t->rank; i++)
		dims[i] = t->dims[i] < 0 ? 1 : t->dims[i];
	must(tensor_shape(&in, t->type, t->rank, dims, &err), &err, "input");
	must(plan_create(c->program, &in, &c->plan, &err), &err, "plan");
	must(layers_find(c->graph, c->plan, &filter, &c->layers, &err), &err, "layers");
	must(groups_find(c->graph, c->plan, &c->layers, &c->groups, &err), &err, "groups");
}

void uncouple(struct coupled *c)
{
	groups_free(&c->groups);
	layers_free(&c->layers);
	plan_free(c->plan);
	program_free(c->program);
	graph_free(c->graph);
}

static bool may_go(const struct channel_group *g)
{
	return !g->why && g->readers && g->makers + g->readers > 1;
}

static int64_t choose(const struct coupled *c, double share, uint64_t seed, bool *dead)
{
	struct rng r = rng_make(seed, 17);
	int64_t n = 0;

	for (int i = 0; i < c->groups.n; i++) {
		const struct channel_group *g = &c->groups.list[i];
		int stays = (int)rng_below(&r, (uint64_t)g->width);

		for (int u = 0; may_go(g) && u < g->width; u++) {
			dead[g->first + u] = u != stays && rng_uniform(&r) < share;
			n += dead[g->first + u];
		}
	}
	return n;
}

static void zero_slice(float *w, const struct tensor *t, int axis, int64_t index)
{
	int64_t inner = tensor_extent(t, axis + 1, t->rank), outer = tensor_extent(t, 0, axis);

	for (int64_t o = 0; o < outer; o++)
		for (int64_t i = 0; i < inner; i++)
			w[(o * t->dims[axis] + index) * inner + i] = 0;
}

static void silence(struct document *d, const struct coupled *c, const bool *dead)
{
	for (int i = 0; i < c->groups.n_readers; i++) {
		const struct group_reader *r = &c->groups.readers[i];
		const struct value *v = &c->graph->values[c->graph->nodes[r->read.node].in[r->read.weight]];
		float *w = build_elements(d, v->name);

		for (int64_t k = 0; k < r->extent; k++)
			if (r->unit[k] >= 0 && dead[r->unit[k]])
				zero_slice(w, &v->constant, r->read.weight_axis, k);
	}
}

static void take_out(struct document *d, const struct coupled *c, const bool *dead)
{
	struct tamis_error err = { 0 };
	struct rewrite r;

	must(rewrite_open(&r, d, c->graph, &err), &err, "rewrite");
	must(channels_take_out(&c->groups, dead, &r, &err), &err, "take out");
	rewrite_close(&r);
	must(check_or_fail(d, &err), &err, "check");
}

int64_t coupled_silence(struct document *d, double share, uint64_t seed)
{
	struct coupled c;
	bool *dead;
	int64_t n;

	couple(d, &c);
	dead = calloc((size_t)c.groups.n_units + 1, sizeof *dead);
	n = choose(&c, share, seed, dead);
	silence(d, &c, dead);
	free(dead);
	uncouple(&c);
	return n;
}

int64_t coupled_silence_whole(struct document *d, uint64_t seed)
{
	struct rng r = rng_make(seed, 18);
	struct coupled c;
	bool *whole, *dead;
	int64_t n = 0;

	couple(d, &c);
	whole = calloc((size_t)c.groups.n + 1, sizeof *whole);
	dead = calloc((size_t)c.groups.n_units + 1, sizeof *dead);
	must(silent_groups(&c.groups, whole, NULL), &(struct tamis_error){ 0 }, "branches");
	for (int i = 0; i < c.groups.n; i++) {
		bool goes = whole[i] && rng_below(&r, 2);

		for (int u = 0; goes && u < c.groups.list[i].width; u++)
			dead[c.groups.list[i].first + u] = true;
		n += goes;
	}
	silence(d, &c, dead);
	free(whole);
	free(dead);
	uncouple(&c);
	return n;
}

void coupled_cut(struct document *d, double share, uint64_t seed)
{
	struct coupled c;
	bool *dead;

	couple(d, &c);
	dead = calloc((size_t)c.groups.n_units + 1, sizeof *dead);
	choose(&c, share, seed, dead);
	take_out(d, &c, dead);
	free(dead);
	uncouple(&c);
}

int64_t coupled_cut_and_compare(struct document *d, double share, uint64_t seed, double tolerance)
{
	float *before, *after, largest = 1;
	int64_t n, m, cut = coupled_silence(d, share, seed);

	before = build_run(d, 3, seed, &n);
	coupled_cut(d, share, seed);
	after = build_run(d, 3, seed, &m);
	cr_assert_eq(n, m);
	for (int64_t i = 0; i < n; i++)
		largest = fmaxf(largest, fabsf(before[i]));
	for (int64_t i = 0; i < n; i++)
		cr_assert(fabsf(before[i] - after[i]) <= (float)tolerance * largest, "element %lld was %g, now %g",
		          (long long)i, before[i], after[i]);
	free(before);
	free(after);
	return cut;
}

int64_t coupled_groups(struct document *d, int width)
{
	struct coupled c;
	int64_t n = 0;

	couple(d, &c);
	for (int i = 0; i < c.groups.n; i++)
		n += may_go(&c.groups.list[i]) && c.groups.list[i].width == width;
	uncouple(&c);
	return n;
}
