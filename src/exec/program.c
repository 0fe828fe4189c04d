/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/program.h"

#include <stdlib.h>
#include <string.h>

#include "exec/blocks.h"
#include "exec/merge_norms.h"
#include "exec/products.h"
#include "exec/sparse.h"
#include "exec/written_out.h"
#include "onnx/document.h"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "preparing the program");
}

/* ---- which nodes are needed --------------------------------------------------------------------------------- */

static bool is_needed(const struct node *n, const bool *value)
{
	for (int i = 0; i < n->n_out; i++)
		if (n->out[i] != GRAPH_NONE && value[n->out[i]])
			return true;
	return false;
}

static bool output_wanted(const struct graph *g, const struct node *n, const bool *value)
{
	for (int i = 0; i < n->n_out; i++)
		if (n->out[i] != GRAPH_NONE && g->values[n->out[i]].is_output)
			return true;
	return is_needed(n, value);
}

/* From what is wanted backwards; nodes come in topological order, so one sweep is enough. */
static void mark_needed(const struct graph *g, const bool *wanted, bool *node, bool *value)
{
	for (int i = g->n_nodes - 1; i >= 0; i--) {
		const struct node *n = &g->nodes[i];

		node[i] = !n->constant && (wanted ? wanted[i] || is_needed(n, value) : output_wanted(g, n, value));
		for (int k = 0; node[i] && k < n->n_in; k++)
			if (n->in[k] != GRAPH_NONE)
				value[n->in[k]] = true;
	}
}

/* ---- constant folding --------------------------------------------------------------------------------------- */

static bool all_constant(const struct program *p, const struct node *n)
{
	if (n->op->flags & OP_CONTROL)
		return false;
	if ((n->op->flags & OP_RANDOM) || !n->n_in)
		return !(n->op->flags & OP_RANDOM);
	for (int i = 0; i < n->n_in; i++)
		if (n->in[i] != GRAPH_NONE && !p->constant[n->in[i]].data)
			return false;
	return true;
}

static enum tamis_status fold(struct program *p, const struct node *n, struct tamis_error *err)
{
	const struct tensor **in = arena_array(&p->arena, (size_t)n->n_in + 1, sizeof *in);
	struct tensor *out = arena_array(&p->arena, (size_t)n->n_out + 1, sizeof *out);
	enum tamis_status s;

	if (!in || !out)
		return no_memory(err);
	for (int i = 0; i < n->n_in; i++)
		in[i] = n->in[i] == GRAPH_NONE ? NULL : &p->constant[n->in[i]];
	s = node_eval_within(n, in, out, p->graph->doc->max_memory, err);
	for (int i = 0; s == TAMIS_OK && i < n->n_out; i++)
		if (n->out[i] != GRAPH_NONE) {
			p->constant[n->out[i]] = out[i];
			p->owned[n->out[i]] = true;
		}
	return s;
}

/* ---- steps -------------------------------------------------------------------------------------------------- */

static void add_step(struct program *p, int node)
{
	const struct node *n = &p->graph->nodes[node];

	p->steps[p->n_steps++] = (struct step){ .node = n, .graph_node = node, .in = n->in, .out = n->out,
		.n_in = n->n_in, .n_out = n->n_out };
}

static enum tamis_status make_steps(struct program *p, const bool *needed, struct tamis_error *err)
{
	enum tamis_status s = TAMIS_OK;

	for (int i = 0; s == TAMIS_OK && i < p->graph->n_nodes; i++) {
		if (!needed[i])
			continue;
		if (all_constant(p, &p->graph->nodes[i]))
			s = fold(p, &p->graph->nodes[i], err);
		else
			add_step(p, i);
	}
	return s;
}

void program_drop_empty(struct program *p)
{
	int kept = 0;

	for (int i = 0; i < p->n_steps; i++)
		if (p->steps[i].node)
			p->steps[kept++] = p->steps[i];
	p->n_steps = kept;
}

size_t program_ports(const struct program *p)
{
	int n = 1;

	for (int i = 0; i < p->n_steps; i++) {
		n = p->steps[i].n_in > n ? p->steps[i].n_in : n;
		n = p->steps[i].n_out > n ? p->steps[i].n_out : n;
	}
	return (size_t)n;
}

/* A reverse pass knows no fused products. */
static enum tamis_status speed_up(struct program *p, struct tamis_error *err)
{
	enum tamis_status s = merge_norms(p, err);

	if (s == TAMIS_OK)
		s = join_written_out(p, err);
	if (s == TAMIS_OK && !p->options.training)
		s = fuse_products(p, err);
	return s == TAMIS_OK ? lay_out_blocks(p, err) : s;
}

static enum tamis_status fill(struct program *p, struct tamis_error *err)
{
	const struct graph *g = p->graph;
	bool *node = arena_array(&p->arena, (size_t)g->n_nodes + 1, sizeof *node);
	bool *value = arena_array(&p->arena, (size_t)g->n_values + 1, sizeof *value);
	/* Merging a norm makes at most two constants a step. */
	size_t most = (size_t)g->n_values + 2 * (size_t)g->n_nodes + products_most_values(g) + blocks_most_values(g) + 1;
	enum tamis_status s;
	bool fast;

	p->steps = arena_array(&p->arena, (size_t)g->n_nodes + 1, sizeof *p->steps);
	p->constant = tm_array(most, sizeof *p->constant);
	p->owned = arena_array(&p->arena, most, sizeof *p->owned);
	p->hides = arena_array(&p->arena, (size_t)g->n_values + 1, sizeof *p->hides);
	if (!node || !value || !p->steps || !p->constant || !p->owned || !p->hides)
		return no_memory(err);
	p->n_values = g->n_values;
	for (int i = 0; i < g->n_values; i++)
		if (g->values[i].kind == VALUE_CONSTANT)
			p->constant[i] = g->values[i].constant;
	mark_needed(g, p->options.nodes, node, value);
	s = make_steps(p, node, err);
	if (s == TAMIS_OK && p->options.training && p->options.held_zeros)
		s = use_held_zeros(p, err);
	fast = p->options.training ? p->options.energies : p->options.merge_norms;
	if (s == TAMIS_OK && p->options.joined && !fast)
		return join_written_out(p, err);
	return s == TAMIS_OK && fast ? speed_up(p, err) : s;
}

enum tamis_status program_create(const struct graph *g, const struct program_options *options, struct program **out,
                                 struct tamis_error *err)
{
	struct program *p = tm_array(1, sizeof *p);
	enum tamis_status s;

	*out = NULL;
	if (!p)
		return no_memory(err);
	p->graph = g;
	p->options = *options;
	s = fill(p, err);
	p->partial = options->nodes != NULL;
	p->options.nodes = NULL;
	if (s != TAMIS_OK) {
		program_free(p);
		return s;
	}
	*out = p;
	return TAMIS_OK;
}

void program_free(struct program *p)
{
	if (!p)
		return;
	for (int i = 0; p->constant && p->owned && i < p->n_values; i++)
		if (p->owned[i])
			tensor_free(&p->constant[i]);
	free(p->constant);
	arena_free(&p->arena);
	free(p);
}
