/* SPDX-License-Identifier: Apache-2.0 */
/* Random models: the runner must give, bit for bit, what evaluating one node after the other gives, whatever shapes
 * came before; and no plan may put two values that live at once in the same place. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exec/runner.h"
#include "random.h"

static void must(enum tamis_status s, const struct tamis_error *err, uint64_t seed)
{
	cr_assert_eq(s, TAMIS_OK, "seed %llu: %s: %s: %s", (unsigned long long)seed, err->node, err->tensor, err->message);
}

/* ---- plans --------------------------------------------------------------------------------------------------- */

static int root(const struct plan *p, int v)
{
	while (p->value[v].place == PLACE_VIEW)
		v = p->value[v].of;
	return v;
}

struct life { int from, to; }; /* steps, inclusive */

/* From the definition, without the planner's own marks: made at a step, read by others through views, kept to the end
 * where it is an output or may be needed by a reverse pass. */
static struct life *lives(const struct plan *p)
{
	const struct program *g = p->program;
	struct life *l = calloc((size_t)g->n_values + 1, sizeof *l);

	for (int v = 0; v < g->n_values; v++)
		l[v] = (struct life){ g->n_steps, -1 };
	for (int i = 0; i < g->n_steps; i++) {
		for (int k = 0; k < g->steps[i].n_out; k++)
			if (g->steps[i].out[k] != GRAPH_NONE) {
				struct life *x = &l[root(p, g->steps[i].out[k])];

				x->from = i < x->from ? i : x->from;
				x->to = i > x->to ? i : x->to;
			}
		for (int k = 0; k < g->steps[i].n_in; k++)
			if (g->steps[i].in[k] != GRAPH_NONE)
				l[root(p, g->steps[i].in[k])].to = i;
	}
	for (int v = 0; v < g->n_values; v++)
		if (g->options.training || (v < g->graph->n_values && g->graph->values[v].is_output))
			l[root(p, v)].to = g->n_steps;
	return l;
}

/* b takes the place of a at the step that reads a for the last time and makes b: fine for operators that may. */
static bool in_place(const struct plan *p, const struct life *l, int a, int b)
{
	const struct step *s;

	if (l[b].from != l[a].to || l[b].from >= p->program->n_steps)
		return false;
	s = &p->program->steps[l[b].from];
	return (s->node->op->flags & OP_INPLACE) && s->in[0] != GRAPH_NONE && root(p, s->in[0]) == a && s->out[0] == b
		&& p->value[a].offset == p->value[b].offset
		&& tensor_bytes(&p->value[a].shape) == tensor_bytes(&p->value[b].shape);
}

static void check_pair(const struct plan *p, const struct life *l, int a, int b, uint64_t seed)
{
	const struct planned *x = &p->value[a], *y = &p->value[b];
	size_t x_end = x->offset + tensor_bytes(&x->shape), y_end = y->offset + tensor_bytes(&y->shape);
	bool together = l[a].from <= l[b].to && l[b].from <= l[a].to;

	if (!together || x->offset >= y_end || y->offset >= x_end || in_place(p, l, a, b) || in_place(p, l, b, a))
		return;
	cr_assert_fail("seed %llu: values %d (steps %d to %d) and %d (%d to %d) share memory", (unsigned long long)seed, a,
	               l[a].from, l[a].to, b, l[b].from, l[b].to);
}

static int seen[PLACE_DYNAMIC + 1]; /* values by place, in all plans of a test */

static void check_plan(const struct plan *p, uint64_t seed)
{
	struct life *l = lives(p);
	size_t sum = 0;

	for (int a = 0; a < p->program->n_values; a++) {
		seen[p->value[a].place]++;
		if (p->value[a].place != PLACE_BLOCK)
			continue;
		sum += (tensor_bytes(&p->value[a].shape) + 63) / 64 * 64;
		cr_assert_eq(p->value[a].offset % 64, 0);
		cr_assert_leq(p->value[a].offset + tensor_bytes(&p->value[a].shape), p->block_bytes, "seed %llu",
		              (unsigned long long)seed);
		for (int b = 0; b < a; b++)
			if (p->value[b].place == PLACE_BLOCK)
				check_pair(p, l, a, b, seed);
	}
	cr_assert_leq(p->block_bytes, sum, "seed %llu: more memory than all values need", (unsigned long long)seed);
	free(l);
}

/* ---- runs ---------------------------------------------------------------------------------------------------- */

struct check { const struct graph *g; const struct program *p; struct runner *r; uint64_t seed; double tolerance; };

static void compare(const struct check *c, const struct tensor *want, const struct tensor *got, const char *name)
{
	char a[128], b[128];
	double largest = 1;

	cr_assert(want->type == got->type && tensor_same_shape(want, got), "seed %llu, %s: %s instead of %s",
	          (unsigned long long)c->seed, name, tensor_describe(got, a, sizeof a), tensor_describe(want, b, sizeof b));
	if (c->tolerance == 0) {
		cr_assert(tensor_equal(want, got), "seed %llu, %s: not the same bits", (unsigned long long)c->seed, name);
		return;
	}
	for (int64_t i = 0; i < want->count; i++)
		largest = fmax(largest, fabs(tensor_get(want, i)));
	for (int64_t i = 0; i < want->count; i++)
		cr_assert(fabs(tensor_get(want, i) - tensor_get(got, i)) <= c->tolerance * largest, "seed %llu, %s[%lld]: %g, not %g",
		          (unsigned long long)c->seed, name, (long long)i, tensor_get(got, i), tensor_get(want, i));
}

static void run_once(const struct check *c, enum dtype type, int64_t items, uint64_t data)
{
	struct tamis_error err = { 0 };
	struct tensor in[2], *want;
	struct plan *plan = NULL;
	bool *owned;

	random_inputs(data, type, items, in);
	must(plan_create(c->p, in, &plan, &err), &err, c->seed);
	check_plan(plan, c->seed);
	plan_free(plan);
	want = evaluate(c->g, in, NULL, &owned);
	must(runner_run(c->r, in, NULL, &err), &err, c->seed);
	for (int i = 0; i < c->g->n_outputs; i++)
		compare(c, &want[c->g->outputs[i]], runner_output(c->r, i), c->g->values[c->g->outputs[i]].name);
	for (int v = 0; c->p->options.training && v < c->g->n_values; v++)
		if (runner_value(c->r, v))
			compare(c, &want[v], runner_value(c->r, v), c->g->values[v].name);
	evaluated_free(c->g, want, owned);
	tensor_free(&in[0]);
	tensor_free(&in[1]);
}

static void run_model(uint64_t seed, enum dtype type, struct program_options options, double tolerance)
{
	static const int64_t items[] = { 2, 1, 3, 2, 4, 5, 6, 2, 7, 2, 1, 0 };
	struct document *d = random_model(seed, 4 + (int)(seed % 40), type, false);
	struct check c = { .g = model_graph(d), .seed = seed, .tolerance = tolerance };
	struct tamis_error err = { 0 };
	struct program *p = NULL;

	must(program_create(c.g, &options, &p, &err), &err, seed);
	c.p = p;
	must(runner_create(p, &c.r, &err), &err, seed);
	for (size_t i = 0; i < (seed % 8 ? 4 : sizeof items / sizeof *items - 1); i++)
		run_once(&c, type, items[i], i);
	runner_free(c.r);
	program_free(p);
	graph_free((struct graph *)c.g);
	doc_free(d);
}

Test(random, inference_is_node_by_node)
{
	for (uint64_t seed = 1; seed <= 150; seed++)
		run_model(seed, DT_FLOAT, (struct program_options){ .merge_norms = false }, 0);
	for (int i = 0; i <= PLACE_DYNAMIC; i++)
		cr_expect_gt(seen[i], 100, "only %d values in place %d: the models are too tame", seen[i], i);
}

Test(random, training_keeps_every_value)
{
	for (uint64_t seed = 1000; seed < 1100; seed++)
		run_model(seed, seed % 2 ? DT_DOUBLE : DT_FLOAT, (struct program_options){ .training = true }, 0);
}

Test(random, merged_norms_agree)
{
	for (uint64_t seed = 2000; seed < 2100; seed++)
		run_model(seed, DT_FLOAT, (struct program_options){ .merge_norms = true }, 1e-5);
}

struct wanted { const struct check *check; const struct tensor *want; int seen; };

/* What a step reads, but for what it may have written over or has in another form. */
static const struct tensor *read_by(const struct wanted *w, const struct node *n, int i)
{
	bool gone = w->check->p->options.energies && (n->op->flags & OP_INPLACE);

	return n->in[i] == GRAPH_NONE || gone ? NULL : runner_value(w->check->r, n->in[i]);
}

static enum tamis_status see(void *ctx, int node, struct op_call *call, struct tamis_error *err)
{
	struct wanted *w = ctx;
	const struct node *n = &w->check->g->nodes[node];

	(void)err, (void)call;
	for (int i = 0; i < n->n_in; i++)
		if (read_by(w, n, i)) {
			compare(w->check, &w->want[n->in[i]], read_by(w, n, i), w->check->g->values[n->in[i]].name);
			w->seen++;
		}
	return TAMIS_OK;
}

/* Steps of the node and of all that its inputs come from, by a recursion of its own. */
static void mark(const struct graph *g, int node, bool *needed)
{
	if (node == GRAPH_NONE || g->nodes[node].constant || needed[node])
		return;
	needed[node] = true;
	for (int i = 0; i < g->nodes[node].n_in; i++)
		if (g->nodes[node].in[i] != GRAPH_NONE)
			mark(g, g->values[g->nodes[node].in[i]].producer, needed);
}

/* Returns the steps that were left out. */
static int run_wanted(uint64_t seed, bool energies, int *watched)
{
	struct document *d = random_model(seed, 4 + (int)(seed % 40), DT_FLOAT, false);
	struct check c = { .g = model_graph(d), .seed = seed, .tolerance = energies ? 1e-5 : 0 };
	bool *nodes = calloc((size_t)c.g->n_nodes + 1, sizeof *nodes), *needed = calloc((size_t)c.g->n_nodes + 1, sizeof *needed);
	bool *owned;
	struct program_options all = { .training = true, .energies = energies }, some = all;
	struct tamis_error err = { 0 };
	struct tensor in[2], *want;
	struct program *full = NULL, *part = NULL;
	int left_out;

	for (int i = 0; i < c.g->n_nodes; i++)
		if ((seed + (uint64_t)i) % 7 == 0)
			nodes[i] = !c.g->nodes[i].constant, mark(c.g, i, needed);
	some.nodes = nodes;
	must(program_create(c.g, &all, &full, &err), &err, seed);
	must(program_create(c.g, &some, &part, &err), &err, seed);
	c.p = part;
	must(runner_create(part, &c.r, &err), &err, seed);
	random_inputs(seed, DT_FLOAT, 3, in);
	want = evaluate(c.g, in, NULL, &owned);
	struct wanted w = { &c, want, 0 };
	const struct run_hooks hooks = { .ctx = &w, .watch_node = nodes, .node = see };
	must(runner_run(c.r, in, &hooks, &err), &err, seed);
	cr_assert_eq(runner_reverse(c.r, NULL, NULL, NULL), TAMIS_E_INTERNAL, "of a program that is never reversed");
	for (int i = 0; i < part->n_steps; i++) {
		int node = part->steps[i].graph_node;

		cr_assert(node == GRAPH_NONE || needed[node], "seed %llu: a step that nobody wants", (unsigned long long)seed);
		if (node != GRAPH_NONE)
			nodes[node] = false;
	}
	for (int i = 0; i < c.g->n_nodes && !energies; i++) /* norms are merged away */
		cr_assert(!nodes[i] || part->constant[c.g->nodes[i].out[0]].data, "seed %llu: node %d is missing",
		          (unsigned long long)seed, i);
	*watched += w.seen;
	left_out = full->n_steps - part->n_steps;
	evaluated_free(c.g, want, owned);
	tensor_free(&in[0]);
	tensor_free(&in[1]);
	runner_free(c.r);
	program_free(full);
	program_free(part);
	graph_free((struct graph *)c.g);
	doc_free(d);
	free(nodes);
	free(needed);
	return left_out;
}

Test(random, wanted_nodes_run_with_what_they_need)
{
	int left_out = 0, watched = 0;

	for (uint64_t seed = 3000; seed < 3100; seed++)
		left_out += run_wanted(seed, false, &watched) + run_wanted(seed, true, &watched);
	cr_expect(left_out > 100 && watched > 100, "%d steps left out, %d seen: the models are too tame", left_out, watched);
}

/* Dead nodes are no steps, and a graph output that no step makes is there all the same. */
Test(random, dead_nodes_are_left_out)
{
	struct document *d = model_new(13);
	struct program_options options = { .merge_norms = false };
	struct tamis_error err = { 0 };
	struct tensor in[1] = { tensor_make(DT_FLOAT, DIMS(3), (double[]){ 1, 2, 3 }, NULL) };
	struct program *p = NULL;
	struct runner *r = NULL;
	struct graph *g;

	model_input(d, "x", DT_FLOAT, DIMS(3));
	model_constant(d, "c", DT_FLOAT, DIMS(1), (double[]){ 4 }, NULL);
	model_node(d, "Exp", "x", "unread");
	model_node(d, "Neg", "c", "folded");
	model_node(d, "Identity", "x", "view");
	model_node(d, "Relu", "unread", "also_unread");
	for (int i = 0; i < 4; i++)
		model_output(d, (const char *[]){ "x", "c", "folded", "view" }[i]);
	g = model_graph(d);
	must(program_create(g, &options, &p, &err), &err, 0);
	cr_expect_eq(p->n_steps, 1);
	must(runner_create(p, &r, &err), &err, 0);
	must(runner_run(r, in, NULL, &err), &err, 0);
	cr_expect(tensor_equal(runner_output(r, 0), &in[0]));
	cr_expect_eq(tensor_get(runner_output(r, 1), 0), 4);
	cr_expect_eq(tensor_get(runner_output(r, 2), 0), -4);
	cr_expect(tensor_equal(runner_output(r, 3), &in[0]));
	runner_free(r);
	program_free(p);
	graph_free(g);
	doc_free(d);
	tensor_free(&in[0]);
}
