/* SPDX-License-Identifier: Apache-2.0 */
/* If, Loop and Scan: what their bodies must look like. The executor runs them (exec/control.h), for programs belong
 * there; their shapes are known when they have run. */
#include "ops/control.h"

#include "ops/family.h"

static enum tamis_status control_shape(struct op_call *c)
{
	c->unknown = true;
	return TAMIS_OK;
}

/* The body exists and has so many inputs and outputs; -1: any number. */
static enum tamis_status check_body(const struct op_parse *p, const char *name, int ins, int outs,
                                    const struct graph **out)
{
	const struct body *b = node_body(p->node, name);
	int has_in;

	if (!b)
		return tm_fail(p->err, TAMIS_E_INVALID, "%s needs the attribute '%s', which is missing", p->node->op->name,
		               name);
	*out = b->graph;
	has_in = b->graph->n_inputs - b->graph->n_captured;
	if (ins >= 0 && has_in != ins)
		return tm_fail(p->err, TAMIS_E_INVALID, "'%s' of %s should have %d inputs, not %d", name, p->node->op->name,
		               ins, has_in);
	if (outs >= 0 && b->graph->n_outputs != outs)
		return tm_fail(p->err, TAMIS_E_INVALID, "'%s' of %s should have %d outputs, not %d", name,
		               p->node->op->name, outs, b->graph->n_outputs);
	return TAMIS_OK;
}

static int given_inputs(const struct op_parse *p)
{
	return p->node->n_in - p->node->n_captured;
}

static enum tamis_status if_parse(struct op_parse *p, void **attr)
{
	const struct graph *g;
	enum tamis_status s = check_body(p, "then_branch", 0, p->node->n_out, &g);

	(void)attr;
	return s == TAMIS_OK ? check_body(p, "else_branch", 0, p->node->n_out, &g) : s;
}

/* Inputs M, cond, carried...; body: trip, cond, carried... -> cond, carried..., stacked... */
static enum tamis_status loop_parse(struct op_parse *p, void **attr)
{
	int given = given_inputs(p);
	const struct graph *g;

	(void)attr;
	if (given < 2)
		return tm_fail(p->err, TAMIS_E_INVALID, "Loop takes at least 2 inputs, not %d", given);
	for (int i = 2; i < given; i++)
		if (p->node->in[i] == GRAPH_NONE)
			return tm_fail(p->err, TAMIS_E_INVALID, "Loop needs its input %d, whose name is empty", i);
	if (p->node->n_out < given - 2)
		return tm_fail(p->err, TAMIS_E_INVALID, "Loop carries %d values but gives %d outputs", given - 2,
		               p->node->n_out);
	return check_body(p, "body", given, p->node->n_out + 1, &g);
}

/* ---- Scan --------------------------------------------------------------------------------------------------- */

static enum tamis_status read_list(const struct op_parse *p, const char *name, int count, const int64_t **out)
{
	int n;
	enum tamis_status s = attr_ints(p, name, out, &n);

	if (s == TAMIS_OK && n >= 0 && n != count)
		return tm_fail(p->err, TAMIS_E_INVALID, "'%s' of Scan should have %d entries, not %d", name, count, n);
	return s;
}

static enum tamis_status read_lists(const struct op_parse *p, struct scan_attr *a)
{
	enum tamis_status s;

	if (a->batched)
		return read_list(p, "directions", a->n_scans, &a->in_back);
	s = read_list(p, "scan_input_axes", a->n_scans, &a->in_axes);
	if (s == TAMIS_OK)
		s = read_list(p, "scan_input_directions", a->n_scans, &a->in_back);
	if (s == TAMIS_OK)
		s = read_list(p, "scan_output_axes", a->n_stacked, &a->out_axes);
	if (s == TAMIS_OK)
		s = read_list(p, "scan_output_directions", a->n_stacked, &a->out_back);
	return s;
}

static enum tamis_status scan_parse(struct op_parse *p, void **attr)
{
	struct scan_attr *a = arena_alloc(p->arena, sizeof *a);
	bool batched = p->node->op->until == 8;
	int given = given_inputs(p) - batched;
	const struct graph *g;
	int64_t scans;
	enum tamis_status s;

	if (!a)
		return tm_no_memory(p->err, "reading attributes");
	s = attr_required(p, "num_scan_inputs");
	if (s == TAMIS_OK)
		s = attr_int(p, "num_scan_inputs", 1, &scans);
	if (s != TAMIS_OK)
		return s;
	if (scans < 1 || scans > given || given - scans > p->node->n_out)
		return tm_fail(p->err, TAMIS_E_INVALID, "Scan of %d inputs and %d outputs cannot scan %lld of them", given,
		               p->node->n_out, (long long)scans);
	for (int i = batched; i < given + batched; i++)
		if (p->node->in[i] == GRAPH_NONE)
			return tm_fail(p->err, TAMIS_E_INVALID, "Scan needs its input %d, whose name is empty", i);
	*a = (struct scan_attr){ .n_states = given - (int)scans, .n_scans = (int)scans, .batched = batched };
	a->n_stacked = p->node->n_out - a->n_states;
	*attr = a;
	s = read_lists(p, a);
	return s == TAMIS_OK ? check_body(p, "body", given, p->node->n_out, &g) : s;
}

#define CONTROL(more) .domain = "", .flags = OP_CONTROL | OP_ANY_BITS | (more), .max_out = -1, .shape = control_shape

const struct op ops_control[] = {
	{.name = "If", .since = 1, .until = OP_LATEST, .min_in = 1, .max_in = 1, .min_out = 1, .parse = if_parse,
	 CONTROL(OP_CONTROL_REVERSE)},
	{.name = "Loop", .since = 1, .until = OP_LATEST, .min_in = 0, .max_in = -1, .min_out = 1, .parse = loop_parse,
	 CONTROL(OP_CONTROL_REVERSE)},
	{.name = "Scan", .since = 8, .until = 8, .min_in = 0, .max_in = -1, .min_out = 1, .parse = scan_parse, CONTROL(0)},
	{.name = "Scan", .since = 9, .until = OP_LATEST, .min_in = 1, .max_in = -1, .min_out = 1, .parse = scan_parse,
	 CONTROL(OP_CONTROL_REVERSE)},
	{0},
};
