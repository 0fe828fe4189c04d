/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/coupling.h"

#include <stdlib.h>
#include <string.h>

#include "graph/number_source.h"
#include "onnx/document.h"

#define MOST_POSITIONS ((int64_t)1 << 30)
#define MOST_TRIES 8 /* of the forms of rules */
#define UNKNOWN "no rule says how its operator treats channels"

static enum tamis_status no_memory(struct tamis_error *err)
{
	return tm_no_memory(err, "coupling channels");
}

/* ---- positions ------------------------------------------------------------------------------------------------- */

int32_t coupling_root(const struct coupling *c, int64_t position)
{
	int32_t i = (int32_t)position;

	while (c->parent[i] != i) {
		c->parent[i] = c->parent[c->parent[i]];
		i = c->parent[i];
	}
	return i;
}

static void keep_position(struct coupling *c, int64_t position, int32_t reason)
{
	int32_t root = coupling_root(c, position);

	if (!c->reason[root] || reason < c->reason[root])
		c->reason[root] = reason;
}

/* The lower root stays one, so that results do not depend on the order of ties. */
static void tie(struct coupling *c, int64_t a, int64_t b)
{
	int32_t i = coupling_root(c, a), k = coupling_root(c, b), low = i < k ? i : k, high = i < k ? k : i;

	if (i == k)
		return;
	c->parent[high] = low;
	if (c->reason[high])
		keep_position(c, low, c->reason[high]);
}

const struct coupled_reason *coupling_reason(const struct coupling *c, int64_t position)
{
	int32_t reason = c->reason[coupling_root(c, position)];

	return reason ? &c->reasons[reason - 1] : NULL;
}

static int port_value(const struct node *n, int port)
{
	if (port >= 0)
		return port < n->n_in ? n->in[port] : GRAPH_NONE;
	return -1 - port < n->n_out ? n->out[-1 - port] : GRAPH_NONE;
}

/* NULL where the shape is unknown. */
static const struct coupled_axis *axis_of(const struct coupling *c, int node, int port, int axis)
{
	int value = port_value(&c->graph->nodes[node], port), first;

	if (value == GRAPH_NONE || !c->shape[value])
		return NULL;
	if (axis < 0)
		axis += c->shape[value]->rank;
	first = port >= 0 && c->port_axis[node][port] >= 0 ? c->port_axis[node][port] : c->value_axis[value];
	return first < 0 || axis < 0 || axis >= c->shape[value]->rank ? NULL : &c->axes[first + axis];
}

int64_t coupling_first(const struct coupling *c, int node, int port, int axis)
{
	const struct coupled_axis *a = axis_of(c, node, port, axis);

	return a ? a->first : -1;
}

/* ---- laying out ------------------------------------------------------------------------------------------------- */

/* Each takes two words. */
static int64_t most_positions(const struct coupling *c)
{
	uint64_t fit = c->graph->doc->max_memory / (sizeof *c->parent + sizeof *c->reason);

	return fit < MOST_POSITIONS ? (int64_t)fit : MOST_POSITIONS;
}

/* The axes of an empty tensor may have any length: too many positions stay too many, and are refused below. */
static void add_positions(struct coupling *c, int64_t n)
{
	c->n_positions = n > MOST_POSITIONS - c->n_positions ? MOST_POSITIONS + 1 : c->n_positions + n;
}

/* Appends the axes of a tensor; the index of the first, -1 for a scalar. */
static int add_axes(struct coupling *c, const struct tensor *t, int value, int node, int input)
{
	int first = c->n_axes;

	for (int i = 0; i < t->rank; i++) {
		c->axes[c->n_axes++] = (struct coupled_axis){ .value = value, .axis = i, .node = node, .input = input,
			.first = c->n_positions, .extent = t->dims[i] };
		add_positions(c, t->dims[i]);
	}
	return t->rank ? first : -1;
}

static bool is_constant(const struct graph *g, int value)
{
	return value != GRAPH_NONE && g->values[value].kind == VALUE_CONSTANT;
}

static size_t count_axes(const struct coupling *c)
{
	const struct graph *g = c->graph;
	size_t n = 1;

	for (int v = 0; v < g->n_values; v++)
		if (c->shape[v])
			n += (size_t)c->shape[v]->rank * (is_constant(g, v) ? (size_t)g->values[v].n_uses + 1 : 1);
	return n;
}

static enum tamis_status lay_out(struct coupling *c, struct tamis_error *err)
{
	const struct graph *g = c->graph;

	c->axes = arena_array(&c->arena, count_axes(c), sizeof *c->axes);
	c->value_axis = arena_array(&c->arena, (size_t)g->n_values + 1, sizeof *c->value_axis);
	c->port_axis = arena_array(&c->arena, (size_t)g->n_nodes + 1, sizeof *c->port_axis);
	c->choice = arena_array(&c->arena, (size_t)g->n_nodes + 1, sizeof *c->choice);
	c->choices = arena_array(&c->arena, (size_t)g->n_nodes + 1, sizeof *c->choices);
	if (!c->axes || !c->value_axis || !c->port_axis || !c->choice || !c->choices)
		return no_memory(err);
	for (int v = 0; v < g->n_values; v++)
		c->value_axis[v] = !c->shape[v] || is_constant(g, v) ? -1 : add_axes(c, c->shape[v], v, GRAPH_NONE, 0);
	for (int i = 0; i < g->n_nodes; i++) {
		const struct node *n = &g->nodes[i];

		c->port_axis[i] = arena_array(&c->arena, (size_t)n->n_in + 1, sizeof **c->port_axis);
		if (!c->port_axis[i])
			return no_memory(err);
		for (int k = 0; k < n->n_in; k++)
			c->port_axis[i][k] = is_constant(g, n->in[k]) && c->shape[n->in[k]]
				? add_axes(c, c->shape[n->in[k]], n->in[k], i, k) : -1;
	}
	if (c->n_positions > most_positions(c))
		return tm_fail(err, TAMIS_E_MEMORY, "the values of one item have more than %lld positions",
		               (long long)most_positions(c));
	c->parent = arena_array(&c->arena, (size_t)c->n_positions + 1, sizeof *c->parent);
	c->reason = arena_array(&c->arena, (size_t)c->n_positions + 1, sizeof *c->reason);
	return c->parent && c->reason ? TAMIS_OK : no_memory(err);
}

/* ---- what rules say --------------------------------------------------------------------------------------------- */

static bool grow(struct coupling *c, void *array, size_t *cap, size_t n, size_t size)
{
	void *p;

	memcpy(&p, array, sizeof p);
	if (!tm_grow(&p, cap, n + 1, size)) {
		c->no_memory = true;
		return false;
	}
	memcpy(array, &p, sizeof p);
	return true;
}

static int32_t add_reason(struct coupling *c, int node, const char *why)
{
	if (!grow(c, &c->reasons, &c->cap_reasons, c->n_reasons, sizeof *c->reasons))
		return 0;
	c->reasons[c->n_reasons++] = (struct coupled_reason){ node, why };
	return (int32_t)c->n_reasons;
}

static void keep_axis(struct coupling *c, const struct coupled_axis *a, int32_t reason)
{
	for (int64_t i = 0; reason && a && i < a->extent; i++)
		keep_position(c, a->first + i, reason);
}

void channels_keep(struct channel_call *call, int port, int axis, const char *why)
{
	const struct coupled_axis *a = axis_of(call->coupling, call->index, port, axis);

	if (a)
		keep_axis(call->coupling, a, add_reason(call->coupling, call->index, why));
}

void channels_keep_port(struct channel_call *call, int port, const char *why)
{
	int value = port_value(call->node, port);

	for (int i = 0; value != GRAPH_NONE && call->coupling->shape[value] && i < call->coupling->shape[value]->rank; i++)
		channels_keep(call, port, i, why);
}

void channels_keep_all(struct channel_call *call, const char *why)
{
	for (int i = 0; i < call->n_in; i++)
		channels_keep_port(call, i, why);
	for (int i = 0; i < call->n_out; i++)
		channels_keep_port(call, COUPLING_OUT(i), why);
}

void channels_tie_some(struct channel_call *call, int port, int axis, int64_t at, int other, int other_axis,
                       int64_t other_at, int64_t n)
{
	const struct coupled_axis *a = axis_of(call->coupling, call->index, port, axis);
	const struct coupled_axis *b = axis_of(call->coupling, call->index, other, other_axis);

	for (int64_t i = 0; a && b && i < n && at + i < a->extent && other_at + i < b->extent; i++)
		tie(call->coupling, a->first + at + i, b->first + other_at + i);
}

void channels_tie(struct channel_call *call, int port, int axis, int other, int other_axis)
{
	channels_tie_some(call, port, axis, 0, other, other_axis, 0, INT64_MAX);
}

void channels_read(struct channel_call *call, int data, int axis, int weight, int weight_axis)
{
	struct coupling *c = call->coupling;

	if (!channels_constant(call, weight)) {
		channels_keep(call, data, axis, "two values that are no constants are multiplied over it");
		channels_keep(call, weight, weight_axis, "two values that are no constants are multiplied over it");
		return;
	}
	channels_tie(call, data, axis, weight, weight_axis);
	if (weight_axis < 0)
		weight_axis += call->in[weight]->rank;
	if (grow(c, &c->reads, &c->cap_reads, c->n_reads, sizeof *c->reads))
		c->reads[c->n_reads++] = (struct coupled_read){ call->index, data, axis, weight, weight_axis };
}

static void add_number(struct channel_call *call, struct coupled_number n, int port, int axis)
{
	struct coupling *c = call->coupling;
	const struct coupled_axis *a = axis_of(c, call->index, port, axis);

	if (!a || !grow(c, &c->numbers, &c->cap_numbers, c->n_numbers, sizeof *c->numbers))
		return;
	n.position = a->first;
	c->numbers[c->n_numbers++] = n;
}

/* Whether weights fix a length for all items: the axis is tied to one of a constant. */
static bool is_fixed(const struct coupling *c, int value, int axis)
{
	const struct coupled_axis *a = c->value_axis[value] < 0 ? NULL : &c->axes[c->value_axis[value] + axis];

	for (int i = 0; a && a->extent > 1 && i < c->n_axes; i++)
		if (c->axes[i].node != GRAPH_NONE && c->axes[i].extent == a->extent
		    && coupling_root(c, c->axes[i].first) == coupling_root(c, a->first))
			return true;
	return false;
}

void channels_number(struct channel_call *call, int input, int element, int port, int axis, int64_t before)
{
	const struct coupling *c = call->coupling;
	struct number_port at = { call->index, input, element, GRAPH_NONE, GRAPH_NONE };

	if (number_source(c->graph, c->shape, &at) && (at.of == GRAPH_NONE || is_fixed(c, at.of, at.axis)))
		add_number(call, (struct coupled_number){ .node = at.node, .input = at.input, .element = at.element,
			.before = before, .per = 1 }, port, axis);
	else
		channels_keep(call, port, axis, "a computed number states its length");
}

void channels_attribute(struct channel_call *call, const char *name, int element, int port, int axis, int64_t before,
                        int64_t per)
{
	add_number(call, (struct coupled_number){ .node = call->index, .input = GRAPH_NONE, .attribute = name, .element = element,
		.before = before, .per = per }, port, axis);
}

int channels_choice(struct channel_call *call, int n)
{
	call->coupling->choices[call->index] = n;
	return call->coupling->choice[call->index];
}

bool channels_constant(const struct channel_call *call, int input)
{
	int value = port_value(call->node, input);

	return is_constant(call->coupling->graph, value) || (value != GRAPH_NONE && call->coupling->shape[value]
		&& call->coupling->shape[value]->data);
}

struct op_call channels_shapes(const struct channel_call *call, struct tamis_error *ignored)
{
	return (struct op_call){ .node = call->node, .n_in = call->n_in, .in = call->in, .err = ignored };
}

bool channels_kept(const struct channel_call *call, int port, int axis)
{
	const struct coupled_axis *a = axis_of(call->coupling, call->index, port, axis);

	for (int64_t i = 0; a && i < a->extent; i++)
		if (!call->coupling->reason[coupling_root(call->coupling, a->first + i)])
			return false;
	return true;
}

/* ---- rules that many operators share ---------------------------------------------------------------------------- */

void channels_elementwise(struct channel_call *call)
{
	const struct tensor *y = call->out[0];

	for (int i = 0; y && i < call->n_in; i++) {
		const struct tensor *x = call->in[i];

		for (int k = 0; x && k < x->rank && k < y->rank; k++)
			if (x->dims[x->rank - 1 - k] == y->dims[y->rank - 1 - k])
				channels_tie(call, i, -1 - k, COUPLING_OUT(0), -1 - k);
	}
	for (int i = 1; y && i < call->n_out; i++)
		for (int k = 0; call->out[i] && k < y->rank; k++)
			channels_tie(call, COUPLING_OUT(i), k, COUPLING_OUT(0), k);
}

void channels_pass(struct channel_call *call)
{
	for (int k = 0; k < call->in[0]->rank; k++)
		channels_tie(call, 0, k, COUPLING_OUT(0), k);
}

void channels_window(struct channel_call *call)
{
	for (int i = 0; i < call->n_out; i++) {
		const struct tensor *y = call->out[i];

		for (int k = 0; y && k < 2 && k < y->rank; k++)
			channels_tie(call, 0, k, COUPLING_OUT(i), k);
		for (int k = 2; y && k < y->rank; k++)
			channels_keep(call, COUPLING_OUT(i), k, "it runs over space");
	}
	for (int k = 2; call->in[0] && k < call->in[0]->rank; k++)
		channels_keep(call, 0, k, "it runs over space");
}

void channels_mix_from(struct channel_call *call, int first, const char *why)
{
	channels_pass(call);
	for (int k = first; k < call->in[0]->rank; k++)
		channels_keep(call, 0, k, why);
}

/* ---- the graph -------------------------------------------------------------------------------------------------- */

/* Elements that cannot be taken out of a constant one by one, or that a caller may replace. */
static const char *why_constant_stays(const struct value *v)
{
	if (v->overridable)
		return "a constant of it is also a graph input";
	if (v->is_output)
		return "a constant of it is a graph output";
	if (dtype_bits((int)v->constant.type) < 8 || v->constant.type == DT_STRING)
		return "a constant of it has elements of less than a byte, or text";
	return NULL;
}

static void keep_value(struct coupling *c, int value, const char *why)
{
	int first = c->value_axis[value];

	for (int i = 0; first >= 0 && i < c->shape[value]->rank; i++)
		keep_axis(c, &c->axes[first + i], add_reason(c, GRAPH_NONE, why));
}

/* What no rule can set free: what callers see, and axes of one. */
static void keep_edges(struct coupling *c)
{
	const struct graph *g = c->graph;
	int32_t single = add_reason(c, GRAPH_NONE, "it is one channel");

	for (int i = 0; i < g->n_inputs; i++)
		keep_value(c, g->inputs[i], "it is a graph input");
	for (int i = 0; i < g->n_outputs; i++)
		if (!is_constant(g, g->outputs[i]))
			keep_value(c, g->outputs[i], "it is a graph output");
	for (int i = 0; i < c->n_axes; i++) {
		const struct coupled_axis *a = &c->axes[i];
		const char *why = a->node == GRAPH_NONE ? NULL : why_constant_stays(&g->values[a->value]);

		if (a->extent <= 1)
			keep_axis(c, a, single);
		if (why)
			keep_axis(c, a, add_reason(c, a->node, why));
	}
}

/* A weight that several nodes read stays one tensor. */
static void tie_shared_weights(struct coupling *c)
{
	const struct graph *g = c->graph;

	for (int v = 0; v < g->n_values; v++) {
		const struct value *x = &g->values[v];
		const struct use *u = x->uses;
		bool weight = false;

		for (int i = 0; i < x->n_uses; i++)
			weight |= g->nodes[u[i].node].op->linear && u[i].input == 1;
		for (int i = 1; weight && x->kind == VALUE_CONSTANT && c->shape[v] && i < x->n_uses; i++)
			for (int k = 0; k < c->shape[v]->rank; k++)
				for (int64_t p = 0; p < c->shape[v]->dims[k]; p++)
					tie(c, coupling_first(c, u[0].node, u[0].input, k) + p,
					    coupling_first(c, u[i].node, u[i].input, k) + p);
	}
}

static bool has_unknown(const struct coupling *c, const struct node *n)
{
	for (int i = 0; i < n->n_in; i++)
		if (n->in[i] != GRAPH_NONE && !c->shape[n->in[i]])
			return true;
	return false;
}

/* What nobody needs is never planned, and nobody has asked whether its attributes fit its inputs, which rules rely on. */
static bool fits(struct coupling *c, const struct node *n, const struct tensor *const *in)
{
	struct scratch scratch = { 0 };
	struct tamis_error ignored = { 0 };
	struct tensor *made = tm_array((size_t)n->n_out + 1, sizeof *made);
	struct tensor **out = tm_array((size_t)n->n_out + 1, sizeof *out);
	bool unknown = false, fit = false;

	for (int i = 0; made && out && i < n->n_out; i++)
		out[i] = &made[i];
	if (made && out)
		fit = node_shape(n, in, out, &scratch, &unknown, &ignored) == TAMIS_OK && !unknown;
	c->no_memory |= !made || !out || ignored.status == TAMIS_E_MEMORY;
	scratch_free(&scratch);
	free(made);
	free(out);
	return fit;
}

static bool is_planned(const struct node *n, const struct tensor *const *out)
{
	for (int i = 0; i < n->n_out; i++)
		if (out[i])
			return true;
	return false;
}

static void rule(struct coupling *c, int index, const struct tensor **in, const struct tensor **out)
{
	const struct node *n = &c->graph->nodes[index];
	struct channel_call call = { .coupling = c, .node = n, .in = in, .out = out, .n_in = n->n_in, .n_out = n->n_out,
		.index = index };

	if (n->constant)
		return;
	for (int i = 0; i < n->n_in; i++)
		in[i] = n->in[i] == GRAPH_NONE ? NULL : c->shape[n->in[i]];
	for (int i = 0; i < n->n_out; i++)
		out[i] = n->out[i] == GRAPH_NONE ? NULL : c->shape[n->out[i]];
	if (n->inlined)
		channels_keep_all(&call, "it is inside a function");
	else if (!n->op->channels)
		channels_keep_all(&call, UNKNOWN);
	else if (has_unknown(c, n))
		channels_keep_all(&call, "a shape is not known before the model runs");
	else if (!is_planned(n, out) && !fits(c, n, in))
		channels_keep_all(&call, "it is of no use, and its attributes do not fit");
	else
		n->op->channels(&call);
}

static enum tamis_status run_rules(struct coupling *c, struct tamis_error *err)
{
	const struct graph *g = c->graph;
	const struct tensor **in, **out;
	int most = 1;

	for (int i = 0; i < g->n_nodes; i++) {
		most = g->nodes[i].n_in > most ? g->nodes[i].n_in : most;
		most = g->nodes[i].n_out > most ? g->nodes[i].n_out : most;
	}
	in = tm_array((size_t)most, sizeof *in);
	out = tm_array((size_t)most, sizeof *out);
	c->n_reads = c->n_numbers = c->n_reasons = 0;
	for (int64_t p = 0; p < c->n_positions; p++) {
		c->parent[p] = (int32_t)p;
		c->reason[p] = 0;
	}
	keep_edges(c);
	tie_shared_weights(c);
	for (int i = 0; in && out && i < g->n_nodes; i++)
		rule(c, i, in, out);
	c->no_memory |= !in || !out;
	free(in);
	free(out);
	return c->no_memory ? no_memory(err) : TAMIS_OK;
}

/* Moves on every rule with further forms whose outputs are all kept in this one. */
static bool next_forms(struct coupling *c)
{
	bool moved = false;

	for (int i = 0; i < c->graph->n_nodes; i++) {
		const struct node *n = &c->graph->nodes[i];
		bool kept = c->choice[i] + 1 < c->choices[i];

		for (int k = 0; kept && k < c->shape[n->out[0]]->rank; k++) {
			const struct coupled_axis *a = axis_of(c, i, COUPLING_OUT(0), k);

			for (int64_t p = 0; kept && p < a->extent; p++)
				kept = c->reason[coupling_root(c, a->first + p)] != 0;
		}
		c->choice[i] += kept;
		moved |= kept;
	}
	return moved;
}

enum tamis_status coupling_create(const struct graph *g, const struct tensor **shape, struct coupling *out,
                                  struct tamis_error *err)
{
	enum tamis_status s;
	int tries = 0;

	*out = (struct coupling){ .graph = g, .shape = shape };
	s = lay_out(out, err);
	do {
		if (s == TAMIS_OK)
			s = run_rules(out, err);
	} while (s == TAMIS_OK && ++tries < MOST_TRIES && next_forms(out));
	if (s != TAMIS_OK)
		coupling_free(out);
	return s;
}

void coupling_free(struct coupling *c)
{
	free(c->reasons);
	free(c->reads);
	free(c->numbers);
	arena_free(&c->arena);
	*c = (struct coupling){ 0 };
}
